"""The clock of all contenders: from the first streamed byte to the durable end, both told by the servers.

Begun: the walsender that reads the slot has decoded past the place where the backlog begins (pg_stat_replication's
sent_lsn), so no program's start is in. Ended: the marker, the backlog's last transaction, is visible at the target and
the target has flushed its log that far: rows and checkpoint, or replication origin, outlive a crash.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from benchmarks.servers import Pair
from tests.servers import Database
from tests.servers.address import connect

LIMIT = 600.0
STEP = 0.004


class Looking:
    """Looks at one server every few milliseconds, on a connection that was opened before."""

    def __init__(self, connection: Any) -> None:
        """`connection`: as PEP 249 has it, in autocommit."""
        self._connection = connection

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def one(self, query: str, *values: object) -> Any:
        """The first value of the first row, None where there is none."""
        with self._connection.cursor() as cursor:
            cursor.execute(query, values or None)
            row = cursor.fetchone()
            return row[0] if row else None


class Look(Looking):
    """At PostgreSQL."""

    def __init__(self, database: Database) -> None:
        super().__init__(connect(database.admin_url))

    def begun(self, slot: str, place: str, alive: Callable[[], None]) -> float:
        """When the slot's first bytes past `place` were sent."""
        query = (
            "SELECT r.sent_lsn > %s::pg_lsn FROM pg_stat_replication r"
            " JOIN pg_replication_slots s ON s.active_pid = r.pid WHERE s.slot_name = %s"
        )
        return until(lambda: bool(self.one(query, place, slot)), alive, f"{slot} to stream")

    def reading(self, alive: Callable[[], None]) -> float:
        """When the source began to send a COPY."""
        query = "SELECT count(*) > 0 FROM pg_stat_progress_copy WHERE command = 'COPY TO' AND bytes_processed > 0"
        return until(lambda: bool(self.one(query)), alive, "a COPY to begin")

    def durable(self, alive: Callable[[], None], query: str = "SELECT count(*) = 1 FROM marker") -> float:
        """When what `query` tells of, asked at the target, has become true and durable."""
        until(lambda: bool(self.one(query)), alive, "the end")
        place = self.one("SELECT pg_current_wal_insert_lsn()")
        flushed = "SELECT pg_current_wal_flush_lsn() >= %s::pg_lsn"
        return until(lambda: bool(self.one(flushed, place)), alive, "the log to be flushed")


class Watch:
    """Looks at both servers: `begun` and `reading` are the source's, `durable` is the target's."""

    def __init__(self, pair: Pair) -> None:
        self._source, self._target = Look(pair.source), Look(pair.target)
        self.begun, self.reading, self.durable = self._source.begun, self._source.reading, self._target.durable

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for look in (self._source, self._target):
            look.__exit__(kind, error, trace)


def until(condition: Callable[[], bool], alive: Callable[[], None], what: str) -> float:
    """When `condition` has become true."""
    end = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {LIMIT:g} s for {what}")
        alive()
        time.sleep(STEP)
    return time.monotonic()


def place(pair: Pair) -> str:
    """The end of the source's log now."""
    return str(pair.source.admin("SELECT pg_current_wal_insert_lsn()")[0][0])
