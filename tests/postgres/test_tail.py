"""`cdcd tail` of a real server: what it prints, where it begins, and what it leaves behind."""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.fix_daemon import Daemon
from tests.servers.database import Database
from tests.waiting import wait_until

SCHEMA = """
CREATE TABLE t (id int PRIMARY KEY, n numeric, big bigint, b bytea, j jsonb, x text);
ALTER TABLE t ALTER x SET STORAGE EXTERNAL;
CREATE TABLE log (line text);
ALTER TABLE log REPLICA IDENTITY FULL;
INSERT INTO t VALUES (1, 1.10, 9007199254740993, '\\x00ff', '{"a": 1.0}', NULL);
"""


def lines(daemon: Daemon) -> list[dict[str, Any]]:
    return [json.loads(line) for line in daemon.output.read_text().splitlines()]


def test_from_now(source_db: Database, cdcd: Callable[..., Daemon]) -> None:
    source_db.sql(SCHEMA)
    daemon = cdcd("tail", source_db.url)
    daemon.wait_said("pipeline started")
    source_db.sql("INSERT INTO t VALUES (2, 12345678901234567890.0500, -5, '\\x01', '[]', repeat('x', 9000))")
    source_db.sql("UPDATE t SET n = 3 WHERE id = 2")
    source_db.sql("DELETE FROM t WHERE id = 1")
    source_db.sql("INSERT INTO log VALUES ('a')")
    source_db.sql("TRUNCATE t")
    wait_until(lambda: len(lines(daemon)) == 5, what="five lines")
    daemon.stop()
    found = lines(daemon)
    assert [line["op"] for line in found] == ["c", "u", "d", "c", "t"]
    assert found[0]["key"] == {"id": 2}
    assert '"n":12345678901234567890.0500' in daemon.output.read_text().replace(" ", "")
    assert found[0]["after"]["b"] == "AQ=="
    assert found[1]["unchanged"] == ["x"]
    assert "x" not in found[1]["after"]
    assert found[2]["after"] is None
    assert found[3]["table"] == "public.log" and found[3]["key"] is None
    assert source_db.sql("SELECT count(*) FROM pg_replication_slots WHERE database = current_database()") == [(0,)]
    assert source_db.sql("SELECT count(*) FROM pg_publication") == [(0,)]


def test_rows_first(source_db: Database, cdcd: Callable[..., Daemon]) -> None:
    source_db.sql(SCHEMA)
    daemon = cdcd("tail", source_db.url, "--load", "--tables", "public.t")
    wait_until(lambda: bool(lines(daemon)), what="the row")
    source_db.sql("INSERT INTO log VALUES ('not selected')")
    source_db.sql("INSERT INTO t VALUES (3)")
    wait_until(lambda: len(lines(daemon)) == 2, what="the change")
    daemon.stop()
    assert [(line["op"], line["key"]) for line in lines(daemon)] == [("r", {"id": 1}), ("c", {"id": 3})]


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_named_slot_goes_on_where_it_stands(source_db: Database, cdcd: Callable[..., Daemon], end: str) -> None:
    source_db.sql(SCHEMA)
    slot = f"tail_{source_db.name}"
    daemon = cdcd("tail", source_db.url, "--slot", slot)
    daemon.wait_said("pipeline started")
    source_db.sql("INSERT INTO t VALUES (2)")
    wait_until(lambda: len(lines(daemon)) == 1, what="the first line")
    if end == "stop":
        daemon.stop()
    else:
        daemon.kill()
    source_db.sql("INSERT INTO t VALUES (3)")
    again = cdcd("tail", source_db.url, "--slot", slot, "--until", "caught-up")
    again.wait(0)
    found = [line["key"]["id"] for line in lines(again)]
    assert found in ([3], [2, 3]), "at least once, from where it stood"


def test_whoever_reads_may_leave(source_db: Database, cdcd: Callable[..., Daemon]) -> None:
    """`cdcd tail … | head -1`."""
    source_db.sql(SCHEMA)
    source_db.sql("INSERT INTO t SELECT i FROM generate_series(10, 20000) i")
    tail = subprocess.Popen(
        [sys.executable, "-m", "cdcd", "tail", source_db.url, "--load", "--tables", "public.t"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )
    assert tail.stdout is not None and tail.stderr is not None
    assert json.loads(tail.stdout.readline())["op"] == "r"
    tail.stdout.close()
    said = tail.stderr.read().decode()
    assert tail.wait(20) == 0, said
    tail.stderr.close()


@pytest.mark.failure("PG-18")
@pytest.mark.parametrize("followed", [True, False], ids=["followed", "caught up later"])
def test_across_changes_of_the_table(source_db: Database, cdcd: Callable[..., Daemon], followed: bool) -> None:
    """Each line has the columns of its own time, and their types."""
    source_db.sql("CREATE TABLE t (id int PRIMARY KEY, n int)")
    slot = f"tail_{source_db.name}"
    daemon = cdcd("tail", source_db.url, "--slot", slot)
    daemon.wait_said("pipeline started")
    if not followed:
        daemon.stop()
    source_db.sql("INSERT INTO t VALUES (1, 1)")
    source_db.sql("BEGIN; INSERT INTO t VALUES (2, 2); ALTER TABLE t ADD c text DEFAULT 'x';"
                  " INSERT INTO t VALUES (3, 3, 'y'); COMMIT")
    source_db.sql("ALTER TABLE t ALTER n TYPE numeric(10,2)")
    source_db.sql("INSERT INTO t VALUES (4, 4.5, 'z')")
    source_db.sql("ALTER TABLE t DROP n; ALTER TABLE t RENAME c TO d")
    source_db.sql("UPDATE t SET d = 'w' WHERE id = 1")
    if not followed:
        daemon = cdcd("tail", source_db.url, "--slot", slot, "--until", "caught-up")
        daemon.wait(0)
    wait_until(lambda: len(lines(daemon)) == 5, what="five lines")
    if followed:
        daemon.stop()
    assert [line["after"] for line in lines(daemon)] == [
        {"id": 1, "n": 1}, {"id": 2, "n": 2}, {"id": 3, "n": 3, "c": "y"}, {"id": 4, "n": 4.5, "c": "z"},
        {"id": 1, "d": "w"},
    ]  # fmt: skip


def test_since_a_position(source_db: Database, cdcd: Callable[..., Daemon]) -> None:
    """The log is kept for slots alone, so no place can be named; and two beginnings are one too many."""
    assert "--slot NAME" in cdcd("tail", source_db.url, "--since", "0/1").wait(2)
    assert "leave one of them out" in cdcd("tail", source_db.url, "--since", "0/1", "--slot", "x").wait(2)
