"""Hand-over, as far as it is the source's own: a snapshot holds exactly what the stream brings up to its place, and is
thrown away where it cannot be read any more."""

from __future__ import annotations

import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from cdcd.contracts import Snapshot, Source
from cdcd.errors import Interrupted, SnapshotLost
from cdcd.model.chunk import Chunk
from cdcd.model.position import Checkpoint
from cdcd.model.table import Table
from connectors.memory import form as text_form
from connectors.postgres import export
from tests.contract.reading import events, open_at, read, rows_of
from tests.servers.address import connect
from tests.servers.database import Database, make_source
from tests.servers.matrix import has
from tests.servers.proxy import Proxy
from tests.traps.conftest import Sources
from tests.traps.handled import Handled
from tests.traps.sessions import Call, Open, waiting_for
from tests.waiting import wait_until


def prepared(source: Source, *names: str) -> tuple[Snapshot, list[Table]]:
    tables = source.tables([f"public.{name}" for name in names])
    return source.prepare(tables, source.intent(), load=True), tables


def keys(snapshot: Snapshot, table: Table) -> list[str]:
    return [row[0] for row in rows_of(snapshot.read(table, Chunk(table.id, 0), [text_form.form(table)]))]


@contextmanager
def writing(db: Database, writers: int = 3) -> Iterator[Callable[[], int]]:
    """Transactions of two rows each, without pause, whose first row may lie before a place that they commit after;
    how many were committed."""
    stopping = threading.Event()
    done = [0] * (writers + 1)

    def write(writer: int) -> None:
        number = writer
        with Open(db) as session:
            while not stopping.is_set():
                session.sql("INSERT INTO t VALUES (%s, '')", number)
                session.sql("INSERT INTO t VALUES (%s, '')", -number)
                session.sql("COMMIT AND CHAIN")
                number += writers
                done[writer] += 1
            session.commit()

    calls = [Call(lambda writer=writer: write(writer)) for writer in range(1, writers + 1)]  # type: ignore[misc]
    try:
        yield lambda: sum(done)
    finally:
        stopping.set()
        for call in calls:
            call.result()


@pytest.mark.failure("T-PG-5")
def test_what_the_stream_brings_up_to_the_place_is_what_the_snapshot_holds(
    source_db: Database, open_source: Sources
) -> None:
    """At the place of each of a dozen slots, while three sessions commit as fast as they can. Off: `covered` with a
    place 8 bytes off; a decision by the rows' positions."""
    source_db.sql("CREATE TABLE t (id int PRIMARY KEY, v text)")
    source = open_source(source_db)
    snapshot, (table,) = prepared(source, "t")
    snapshot.close()
    open_at(source, Checkpoint(snapshot.position), [table])
    streamed: set[str] = set()
    with writing(source_db) as committed:
        for _ in range(12):
            before = committed()
            wait_until(lambda before=before: committed() > before, what="the writers")  # type: ignore[misc]
            snapshot = source.snapshot([])
            came = [event[2][0] for event in events(read(source, stop=snapshot.position)[0])]
            assert not streamed & set(came), "brought twice"
            streamed |= set(came)
            assert set(keys(snapshot, table)) == streamed
            snapshot.close()
    streamed |= {event[2][0] for event in events(read(source)[0])}
    assert streamed == {str(row[0]) for row in source_db.sql("SELECT id FROM t")}


PLAIN = "CREATE TABLE {0} (id int PRIMARY KEY, v int); INSERT INTO {0} SELECT i, i FROM generate_series(0, 199) i;"
PARTS = """
CREATE TABLE {0} (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);
CREATE TABLE {0}_low PARTITION OF {0} FOR VALUES FROM (0) TO (100);
CREATE TABLE {0}_high PARTITION OF {0} FOR VALUES FROM (100) TO (200);
INSERT INTO {0} SELECT i, i FROM generate_series(0, 199) i;
CREATE TABLE {0}_loose (LIKE {0} INCLUDING ALL); INSERT INTO {0}_loose VALUES (200, 200);
"""
REWRITES = {
    "altered": (PLAIN, "ALTER TABLE {0} ALTER v TYPE bigint", 0),
    "truncated": (PLAIN, "TRUNCATE {0}", 0),
    "moved": (PLAIN, "VACUUM FULL {0}", 200),
    "wider": (PLAIN, "ALTER TABLE {0} ADD w int", 200),
    "leaf_truncated": (PARTS, "TRUNCATE {0}_low", 100),
    "leaf_moved": (PARTS, "VACUUM FULL {0}_low", 200),
    "leaves_altered": (PARTS, "ALTER TABLE {0} ALTER v TYPE bigint", 0),
    "leaf_attached": (PARTS, "ALTER TABLE {0} ATTACH PARTITION {0}_loose FOR VALUES FROM (200) TO (300)", 201),
    "leaf_detached": (PARTS, "ALTER TABLE {0} DETACH PARTITION {0}_low", 100),
    "untouched": (PARTS, "SELECT 1", 200),
}
"""By the table's name: how it is made, what is done to it, and how many rows of 200 an older snapshot then reads."""


@pytest.mark.failure("T-PG-6")
def test_a_table_that_was_rewritten_is_not_read_under_an_older_snapshot(
    source_db: Database, open_source: Sources
) -> None:
    """It would read as empty, or as what it was not, without an error. Off: compare_with_now in lock_and_compare;
    only the leaves' part of it."""
    for name, (made, _, _) in REWRITES.items():
        source_db.sql(made.format(name))
    source = open_source(source_db)
    snapshot, tables = prepared(source, *REWRITES)
    for name, (_, statement, _) in REWRITES.items():
        source_db.sql(statement.format(name))
    with Open(source_db) as bare:
        bare.sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        bare.sql(f"SET TRANSACTION SNAPSHOT '{snapshot._name}'")  # type: ignore[attr-defined]
        for name, (_, _, seen) in REWRITES.items():
            assert bare.sql(f"SELECT count(*) FROM {name}") == [(seen,)], "nothing was provoked"
    for table in tables:
        if table.name != "untouched":
            with pytest.raises(SnapshotLost, match="rewritten, truncated or altered"):
                keys(snapshot, table)
        else:
            assert len(keys(snapshot, table)) == 200
    snapshot.close()
    later = source.snapshot([])
    for table in source.tables([table.id for table in tables]):
        rows = source_db.sql(f"SELECT id::text FROM {table.name}")
        assert keys(later, table) == sorted(row[0] for row in rows)
    later.close()


@pytest.mark.failure("T-PG-6")
def test_a_leaf_that_comes_while_it_is_read_is_noticed_at_the_end(source_db: Database, open_source: Sources) -> None:
    """ATTACH takes no lock that ACCESS SHARE conflicts with. Off: the check at the end of the data."""
    source_db.sql(PARTS.format("parts"))
    source = open_source(source_db)
    snapshot, (table,) = prepared(source, "parts")
    blocks = snapshot.read(table, Chunk(table.id, 0), [text_form.form(table)])
    source_db.sql("ALTER TABLE parts ATTACH PARTITION parts_loose FOR VALUES FROM (200) TO (300)")
    with pytest.raises(SnapshotLost, match="rewritten, truncated or altered"):
        rows_of(blocks)
    snapshot.close()


class TestTheConnection:
    @pytest.mark.failure("T-PG-12")
    def test_a_snapshot_whose_connection_was_cut_is_asked_for_again(
        self, source_db: Database, target_db: Database, source_proxy: Proxy
    ) -> None:
        """Between the slot's creation and the second chunk's read. Off: SnapshotLost raised by Load.run, or not told
        from other errors: the run ends, or starts over; its chunk that is in must stay in."""
        source_db.sql("CREATE TABLE t (id int PRIMARY KEY, v text)")
        source_db.sql("INSERT INTO t SELECT i, 'x' FROM generate_series(1, 100) i")
        pipeline = Handled(source_db, target_db, source_url=source_proxy.url(source_db.url), loaders=1)
        hands = pipeline.hands
        hands.cuts["public.t"] = ("id", ["50"])

        def cut(chunk: Chunk) -> None:
            if chunk.number == 1 and not hands.snapshots:
                name = f"cdcd/{pipeline.name}"
                assert source_proxy.cut(lambda parameters: parameters.get("application_name") == name)
                alive = "SELECT 1 FROM pg_stat_activity WHERE application_name = %s"
                wait_until(lambda: not source_db.admin(alive, name), what="the server to notice")

        hands.before_read = cut
        with pipeline:
            pipeline.equal("public.t")
        assert hands.read == [("public.t", 0), ("public.t", 1), ("public.t", 1)]
        assert hands.snapshots >= 1  # the stream may have passed one
        assert pipeline.progress.retries == 0

    @pytest.mark.failure("T-PG-12")
    def test_time_outs_of_the_role_end_no_snapshot(self, source_db: Database, open_source: Sources) -> None:
        """Off: time-outs in connect.SESSION, or SESSION_17: the keeper is idle in a transaction for longer."""
        source_db.sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
        names = ["idle_in_transaction_session_timeout", "statement_timeout"]
        for name in names + (["transaction_timeout"] if has(17) else []):
            source_db.admin(f'ALTER ROLE {source_db.role} IN DATABASE "{source_db.name}" SET {name} = 300')
        source = open_source(source_db)
        snapshot, (table,) = prepared(source, "t")
        blocks = snapshot.read(table, Chunk(table.id, 0), [text_form.form(table)])
        ordinary = connect(source_db.url)
        ordinary.cursor().execute("BEGIN")
        wait_until(lambda: select.select([ordinary], [], [], 0)[0], what="a session with these time-outs to be ended")
        ordinary.close()
        assert rows_of(blocks) == [("1",)]
        assert keys(snapshot, table) == ["1"]
        snapshot.close()


class TestOpenTransactions:
    @pytest.fixture
    def elsewhere(self, source_db: Database) -> Iterator[Database]:
        """Another database of the same server."""
        database = make_source(source_db.server)
        database.sql("CREATE TABLE other (n int)")
        yield database
        database.drop()

    @pytest.mark.failure("T-PG-13", "PG-06")
    def test_who_blocks_a_slot_is_named_while_the_stream_goes_on(
        self, source_db: Database, elsewhere: Database, open_source: Sources, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """By a writer in another database. Off: _tell_blockers."""
        monkeypatch.setattr(export, "BLOCKED_AFTER", 0.05)
        source_db.sql("CREATE TABLE t (id int PRIMARY KEY)")
        source = open_source(source_db)
        first, (table,) = prepared(source, "t")
        first.close()
        open_at(source, Checkpoint(first.position), [table])
        said = ""

        def named() -> bool:
            nonlocal said
            said += capsys.readouterr().err
            return f"pid={blocker.pid}" in said and f"database={elsewhere.name}" in said and "open_seconds=" in said

        with Open(elsewhere, "INSERT INTO other VALUES (1)") as blocker:
            asked = Call(lambda: source.snapshot([]))
            wait_until(named, what="the blocker to be named")
            source_db.sql("INSERT INTO t VALUES (1)")
            assert events(read(source)[0]) == [("insert", "t", ("1",))]
            assert asked.running
            blocker.commit()
            snapshot = asked.result()
        assert keys(snapshot, table) == ["1"]
        snapshot.close()

    @pytest.mark.failure("T-PG-13", "PG-06")
    @pytest.mark.parametrize("first", [True, False], ids=["first slot", "later slot"])
    def test_a_wait_for_a_slot_ends_when_told_and_leaves_nothing(
        self, source_db: Database, open_source: Sources, first: bool
    ) -> None:
        """Off: Session.cancel in create_slot: the walsender sleeps on, and finishes the slot later."""
        source_db.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE other (n int)")
        source = open_source(source_db)
        tables = source.tables(["public.t"])
        source.publish(tables)
        ask: Callable[[], Snapshot] = lambda: source.snapshot([])  # noqa: E731
        if first:
            intent = source.intent()
            ask = lambda: source.prepare(tables, intent, load=True)  # noqa: E731
        with Open(source_db, "INSERT INTO other VALUES (1)") as blocker:
            asked: Call[Snapshot] = Call(ask)
            wait_until(lambda: waiting_for(source_db, blocker.pid), what="the slot to wait")
            source.interrupt()
            with pytest.raises(Interrupted):
                asked.result(5)
            wait_until(lambda: not waiting_for(source_db, blocker.pid), 5, "the server to give up")
        assert source_db.server.slots(source_db.name) == []
