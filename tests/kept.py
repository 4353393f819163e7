"""Sessions that a wait keeps: what is asked again and again does not cost a log-in each time, which is most of its cost
(5 ms of PostgreSQL's time, and another of ours)."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_local = threading.local()


def sessions() -> dict[str, Any] | None:
    """By URL, of this thread's wait; None outside of one."""
    found: dict[str, Any] | None = getattr(_local, "sessions", None)
    return found


@contextmanager
def keeping() -> Iterator[None]:
    """Within it `sessions` are kept, and closed at its end."""
    if sessions() is not None:
        yield
        return
    kept: dict[str, Any] = {}
    _local.sessions = kept
    try:
        yield
    finally:
        _local.sessions = None
        for session in kept.values():
            session.close()
