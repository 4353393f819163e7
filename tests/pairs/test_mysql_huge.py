"""What is large at MySQL and MariaDB goes through in memory that does not grow with it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from tests.fix_daemon import Daemon
from tests.servers import Database
from tests.servers.mysql_database import MySQLDatabase
from tests.waiting import wait_until

ROWS, SOAK = 400_000, 2_000_000
MOST = 300e6
"""Bytes, of all the daemon's processes."""
BLOB = 20 << 20

FILL = """
INSERT INTO t (a, b, c)
SELECT REPEAT(SHA2(x.n, 256), 2), '2024-01-01' + INTERVAL x.n SECOND, x.n / 7 FROM
(SELECT o.i * 100000 + p.i * 1000 + q.i AS n FROM digits o, hundred p, thousand q) x
"""


def _run(source: MySQLDatabase, target: Database, cdcd: Callable[..., Daemon]) -> Daemon:
    """A daemon in a process of its own, so that its memory is its own."""
    words = ["run", "--from", source.url, "--to", target.url, "--name", source.name]
    daemon = cdcd(*words, environment={"TZ": "UTC"})
    daemon.wait_said("consistent", 60)
    return daemon


def _through(source: MySQLDatabase, target: Database, daemon: Daemon, rows: int, limit: float) -> None:
    """One transaction of so many rows."""
    numbers = {"digits": -(-rows // 100_000), "hundred": 100, "thousand": 1000}
    for name, count in numbers.items():
        values = ", ".join(f"({i})" for i in range(count))
        source.sql(f"CREATE TABLE {name} (i int PRIMARY KEY)", f"INSERT INTO {name} VALUES {values}")
    source.sql(FILL)
    whole = f"SELECT count(*), min(id), max(id) FROM {source.name}.t"
    wanted = source.sql("SELECT COUNT(*), MIN(id), MAX(id) FROM t")
    assert wanted[0][0] == rows
    wait_until(lambda: target.sql(whole) == wanted or not daemon.running, limit, "the transaction", every=0.5)
    assert daemon.running, daemon.text()[-3000:]
    most = daemon.most_memory()
    print(f"{rows} rows in one transaction: {most / 1e6:.0f} MB")
    assert most < MOST, f"{most / 1e6:.0f} MB"


TABLE = "CREATE TABLE t (id int PRIMARY KEY AUTO_INCREMENT, a varchar(200), b datetime, c decimal(20,6))"


@pytest.mark.failure("OP-02")
@pytest.mark.timeout(300)
def test_a_huge_transaction_and_a_large_blob(
    mysql_db: MySQLDatabase, target_db: Database, cdcd: Callable[..., Daemon]
) -> None:
    mysql_db.sql(TABLE, "CREATE TABLE blobs (id int PRIMARY KEY, v longblob)")
    daemon = _run(mysql_db, target_db, cdcd)
    _through(mysql_db, target_db, daemon, ROWS, 200)
    _blob(mysql_db, target_db, daemon, BLOB, 60)
    daemon.stop()


def _blob(source: MySQLDatabase, target: Database, daemon: Daemon, size: int, limit: float) -> None:
    source.sql(f"INSERT INTO blobs VALUES (1, REPEAT(X'005C0AFF', {size // 4}))")
    wanted = hashlib.sha256(b"\0\\\n\xff" * (size // 4)).hexdigest()
    look = f"SELECT encode(sha256(v), 'hex') FROM {source.name}.blobs"
    wait_until(lambda: target.sql(look) == [(wanted,)] or not daemon.running, limit, "the value")
    assert daemon.running, daemon.text()[-3000:]


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_two_million_rows_and_a_hundred_megabytes(
    mysql_db: MySQLDatabase, target_db: Database, cdcd: Callable[..., Daemon]
) -> None:
    mysql_db.sql(TABLE, "CREATE TABLE blobs (id int PRIMARY KEY, v longblob)")
    daemon = _run(mysql_db, target_db, cdcd)
    _through(mysql_db, target_db, daemon, SOAK, 1200)
    _blob(mysql_db, target_db, daemon, 100 << 20, 300)
    daemon.stop()
