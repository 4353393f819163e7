"""The sessions that a sink has open, so that any thread can end whatever is blocked in one of them."""

from __future__ import annotations

import threading
from typing import Generic, Protocol, TypeVar

from cdcd.errors import Interrupted


class Session(Protocol):
    def cut(self) -> None:
        """Any thread: end the connection under whatever waits on it."""
        ...

    def close(self) -> None: ...


S = TypeVar("S", bound=Session)


class Registry(Generic[S]):
    """`interrupted` is set once, and never cleared: whatever a session raises from then on means that."""

    def __init__(self) -> None:
        self.interrupted = threading.Event()
        self._all: set[S] = set()
        self._lock = threading.Lock()

    def check(self) -> None:
        """Before another session is opened."""
        if self.interrupted.is_set():
            raise Interrupted("the sink was interrupted")

    def add(self, session: S) -> None:
        with self._lock:
            self._all.add(session)
        if self.interrupted.is_set():  # meanwhile: interrupt() may not have seen it
            session.cut()

    def end(self, session: S) -> None:
        session.close()
        with self._lock:
            self._all.discard(session)

    def interrupt(self) -> None:
        """Any thread. Whatever is blocked in a session ends now, and nothing begins any more."""
        self.interrupted.set()
        with self._lock:
            sessions = list(self._all)
        for session in sessions:
            session.cut()

    def close(self) -> None:
        with self._lock:
            sessions, self._all = self._all, set()
        for session in sessions:
            session.close()
