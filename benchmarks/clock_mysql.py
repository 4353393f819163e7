"""The clock where MySQL or MariaDB is an end: from the first byte sent to the durable end, both told by the servers.

At the target COMMIT returns, and rows are seen, only after log and binary log were synced: what is visible is durable.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from pymysql.err import OperationalError

from benchmarks.clock import Looking, until
from tests.servers.mysql_database import MySQLDatabase
from tests.waiting import wait_until

Alive = Callable[[], None]

_DUMPING = "SELECT id FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'"
_SENDS = (
    "SELECT count(*) FROM information_schema.processlist WHERE id <> connection_id() AND info LIKE 'SELECT%mixed%'"
    " AND state IN ('Sending data', 'Sending to client', 'Writing to net')"
)


def end_dumps(database: MySQLDatabase) -> None:
    """Before a clock starts: the server learns that a reader has gone when it next sends it something, up to a minute
    later, and would be taken for sending to the next one already."""
    for (number,) in database.admin(_DUMPING):
        with suppress(OperationalError):  # it has ended meanwhile
            database.admin(f"KILL {number}")
    wait_until(lambda: not database.admin(_DUMPING), what="the server to end its dumps")


class Look(Looking):
    """At MySQL or MariaDB."""

    def __init__(self, database: MySQLDatabase) -> None:
        super().__init__(database.server.connect(database.name))

    def dumping(self, alive: Alive) -> float:
        """When the server began to send its log to somebody."""
        return until(lambda: bool(self.one(_DUMPING)), alive, "the server to send its log")

    def sending(self, alive: Alive) -> float:
        """When the server began to send the table's rows."""
        return until(lambda: bool(self.one(_SENDS)), alive, "the server to send rows")

    def marked(self, last: int, alive: Alive) -> float:
        """When the marker `last` is there."""
        return self.true(f"SELECT count(*) FROM marker WHERE id = {last}", alive)

    def true(self, query: str, alive: Alive) -> float:
        """When what `query` tells of is so."""
        return until(lambda: bool(self.one(query)), alive, "the end")
