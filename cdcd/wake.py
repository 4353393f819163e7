"""Waiting for a socket that another thread may end: what `interrupt` of a connector rests on."""

from __future__ import annotations

import os
import select
import threading

from cdcd.errors import Interrupted


class Wake:
    """Ends waiting in other threads: set once, never cleared."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self._lock = threading.Lock()
        self.is_set = False

    def set(self) -> None:
        with self._lock:
            self.is_set = True
            if self._write >= 0:
                os.write(self._write, b"x")

    def check(self) -> None:
        if self.is_set:
            raise Interrupted("told to stop")

    def wait(self, fd: int, events: int, timeout: float) -> bool:
        """Whether `fd` became ready within `timeout` seconds; raises Interrupted once set."""
        poller = select.poll()
        poller.register(fd, events)
        if self._read >= 0:
            poller.register(self._read, select.POLLIN)
        ready = poller.poll(max(0.0, timeout) * 1000)
        self.check()
        return bool(ready)

    def sleep(self, seconds: float) -> None:
        """Sleep, or raise Interrupted."""
        self.wait(self._read, select.POLLIN, seconds)

    def close(self) -> None:
        with self._lock:
            for fd in (self._read, self._write):
                if fd >= 0:
                    os.close(fd)
            self._read = self._write = -1

    def __del__(self) -> None:
        self.close()
