"""Snapshots that are begun without a lock, from MySQL: what is committed while they begin is in some of their readers,
and the target holds each row as the source does once that was passed. MariaDB's one reader knows its place."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from cdcd.engine.options import Options
from cdcd.engine.task import Task
from cdcd.errors import Stopped, Transient, Unreachable
from cdcd.model.group import Group
from cdcd.model.selection import Selection
from connectors.mysql import ask, begin, locks, server, unlocked
from connectors.mysql.gtid import GtidSet
from connectors.mysql.position import Gtids
from connectors.mysql.sink import MysqlSink
from connectors.mysql.snapshot import BEGIN
from connectors.mysql.source import MysqlSource
from connectors.postgres.sink import PostgresSink
from tests.mysql.test_locks import ids, snapshot, user
from tests.mysql.test_source_stream import session
from tests.servers import Database
from tests.servers.mysql import MySQL
from tests.servers.mysql_database import MySQLDatabase
from tests.waiting import wait_until

FILL = (
    "CREATE TABLE t (id int PRIMARY KEY, a int, b varchar(20))",
    "INSERT INTO t SELECT n, 0, 'old' FROM (WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < "
    "900) SELECT n FROM s) x",
)
ROWS = "SELECT id, a, b FROM t ORDER BY id"
NEVER = GtidSet.parse("aaaaaaaa-0000-0000-0000-000000000000:1")


def changes(turn: int) -> list[str]:
    """Of every kind, to rows of other chunks each turn, and to some that the turn before has changed."""
    near, far = 10 * turn, 800 + 10 * turn
    return [
        f"INSERT INTO t VALUES ({1000 + turn}, 1, 'new')", f"UPDATE t SET a = a + 1 WHERE id IN ({near}, {far}, 500)",
        f"DELETE FROM t WHERE id IN ({near + 1}, {far + 1})", f"UPDATE t SET id = {2000 + turn} WHERE id = {near + 2}",
        f"UPDATE t SET id = {near + 2}, b = 'back' WHERE id = {far + 2}",  # from a chunk to another
        f"DELETE FROM t WHERE id = {near + 3}", f"INSERT INTO t VALUES ({near + 3}, {turn}, 'again')",
        f"UPDATE t SET id = {3000 + turn} WHERE id = {999 + turn}", f"DELETE FROM t WHERE id = {1999 + turn}",
    ]  # fmt: skip


class Between:
    """While a snapshot is begun this is committed: before its first reader, before its third, and behind its last."""

    def __init__(self, patch: pytest.MonkeyPatch, *turns: Callable[[], Any]) -> None:
        self.begun = 0
        rows, covering = ask.rows, server.read_covering

        def asked(connection: Any, text: str, *params: object) -> Any:
            if text == BEGIN:
                if self.begun in (0, 2):
                    turns[self.begun // 2]()
                self.begun += 1
            return rows(connection, text, *params)

        def covered(*given: Any) -> Any:
            turns[2]()
            return covering(*given)

        patch.setattr(unlocked, "rows", asked)
        patch.setattr(unlocked, "read_covering", covered)


class End:
    """A target of either product, and the rows there."""

    def __init__(self, database: Database | MySQLDatabase, source: MySQLDatabase) -> None:
        self.database = database
        self._home = source.name
        self.name = source.name[-20:]

    def sink(self) -> Any:
        if isinstance(database := self.database, MySQLDatabase):
            return MysqlSink(lambda: database.target_url, self.name, home=self._home)
        return PostgresSink(lambda: database.url, self.name)

    def rows(self) -> list[Any]:
        if isinstance(self.database, MySQLDatabase):
            return list(self.database.sql(ROWS))
        return [tuple(row) for row in self.database.sql(ROWS.replace("FROM t", f"FROM {self._home}.t"))]

    def run(self, text: str) -> None:
        where = "t" if isinstance(self.database, MySQLDatabase) else f"{self._home}.t"
        self.database.sql(text.format(where))


class Through:
    """A sink as it is, but for what is said otherwise."""

    def __init__(self, sink: Any) -> None:
        self._sink = sink

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sink, name)


class Failing(Through):
    """A sink that fails once before a group of changes to what is not settled yet."""

    def __init__(self, sink: Any, failed: list[Group]) -> None:
        super().__init__(sink)
        self._failed = failed

    def apply(self, group: Group, checkpoint: Any) -> Any:
        if group.unsettled and group.changes and not self._failed:
            self._failed.append(group)
            raise Unreachable("the target is gone for a moment")
        return self._sink.apply(group, checkpoint)


@pytest.fixture
def database(mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase]) -> MySQLDatabase:
    made = mysql_on(mysql_servers("mysql"))
    made.sql(*FILL)
    return made


@pytest.fixture(params=["postgresql", "mysql"])
def end(
    request: pytest.FixtureRequest, database: MySQLDatabase, mysql_servers: Callable[..., MySQL],
    mysql_on: Callable[..., MySQLDatabase],
) -> End:  # fmt: skip
    if request.param == "postgresql":
        return End(request.getfixturevalue("target_db"), database)
    return End(mysql_on(mysql_servers("mysql", "target")), database)


@pytest.fixture
def url(database: MySQLDatabase) -> Iterator[str]:
    """Of a user who may lock nothing."""
    with user(database) as made:
        yield made


def task(database: MySQLDatabase, url: str, end: End, failed: list[Group] | None = None, **options: Any) -> Task:
    def connect() -> tuple[Any, Any]:
        sink = end.sink()
        return MysqlSource(url, end.name), Failing(sink, failed) if failed is not None else sink

    wanted: dict[str, Any] = {"chunk_bytes": 4 << 10, "idle_seconds": 0.1, "table_poll": 0.1, **options}
    return Task(Options(end.name, selection=Selection((f"{database.name}.*",)), **wanted), connect)


def stored(end: End) -> Mapping[str, Any]:
    with closing(end.sink()) as sink:
        checkpoint: Mapping[str, Any] = sink.claim("test", True).checkpoint
        return checkpoint


@pytest.mark.failure("T-MY-1", "T-MY-8", "SN-04")
@pytest.mark.timeout(90)
def test_what_is_committed_meanwhile_is_made_so(
    database: MySQLDatabase, end: End, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In all readers, in two of four, and in none; the target fails in the middle of it, which it is made after too."""
    with closing(MysqlSource(url, "test")) as source:
        assert ids(source) == {"MY-UNLOCKED"}
    turns = [lambda turn=turn: database.sql(*changes(turn)) for turn in (1, 2, 3)]
    Between(monkeypatch, *turns)
    failed: list[Group] = []
    task(database, url, end, failed, until="caught-up").run()
    assert len(failed) == 1 and end.rows() == list(database.sql(ROWS))
    assert "window" not in stored(end)


class Breaking(Through):
    """A sink that is gone for good once it has written some chunks."""

    def __init__(self, sink: Any, chunks: int) -> None:
        super().__init__(sink)
        self._chunks = chunks

    def load(self, *given: Any) -> Any:
        self._chunks -= 1
        if self._chunks < 0:
            raise Stopped("the target is gone for good")
        return self._sink.load(*given)


@pytest.mark.failure("SN-06")
@pytest.mark.timeout(90)
def test_a_load_goes_on_where_it_broke_off(database: MySQLDatabase, end: End) -> None:
    """Under another snapshot: what is in is not read again."""
    options: dict[str, Any] = {"chunk_bytes": 4 << 10, "idle_seconds": 0.1, "loaders": 1, "until": "caught-up"}

    def connect() -> tuple[Any, Any]:
        return MysqlSource(database.url, end.name), Breaking(end.sink(), 3)

    first = Task(Options(end.name, selection=Selection((f"{database.name}.*",)), **options), connect)
    with pytest.raises(Stopped, match="gone for good"):
        first.run()
    total, rows = first.progress.chunks_total, first.progress.load_rows
    assert first.progress.chunks_in == 3 < total and rows > 0
    database.sql(*changes(1))
    second = task(database, database.url, end, until="caught-up")
    second.run()
    assert end.rows() == list(database.sql(ROWS))
    assert second.progress.load_rows < 920 - rows


@pytest.mark.failure("T-MY-9")
@pytest.mark.timeout(90)
def test_a_row_that_moved_and_came_without_its_cells(
    database: MySQLDatabase, end: End, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both keys are taken in the snapshot, and whose cells are the moved row's nobody can tell: the table is read
    again."""

    def moved() -> None:
        session(database, "SET binlog_row_image = 'MINIMAL'", "UPDATE t SET id = 2000 WHERE id = 7",
                "INSERT INTO t VALUES (7, 7, 'new')")  # fmt: skip

    between = Between(monkeypatch, moved, lambda: None, lambda: None)
    task(database, url, end, until="caught-up").run()
    assert between.begun == 8 and end.rows() == list(database.sql(ROWS))


@pytest.mark.failure("MY-02")
@pytest.mark.timeout(90)
def test_another_server_takes_over_before_that_was_passed(
    database: MySQLDatabase, end: End, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read there in the end may never have come to the other one: it is read again."""
    without = unlocked.begin_without

    def later(*given: Any) -> Any:
        place, high, made = without(*given)
        assert isinstance(high, Gtids)
        return place, Gtids(high.set | NEVER), made

    monkeypatch.setattr(begin, "begin_without", later)
    first = task(database, url, end)
    running = threading.Thread(target=first.run)
    running.start()
    try:
        wait_until(lambda: first.progress.chunks_in == first.progress.chunks_total > 1, what="the chunks to be in")
        database.sql("UPDATE t SET a = 5 WHERE id = 5")
        wait_until(lambda: (5, 5, "old") in end.rows(), what="the stream")
        assert not first.progress.consistent
    finally:
        first.stop()
        running.join()
    assert stored(end)["window"]["tables"] == [f"{database.name}.t"]
    monkeypatch.setattr(begin, "begin_without", without)
    end.run("INSERT INTO {} VALUES (77777, 0, 'lost')")
    with closing(end.sink()) as sink:
        claim = sink.claim("test", True)
        sink.intend(replace(claim.identity, system="another"), claim.intent)
    task(database, url, end, until="caught-up").run()
    assert end.rows() == list(database.sql(ROWS)) and "window" not in stored(end)


@pytest.mark.failure("T-MY-10")
def test_where_one_key_does_not_name_whole_rows(
    database: MySQLDatabase, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "TRIES", 1)
    for others, why in (
        (["CREATE TABLE o (id int PRIMARY KEY, u int UNIQUE)"], "unique"), (["CREATE TABLE o (a int)"], "no key"),
        (["CREATE TABLE o (id int PRIMARY KEY, t int, FOREIGN KEY (t) REFERENCES t (id) ON DELETE CASCADE)"],
         "foreign keys"),
    ):  # fmt: skip
        database.sql("DROP TABLE IF EXISTS o", *others)
        with closing(MysqlSource(url, "test")) as source:
            assert "MY-LOCK" in ids(source)
            with pytest.raises(Exception, match="locked") as told:
                snapshot(source)
            assert f"{database.name}.o" in str(told.value) and why in str(told.value)


@pytest.mark.failure("T-MY-8")
def test_a_commit_that_does_not_end(database: MySQLDatabase, url: str) -> None:
    """A session that holds a GTID may commit it in a moment, or never."""
    holder = database.server.connect(database.name)
    with closing(holder), holder.cursor() as cursor:
        cursor.execute(f"SET GTID_NEXT = '{NEVER}'")
        cursor.execute("BEGIN")
        with closing(MysqlSource(url, "test")) as source, pytest.raises(Transient, match="middle of its commit"):
            snapshot(source)
        cursor.execute("ROLLBACK")


@pytest.mark.timeout(90)
def test_an_altered_table_is_not_read(database: MySQLDatabase, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Between(monkeypatch, lambda: database.sql("ALTER TABLE t ADD c int DEFAULT 7"), lambda: None, lambda: None)
    with closing(MysqlSource(url, "test")) as source, pytest.raises(Transient, match="altered"):
        snapshot(source)


@pytest.mark.failure("T-MY-22")
@pytest.mark.timeout(90)
def test_mariadb_is_read_by_one_session(
    mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase], target_db: Database
) -> None:
    """Keyless, with another unique index, and while others write: each row once."""
    database = mysql_on(mysql_servers("mariadb"))
    database.sql(*FILL, "ALTER TABLE t ADD u int UNIQUE", "CREATE TABLE keyless (a int)")
    over = threading.Event()
    written = [0]

    def write() -> None:
        with closing(database.connect()) as connection, connection.cursor() as cursor:
            while not over.is_set():
                written[0] += 1
                cursor.execute(f"INSERT INTO keyless VALUES ({written[0]})")
                cursor.execute(f"UPDATE t SET u = {written[0]} WHERE id = {written[0] % 900 + 1}")

    writing = threading.Thread(target=write)
    with user(database) as url:
        writing.start()
        try:
            end = End(target_db, database)
            one = task(database, url, end)
            running = threading.Thread(target=one.run)
            running.start()
            wait_until(lambda: one.progress.consistent, what="the load")
        finally:
            over.set()
            writing.join()
            one.stop()
            running.join()
        task(database, url, end, until="caught-up").run()
    for table, columns in (("t", "id, a, b, u"), ("keyless", "a")):
        text = f"SELECT {columns} FROM {{}}{table}"
        there = target_db.sql(text.format(f"{database.name}."))
        assert sorted(map(str, map(tuple, there))) == sorted(map(str, database.sql(text.format(""))))
