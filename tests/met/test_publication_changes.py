"""A publication that others change while a pipeline reads it: named within the minute, and when it is run again."""

from typing import Any

import pytest

from cdcd.wake import Wake
from connectors.postgres.ask import Asker
from connectors.postgres.catalogue import read_tables
from connectors.postgres.watch import PublicationWatch
from tests.met.pair import Pair
from tests.met.test_stops import T, stopped
from tests.servers import Database

QUICK = ("--table-poll", "0.2")

CHANGES = {
    "PG-PUBLICATION-TABLE": "ALTER PUBLICATION {} DROP TABLE t",
    "PG-PUBLICATION-FILTER": "ALTER PUBLICATION {} SET TABLE t WHERE (id > 3), u, other",
    "PG-PUBLICATION-COLUMNS": "ALTER PUBLICATION {} SET TABLE t (id), u, other",
    "PG-PUBLICATION-KINDS": "ALTER PUBLICATION {} SET (publish = 'insert')",
    "PG-PUBLICATION": "DROP PUBLICATION {}",
    "PG-PUBLICATION-AGAIN": "ALTER PUBLICATION {0} DROP TABLE t; ALTER PUBLICATION {0} ADD TABLE t",
}


@pytest.mark.failure("T-SC-4")
@pytest.mark.parametrize("wanted", CHANGES)
def test_named_while_it_runs(pair: Pair, wanted: str) -> None:
    """One given by hand is not put right by us; the table missed changes."""
    pair.source.sql(T + "; CREATE TABLE u (id int PRIMARY KEY)")
    pair.source.admin("CREATE PUBLICATION mine FOR TABLE t, u")
    daemon = pair.follow("--publication", "mine", *QUICK)
    daemon.wait_said("consistent")
    pair.source.sql("CREATE TABLE other (id int PRIMARY KEY)")
    pair.source.admin("ALTER PUBLICATION mine ADD TABLE other")  # harmless
    pair.source.sql("INSERT INTO t VALUES (2000, 'before')")
    pair.wait_equal("public.t")
    pair.source.admin(CHANGES[wanted].format("mine"))
    daemon.wait(6, 30)
    stopped(daemon, f"[{wanted}]")


@pytest.mark.failure("T-SC-4")
def test_ours_changed_while_it_runs_and_while_it_does_not(pair: Pair) -> None:
    """Joins and what we change ourselves are no alarm; the same stop comes again until it is mended."""
    pair.source.sql(T)
    daemon = pair.follow(*QUICK)
    daemon.wait_said("consistent")
    for number in range(3):
        pair.source.sql(f"CREATE TABLE later{number} (id int PRIMARY KEY); INSERT INTO later{number} VALUES (1)")
        pair.wait_equal(f"public.later{number}")
    pair.source.admin(f"ALTER PUBLICATION {pair.slot} DROP TABLE later1")
    daemon.wait(6, 30)
    stopped(daemon, "[PG-PUBLICATION-TABLE]", "public.later1")
    again = pair.cdcd("run", *pair.ends)
    again.wait(6)
    stopped(again, "[PG-PUBLICATION-TABLE]", "ADD TABLE", "reload")
    pair.source.sql("INSERT INTO later1 VALUES (2)")
    pair.source.admin(f"ALTER PUBLICATION {pair.slot} ADD TABLE later1")
    pair.command("reload", "public.later1")
    mended = pair.follow(*QUICK)
    pair.wait_equal("public.later1")
    pair.source.admin(f"ALTER PUBLICATION {pair.slot} SET (publish = 'insert, update, delete, truncate')")
    mended.wait_said("PG-PUBLICATION-TOUCHED")
    mended.stop()


@pytest.mark.failure("PG-02")
def test_log_held_back_while_it_runs(pair: Pair) -> None:
    """Told once, in the log and as a number; nothing is dropped."""
    pair.source.sql(T)
    daemon = pair.follow("--log-disk", "20 MB", *QUICK)
    daemon.wait_said("consistent")
    blocker = pair.source.connect()
    blocker.autocommit = False
    blocker.cursor().execute("INSERT INTO t VALUES (3000, 'open')")  # the slot's restart_lsn stays before it
    pair.source.admin("SELECT pg_logical_emit_message(false, 'x', repeat('x', 12 << 20))")
    daemon.wait_said("PG-WAL-HELD")
    assert daemon.text().count("PG-WAL-HELD") == 1
    blocker.commit()
    blocker.close()
    assert pair.slots() == [pair.slot]
    daemon.stop()


@pytest.mark.failure("T-SC-4")
def test_tables_altered_while_it_is_looked(source_db: Database) -> None:
    """The tables and what is published of them are two questions: each time another table is altered between them."""
    source_db.sql("CREATE TABLE t0 (id int PRIMARY KEY, a int); CREATE TABLE t1 (id int PRIMARY KEY, a int)")
    source_db.admin("CREATE PUBLICATION p FOR ALL TABLES WITH (publish_via_partition_root = true)")
    asker = Asker(lambda: source_db.url, "test", Wake())
    watch = PublicationWatch(asker, "p", by_root=True)
    with asker.connection() as connection:
        tables = read_tables(connection)
    with watch.changed(tables):
        pass
    between = ["ALTER TABLE t1 RENAME a TO b", "ALTER TABLE t0 RENAME a TO b"]
    ask = asker.ask

    def altering(text: str, *params: Any) -> list[tuple[Any, ...]]:
        if "pg_publication_tables" in text and between:
            source_db.sql(between.pop())
        return ask(text, *params)

    asker.ask = altering  # type: ignore[method-assign]
    try:
        assert watch.look() == [] and not between
        source_db.admin("DROP PUBLICATION p; CREATE PUBLICATION p FOR TABLE t0 WITH (publish_via_partition_root)")
        assert "PG-PUBLICATION-TABLE" in [finding.id for finding in watch.look()], "what lasts is found"
    finally:
        asker.close()
