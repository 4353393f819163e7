"""Writing to a stream whose reader may be slow, stand still or go away."""

from __future__ import annotations

import io
import os
import select
import stat
import threading
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from cdcd.errors import Interrupted, Stopped

_PATIENCE = 0.1
_LARGE = 1 << 18


class Outlet:
    """Whole buffers, one at a time, from any thread. What `write` returned from is the operating system's.

    A reader that stands still holds us, which is right: nothing is acknowledged meanwhile. But it must not hold us
    against `interrupt`, and a blocked write cannot be woken. So a pipe is given only what it has room for now.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._one_writer = threading.Lock()
        self._interrupted = False
        stream.flush()
        try:
            self._fd: int | None = stream.fileno()
        except io.UnsupportedOperation:
            self._fd = None
        self._regular = self._fd is None or stat.S_ISREG(os.fstat(self._fd).st_mode)

    def write(self, pieces: Iterable[bytes]) -> None:
        """One behind the other, each as it is made. Raises Interrupted where the reader has gone: whoever asked for
        lines wants no more of them."""
        with self._one_writer:
            try:
                for data in pieces:
                    self._write(data)
            except BrokenPipeError:
                self._interrupted = True
                raise Interrupted("whoever reads our output has closed it") from None
            except OSError as error:
                raise Stopped("the output cannot be written", why=str(error)) from None

    def _write(self, data: bytes) -> None:
        if self._fd is None or self._regular:
            self._refuse_if_interrupted()
            self._stream.write(data)
            self._stream.flush()
            return
        ready = select.poll()
        ready.register(self._fd, select.POLLOUT)
        rest = memoryview(data)
        while rest:
            self._refuse_if_interrupted()
            if ready.poll(_PATIENCE * 1000):
                # A pipe that is ready takes this much without blocking, and promises no more.
                rest = rest[os.write(self._fd, rest[: select.PIPE_BUF]) :]

    def _refuse_if_interrupted(self) -> None:
        if self._interrupted:
            raise Interrupted("interrupted while writing lines")

    def interrupt(self) -> None:
        self._interrupted = True


def gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same, none of them small but the last. Each is let go before the next one is made, so that these take the
    same memory again and again, which the processor has at hand."""
    few: list[bytes] = []
    size = 0
    for piece in pieces:
        few.append(piece)
        size += len(piece)
        if size >= _LARGE:
            yield b"".join(few)  # one alone is not copied
            few, size = [], 0
    if few:
        yield b"".join(few)
