"""The lock under which a snapshot is begun: both that there are, who stands in their way, and whom they hold up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from cdcd.errors import Stopped, Transient
from cdcd.model.position import Checkpoint
from connectors.mysql import begin, locks
from connectors.mysql.login import Connection
from connectors.mysql.snapshot import MysqlSnapshot
from connectors.mysql.source import MysqlSource
from tests.contract.reading import events, forms
from tests.contract.reading import read as read_stream
from tests.mysql.test_snapshots import read
from tests.mysql.test_source_stream import WITHOUT_GTIDS, session
from tests.servers.mysql import MySQL
from tests.servers.mysql_database import MySQLDatabase
from tests.waiting import wait_until

GLOBAL = {"mysql": "FLUSH_TABLES, XA_RECOVER_ADMIN, PROCESS", "mariadb": "RELOAD"}


@pytest.fixture
def table(mysql_db: MySQLDatabase, monkeypatch: pytest.MonkeyPatch) -> MySQLDatabase:
    monkeypatch.setattr(locks, "TRIES", 1)
    mysql_db.sql("CREATE TABLE t (id int PRIMARY KEY, a int)", "INSERT INTO t VALUES (1, 0)")
    return mysql_db


@pytest.fixture
def bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """No snapshot can be begun without a lock."""
    monkeypatch.setattr(begin, "why_not", lambda *_: "as the test wants it")
    monkeypatch.setattr(locks, "why_not", lambda *_: "as the test wants it")


@contextmanager
def user(database: MySQLDatabase, *grants: str) -> Iterator[str]:
    """The URL of one who may read, and what is granted besides."""
    reads = ("REPLICATION SLAVE, REPLICATION CLIENT ON *.*", f"SELECT ON `{database.name}`.*")
    with database.user(*reads, *grants) as name:
        yield database.server.url(database.name, name, "secret")


@contextmanager
def sourced(database: MySQLDatabase, url: str) -> Iterator[MysqlSource]:
    with closing(MysqlSource(url, f"locks_{database.name}")) as source:
        yield source


def snapshot(source: MysqlSource) -> MysqlSnapshot:
    return source.prepare(source.tables(), source.intent(), load=True)


def ids(source: MysqlSource) -> set[str]:
    return {one.id for one in source.check(source.tables())}


@contextmanager
def changed(database: MySQLDatabase) -> Iterator[Connection]:
    """An open transaction that has changed the row."""
    with closing(database.connect(autocommit=False)) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE t SET a = a + 1")
        yield connection


@pytest.mark.failure("MY-23", "T-MY-11")
def test_behind_an_open_transaction(table: MySQLDatabase, bound: None) -> None:
    """The tables' own lock is waited for in vain: the global one is taken, and what is committed later is streamed."""
    lock = f"LOCK TABLES ON `{table.name}`.*"
    with changed(table) as other, user(table, lock) as url, sourced(table, url) as source:
        assert ids(source) == {"MY-BUSY"}
        with pytest.raises(Transient) as told:
            snapshot(source)
        assert "RELOAD" in told.value.why and GLOBAL[table.server.product] in told.value.hint
    with changed(table), user(table, lock, "PROCESS ON *.*") as url, sourced(table, url) as source:
        with pytest.raises(Transient, match="locked") as told:
            snapshot(source)
        assert f"in {table.name}, session" in told.value.why
    with changed(table) as other, sourced(table, table.admin_url) as source:
        made = snapshot(source)
        other.commit()
        table.sql("INSERT INTO t VALUES (2, 0)")
        assert read(source, made) == [("1", "0")]
        source.open(Checkpoint(made.position), source.identity(), forms(source.tables()))
        groups, _ = read_stream(source)  # type: ignore[arg-type]
        assert [event[:2] for event in events(groups)] == [("update", "t"), ("insert", "t")]


@pytest.mark.failure("T-MY-4", "T-MY-11")
def test_prepared_transactions_are_waited_for(table: MySQLDatabase) -> None:
    """Whoever prepared it has gone, which at MariaDB gives its locks back."""
    session(table, "XA START 'paid'", "UPDATE t SET a = 1", "XA END 'paid'", "XA PREPARE 'paid'")
    try:
        with sourced(table, table.admin_url) as source, pytest.raises(Transient, match="locked") as told:
            snapshot(source)
        assert "XA COMMIT" in told.value.why and "paid" in told.value.why
    finally:
        session(table, "XA ROLLBACK 'paid'")
    with sourced(table, table.admin_url) as source:
        assert read(source, snapshot(source)) == [("1", "0")]


def test_without_the_right_to_lock(table: MySQLDatabase, bound: None) -> None:
    with user(table) as url, sourced(table, url) as source:
        assert ids(source) == {"MY-LOCK"}
        with pytest.raises(Stopped) as told:
            snapshot(source)
        assert f"GRANT LOCK TABLES ON `{table.name}`.*" in told.value.hint
    with user(table, f"{GLOBAL[table.server.product]} ON *.*") as url, sourced(table, url) as source:
        assert ids(source) == {"MY-GLOBAL-LOCK"}
        assert read(source, snapshot(source)) == [("1", "0")]


@pytest.mark.failure("MY-23")
def test_nobody_is_held_up_behind_a_long_query(table: MySQLDatabase, bound: None) -> None:
    """MySQL's global lock would wait for it, and hold up every writer, then every reader of its table until it ends."""
    server = table.server
    running = threading.Thread(target=table.sql, args=("SELECT SLEEP(5) FROM t",))
    running.start()
    asked = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP(5)%' AND TIME >= 1"
    wait_until(lambda: server.execute(asked) == [(1,)], what="the query to run")
    waits: list[float] = []
    over = threading.Event()

    def write() -> None:
        with closing(table.connect()) as connection, connection.cursor() as cursor:
            while not over.is_set():
                began = time.monotonic()
                cursor.execute("UPDATE t SET a = a + 1")
                waits.append(time.monotonic() - began)

    writing = threading.Thread(target=write)
    writing.start()
    try:
        with sourced(table, table.admin_url) as source:
            snapshot(source)  # by the tables' own lock, for which queries are no obstacle
        with user(table, f"{GLOBAL[server.product]} ON *.*") as url, sourced(table, url) as source:
            if server.product == "mysql":
                with pytest.raises(Transient, match="locked") as told:
                    snapshot(source)
                assert "statement that runs" in told.value.why
            else:
                snapshot(source)
    finally:
        over.set()
        writing.join()
    assert len(waits) > 10 and max(waits) < 1
    running.join()


@pytest.mark.failure("T-MY-1", "T-MY-8", "T-MY-22")
def test_snapshots_between_many_commits(table: MySQLDatabase) -> None:
    """Each of the rows that are inserted meanwhile is in the snapshot, or comes behind its place, and never both."""
    between_many_commits(table)


@pytest.mark.failure("T-MY-2")
def test_of_a_server_without_gtids(
    mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase]
) -> None:
    """Its log moves on before a commit is seen."""
    database = mysql_on(mysql_servers("mysql", "without GTIDs", **WITHOUT_GTIDS))
    database.sql("CREATE TABLE t (id int PRIMARY KEY, a int)")
    between_many_commits(database)


def between_many_commits(table: MySQLDatabase) -> None:
    table.sql("DELETE FROM t", "ALTER TABLE t MODIFY id int AUTO_INCREMENT")
    over = threading.Event()

    def write() -> None:
        with closing(table.connect()) as connection, connection.cursor() as cursor:
            while not over.is_set():
                cursor.execute("INSERT INTO t (a) VALUES (1)")

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    taken = []
    try:
        for _ in range(2):
            with sourced(table, table.url) as source:
                made = snapshot(source)
                taken.append((made.position, {row[0] for row in read(source, made)}))
    finally:
        over.set()
        for writer in writers:
            writer.join()
    every = {str(row[0]) for row in table.sql("SELECT id FROM t")}
    for place, held in taken:
        with sourced(table, table.url) as source:
            source.open(Checkpoint(place), source.identity(), forms(source.tables()))
            groups, _ = read_stream(source)  # type: ignore[arg-type]
            came = [event[2][0] for event in events(groups)]
        assert held and len(came) == len(set(came)) and not held & {*came} and held | {*came} == every
