"""Hand-over between chunks of different snapshots, beside a stream that goes on: at every step the target is the source
at the checkpoint, restricted to the chunks that are in."""

from __future__ import annotations

import pytest

from cdcd.engine import attempt
from cdcd.engine.seek import Seek
from cdcd.model.chunk import Chunk
from tests.equality import assert_equal
from tests.servers.database import Database
from tests.servers.proxy import Proxy
from tests.traps.handled import Handled, load_held
from tests.traps.invariant import Still, check
from tests.traps.sessions import commit

TABLE = """
CREATE TABLE t (id int PRIMARY KEY, email text UNIQUE, slot int4range, note text, EXCLUDE USING gist (slot WITH &&));
ALTER TABLE t ALTER note SET STORAGE EXTERNAL;
"""
FILL = "INSERT INTO t (id, email) SELECT i, 'mail ' || i FROM generate_series(0, 199) i"


def one_by_one(source: Database, target: Database, *cuts: str, **more: object) -> Handled:
    """A pipeline that gives one chunk to each snapshot, the second only when told: until then the others are unread."""
    pipeline = Handled(source, target, chunks_per_snapshot=1, **more)
    pipeline.hands.cuts["public.t"] = ("id", list(cuts or ("100",)))
    pipeline.hands.asking.clear()
    return pipeline


@pytest.mark.failure("T-PG-8", "SN-04")
def test_a_row_that_moves_into_a_chunk_that_is_in(source_db: Database, target_db: Database) -> None:
    """With a value that was not sent, from a chunk that is not in, and with all values sent; and out of it. Off: the
    branches of Judge._restrict_log for a MOVE: a row without its note, or a row that stays where it was."""
    source_db.sql(TABLE + FILL)
    source_db.sql("UPDATE t SET note = repeat('note', 50000) WHERE id IN (20, 150)")
    with one_by_one(source_db, target_db) as pipeline:
        pipeline.until(lambda: pipeline.states("public.t") == ["in", "unread"], "the first chunk")
        check(source_db, target_db, pipeline.name)

        pipeline.until_stored(commit(source_db, "UPDATE t SET id = 320 WHERE id = 20"))
        moved = ("UPDATE t SET id = -1 WHERE id = 160", "UPDATE t SET note = 'm' WHERE id = -1")
        pipeline.until_stored(commit(source_db, *moved))
        assert check(source_db, target_db, pipeline.name) == {"public.t": ["in", "unread"]}
        assert target_db.sql("SELECT note FROM t WHERE id = -1") == [("m",)]

        pipeline.until_stored(commit(source_db, "DELETE FROM t WHERE id = 50", "UPDATE t SET id = 50 WHERE id = 150"))
        assert check(source_db, target_db, pipeline.name) == {"public.t": ["unread", "unread"]}

        pipeline.hands.asking.set()
        pipeline.equal("public.t")
        assert target_db.sql("SELECT length(note) FROM t WHERE id = 50") == [(200000,)]
    assert pipeline.progress.retries == 0


@pytest.mark.failure("T-PG-9")
def test_chunks_of_two_snapshots_share_no_unique_value(source_db: Database, target_db: Database) -> None:
    """The constraints stand at the target from the start; the foreign key waits for the last chunk. Off: chunks that
    are written before the stream has come to their snapshot's place: COPY meets 'x' and its slot."""
    source_db.sql(TABLE + FILL + "; UPDATE t SET email = 'x', slot = '[1,5)' WHERE id = 50")
    source_db.sql("CREATE TABLE zones (t int REFERENCES t, n int PRIMARY KEY)")
    target_db.sql(TABLE + "CREATE TABLE zones (t int, n int PRIMARY KEY)")
    keys = "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND conrelid = 'zones'::regclass"
    with one_by_one(source_db, target_db, target_tables="use") as pipeline:
        pipeline.until(lambda: pipeline.states("public.t") == ["in", "unread"], "the first chunk")
        # A snapshot is asked for only once the stream is known to be close behind.
        pipeline.until(lambda: pipeline.progress.phase == "streaming", "the stream to be close behind")
        moved = (
            "DELETE FROM t WHERE id = 150",
            "UPDATE t SET email = 'y', slot = '[7,9)' WHERE id = 50",
            "INSERT INTO t VALUES (150, 'x', '[1,5)')",
            "INSERT INTO zones VALUES (150, 1)",
        )
        pipeline.hands.reading.clear()
        commit(source_db, *moved)
        pipeline.hands.asking.set()
        pipeline.until(lambda: _temporary(source_db), "the second snapshot")
        assert pipeline.states("public.t") == ["in", "unread"], "read before the stream was there"
        assert not pipeline.progress.consistent
        assert target_db.sql(keys) == [(0,)]
        pipeline.hands.reading.set()
        pipeline.equal("public.t", "public.zones")
        assert target_db.sql(keys) == [(1,)]
        assert pipeline.progress.retries == 0


def _temporary(source: Database) -> list[str]:
    """The slots of snapshots that are there now."""
    rows = source.admin(
        "SELECT slot_name FROM pg_replication_slots WHERE temporary AND database = current_database()"
        " AND confirmed_flush_lsn IS NOT NULL"
    )
    return [row[0] for row in rows]


@pytest.mark.failure("T-PG-10")
@pytest.mark.parametrize("when", ["before the place", "between place and reading", "after the reading"])
def test_truncate_between_the_snapshots_of_two_chunks(source_db: Database, target_db: Database, when: str) -> None:
    """Off, before: a TRUNCATE that is dropped while a chunk is unread. Off, between: compare_with_now: the second chunk
    reads as empty, and the row after the TRUNCATE is lost or doubled."""
    source_db.sql(TABLE + FILL)
    truncate = ("TRUNCATE t", "INSERT INTO t (id) VALUES (20), (150)")
    with one_by_one(source_db, target_db) as pipeline:
        hands = pipeline.hands
        pipeline.until(lambda: pipeline.states("public.t") == ["in", "unread"], "the first chunk")
        if when == "before the place":
            pipeline.until_stored(commit(source_db, *truncate))
            assert check(source_db, target_db, pipeline.name) == {"public.t": ["in", "unread"]}
        elif when == "between place and reading":
            hands.before_read = lambda chunk: len(hands.read) == 1 and commit(source_db, *truncate)
        hands.asking.set()
        pipeline.until_consistent()
        if when == "after the reading":
            commit(source_db, *truncate)
        pipeline.equal("public.t")
        assert target_db.sql("SELECT id FROM t ORDER BY id") == [(20,), (150,)]
        assert hands.read.count(("public.t", 1)) == (2 if when == "between place and reading" else 1)
        assert pipeline.progress.retries == 0


@pytest.mark.failure("T-PG-16")
@pytest.mark.parametrize("reload", [False, True], ids=["first load", "reload"])
def test_chunks_that_queue_behind_the_loaders_are_in_flight(
    source_db: Database, target_db: Database, reload: bool
) -> None:
    """Eight chunks, two loaders: while the first is read, rows of the last one change. Off: a reader that goes on while
    chunks of the snapshot are unread: the changes are dropped, and then read as they were."""
    source_db.sql(TABLE + "INSERT INTO t (id, email) SELECT i, 'mail ' || i FROM generate_series(0, 799) i")
    pipeline = Handled(source_db, target_db, loaders=2, group_bytes=1)  # each transaction is judged when it is read
    hands = pipeline.hands
    hands.cuts["public.t"] = ("id", [str(bound) for bound in range(100, 800, 100)])
    seen: list[dict[str, list[str]]] = []
    armed = not reload

    with Still(source_db) as still:

        def between(chunk: Chunk) -> None:
            nonlocal armed
            if armed and chunk.number == 0:
                armed = False
                place = commit(
                    source_db, "UPDATE t SET note = 'late' WHERE id = 750", "DELETE FROM t WHERE id = 760",
                    "UPDATE t SET id = 1760 WHERE id = 770", "INSERT INTO t VALUES (1750)",
                )  # fmt: skip
                if reload:
                    pipeline.until_read(place)
            if not armed:
                seen.append(still.check(target_db, pipeline.name))

        hands.before_read = between
        with pipeline:
            pipeline.until_consistent()
            if reload:
                seen.clear()
                armed = True
                pipeline.reload("public.t")
                pipeline.until(lambda: seen, "the reload")
                pipeline.until(lambda: set(pipeline.states("public.t")) == {"in"}, "the chunks")
            pipeline.equal("public.t")
    assert {"in", "unread"} <= {state for states in seen for state in states["public.t"]}, "not side by side"
    assert pipeline.progress.retries == 0


@pytest.mark.failure("T-PG-18")
def test_the_stream_stands_while_a_load_holds_a_unique_value(
    source_db: Database, target_db: Database, target_proxy: Proxy
) -> None:
    """'x' is in a chunk that is written and not committed; a transaction moves it into the chunk that is in. Off: a
    reader that goes on: its INSERT waits in the server for the load."""
    source_db.sql(TABLE + FILL + "; UPDATE t SET email = 'x' WHERE id = 150")
    target_db.sql(TABLE)
    url = target_proxy.url(target_db.url)
    with one_by_one(source_db, target_db, target_tables="use", target_url=url, group_bytes=1) as pipeline:
        pipeline.until(lambda: pipeline.states("public.t") == ["in", "unread"], "the first chunk")
        with load_held(target_proxy) as trap, Still(source_db) as still:
            pipeline.hands.asking.set()
            trap.wait()
            standing = pipeline.checkpoint
            place = commit(
                source_db, "DELETE FROM t WHERE id IN (50, 150)", "INSERT INTO t (id, email) VALUES (50, 'x')"
            )
            pipeline.until_read(place)
            assert target_db.admin("SELECT pid FROM pg_locks WHERE NOT granted") == []
            assert pipeline.checkpoint == standing < place
            assert still.check(target_db, pipeline.name) == {"public.t": ["in", "unread"]}
        pipeline.equal("public.t")
        assert pipeline.progress.retries == 0


WORDS = ["a", "A", "ä", "Ä", "b", "B", "-b", "ba", "Bb", "c", "Ç", "z", "Z", "ß", "ss", "1", "10", "2", "_", "Éa", "eb"]


@pytest.mark.failure("T-PG-11", "T-PG-22", "SN-03")
@pytest.mark.timeout(180)
def test_text_keys_are_cut_and_judged_in_the_servers_order(source_db15: Database, target_db15: Database) -> None:
    """Under ICU 'B' is between 'b' and 'c', and 'ä' before both. Off: `here` true for every text key in key_order:
    changes are taken for those of another chunk."""
    source_db15.sql('CREATE TABLE words (w text COLLATE "de-x-icu" PRIMARY KEY, n int, pad text)')
    for word in WORDS:
        source_db15.sql("INSERT INTO words SELECT %s || i, 0, repeat('x', 500) FROM generate_series(0, 9) i", word)
    source_db15.sql("ANALYZE words")
    pipeline = Handled(source_db15, target_db15, chunks_per_snapshot=2, chunk_bytes=30_000)
    pipeline.hands.asking.clear()
    with pipeline:
        pipeline.until(lambda: pipeline.states("public.words").count("in") == 2, "the first two chunks")
        assert len(pipeline.states("public.words")) >= 4
        ((bound,),) = target_db15.admin("SELECT low->>0 FROM cdcd.chunks WHERE number = 2")
        before = source_db15.sql("SELECT w, w < %s COLLATE \"de-x-icu\" FROM words", bound)
        assert any((word < bound) is not inside for word, inside in before), "Python's order is the same"
        pipeline.until_stored(commit(source_db15, "UPDATE words SET n = 1"))
        check(source_db15, target_db15, pipeline.name)
        place = commit(
            source_db15, "UPDATE words SET w = upper(w) || w WHERE w LIKE '%3'",
            "DELETE FROM words WHERE w LIKE '%4'", "INSERT INTO words SELECT w || '*', 2 FROM words WHERE w LIKE '%5'",
        )  # fmt: skip
        pipeline.until_stored(place)
        check(source_db15, target_db15, pipeline.name)
        pipeline.hands.asking.set()
        pipeline.until_consistent()
        pipeline.caught_up()
        assert pipeline.progress.retries == 0
    assert_equal(source_db15, target_db15, ["public.words"])


@pytest.mark.failure("SN-10")
def test_a_table_that_joins_does_not_hold_up_the_others(
    source_db: Database, target_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunk by chunk the stream goes on in between, once they take longer than is waited for. Off: `within`."""
    monkeypatch.setattr(attempt, "STANDSTILL", 0.0)
    monkeypatch.setattr(Seek, "took", property(lambda self: 0.0, lambda self, seconds: None))
    source_db.sql("CREATE TABLE t (id int PRIMARY KEY)")
    seen: list[int] = []

    def read(chunk: Chunk) -> None:
        if chunk.table == "public.big":
            seen.append(target_db.sql("SELECT count(*) FROM t")[0][0])
            source_db.sql("INSERT INTO t VALUES (%s)", len(seen))

    pipeline = Handled(source_db, target_db, loaders=1)
    pipeline.hands.cuts["public.big"] = ("id", ["100", "200", "300"])
    with pipeline:
        pipeline.equal("public.t")
        pipeline.hands.before_read = read
        source_db.sql("CREATE TABLE big (id int PRIMARY KEY); INSERT INTO big SELECT generate_series(1, 400)")
        pipeline.until(lambda: pipeline.states("public.big") == ["in"] * 4, "the new table")
        pipeline.equal("public.t", "public.big")
    assert seen == [0, 1, 2, 3]
