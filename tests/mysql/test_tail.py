"""`cdcd tail` of real servers of both products: rows first, then changes; what it refuses to start with."""

import json
from collections.abc import Callable
from typing import Any

from tests.fix_daemon import Daemon
from tests.servers.mysql_database import MySQLDatabase
from tests.waiting import wait_until

SCHEMA = (
    "CREATE TABLE t (id int PRIMARY KEY, n decimal(30,4), big bigint unsigned, b varbinary(9), at datetime(3), x text)",
    "CREATE TABLE log (line varchar(50))",
    "INSERT INTO t VALUES (1, 1.10, 18446744073709551615, X'00FF', '2024-02-29 01:02:03.5', NULL)",
)


def lines(daemon: Daemon) -> list[dict[str, Any]]:
    return [json.loads(line) for line in daemon.output.read_text().splitlines()]


def test_rows_then_changes(mysql_db: MySQLDatabase, cdcd: Callable[..., Daemon]) -> None:
    mysql_db.sql(*SCHEMA)
    daemon = cdcd("tail", mysql_db.url, "--load")
    wait_until(lambda: bool(lines(daemon)), what="the row")
    mysql_db.sql(
        "INSERT INTO t VALUES (2, -12345678901234567890.0500, 0, '', NULL, 'ü \"x\"')",
        "UPDATE t SET n = 3 WHERE id = 2",
        "UPDATE t SET id = 7 WHERE id = 1", "INSERT INTO log VALUES ('a')", "DELETE FROM t WHERE id = 7", "TRUNCATE t",
    )  # fmt: skip
    wait_until(lambda: len(lines(daemon)) >= 7, what="the changes")
    daemon.stop()
    found = lines(daemon)
    table = f"{mysql_db.name}.t"
    assert found[0]["after"] == {
        "id": 1, "n": 1.10, "big": 18446744073709551615, "b": "AP8=", "at": "2024-02-29T01:02:03.5", "x": None,
    }  # fmt: skip
    assert '"n":-12345678901234567890.0500' in daemon.output.read_text()
    assert [line["op"] for line in found if line["table"] == table][:3] == ["r", "c", "u"]
    assert found[1]["after"]["x"] == 'ü "x"'
    assert found[-1]["op"] == "t"


def test_a_server_that_cannot_be_read(mysql_db: MySQLDatabase, cdcd: Callable[..., Daemon]) -> None:
    mysql_db.sql(*SCHEMA)
    server = mysql_db.server
    server.execute("REVOKE REPLICATION CLIENT, REPLICATION SLAVE ON *.* FROM cdcd_source@'%'")
    try:
        text = cdcd("tail", mysql_db.url).wait(code=None)
        assert "MY-CLIENT" in text and "GRANT" in text
    finally:
        server.execute("GRANT REPLICATION CLIENT, REPLICATION SLAVE ON *.* TO cdcd_source@'%'")


def test_since_a_position(mysql_db: MySQLDatabase, cdcd: Callable[..., Daemon]) -> None:
    """A line tells where its transaction begins: from there on all is printed."""
    mysql_db.sql("CREATE TABLE t (id int PRIMARY KEY)")
    first = cdcd("tail", mysql_db.url)
    wait_until(lambda: "stream started" in first.text(), what="the stream")
    mysql_db.sql("INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)")
    wait_until(lambda: len(lines(first)) == 2, what="two lines")
    first.stop()
    mysql_db.sql("INSERT INTO t VALUES (3)", "INSERT INTO t VALUES (4)")
    again = cdcd("tail", mysql_db.url, "--since", lines(first)[-1]["position"], "--until", "caught-up")
    again.wait(0)
    assert [line["key"]["id"] for line in lines(again)] == [2, 3, 4], "its transaction once more, and all after"
    wrong = cdcd("tail", mysql_db.url, "--since", "yesterday").wait(code=None)
    assert "'yesterday' is not a position" in wrong
    assert "--since POSITION" in cdcd("tail", mysql_db.url, "--slot", "x").wait(2)


def test_since_before_a_table_was_altered(mysql_db: MySQLDatabase, cdcd: Callable[..., Daemon]) -> None:
    """The catalogue is of now, the rows are of then: they are not guessed at."""
    mysql_db.sql("CREATE TABLE t (id int PRIMARY KEY, a varchar(9))")
    first = cdcd("tail", mysql_db.url)
    wait_until(lambda: "stream started" in first.text(), what="the stream")
    mysql_db.sql("INSERT INTO t VALUES (1, 'a')")
    wait_until(lambda: len(lines(first)) == 1, what="a line")
    first.stop()
    mysql_db.sql(
        "INSERT INTO t VALUES (2, 'b')", "ALTER TABLE t ADD n int DEFAULT 7", "INSERT INTO t VALUES (3, 'c', 8)"
    )
    again = cdcd("tail", mysql_db.url, "--since", lines(first)[0]["position"], "--until", "caught-up")
    text = again.wait(code=None)
    assert f"the columns of {mysql_db.name}.t changed at the source" in text and "rows have 2 columns, not 3" in text
    assert "begin a tail behind the change" in text and lines(again) == []
