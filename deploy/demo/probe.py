"""How far the target is behind, measured from outside: a row that changes at the source, awaited at the target."""

from __future__ import annotations

import threading
import time
from collections import deque

import psycopg2
import psycopg2.errors

from tests.servers import Database
from tests.servers.address import connect

EVERY = 0.02


class Probe:
    """A thread that writes a counter at the source and reads it at the target, fifty times a second. The lag is the
    age of the oldest value that is not there yet: cdcd is asked nothing, and no clocks are compared."""

    def __init__(self, source: Database, target: Database) -> None:
        self.lag: float | None = None
        self._samples: list[tuple[float, float]] = []
        self._written: deque[tuple[int, float]] = deque()
        self._stopping = threading.Event()
        self._source, self._target = connect(source.owner_url), connect(target.admin_url)
        self._thread = threading.Thread(target=self._run, name="probe", daemon=True)
        self._thread.start()

    def worst(self, since: float, until: float) -> float:
        """The worst lag seen between two moments of time.monotonic()."""
        return max((lag for at, lag in list(self._samples) if since <= at <= until), default=0.0)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(5)
        self._source.close()
        self._target.close()

    def _run(self) -> None:
        while not self._stopping.wait(EVERY):
            try:
                self._beat()
            except psycopg2.Error:
                if not self._stopping.is_set():
                    raise
                return

    def _beat(self) -> None:
        with self._source.cursor() as cursor:
            cursor.execute("UPDATE beats SET n = n + 1 RETURNING n")
            self._written.append((cursor.fetchall()[0][0], time.monotonic()))
        arrived = self._arrived()
        now = time.monotonic()
        while self._written and self._written[0][0] <= arrived:
            self._written.popleft()
        if arrived:
            self.lag = now - self._written[0][1] if self._written else 0.0
            self._samples.append((now, self.lag))

    def _arrived(self) -> int:
        with self._target.cursor() as cursor:
            try:
                cursor.execute("SELECT n FROM beats")
            except psycopg2.errors.UndefinedTable:
                return 0
            row = cursor.fetchone()
            return int(row[0]) if row else 0
