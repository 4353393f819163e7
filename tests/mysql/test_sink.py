"""What only these servers do to a sink, each provoked: implicit commits, warnings for errors, counts that lie."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from cdcd.errors import CdcdError, Conflict, PoisonRow, Transient
from cdcd.model.cell import UNCHANGED
from cdcd.model.chunk import Chunk, State
from connectors.mysql.login import number_of
from tests.contract.changes import BIG, ITEMS, LINES, USERS, Delete, Insert, Truncate, item, line
from tests.contract.mysql import MysqlSinkCase
from tests.contract.writing import Owner, Replace
from tests.servers.mysql import MySQL
from tests.servers.mysql_database import MySQLDatabase
from tests.servers.proxy import Proxy
from tests.waiting import wait_until


class Target:
    """A sink that has begun, all chunks in, and what the test sees of its server."""

    def __init__(self, database: MySQLDatabase, proxy: Proxy) -> None:
        self.database = database
        self.proxy = proxy
        self.case = MysqlSinkCase(database, proxy)
        self.owner = Owner(self.case)
        self.owner.start([Chunk(spec.id, 0, state=State.IN) for spec in (ITEMS, LINES, USERS)])

    def sql(self, *statements: str) -> Any:
        return self.database.sql(*statements)


@pytest.fixture(params=["mysql", "mariadb"])
def target(
    request: pytest.FixtureRequest,
    mysql_servers: Callable[..., MySQL],
    mysql_on: Callable[..., MySQLDatabase],
    make_proxy: Callable[..., Proxy],
) -> Iterator[Target]:
    server = mysql_servers(request.param, "target")
    made = Target(mysql_on(server, "menu"), make_proxy(server))
    yield made
    made.owner.sink.close()


@pytest.mark.failure("T-MT-1", "T-MT-13", "TG-16")
def test_unique_values_that_change_places(target: Target) -> None:
    """By net changes alone: no order of single updates leads there, as under a constraint that is checked at commit."""
    target.case.add_unique(USERS)
    owner = target.owner
    owner.apply(2, *(Insert(USERS, (str(n), f"u{n}")) for n in range(1, 7)))
    owner.apply(3, Replace(USERS, ("1",), ("1", "u2")), Replace(USERS, ("2",), ("2", "u1")))
    # Keys that move up one after the other, of which one UPDATE would meet those that have not moved yet.
    owner.apply(
        4, Replace(USERS, ("6",), ("7", UNCHANGED)), Replace(USERS, ("5",), ("6", "v5")),
        Replace(USERS, ("4",), ("5", "u4")), Delete(USERS, ("3",)), Insert(USERS, ("8", "u3")),
    )  # fmt: skip
    assert target.case.rows(USERS) == [
        ("1", "u2"), ("2", "u1"), ("5", "u4"), ("6", "v5"), ("7", "u6"), ("8", "u3"),
    ]  # fmt: skip
    with pytest.raises(Conflict):  # an upsert would make row 1 of it
        owner.apply(5, Insert(USERS, ("9", "u2")))
    assert (owner.again(), len(target.case.rows(USERS))) == (4, 6)


@pytest.mark.failure("T-MT-10", "T-MT-16", "TG-16")
def test_updates_leave_alone_what_they_do_not_name(target: Target) -> None:
    target.sql(
        "ALTER TABLE items ADD COLUMN touched datetime(6) NULL DEFAULT NULL ON UPDATE CURRENT_TIMESTAMP(6),"
        " ADD COLUMN twice varchar(10) AS (CONCAT(v, v))",
    )
    owner = target.owner
    owner.again()
    owner.apply(2, item(1, big=BIG), item(2), item(3))
    target.sql("UPDATE items SET touched = '2020-01-01'")
    # One that is equal already, one in part, one by its key, and all of them where one by one is the way.
    for place in (3, 4):
        owner.apply(
            place, item(100 + place), Replace(ITEMS, ("2",), ("2", "v", None)),
            Replace(ITEMS, ("1",), ("1", f"w{place}", UNCHANGED)), Replace(ITEMS, ("3",), ("4", "x", UNCHANGED)),
            Replace(ITEMS, ("4",), ("3", "y", UNCHANGED)),
        )  # fmt: skip
    found = target.sql(f"SELECT id, v, big = '{BIG}', touched = '2020-01-01', twice FROM items WHERE id < 100")
    assert sorted(found) == [(1, "w4", 1, 1, "w4w4"), (2, "v", None, 1, "vv"), (3, "y", None, 1, "yy")]


@pytest.mark.failure("TG-16")
def test_what_the_server_would_do_by_itself(target: Target) -> None:
    """It is not strict, ends sessions that are idle for a second, and has rows that go with those that are replaced."""
    target.sql(
        "ALTER TABLE items MODIFY v varchar(3) NOT NULL",
        "CREATE TABLE children (id int PRIMARY KEY, item bigint, FOREIGN KEY (item) REFERENCES items (id)"
        " ON DELETE CASCADE ON UPDATE CASCADE)",
    )
    server = target.database.server
    before = server.execute("SELECT @@GLOBAL.sql_mode, @@GLOBAL.wait_timeout")[0]
    try:
        server.execute("SET GLOBAL sql_mode = ''")
        server.execute("SET GLOBAL wait_timeout = 1")
        owner = target.owner
        owner.again()
        owner.apply(2, item(1, "abc", BIG), item(2), item(3))
        target.sql("INSERT INTO children VALUES (1, 1), (2, 2), (3, 3)")
        cut, null = Replace(ITEMS, ("2",), ("5", "uvwx", None)), Replace(ITEMS, ("1",), ("1", None, UNCHANGED))
        for bad in item(4, "abcd"), cut, null:
            with pytest.raises(PoisonRow):
                owner.apply(3, bad)
            assert owner.again() == 2
        # Whole rows, a part of one, and a key that changes, all by one statement; then the server has its second.
        owner.apply(3, Replace(ITEMS, ("1",), ("1", "x", "y")), Replace(ITEMS, ("2",), ("7", "z", UNCHANGED)))
        with closing(target.database.connect()) as idle:
            there = f"SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = {number_of(idle)}"
            wait_until(lambda: server.execute(there) == [], 10, "the server to end an idle session")
        owner.apply(4, Replace(ITEMS, ("3",), ("3", "w", UNCHANGED)))
    finally:
        server.execute("SET GLOBAL sql_mode = %s", before[0])
        server.execute("SET GLOBAL wait_timeout = %s", before[1])
    assert target.case.rows(ITEMS) == [("1", "x", "y"), ("3", "w", None), ("7", "z", None)]
    assert target.sql("SELECT * FROM children") == [(1, 1), (2, 2), (3, 3)]


@pytest.mark.failure("T-MT-2", "T-MT-3")
def test_a_load_is_strict(target: Target) -> None:
    """LOAD DATA LOCAL ignores what it cannot have; the rows are many enough to go by it, where the server takes it."""
    target.database.server.execute("SET GLOBAL local_infile = 1")
    target.sql("ALTER TABLE items MODIFY v varchar(5), MODIFY id bigint AUTO_INCREMENT")
    owner = Owner(target.case)
    chunks = [Chunk(ITEMS.id, n, (str(n * 1000),), (str((n + 1) * 1000),), ("id",)) for n in range(3)]
    owner.sink.drop()
    owner.sink.close()
    owner = target.owner = Owner(target.case)
    target.sql("TRUNCATE items")
    owner.start(chunks)
    good: list[tuple[Any, ...]] = [(str(n), "v", BIG) for n in range(100)]
    assert owner.load(chunks[0], ITEMS, good) == 100
    assert min(int(row[0] or 1) for row in target.case.rows(ITEMS)) == 0
    bad_ones: list[tuple[Chunk, tuple[Any, ...], type[CdcdError]]] = [
        (chunks[1], ("1150", "too long", None), PoisonRow), (chunks[2], ("2150", "v", "x"), Conflict),
    ]  # fmt: skip
    for chunk, bad, error in bad_ones:
        rows: list[tuple[Any, ...]] = [(str(1000 * chunk.number + n), "v", BIG) for n in range(100, 200)]
        rows[60:60] = [bad]
        with pytest.raises(error) as caught:
            owner.load(chunk, ITEMS, rows)
        assert caught.value.where["key"] == bad[0], caught.value
        assert len(target.case.rows(ITEMS)) == 100


@pytest.mark.failure("T-MT-7", "T-MT-8", "T-MT-9", "TG-09")
@pytest.mark.parametrize("error", ["deadlock", "time-out"])
def test_nothing_is_committed_after_an_error_that_voids_the_transaction(target: Target, error: str) -> None:
    owner = target.owner
    owner.apply(2, item(1), item(2))
    owner.apply(None, item(3), line("a"), Replace(ITEMS, ("1",), ("1", "x", None)))
    other = target.database.connect(autocommit=False)
    with other.cursor() as cursor:
        cursor.execute("SET SESSION innodb_lock_wait_timeout = 30")
        cursor.execute("INSERT INTO items (id, v) SELECT 1000 + n, 'v' FROM (SELECT 1 n UNION SELECT 2) x")
        cursor.execute("UPDATE items SET v = 'o' WHERE id = 2")
        if error == "time-out":
            session = owner.sink._writer.session  # type: ignore[attr-defined]
            session.run("SET SESSION innodb_lock_wait_timeout = 1")
        else:
            waiting = threading.Thread(target=lambda: _waits(cursor))
            waiting.start()
            wait_until(lambda: _blocked(target), 10, "the other session to wait for ours")
        with pytest.raises(Transient):
            owner.apply(3, Replace(ITEMS, ("2",), ("2", "y", None)), line("b"))
        if error == "deadlock":
            waiting.join(30)
    with pytest.raises(CdcdError):
        owner.apply(3, line("c"))
    other.rollback()
    other.close()
    owner.sink.close()
    assert target.case.rows(LINES) == []
    assert owner.again() == 2
    assert [row[0] for row in target.case.rows(ITEMS)] == ["1", "2"]


def _waits(cursor: Any) -> None:
    """With so many rows that the server chooses ours as the one to be rolled back."""
    cursor.execute(f"INSERT INTO items (id) VALUES {', '.join(f'({n})' for n in range(2000, 2100))}")
    cursor.execute("UPDATE items SET v = 'o' WHERE id = 1")


def _blocked(target: Target) -> bool:
    waiting = target.database.server.execute(
        "SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT'"
    )
    return bool(waiting[0][0])


@pytest.mark.failure("T-MT-4")
def test_a_truncate_goes_with_its_transaction(target: Target) -> None:
    owner = target.owner
    owner.apply(2, item(1), line("a"))
    owner.apply(None, line("b"), Truncate((ITEMS,)), item(2))
    owner.sink.close()
    assert (owner.again(), target.case.rows(LINES), len(target.case.rows(ITEMS))) == (2, [("a",)], 1)
    owner.apply(3, line("b"), Truncate((ITEMS,)), item(2))
    assert [row[0] for row in target.case.rows(ITEMS)] == ["2"]


def test_a_row_that_no_statement_can_hold_is_named(target: Target) -> None:
    """The server would end the connection, and do so again after each new one."""
    server = target.database.server
    server.execute("SET GLOBAL max_allowed_packet = 1048576")
    server.execute("SET GLOBAL local_infile = 0")  # whose rows are in no statement
    try:
        target.owner.again()
        target.owner.apply(2, item(1))
        with pytest.raises(PoisonRow) as caught:
            target.owner.apply(3, item(2), Replace(ITEMS, ("1",), ("1", "v", "x" * 2_000_000)))
    finally:
        server.execute("SET GLOBAL max_allowed_packet = 268435456")
        server.execute("SET GLOBAL local_infile = 1")
    assert (caught.value.where["key"], caught.value.where["table"]) == ("1", ITEMS.id)
    assert "max_allowed_packet" in caught.value.hint


@pytest.mark.failure("T-MT-15")
def test_a_commit_is_durable_once_the_server_has_flushed(target: Target) -> None:
    server, owner = target.database.server, target.owner
    try:
        server.execute("SET GLOBAL innodb_flush_log_at_timeout = 2000")
        # The server may be about to flush once more by its old clock.
        tickets = (owner.apply(place, line("a")) for place in (2, 3, 4))
        ticket = next(ticket for ticket in tickets if not owner.sink.durable(ticket))
        server.execute("SET GLOBAL innodb_flush_log_at_timeout = 1")
        wait_until(lambda: owner.sink.durable(ticket), 10, "the server to flush")
        server.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 1")
        server.execute("SET GLOBAL sync_binlog = 1")
        server.execute("SET GLOBAL innodb_flush_log_at_timeout = 2000")
        assert owner.sink.durable(owner.apply(5, line("b")))
    finally:
        for name, value in (("flush_log_at_timeout", 1), ("flush_log_at_trx_commit", 2)):
            server.execute(f"SET GLOBAL innodb_{name} = {value}")
        server.execute("SET GLOBAL sync_binlog = 0")


@pytest.mark.failure("T-MT-6", "T-PO-3", "T-PO-11")
def test_a_paused_owners_statement_is_over_before_another_goes_on(target: Target) -> None:
    """What an older owner has begun, and may have been stopped in, is ended: its lock is what the new one waits for."""
    old = target.owner
    old.apply(None, item(1))
    session = old.sink._writer.session  # type: ignore[attr-defined]
    asleep = threading.Thread(target=lambda: _ended(lambda: session.run("DO SLEEP(60)")))
    asleep.start()
    new = Owner(target.case, "new")
    asleep.join(10)
    assert not asleep.is_alive()
    new.apply(2, item(2))
    for late in (lambda: session.define("TRUNCATE TABLE menu.items"), lambda: old.apply(2, item(3))):
        assert isinstance(_ended(late), CdcdError)
    assert [row[0] for row in target.case.rows(ITEMS)] == ["2"]
    new.sink.close()


def _ended(act: Callable[[], Any]) -> CdcdError | None:
    try:
        act()
    except CdcdError as error:
        return error
    return None
