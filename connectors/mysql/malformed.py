"""What is said where the binlog cannot be read."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager

from cdcd.errors import Stopped


def malformed(what: str, **where: object) -> Stopped:
    """The server sent what the protocol does not allow, or the decoder has a fault: never go on past it."""
    return Stopped(
        f"the binlog cannot be read: {what}",
        why="an event has not the form that the servers' documentation describes",
        hint="report this with the server's version; the position is unchanged",
        **where,
    )


@contextmanager
def garbled() -> Iterator[None]:
    """What is met where an event's bytes are not as they should be becomes a named error."""
    try:
        yield
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise malformed(f"an event is cut short or garbled ({error})") from error


def unsupported(what: str, log_pos: int) -> Stopped:
    return Stopped(
        f"the log holds {what}, which cdcd does not read yet",
        hint="cdcd drop, then run again, which loads anew",
        position=log_pos,
    )
