"""Streaming from MySQL into MySQL, against the server's own replication: one worker, its relay log there already, and
binary log, sync_binlog = 1 and innodb_flush_log_at_trx_commit = 1 at the target for both."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks import mixed_mysql
from benchmarks.clock import until
from benchmarks.clock_mysql import Look
from benchmarks.contenders import Cdcd
from benchmarks.mixed_mysql import Backlog
from benchmarks.result import Ratio
from benchmarks.rounds import rounds
from benchmarks.servers import Ends, Servers, mysql_address
from tests.servers.mysql import PASSWORD
from tests.servers.mysql_database import MySQLDatabase
from tests.servers.roles import SOURCE, TARGET

Say = Callable[[str], None]
NAME = "bench"

_STOPPED = (
    "SELECT max(last_error_message) FROM (SELECT last_error_message FROM"
    " performance_schema.replication_connection_status UNION ALL SELECT last_error_message FROM"
    " performance_schema.replication_applier_status_by_worker) AS said"
)


def measure(
    servers: Servers, rows: int, size: int, share: int, runs: int, at_least: float, aim: float, say: Say
) -> Ratio:
    """In turn, into the same tables, emptied before; `size`: rows of a transaction. The peer's clock stops behind one
    row in `share`, the first ones, where it is slow: its seconds are counted so many times."""
    shape = f"{size:,} row{'s' if size > 1 else ''} a transaction"
    work = f"MySQL to MySQL, streaming {rows:,} inserts, {shape}"
    with servers.mysql(name=NAME) as source, servers.mysql(name=NAME) as target:
        for database in (source, target):
            mixed_mysql.make(database)
        daemon = Cdcd(Ends(mysql_address(source, SOURCE), mysql_address(target, TARGET), f"{NAME}.m*"))
        for run in range(runs):
            daemon.prepare(run)
        before = mixed_mysql.executed(source)
        say(f"{work}: writing the backlog")
        if share > 1:
            Backlog("inserts", rows // share, size).write(source, 1)
        Backlog("inserts", rows, size).write(source, 2, rows // share + 1 if share > 1 else 1)
        after, whole = mixed_mysql.executed(source), mixed_mysql.digest(source)

        def empty() -> None:
            target.sql("TRUNCATE mixed", "TRUNCATE marker")
            target.admin("RESET BINARY LOGS AND GTIDS")

        def cdcd(run: int) -> float:
            empty()
            with Look(source) as first, Look(target) as last:
                daemon.start(run)
                begun = first.dumping(daemon.check)
                ended = last.marked(2, daemon.check)
            daemon.stop(run)
            mixed_mysql.verify(whole, mixed_mysql.digest(target))
            return ended - begun

        def native(run: int) -> float:
            empty()
            _fetch(source, target, before, after)
            with Look(target) as look:
                begun = time.monotonic()
                target.admin("START REPLICA SQL_THREAD")
                ended = look.marked(1 if share > 1 else 2, lambda: _check(look))
            target.admin("STOP REPLICA")
            target.admin("RESET REPLICA ALL")
            if share == 1:
                mixed_mysql.verify(whole, mixed_mysql.digest(target))
            return share * (ended - begun)

        seconds = rounds({"cdcd": cdcd, "native, one worker": native}, rows, runs, say)
    against = "MySQL's own replication" + (f", the first {rows // share:,}" if share > 1 else "")
    return Ratio(work, against, rows, seconds, at_least, aim)


def _fetch(source: MySQLDatabase, target: MySQLDatabase, before: str, after: str) -> None:
    """Until the target's relay log holds all that came between two places."""
    target.admin("SET GLOBAL replica_parallel_workers = 1")
    target.admin("SET GLOBAL gtid_purged = %s", before)
    server = source.server
    target.admin(
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST = %s, SOURCE_PORT = %s, SOURCE_USER = %s, SOURCE_PASSWORD = %s,"
        " SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1, SOURCE_CONNECT_RETRY = 1",
        server.host, server.port, server.user, PASSWORD,
    )  # fmt: skip
    target.admin("START REPLICA IO_THREAD")
    fetched = (
        f"SELECT gtid_subset(gtid_subtract('{after}', '{before}'), received_transaction_set)"
        " FROM performance_schema.replication_connection_status"
    )
    with Look(target) as look:
        until(lambda: bool(look.one(fetched)), lambda: _check(look), "the relay log")


def _check(look: Look) -> None:
    """Raises where the replica has stopped."""
    if text := look.one(_STOPPED):
        raise RuntimeError(f"the replica stopped: {text}")
