"""Transactions that a log holds although they were taken back, when rows of them are in the target's open one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from tests.fix_daemon import Daemon
from tests.mysql.test_source_stream import session
from tests.servers import Database
from tests.servers.mysql import MySQL
from tests.servers.mysql_database import MySQLDatabase

TAKEN_BACK = "was taken back after rows of it had been handed over"


def many(first: int) -> str:
    """More than a group holds."""
    rows = ", ".join(f"({n}, REPEAT('x', 200))" for n in range(first, first + 3000))
    return f"INSERT INTO t VALUES {rows}"


@pytest.mark.failure("T-MY-18", "MY-22")
@pytest.mark.timeout(120)
def test_nothing_stays_of_them(
    mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase], target_db: Database,
    cdcd: Callable[..., Daemon],
) -> None:  # fmt: skip
    """Whole, back to a savepoint, and with what foreign keys did; whoever is killed meets them anew. A temporary table
    is what has MariaDB write them to its log."""
    source = mysql_on(mysql_servers("mariadb"))
    source.sql(
        "CREATE TABLE t (id int PRIMARY KEY, v varchar(200))", "CREATE TABLE p (id int PRIMARY KEY)",
        "CREATE TABLE c (id int PRIMARY KEY, p int, FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE)",
        "CREATE TABLE notes (line text)", "INSERT INTO p VALUES (1), (2)", "INSERT INTO c VALUES (1, 1), (2, 2)",
    )  # fmt: skip
    words = ["run", "--from", source.url, "--to", target_db.url, "--name", source.name, "--group-bytes", "65536"]
    daemon = cdcd(*words)
    daemon.wait_said("consistent", 60)
    whole = ("BEGIN", "INSERT INTO notes VALUES ('never')", many(1), "CREATE TEMPORARY TABLE x (i int)", "ROLLBACK")
    session(source, "INSERT INTO notes VALUES ('before')", *whole, "INSERT INTO notes VALUES ('behind')")
    daemon.wait_said(TAKEN_BACK)
    daemon.kill()
    session(
        source, "BEGIN", "DELETE FROM p WHERE id = 1", "CREATE TEMPORARY TABLE y (i int)", "ROLLBACK",
        "BEGIN", many(1), "SAVEPOINT a", many(10_000), "DELETE FROM t WHERE id < 2000", "SAVEPOINT b", many(20_000),
        "CREATE TEMPORARY TABLE z (i int)", "ROLLBACK TO a", many(30_000), "COMMIT", "DELETE FROM p WHERE id = 2",
        "INSERT INTO notes VALUES ('last')",
    )  # fmt: skip
    said = cdcd(*words, "--until", "caught-up").wait(0)
    assert said.count(f"what='a transaction in the log {TAKEN_BACK}") == 3, said
    for table in ("t", "p", "c", "notes"):
        rows = target_db.sql(f"SELECT * FROM {source.name}.{table}")
        assert sorted(rows) == sorted(source.sql(f"SELECT * FROM {table}")), table
    assert target_db.sql(f"SELECT count(*) FROM {source.name}.t") == [(6000,)]


@pytest.mark.failure("T-MY-18", "MY-22")
@pytest.mark.timeout(120)
def test_what_was_printed_of_them(
    mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase], cdcd: Callable[..., Daemon]
) -> None:
    """Lines cannot be taken back: `cdcd tail` ends, says which to drop and how to go on, which brings the others."""
    source = mysql_on(mysql_servers("mariadb"))
    source.sql("CREATE TABLE t (id int PRIMARY KEY, v varchar(200))", "INSERT INTO t VALUES (0, '')")
    words = ("tail", source.url, "--group-bytes", "65536")

    def printed(daemon: Daemon) -> list[tuple[int, str]]:
        return [(line["key"]["id"], line["tx"]) for line in map(json.loads, daemon.output.read_text().splitlines())]

    whole = ("BEGIN", many(1), "CREATE TEMPORARY TABLE x (i int)", "ROLLBACK", "INSERT INTO t VALUES (-2, '')")
    in_part = (
        "BEGIN", "INSERT INTO t VALUES (-3, '')", "SAVEPOINT a", many(1), "CREATE TEMPORARY TABLE y (i int)",
        "ROLLBACK TO a", "COMMIT",
    )  # fmt: skip
    for statements, more, brings in (whole, (), [-2]), (in_part, ("--group-bytes", "10MB"), [-3]):
        daemon = cdcd(*words)
        daemon.wait_said("stream started")
        session(source, "UPDATE t SET v = 'before'", *statements)
        said = daemon.wait(1)
        assert TAKEN_BACK in said and "drop the lines that have this tx" in said
        tx, place = re.search(r"transaction ([-0-9]+)", said), re.search(r"--since ([-0-9,]+)", said)
        assert tx is not None and place is not None, said
        came = printed(daemon)
        assert any(number > 0 for number, its in came if its == tx[1])
        assert {number for number, its in came if its != tx[1]} <= {0, -2}
        again = cdcd(*words, *more, "--since", place[1], "--until", "caught-up")
        again.wait(0)
        assert [number for number, _ in printed(again)] == brings
