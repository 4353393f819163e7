"""From MySQL's log to rows, in one process (network, framing, CRC32, decoding), against python-mysql-replication.

`python -m benchmarks.binlog READER PLACE ROWS` is such a process: it reads so many rows from a place in the log on, and
prints how many seconds that took, connecting included.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.row_event import WriteRowsEvent

from benchmarks import mixed_mysql
from benchmarks.mixed_mysql import Backlog
from benchmarks.result import Ratio
from benchmarks.rounds import Turn, rounds
from benchmarks.servers import Servers
from cdcd.model.group import Group
from cdcd.model.position import Checkpoint
from cdcd.rows import Field, Layout, RowForm
from connectors.mysql.connect import parse
from connectors.mysql.source import MysqlSource
from tests.servers.mysql_database import MySQLDatabase

Say = Callable[[str], None]

PEER = "python-mysql-replication"
SHARE = 10
"""The peer reads one row in so many, the first ones: its seconds are counted so many times."""


def measure(servers: Servers, rows: int, size: int, runs: int, at_least: float, aim: float, say: Say) -> Ratio:
    """In turn, from the same place; `size`: rows of a transaction, which is one statement."""
    shape = "1,000 rows a statement" if size > 1 else "1 row a transaction"
    work = f"MySQL's log to rows, {rows:,} inserts, {shape}"
    with servers.mysql() as database:
        mixed_mysql.make(database)
        # Without it the peer knows neither the columns' names nor which of them are text.
        database.admin("SET GLOBAL binlog_row_metadata = 'FULL'")
        start = mixed_mysql.executed(database)
        say(f"{work}: writing the backlog")
        Backlog("inserts", rows, size).write(database, 1)

        def turn(reader: str, share: int) -> Turn:
            return lambda _: share * _read(database, reader, start, rows // share)

        seconds = rounds({"cdcd": turn("cdcd", 1), PEER: turn("peer", SHARE)}, rows, runs, say)
    return Ratio(work, f"{PEER}, the first {rows // SHARE:,}", rows, seconds, at_least, aim)


def _read(database: MySQLDatabase, reader: str, start: str, rows: int) -> float:
    command = [sys.executable, "-m", "benchmarks.binlog", reader, start, str(rows)]
    url = f"{database.url}?ssl-mode=DISABLED"
    done = subprocess.run(
        command, env={**os.environ, "BINLOG_URL": url}, check=False, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise RuntimeError(f"{reader} failed: {done.stderr[-2000:]}")
    return float(done.stdout)


def _cdcd(url: str, start: str, rows: int) -> float:
    """Rows as PostgreSQL's texts between tabs, whole groups of them, as a sink takes them."""
    source = MysqlSource(url, "binlog")
    try:
        (table,) = (table for table in source.tables() if table.name == "mixed")
        columns = tuple(column.name for column in table.carried)
        fields = (Field({"pg-text:*": "v"}),) * len(columns)
        form = RowForm("text", table, columns, fields, Layout(b"", b"\t", b"\n", b"\\N"))
        identity = source.identity()
        begun, seen = time.monotonic(), 0
        source.open(Checkpoint(source.position(start)), identity, {table.id: [form]})
        while seen < rows:
            group = Group()
            source.read(group, None, 10)
            seen += group.changes
        return time.monotonic() - begun
    finally:
        source.close()


def _peer(url: str, start: str, rows: int) -> float:
    """Rows as dicts, its only way; its checksum test on, as ours is."""
    where = parse(url)
    login = {"host": where.host, "port": where.port, "user": where.user, "passwd": where.password}
    begun, seen = time.monotonic(), 0
    stream = BinLogStreamReader(
        login, server_id=7002, auto_position=start, blocking=True, only_events=[WriteRowsEvent], verify_checksum=True,
        enable_logging=False,
    )  # fmt: skip
    try:
        for event in stream:
            for _ in event.rows:
                seen += 1
            if seen >= rows:
                break
        return time.monotonic() - begun
    finally:
        stream.close()


if __name__ == "__main__":
    print({"cdcd": _cdcd, "peer": _peer}[sys.argv[1]](os.environ["BINLOG_URL"], sys.argv[2], int(sys.argv[3])))
