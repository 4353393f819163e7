"""AUTO_INCREMENT and MariaDB's sequences: where they stand at a source, and set at a target, never backwards."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import closing

import psycopg2
import pymysql
import pytest

from cdcd.engine.sequences import WRONG
from cdcd.model.sequence import SequenceDone, SequenceValue
from connectors.mysql.sink import MysqlSink
from connectors.mysql.source import MysqlSource
from connectors.postgres.sink import PostgresSink
from tests.fix_daemon import Daemon
from tests.servers import Database
from tests.servers.mysql import MySQL
from tests.servers.mysql_database import MySQLDatabase


def told(database: MySQLDatabase) -> dict[str, tuple[int | None, bool]]:
    with closing(MysqlSource(database.url, "test")) as source:
        found = source.sequences(source.tables())
    return {value.id.removeprefix(f"{database.name}."): (value.value, value.called) for value in found}


def put(to: MySQLDatabase, values: Sequence[SequenceValue], of: str, url: str = "") -> list[SequenceDone]:
    """As a sink does for a source whose own schema is `of`."""
    with closing(MysqlSink(lambda: url or to.target_url, "test", home=of)) as sink:
        return sink.set_sequences(values)


@pytest.mark.failure("TG-03", "T-DB-1")
def test_a_source_tells_the_next_values(mysql_db: MySQLDatabase) -> None:
    mysql_db.sql(
        "CREATE TABLE a (id bigint PRIMARY KEY AUTO_INCREMENT, v int)", "CREATE TABLE b (id int PRIMARY KEY)",
        "CREATE TABLE `q.``x` (v int, `n.` tinyint unsigned AUTO_INCREMENT UNIQUE)",
    )  # fmt: skip
    assert told(mysql_db) == {"a.id": (1, False), "q.`x.n.": (1, False)}
    # Statistics kept for a day would say that nothing has come since.
    mysql_db.sql("ANALYZE TABLE a")
    mysql_db.sql("INSERT INTO a (v) VALUES (1), (2), (3)", "DELETE FROM a", "INSERT INTO a VALUES (NULL, 4), (40, 5)")
    mysql_db.sql("INSERT INTO `q.``x` (v) VALUES (1)", "DELETE FROM a WHERE id = 40")
    assert told(mysql_db) == {"a.id": (41, False), "q.`x.n.": (2, False)}
    if mysql_db.server.product == "mariadb":
        mysql_db.sql(
            "CREATE SEQUENCE s START 7 CACHE 10", "CREATE TABLE c (id int DEFAULT nextval(s))", "CREATE SEQUENCE free",
            "INSERT INTO c VALUES (DEFAULT)",
        )  # fmt: skip
        assert told(mysql_db)["s"] == (17, False) and "free" not in told(mysql_db)


@pytest.mark.failure("TG-03", "T-DB-1")
def test_a_target_goes_on_from_there_and_never_back(
    mysql_on: Callable[..., MySQLDatabase], mysql_db: MySQLDatabase
) -> None:
    there = mysql_on(mysql_db.server)
    for end in (mysql_db, there):
        end.sql("CREATE TABLE `a.b` (id int PRIMARY KEY AUTO_INCREMENT)", "CREATE TABLE c (id tinyint PRIMARY KEY)")
    mysql_db.sql("INSERT INTO `a.b` VALUES (100)")
    with closing(MysqlSource(mysql_db.url, "test")) as source:
        values = source.sequences(source.tables())
    counter = ("set", f"`{there.name}`.`a.b`", 1, 101)
    (done,) = put(there, values, mysql_db.name)
    assert (done.done, done.name, done.before, done.after) == counter
    there.sql("INSERT INTO `a.b` VALUES (), ()")
    assert there.sql("SELECT MAX(id) FROM `a.b`") == [(102,)]
    there.sql("DELETE FROM `a.b`")
    (done,) = put(there, values, mysql_db.name)
    assert (done.done, done.before, done.after) == ("kept", 103, 103)
    # Of other products: the last value that was given, or the first one that will be; what cannot be is said.
    of = "public"
    given = [
        SequenceValue(of, "x", 500, True, "public.a.b", "id"), SequenceValue(of, "x", 501, False, "public.a.b", "id"),
        SequenceValue(of, "y", 1, True, "public.c", "id"), SequenceValue(of, "z", 1),
        SequenceValue(of, "x", None, True, "public.a.b", "id"), SequenceValue(of, "x", -5, True, "public.a.b", "id"),
    ]  # fmt: skip
    done_all = [(one.done, one.before, one.after) for one in put(there, given, of)]
    assert done_all == [
        ("set", 103, 501), ("kept", 501, 501), ("missing", None, None), ("missing", None, None),
        ("unreadable", None, None), ("kept", 501, 501),
    ]  # fmt: skip
    higher = SequenceValue(of, "x", 3_000_000, True, "public.a.b", "id")
    assert [one.done for one in put(there, [higher], of, there.url)] == ["refused"]  # that user may not ALTER it


def test_mariadb_sequences(mysql_on: Callable[..., MySQLDatabase], mysql_db: MySQLDatabase) -> None:
    there = mysql_on(mysql_db.server)
    if mysql_db.server.product == "mariadb":
        there.sql("CREATE SEQUENCE s START 5 CACHE 10")
    given = [SequenceValue("public", "s", 70, True), SequenceValue("public", "s", 60, True)]
    done = [(one.done, one.before, one.after) for one in put(there, given, "public")]
    if mysql_db.server.product == "mariadb":
        assert done == [("set", 5, 71), ("kept", 71, 71)] and there.sql("SELECT NEXTVAL(s)")[0] == (71,)
    else:
        assert done == [("missing", None, None)] * 2


def test_who_takes_values_meanwhile_is_not_set_back(mysql_db: MySQLDatabase) -> None:
    """While others insert, the counter is raised again and again: no value is ever given twice."""
    mysql_db.sql("CREATE TABLE t (n int PRIMARY KEY AUTO_INCREMENT)", "CREATE TABLE seen (n int PRIMARY KEY)")
    errors: list[Exception] = []
    over = threading.Event()

    def insert() -> None:
        with closing(mysql_db.connect()) as connection, connection.cursor() as cursor:
            while not over.is_set():
                try:
                    cursor.execute("INSERT INTO t VALUES ()")
                    number = cursor.lastrowid
                    cursor.execute(f"INSERT INTO seen VALUES ({number})")
                    cursor.execute(f"DELETE FROM t WHERE n = {number}")
                except Exception as error:
                    errors.append(error)
                    return

    threads = [threading.Thread(target=insert) for _ in range(3)]
    for thread in threads:
        thread.start()
    done = []
    for number in range(20):
        value = SequenceValue(mysql_db.name, "t.n", 20 * number, True, f"{mysql_db.name}.t", "n")
        done += put(mysql_db, [value], mysql_db.name)
    over.set()
    for thread in threads:
        thread.join()
    assert not errors and {one.done for one in done} <= {"set", "kept"}
    assert all(one.after is not None and one.after > (one.source.value or 0) for one in done)


@pytest.mark.timeout(120)
def test_counters_beyond_a_bigint(
    mysql_db: MySQLDatabase, mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase],
    target_db: Database, cdcd: Callable[..., Daemon],
) -> None:  # fmt: skip
    """The rows are carried. A sequence of PostgreSQL ends where it can go no further, gives nothing more, and that is
    said; one that ends where the source's does is as it should be. MySQL and MariaDB go on as the source would."""
    end, other = 1 << 63, {"mysql": "mariadb", "mariadb": "mysql"}[mysql_db.server.product]
    mysql_db.sql(
        "CREATE TABLE t (id bigint unsigned PRIMARY KEY AUTO_INCREMENT, v int)", f"INSERT INTO t VALUES ({end - 1}, 0)",
        "CREATE TABLE s (id smallint PRIMARY KEY AUTO_INCREMENT)", "INSERT INTO s VALUES (32766), (NULL)",
    )  # fmt: skip
    there = mysql_on(mysql_servers(other, "target"))
    urls = target_db.url, there.target_url
    words = {url: ["--from", mysql_db.url, "--to", url, "--name", mysql_db.name] for url in urls}
    for url in urls:
        cdcd("run", *words[url], "--until", "caught-up").wait(0)
        cdcd("sequences", *words[url]).wait(0)
    mysql_db.sql("INSERT INTO t (v) VALUES (1), (2)", "DELETE FROM t WHERE v = 2")
    for url in urls:
        cdcd("run", *words[url], "--until", "caught-up").wait(0)
    told = cdcd("sequences", *words[target_db.url], "--json")
    told.wait(6)
    done = {one["sequence"]: (one["done"], one["why"]) for one in told.json()["pipelines"][0]["sequences"]}
    assert done[f"{mysql_db.name}.s.id"][0] == "kept"
    assert done[f"{mysql_db.name}.t.id"] == ("ended", WRONG["ended"])
    cdcd("sequences", *words[there.target_url]).wait(0)
    rows = [(end - 1, 0), (end, 1)]
    assert mysql_db.sql("SELECT * FROM t") == there.sql("SELECT * FROM t") == rows
    assert target_db.sql(f"SELECT * FROM {mysql_db.name}.t ORDER BY id") == rows
    there.sql("INSERT INTO t (v) VALUES (3)")
    assert there.sql("SELECT MAX(id) FROM t") == [(end + 2,)]
    with pytest.raises(psycopg2.Error, match="reached maximum value of sequence"):
        target_db.sql(f"INSERT INTO {mysql_db.name}.t (v) VALUES (3)")
    for database, schema in (mysql_db, mysql_db.name), (there, there.name), (target_db, mysql_db.name):
        with pytest.raises((psycopg2.Error, pymysql.Error)):
            database.sql(f"INSERT INTO {schema}.s (id) VALUES (DEFAULT)")


def test_identity_columns_of_postgresql(mysql_db: MySQLDatabase, target_db: Database) -> None:
    mysql_db.sql("CREATE TABLE t (id bigint PRIMARY KEY AUTO_INCREMENT)", "INSERT INTO t VALUES (41)")
    schema = f'"{mysql_db.name}"'
    columns = "id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY"
    target_db.sql(f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.t ({columns})")
    sink = PostgresSink(lambda: target_db.url, "test")
    with closing(MysqlSource(mysql_db.url, "test")) as source, closing(sink):
        values = source.sequences(source.tables())
        assert [one.done for one in sink.set_sequences(values)] == ["set"]
        assert [one.done for one in sink.set_sequences(values)] == ["kept"]
    target_db.sql(f"INSERT INTO {schema}.t DEFAULT VALUES")
    assert target_db.sql(f"SELECT id FROM {schema}.t") == [(42,)]
