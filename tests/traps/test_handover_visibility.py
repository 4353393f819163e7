"""Hand-over where the order of the log is not the order in which commits become visible: a slot's snapshot follows the
log, an ordinary one does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cdcd.contracts import Reading, Snapshot, Source
from cdcd.errors import SnapshotLost
from cdcd.model.chunk import Chunk
from cdcd.model.group import Group
from cdcd.model.position import Checkpoint
from cdcd.model.table import Table
from connectors.memory import form as text_form
from connectors.postgres import export
from tests.contract.reading import Event, events, open_at, read, rows_of
from tests.servers.database import Database
from tests.servers.postgres import Postgres
from tests.traps.conftest import QUIET, Sources
from tests.traps.debugger import Debugger
from tests.traps.handled import Handled
from tests.traps.sessions import Call, Open, in_its_second_wait
from tests.waiting import wait_until

TABLES = "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE other (n int)"


@pytest.fixture
def db(quiet_db: Database) -> Database:
    quiet_db.sql(TABLES)
    return quiet_db


@pytest.fixture
def source(db: Database, open_source: Sources) -> Source:
    """Its publication is made already: slots and snapshots write nothing more."""
    source = open_source(db, list_transactions=True)
    source.publish(source.tables(["public.t"]))
    return source


def rows(snapshot: Snapshot, table: Table) -> list[tuple[Any, ...]]:
    return rows_of(snapshot.read(table, Chunk(table.id, 0), [text_form.form(table)]))


def streamed(source: Source, snapshot: Snapshot, table: Table) -> list[Event]:
    """What the slot brings from the snapshot's place on."""
    open_at(source, Checkpoint(snapshot.position), [table])
    return events(read(source)[0])


def prepared(source: Source) -> tuple[Table, Callable[[], Snapshot]]:
    (table,) = source.tables(["public.t"])
    intent = source.intent()
    return table, lambda: source.prepare([table], intent, load=True)


@contextmanager
def without_its_standby(server: Postgres) -> Iterator[None]:
    """Commits are in the log, and wait for a standby that is not there, before anybody sees them."""
    server.execute("ALTER SYSTEM SET synchronous_standby_names = 'none_such'")
    server.reload()
    try:
        yield
    finally:
        server.execute("ALTER SYSTEM RESET synchronous_standby_names")
        server.reload()


@contextmanager
def without_its_writer(server: Postgres) -> Iterator[None]:
    """Commits that do not wait for their flush are not flushed for long."""
    server.restart(settings={"wal_writer_delay": "10s"})
    try:
        yield
    finally:
        server.restart(settings={"wal_writer_delay": QUIET["wal_writer_delay"]})


def waits_for_standby(db: Database) -> bool:
    return bool(db.admin("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"))


@pytest.mark.failure("T-PG-1")
def test_a_commit_that_waits_for_its_standby_is_in_the_first_snapshot(
    quiet: Postgres, db: Database, source: Source
) -> None:
    """Off: import_snapshot without SET TRANSACTION SNAPSHOT: the victim is in neither, as the ordinary read shows."""
    table, prepare = prepared(source)
    call: list[Call[Snapshot]] = []
    with without_its_standby(quiet):
        with in_its_second_wait(db, lambda: call.append(Call(prepare))):
            victim = Call(lambda: db.sql("INSERT INTO t VALUES (1, 'victim')"))
            wait_until(lambda: waits_for_standby(db), what="the victim's commit to wait")
        snapshot = call[0].result()
        assert db.sql("SELECT * FROM t") == [], "an ordinary snapshot sees it: nothing was provoked"
        assert rows(snapshot, table) == [("1", "victim")]
        assert victim.running
    victim.result()
    snapshot.close()
    assert streamed(source, snapshot, table) == []
    assert db.sql("SELECT * FROM t") == [(1, "victim")]


@pytest.mark.failure("T-PG-2")
def test_a_dropped_commit_that_waits_for_its_standby_is_in_a_reload(
    quiet: Postgres, db: Database, target_db: Database
) -> None:
    """The stream brings it while its table is unread, and it is dropped. Off: as in T-PG-1: it is lost."""
    db.sql("INSERT INTO t VALUES (0, 'loaded')")
    with Handled(db, target_db, "public.t") as pipeline:
        pipeline.until_consistent()
        with without_its_standby(quiet):
            with in_its_second_wait(db, lambda: pipeline.reload("public.t")):
                victim = Call(lambda: db.sql("INSERT INTO t VALUES (1, 'victim')"))
                wait_until(lambda: waits_for_standby(db), what="the victim's commit to wait")
                ((end,),) = db.admin("SELECT pg_current_wal_flush_lsn() - '0/0'::pg_lsn")
                pipeline.until_read(int(end) - 1)
                assert pipeline.states("public.t") == ["unread"]
            pipeline.until(lambda: pipeline.states("public.t") == ["in"], "the reload")
            assert pipeline.hands.snapshots == 1
            assert db.sql("SELECT id FROM t") == [(0,)], "an ordinary snapshot sees it: nothing was provoked"
            assert target_db.sql("SELECT id FROM t ORDER BY id") == [(0,), (1,)]
            assert victim.running
        victim.result()
        pipeline.equal("public.t")


@pytest.mark.failure("T-PG-4")
def test_a_snapshot_holds_nothing_that_a_crash_takes_back(quiet: Postgres, db: Database, source: Source) -> None:
    """Off: an ordinary snapshot, which reads row 2 (seen here), and the target would have it for ever."""
    lazy = "SET synchronous_commit = off"
    with without_its_writer(quiet):
        source.close()  # its connections ended with the restart
        table, prepare = prepared(source)
        with Open(db, "INSERT INTO t VALUES (1, 'before the slot')", settings=lazy) as session:
            session.commit()
        snapshot = prepare()
        with Open(db, "INSERT INTO t VALUES (2, 'not flushed')", settings=lazy) as session:
            session.commit()
        assert db.sql("SELECT id FROM t ORDER BY id") == [(1,), (2,)], "an ordinary snapshot sees both"
        open_at(source, Checkpoint(snapshot.position), [table])
        group = Group()
        source.read(group, None, 0.1)
        loaded, came = rows(snapshot, table), events([group])
        flushed = "SELECT pg_current_wal_flush_lsn() < pg_current_wal_insert_lsn()"
        assert db.admin(flushed) == [(True,)], "the second commit was flushed: nothing was provoked"
        quiet.kill()
    assert db.sql("SELECT id::text, v FROM t") == loaded == [("1", "before the slot")]
    assert came == []


@pytest.mark.failure("T-PG-19")
def test_a_commit_that_begins_exactly_at_the_place_is_streamed(db: Database, source: Source) -> None:
    """Off: `covered` with <=: the stream skips 77, and the snapshot does not hold it."""
    table, prepare = prepared(source)
    call: list[Call[Snapshot]] = []
    with Open(db) as edge:
        with in_its_second_wait(db, lambda: call.append(Call(prepare))):
            edge.sql("INSERT INTO t VALUES (77, 'edge')")
        snapshot = call[0].result()
        edge.commit()
    assert rows(snapshot, table) == []
    snapshot.close()
    open_at(source, Checkpoint(snapshot.position), [table])
    groups, _ = read(source)
    assert events(groups) == [("insert", "t", ("77", "edge"))]
    (transaction,) = [transaction for group in groups for transaction in group.transactions]
    assert str(transaction.position) == str(snapshot.position), "not at the very place: nothing was provoked"


@pytest.mark.failure("T-PG-19")
def test_a_checkpoint_is_where_the_next_commit_may_begin(db: Database, source: Source) -> None:
    """The same at a restart and at a stop: of two commits without a byte between them each is read once."""
    table, prepare = prepared(source)
    snapshot = prepare()
    snapshot.close()
    with Open(db, "INSERT INTO t VALUES (1, 'a')") as one, Open(db, "INSERT INTO t VALUES (2, 'b')") as two:
        one.commit()
        two.commit()
    open_at(source, Checkpoint(snapshot.position), [table])
    whole, _ = read(source)
    first, second = (transaction for group in whole for transaction in group.transactions)
    between = second.position  # where the second commit begins; the first one's end if nothing lies between
    assert [event[2][0] for event in events(whole)] == ["1", "2"]
    open_at(source, Checkpoint(snapshot.position), [table])
    halves, reading = read(source, stop=between)
    assert reading is Reading.STOP
    assert [event[2][0] for event in events(halves)] == ["1"]
    ends = [group.position for group in halves if group.txs]
    assert str(ends[-1]) == str(between), "something lies between the commits: nothing was provoked"
    open_at(source, Checkpoint(between), [table])
    assert [event[2][0] for event in events(read(source)[0])] == ["2"]
    assert not first.position.covers(between)


@pytest.mark.failure("T-PG-5", "T-PG-19")
def test_the_last_commit_before_a_place_and_the_first_at_it(db: Database, source: Source) -> None:
    """Of a stream that stops at a later snapshot's place: the one is brought before the stop, the other after it. Off:
    `covered` with <=, or with a place of 150 bytes less."""
    table, prepare = prepared(source)
    first = prepare()
    first.close()
    open_at(source, Checkpoint(first.position), [table])
    call: list[Call[Snapshot]] = []
    with Open(db) as edge:
        asked = lambda: call.append(Call(lambda: source.snapshot([])))  # noqa: E731
        with in_its_second_wait(db, asked, "INSERT INTO t VALUES (76, 'last')"):
            edge.sql("INSERT INTO t VALUES (77, 'edge')")
        snapshot = call[0].result()
        edge.commit()
    assert rows(snapshot, table) == [("76", "last")]
    before, reading = read(source, stop=snapshot.position)
    assert (events(before), reading) == ([("insert", "t", ("76", "last"))], Reading.STOP)
    assert str(before[-1].position) == str(snapshot.position)
    snapshot.close()
    after, _ = read(source)
    assert events(after) == [("insert", "t", ("77", "edge"))]
    (transaction,) = [transaction for group in after for transaction in group.transactions]
    assert str(transaction.position) == str(snapshot.position), "not at the very place: nothing was provoked"


class Held:
    """A slot's snapshot that calls the victim committed, while its backend stands before the commit log."""

    def __init__(self, db: Database, prepare: Callable[[], Snapshot]) -> None:
        calls: list[Call[Snapshot]] = []
        self.session = Open(db, "COMMIT")
        self.debugger = Debugger(self.session.pid, "TransactionIdCommitTree")
        try:
            with in_its_second_wait(db, lambda: calls.append(Call(prepare))):
                self.victim = Call(lambda: self.session.sql("INSERT INTO t VALUES (1, 'victim')"))
                self.debugger.wait_held()
        except BaseException:
            self.close()
            raise
        self.asked = calls[0]

    def close(self) -> None:
        self.debugger.close()
        self.session.close()


@pytest.fixture
def held(db: Database, source: Source) -> Iterator[Held]:
    held = Held(db, prepared(source)[1])
    yield held
    held.close()


@pytest.mark.failure("T-PG-20")
def test_a_commit_between_log_and_commit_log_is_waited_for(
    db: Database, source: Source, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Off: no wait_settled: the victim is read as aborted, and is gone at the source itself. Off: its second condition
    alone, without the first: the same."""
    monkeypatch.setattr(export, "PATIENCE", 30.0)
    held: Held = request.getfixturevalue("held")
    (table,) = source.tables(["public.t"])

    def asked_whether_settled() -> bool:
        asked = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_snapshot_xip(n)%' AND pid <> pg_backend_pid()"
        return bool(db.admin(asked))

    wait_until(lambda: asked_whether_settled() or not held.asked.running, what="the source to ask")
    assert held.asked.running, "it was not waited for"
    assert held.victim.running
    held.debugger.release()
    held.victim.result()
    snapshot = held.asked.result()
    assert rows(snapshot, table) == [("1", "victim")]
    assert db.sql("SELECT * FROM t") == [(1, "victim")]
    snapshot.close()
    assert streamed(source, snapshot, table) == []


@pytest.mark.failure("T-PG-20")
def test_a_snapshot_before_a_commit_that_does_not_end_is_thrown_away(db: Database, held: Held) -> None:
    """Off: wait_settled that returns at its deadline: the first read destroys the row at the source."""
    with pytest.raises(SnapshotLost, match="has not ended"):
        held.asked.result()
    assert held.victim.running
    held.debugger.release()
    held.victim.result()
    assert db.sql("SELECT * FROM t") == [(1, "victim")]
