"""A process beside ours, which works while we do: requests come to it by one pipe, its answers by another, in order.

It is forked, so it has the functions that we made at run time. It keeps nothing open but its two pipes, so no session
and no output of ours outlives us in it. However we end, its requests end with us, and then it does.
"""

from __future__ import annotations

import fcntl
import gc
import os
import select
import signal
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

Work = Callable[[bytes], bytes]

QUEUED = 4
"""Requests that may be unanswered: the one that is worked at, and others so that it need not wait for us."""
PATIENCE = 5.0
"""Seconds to wait for an answer: work of milliseconds, unless something holds the process."""

_PIPE = 1 << 20  # bytes that a pipe may hold without a privilege (fs.pipe-max-size)
_PAGE = 4096
_size = struct.Struct("<Q")


class Lost(Exception):
    """The process is gone, or does not answer."""


class Aside:
    """`room`: bytes that a request may have, so that all which may be queued lie in the pipe and asking never waits."""

    def __init__(self, work: Work) -> None:
        """`work`, there: a request → its answer; b"" where it raised. OSError where there can be no such process."""
        requests, self._out = os.pipe()
        self._in, answers = os.pipe()
        self._came = bytearray()
        self._read = memoryview(bytearray(_PIPE))  # once: a new one for each read would be touched page by page
        # No handler of ours may run there: signals stay blocked in it, for good.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            fcntl.fcntl(self._in, fcntl.F_SETPIPE_SZ, _PIPE)
            self.room = fcntl.fcntl(self._out, fcntl.F_SETPIPE_SZ, _PIPE) // QUEUED - 2 * _PAGE
            os.set_blocking(self._in, False)
            if (pid := os.fork()) == 0:
                _serve(work, requests, answers)
        except OSError:
            os.close(self._in)
            os.close(self._out)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(requests)
            os.close(answers)
        self.pid = pid

    def ask(self, request: bytes) -> None:
        """Of at most `room` bytes, while fewer than QUEUED are unanswered."""
        left = memoryview(_size.pack(len(request)) + request)
        try:
            while left:
                left = left[os.write(self._out, left) :]
        except OSError as error:
            raise Lost(str(error)) from error

    def answer(self, wait: bool) -> bytes | None:
        """The next one; None where it has not come whole, and is not waited for."""
        end = time.monotonic() + PATIENCE
        while True:
            if len(self._came) >= _size.size:
                (size,) = _size.unpack_from(self._came)
                if len(self._came) >= _size.size + size:
                    with memoryview(self._came) as came:
                        answer = bytes(came[_size.size : _size.size + size])
                    del self._came[: _size.size + size]
                    return answer
            try:
                count = os.readv(self._in, [self._read])
            except BlockingIOError:
                if not wait:
                    return None
                ready = select.poll()
                ready.register(self._in, select.POLLIN)
                if not ready.poll(max(0.0, end - time.monotonic()) * 1000):
                    raise Lost(f"it has not answered within {PATIENCE:g} s") from None
                continue
            if not count:
                raise Lost("it has ended")
            self._came += self._read[:count]

    def close(self) -> None:
        """End it: it has nothing that could be lost."""
        os.close(self._out)
        os.close(self._in)
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


def _serve(work: Work, requests: int, answers: int) -> NoReturn:
    try:
        gc.disable()  # what it would find are the other threads' things, which are not ours to end
        for name in os.listdir("/proc/self/fd"):  # not all that there may be: that can be a billion
            if int(name) not in (requests, answers):
                with suppress(OSError):
                    os.close(int(name))
        while True:
            (size,) = _size.unpack(_exactly(requests, _size.size))
            request = _exactly(requests, size)
            try:
                answer = work(request)
            except Exception:
                answer = b""
            left = memoryview(_size.pack(len(answer)) + answer)
            while left:
                left = left[os.write(answers, left) :]
    finally:
        os._exit(0)


def _exactly(fd: int, size: int) -> bytes:
    pieces = []
    while size:
        if not (piece := os.read(fd, min(size, _PIPE))):
            raise EOFError
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)
