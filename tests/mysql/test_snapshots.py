"""Snapshots of tables that are altered, swapped or held while their chunks are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from cdcd.errors import SnapshotLost, Transient
from cdcd.model.chunk import Chunk
from cdcd.model.position import Checkpoint
from connectors.memory import form as text_form
from connectors.mysql.snapshot import MysqlSnapshot
from connectors.mysql.source import MysqlSource
from tests.contract.reading import altered, forms, rows_of
from tests.mysql.following import following
from tests.mysql.test_source_stream import session
from tests.servers.mysql import MySQL
from tests.servers.mysql_database import MySQLDatabase


@contextmanager
def taken(database: MySQLDatabase) -> Iterator[tuple[MysqlSource, MysqlSnapshot]]:
    source = MysqlSource(database.url, f"snapshot_{database.name}")
    try:
        yield source, source.prepare(source.tables(), source.intent(), load=True)
    finally:
        source.close()


def read(source: MysqlSource, snapshot: MysqlSnapshot, name: str = "t") -> list[tuple[object, ...]]:
    """The rows, by the shape that the table had at the snapshot."""
    (table,) = (table for id, table in snapshot.tables.items() if table.name == name)
    return rows_of(snapshot.read(table, Chunk(table.id, 0), [text_form.form(table)]))


@pytest.mark.failure("T-MY-12", "T-MY-13", "SN-07")
def test_a_table_that_is_not_what_it_was_is_not_read(mysql_db: MySQLDatabase) -> None:
    actions = (
        "ALTER TABLE t ADD b int DEFAULT 5", "ALTER TABLE t DROP a", "ALTER TABLE t RENAME COLUMN a TO c", "TRUNCATE t",
        "RENAME TABLE t TO _t_del, g TO t", "DROP TABLE t",
    )  # fmt: skip
    for action in actions:
        mysql_db.sql(
            "DROP TABLE IF EXISTS t, g, _t_del", "CREATE TABLE t (id int PRIMARY KEY, a int)",
            "CREATE TABLE g (id int PRIMARY KEY, a int) COMMENT 'half filled'", "INSERT INTO t VALUES (1, 1), (2, 2)",
            "INSERT INTO g VALUES (1, 1)",
        )  # fmt: skip
        with taken(mysql_db) as (source, snapshot):
            mysql_db.sql("SET SESSION lock_wait_timeout = 5", action)
            with pytest.raises(SnapshotLost):
                read(source, snapshot)


def test_a_table_that_is_gone_is_no_reason_to_stop(mysql_db: MySQLDatabase) -> None:
    """Whatever is asked of it: the log tells what has become of it."""
    mysql_db.sql("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    with closing(MysqlSource(mysql_db.url, "gone")) as source:
        tables = source.tables()
        mysql_db.sql("DROP TABLE t")
        asked: list[Callable[[], object]] = [
            lambda: source.bounds(tables[0], 1), lambda: source.objects(tables), lambda: source.structure(tables),
        ]  # fmt: skip
        for ask in asked:
            with pytest.raises(Transient, match="doesn't exist"):
                ask()
        assert not source.snapshot(tables).tables


@pytest.mark.failure("T-MY-12")
def test_what_a_chunk_may_have_read_past_is_read_again(mysql_db: MySQLDatabase) -> None:
    """Two tables that were made in one second, in one way: only the log tells that they were swapped."""
    mysql_db.sql("CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE g (id int PRIMARY KEY)")
    with taken(mysql_db) as (source, snapshot):
        mysql_db.sql("RENAME TABLE t TO x, g TO t, x TO g")
        made = dict.fromkeys(snapshot.tables, ("", ""))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("connectors.mysql.snapshot.identity", lambda *_: ("", ""))
            patch.setattr(snapshot, "_identities", made)
            read(source, snapshot)
        source.open(Checkpoint(snapshot.position), source.identity(), forms(snapshot.tables.values()))
        assert altered(source).reload  # type: ignore[arg-type]


class TestKinds:
    @pytest.fixture
    def database(
        self, mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase]
    ) -> Callable[[str], MySQLDatabase]:
        return lambda product: mysql_on(mysql_servers(product))

    @pytest.mark.failure("T-MY-14")
    def test_an_alter_waits_for_a_chunk_and_not_for_the_snapshot(
        self, database: Callable[[str], MySQLDatabase]
    ) -> None:
        """MariaDB gives a lock back only when the snapshot ends."""
        mysql = database("mysql")
        mysql.sql("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
        with taken(mysql) as (source, snapshot):
            assert read(source, snapshot) == [("1",)]
            mysql.sql("SET SESSION lock_wait_timeout = 5", "ALTER TABLE t ADD a int", "SELECT * FROM t")

    @pytest.mark.failure("MY-18")
    def test_a_key_that_the_server_made(self, database: Callable[[str], MySQLDatabase]) -> None:
        mysql = database("mysql")
        session(mysql, "SET SESSION sql_generate_invisible_primary_key = ON", "CREATE TABLE t (a int)",
                "INSERT INTO t VALUES (5)")  # fmt: skip
        with taken(mysql) as (source, snapshot):
            assert read(source, snapshot) == [("1", "5")]
        with following(mysql) as follower:
            mysql.sql("INSERT INTO t VALUES (7)", "UPDATE t SET a = 8 WHERE a = 7", "DELETE FROM t WHERE a = 5")
            with pytest.raises(KeyError):  # of the row that was there before
                follower.read()
            assert follower.of("t") == [{"my_row_id": "2", "a": "8"}]

    def test_system_versioned_tables(self, database: Callable[[str], MySQLDatabase]) -> None:
        """Of history neither its rows nor its end are told, whatever the metadata and images."""
        mariadb = database("mariadb")
        mariadb.sql(
            "CREATE TABLE v (id int PRIMARY KEY, a int) WITH SYSTEM VERSIONING",
            "CREATE TABLE w (id int PRIMARY KEY, a int, s timestamp(6) GENERATED ALWAYS AS ROW START, e timestamp(6) "
            "GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME(s, e)) WITH SYSTEM VERSIONING",
        )  # fmt: skip
        for image in ("FULL", "NOBLOB"):
            with following(mariadb) as follower:
                for name in ("v", "w"):
                    session(
                        mariadb, f"SET SESSION binlog_row_image = '{image}'",
                        "SET @@system_versioning_alter_history = 1",
                        f"INSERT INTO {name} (id, a) VALUES (1, 1), (2, 2), (3, 3)", f"UPDATE {name} SET a = a + 10",
                        f"DELETE FROM {name} WHERE id = 1", f"REPLACE INTO {name} (id, a) VALUES (2, 5)",
                        f"DELETE HISTORY FROM {name}",
                    )  # fmt: skip
                session(mariadb, "SET @@system_versioning_alter_history = 1",
                        "ALTER TABLE v ADD b int DEFAULT 7", "UPDATE v SET a = 9 WHERE id = 3")  # fmt: skip
                follower.read()
                assert follower.of("v") == [{"id": "2", "a": "5", "b": "7"}, {"id": "3", "a": "9", "b": "7"}]
                assert follower.of("w") == [{"id": "2", "a": "5"}, {"id": "3", "a": "13"}]
            with taken(mariadb) as (source, snapshot):
                assert read(source, snapshot, "w") == [("2", "5"), ("3", "13")]
            session(mariadb, "SET @@system_versioning_alter_history = 1", "ALTER TABLE v DROP b", "DELETE FROM v",
                    "DELETE FROM w")  # fmt: skip
