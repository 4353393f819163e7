"""The sessions that one end of a pipeline has open: made under one name, cancelled and closed together."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cdcd.errors import Interrupted
from connectors.memory.errors import ours
from connectors.memory.session import Session

if TYPE_CHECKING:
    from connectors.memory.server import MemoryServer


class Connections:
    """Any thread. `name` stands in front of each session's purpose, as in `cdcd/NAME/EPOCH`."""

    def __init__(self, server: MemoryServer, name: str) -> None:
        self.name = name
        self._server = server
        self._open: list[Session] = []
        self._interrupted = False
        self._lock = threading.Lock()

    def open(self, purpose: str) -> Session:
        with ours():
            session = self._server.connect(f"{self.name}/{purpose}")
        with self._lock:
            self._open = [other for other in self._open if other in self._server.sessions]
            self._open.append(session)
            interrupted = self._interrupted
        if interrupted:
            session.close()
            raise Interrupted("told to stop")
        return session

    @contextmanager
    def asking(self, purpose: str) -> Iterator[Session]:
        """A session for one question; the server's errors are raised as ours."""
        session = self.open(purpose)
        try:
            with ours():
                yield session
        finally:
            session.close()

    def interrupt(self) -> None:
        """All that waits raises Interrupted, and so does all that is asked until `close`."""
        with self._lock:
            self._interrupted = True
            for session in self._open:
                session.cancel()

    def close(self) -> None:
        with self._lock:
            for session in self._open:
                session.close()
            self._open.clear()
            self._interrupted = False
