"""The clock where MySQL or MariaDB is an end: from the first byte sent to the durable end, both told by the servers.

At the target COMMIT returns, and rows are seen, only after log and binary log were synced: what is visible is durable.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from benchmarks.clock import until
from tests.servers.mysql_database import MySQLDatabase

Alive = Callable[[], None]

_DUMPS = "SELECT count(*) FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'"
_SENDS = (
    "SELECT count(*) FROM information_schema.processlist WHERE id <> connection_id() AND info LIKE 'SELECT%mixed%'"
    " AND state IN ('Sending data', 'Sending to client', 'Writing to net')"
)


class Look:
    """Looks at one server every few milliseconds, on a connection opened before."""

    def __init__(self, database: MySQLDatabase) -> None:
        self._connection = database.server.connect(database.name)

    def __enter__(self) -> Look:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def dumping(self, alive: Alive) -> float:
        """When the server began to send its log to somebody."""
        return until(lambda: bool(self.one(_DUMPS)), alive, "the server to send its log")

    def sending(self, alive: Alive) -> float:
        """When the server began to send the table's rows."""
        return until(lambda: bool(self.one(_SENDS)), alive, "the server to send rows")

    def marked(self, last: int, alive: Alive) -> float:
        """When the marker `last` is there."""
        return self.true(f"SELECT count(*) FROM marker WHERE id = {last}", alive)

    def true(self, query: str, alive: Alive) -> float:
        """When what `query` tells of is so."""
        return until(lambda: bool(self.one(query)), alive, "the end")

    def one(self, query: str) -> Any:
        """The first value of the first row, None where there is none."""
        with self._connection.cursor() as cursor:
            cursor.execute(query)
            row = cursor.fetchone()
            return row[0] if row else None
