"""Hand-over where something begins: a slot before its first checkpoint, a table that joins while it is written to."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cdcd.errors import SlotLost, StateRefused
from tests.equality import assert_equal
from tests.fix_daemon import Daemon
from tests.servers.database import Database, make_target
from tests.servers.proxy import Direction, Proxy
from tests.traps.handled import Handled
from tests.traps.invariant import check
from tests.traps.pipeline import Pipeline
from tests.traps.sessions import Open, commit, waiting_for

TABLE = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'x' FROM generate_series(1, 20) i"


@pytest.mark.failure("T-PG-3", "SN-10")
def test_a_table_joins_while_its_writer_is_open(source_db: Database, target_db: Database) -> None:
    """Its first row was written before the publication held it, its second after. Off: the publication made after the
    slot, or an ordinary snapshot: row 1 is in neither."""
    source_db.sql(TABLE)
    with Handled(source_db, target_db) as pipeline:
        pipeline.until_consistent()
    source_db.sql("CREATE TABLE n (id int PRIMARY KEY)")
    published = "SELECT 1 FROM pg_publication_tables WHERE pubname = %s AND tablename = 'n'"
    with Open(source_db, "INSERT INTO n VALUES (1)") as writer, Handled(source_db, target_db) as pipeline:
        pipeline.until(lambda: source_db.admin(published, f"cdcd_{pipeline.name}"), "the publication to hold the table")
        pipeline.until(lambda: waiting_for(source_db, writer.pid), "the slot to wait for the writer")
        assert source_db.sql("SELECT * FROM n") == [], "an ordinary snapshot sees it: nothing was provoked"
        writer.sql("INSERT INTO n VALUES (2)")
        # The stream goes on meanwhile, and what it brings of the new table is dropped.
        pipeline.until_stored(commit(source_db, "INSERT INTO n VALUES (4)", "UPDATE t SET v = 'y'"))
        assert check(source_db, target_db, pipeline.name) == {"public.n": ["unread"], "public.t": ["in"]}
        writer.commit()
        source_db.sql("INSERT INTO n VALUES (3)")
        pipeline.equal("public.t", "public.n")
        assert target_db.sql("SELECT id FROM n ORDER BY id") == [(1,), (2,), (3,), (4,)]
        assert pipeline.progress.retries == 0


def _run(source: Database, target: str) -> list[str]:
    return ["run", "--from", source.url, "--to", target, "--name", source.name, "--until", "caught-up"]


@pytest.mark.failure("T-PG-14")
def test_killed_between_the_slot_and_the_first_checkpoint(
    source_db: Database, target_db: Database, target_proxy: Proxy, cdcd: Callable[..., Daemon],
    run_cdcd: Callable[..., Daemon],
) -> None:
    """The slot is there, and nothing says where it began but the intent. Off: an intent stored after the slot: refused
    for ever. Off: the slot taken as it is: what was written before it is in no snapshot."""
    source_db.sql(TABLE)
    target = target_proxy.url(target_db.url)
    trap = target_proxy.hold(Direction.TO_SERVER, lambda message: "INSERT INTO cdcd.checkpoints" in message.sql)
    daemon = cdcd(*_run(source_db, target))
    trap.wait()
    slot = "SELECT slot_name, confirmed_flush_lsn FROM pg_replication_slots WHERE database = current_database()"
    ((name, first),) = source_db.admin(slot)
    daemon.kill()
    target_proxy.cut()
    commit(source_db, "INSERT INTO t VALUES (21, 'between')", "DELETE FROM t WHERE id = 1")
    run_cdcd(*_run(source_db, target))
    ((again, second),) = source_db.admin(slot)
    assert (again, second != first) == (name, True), "the slot of nobody knows where was used"
    assert_equal(source_db, target_db, ["public.t"])


@pytest.mark.failure("T-PG-14")
def test_a_slot_that_another_target_reads_is_refused(
    source_db: Database, target_db: Database, run_cdcd: Callable[..., Daemon]
) -> None:
    """One name on two targets. Off: a slot without an intent taken, or dropped, as ours: the first target loses
    changes. Its own pipeline goes on, although its URL is another by then."""
    source_db.sql(TABLE)
    with Pipeline(source_db, target_db) as pipeline:
        pipeline.until_consistent()
    commit(source_db, "INSERT INTO t VALUES (21, 'for the first')")
    other = make_target(target_db.server)
    try:
        with Pipeline(source_db, other) as pipeline:
            pipeline.stopped_by(StateRefused)
        # The refused run left an intent of its own: the next is refused too.
        said = run_cdcd(*_run(source_db, other.url), code=6).text()
        assert f"cdcd_{source_db.name}" in said
        assert "another name" in said
        assert "pg_drop_replication_slot" in said
    finally:
        other.drop()
    with Pipeline(source_db, target_db, source_url=source_db.url + "?connect_timeout=9") as pipeline:
        pipeline.equal("public.t")


@pytest.mark.failure("T-PG-14", "SN-09")
def test_a_checkpoint_whose_slot_is_gone_is_refused(source_db: Database, target_db: Database) -> None:
    """Neither a new slot at the present place, nor a load over what is there. Off: verify_slot."""
    source_db.sql(TABLE)
    with Pipeline(source_db, target_db) as pipeline:
        pipeline.until_consistent()
    source_db.server.drop_slots(source_db.name)
    commit(source_db, "INSERT INTO t VALUES (21, 'lost with the slot')")
    with Pipeline(source_db, target_db) as pipeline:
        error = pipeline.stopped_by(SlotLost)
    assert "slot is gone" in error.what
    assert "cdcd drop" in error.hint
    assert source_db.server.slots(source_db.name) == []
