"""Named stops: what nobody could go on from, each with its exit code, its words and the way out."""

import re

import psycopg2.extras
import pytest

from tests.fix_daemon import Daemon
from tests.met.pair import Pair
from tests.servers import Database
from tests.servers.matrix import since
from tests.waiting import wait_until

T = "CREATE TABLE t (id int PRIMARY KEY, x text); INSERT INTO t SELECT i, 'x' FROM generate_series(1, 100) i"
MORE = "DELETE FROM t WHERE id <= 10; UPDATE t SET x = 'y' WHERE id > 90; INSERT INTO t VALUES (1000, 'z')"


def stopped(daemon: Daemon, *words: str) -> None:
    for word in words:
        assert daemon.said(word), f"{word!r} is not in:\n{daemon.text()}"


def rows(database: Database) -> object:
    return database.sql("SELECT count(*), sum(id), min(x), max(x) FROM t")


@pytest.mark.failure("PG-03", "SN-09", "T-DB-5")
def test_a_slot_that_was_dropped_meanwhile(pair: Pair) -> None:
    """No quiet new slot: the target is left as it was; `drop` and another copy mend it, deletes included."""
    pair.source.sql(T)
    pair.run()
    before = rows(pair.target)
    pair.source.server.drop_slots(pair.source.name)
    pair.source.sql(MORE)
    stopped(pair.run(code=6), "the replication slot is gone", "cdcd drop", "--target-tables truncate")
    assert rows(pair.target) == before
    assert pair.slots() == []
    pair.command("drop", "--yes")
    stopped(pair.run(code=3), "[PT-FILLED] public.t holds rows", "target_tables = truncate")
    pair.run("--target-tables", "truncate")
    pair.equal("public.t")


@pytest.mark.failure("PG-03")
def test_a_slot_that_is_dropped_while_it_streams(pair: Pair) -> None:
    pair.source.sql(T)
    daemon = pair.follow()
    pair.source.server.drop_slots(pair.source.name)
    pair.source.sql(MORE)
    daemon.wait(6)
    stopped(daemon, "the replication slot is gone")
    assert pair.slots() == []


@pytest.mark.failure("PG-08")
def test_a_slot_ahead_of_the_checkpoint(pair: Pair) -> None:
    """START_REPLICATION would begin at the slot's place without a word."""
    pair.source.sql(T)
    pair.run()
    pair.source.sql(MORE)
    pair.source.admin("SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn())", pair.slot)
    before = rows(pair.target)
    stopped(pair.run(code=6), "moved past the checkpoint", "cdcd drop")
    assert rows(pair.target) == before


@pytest.mark.failure("TG-13")
def test_a_target_restored_from_an_older_backup(pair: Pair) -> None:
    """Its checkpoint came with it: replayed from there while the slot still holds it, else a named stop."""
    pair.source.sql(T)
    pair.run()
    name, server = pair.target.name, pair.target.server
    server.execute(f'CREATE DATABASE "{name}_old" TEMPLATE "{name}"')
    restore = (f'DROP DATABASE "{name}" WITH (FORCE)', f'CREATE DATABASE "{name}" TEMPLATE "{name}_old"')
    try:
        for statement in restore:
            server.execute(statement)
        pair.source.sql(MORE)
        pair.run()
        pair.equal("public.t")
        for statement in restore:
            server.execute(statement)
        pair.source.admin("SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn())", pair.slot)
        stopped(pair.run(code=6), "moved past the checkpoint", "the target was restored")
    finally:
        server.drop_database(f"{name}_old")


def test_a_slot_that_somebody_reads(pair: Pair) -> None:
    pair.source.sql(T)
    pair.run()
    stranger = psycopg2.connect(
        pair.source.admin_url, connection_factory=psycopg2.extras.LogicalReplicationConnection,
        application_name="stranger",
    )
    cursor = stranger.cursor()
    options = {"proto_version": "1", "publication_names": pair.slot}
    cursor.start_replication(slot_name=pair.slot, decode=False, options=options)
    stopped(pair.run(code=6), "stranger", "pg_terminate_backend")
    cursor.close()
    stranger.close()
    pair.run()


def test_a_slot_without_control_rows_and_the_reverse(pair: Pair) -> None:
    """Each is refused with both ways out."""
    pair.source.sql(T)
    pair.run()
    pair.target.sql("DROP SCHEMA cdcd CASCADE; TRUNCATE t")
    stopped(pair.run(code=6), "this pipeline never started", "another name", "pg_drop_replication_slot")
    assert pair.slots() == [pair.slot]
    assert pair.target.sql("SELECT count(*) FROM t") == [(0,)]


@pytest.mark.failure("PG-26")
@since(16, "another server than that of 15")
def test_another_server_and_another_database_behind_the_name(pair: Pair, source_db15: Database) -> None:
    pair.source.sql(T)
    pair.run()
    source_db15.sql(T)
    stopped(pair.over(source=source_db15.url).run(code=6), "system identifier", "begin a new pipeline")
    assert source_db15.server.slots(source_db15.name) == []
    other = pair.source.url.replace(pair.source.name, "postgres")
    stopped(pair.over(source=other).run(code=6), "another database of the same server")


def test_control_tables_of_a_newer_version(pair: Pair) -> None:
    pair.source.sql(T)
    pair.run()
    pair.target.sql("UPDATE cdcd.version SET version = 99")
    stopped(pair.run(code=6), "have version 99", "a newer")


@pytest.mark.failure("TG-07")
@pytest.mark.parametrize("change", ["UPDATE t SET x = 'y' WHERE id = 7", "DELETE FROM t WHERE id = 7"])
def test_a_change_that_meets_no_row(pair: Pair, change: str) -> None:
    """Table, key and position are named; nothing of the transaction is at the target."""
    pair.source.sql(T)
    daemon = pair.follow()
    pair.target.sql("DELETE FROM t WHERE id = 7")
    pair.source.sql(f"BEGIN; INSERT INTO t VALUES (1000, 'with it'); {change}; COMMIT")
    daemon.wait(6)
    stopped(daemon, "public.t", "7", "position")
    assert pair.target.sql("SELECT 1 FROM t WHERE id = 1000") == []


@pytest.mark.failure("SN-09")
@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("ALTER TABLE t ADD y int", "it has no column y integer"),
        ("ALTER TABLE t DROP x", "it has the column x still"),
        ("ALTER TABLE t RENAME x TO z", "it has no column z text"),
        ("ALTER TABLE t ALTER x TYPE varchar(9)", "was text and is character varying(9)"),
        ("DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, x text)", "dropped and made again"),
    ],
    ids=["add", "drop", "rename", "type", "again"],
)
def test_a_schema_change_in_the_stream(pair: Pair, change: str, why: str) -> None:
    """What came before it stays, nothing after it is guessed."""
    pair.source.sql(T)
    daemon = pair.follow("--table-poll", "600", "--on-schema-change", "stop")
    pair.source.sql("INSERT INTO t VALUES (1000, 'before')")
    wait_until(lambda: pair.target.sql("SELECT 1 FROM t WHERE id = 1000"), what="the row before the change")
    pair.source.sql(change)
    if "DROP TABLE" in change:
        pair.source.admin(f'ALTER PUBLICATION "{pair.slot}" ADD TABLE t')
    pair.source.sql("INSERT INTO t (id) VALUES (1001)")
    daemon.wait(6)
    stopped(daemon, why)
    assert pair.target.sql("SELECT id FROM t WHERE id >= 1000") == [(1000,)]


@pytest.mark.failure("PG-05")
@pytest.mark.parametrize(
    ("change", "row"), [("DROP CONSTRAINT t_pkey", True), ("REPLICA IDENTITY NOTHING", False)]
)
def test_a_key_that_is_dropped_while_it_streams(pair: Pair, change: str, row: bool) -> None:
    """A row follows, or a look at the catalogue finds it. Our publication lets the table go, so that the application's
    own changes work; the next run says how to have it back."""
    pair.source.sql(T)
    daemon = pair.follow("--table-poll", "600" if row else "0.2")
    pair.source.sql(f"ALTER TABLE t {change}")
    if row:
        pair.source.sql("INSERT INTO t VALUES (1000, 'x')")
    daemon.wait(6)
    stopped(daemon, "public.t has lost what names its rows")
    pair.source.sql("UPDATE t SET x = 'y' WHERE id = 3; DELETE FROM t WHERE id = 4")
    again = pair.run(code=6)
    stopped(again, "[PG-PUBLICATION-TABLE]", "cdcd reload")
    mend = re.search("do: +(ALTER TABLE .*; ALTER PUBLICATION .*) -- ", again.text())
    assert mend is not None, again.text()
    pair.source.admin(mend[1])
    pair.command("reload", "public.t")
    pair.run()
    pair.equal("public.t")


@pytest.mark.failure("PG-15")
def test_a_publication_that_is_made_again(pair: Pair) -> None:
    """What was written without it is never sent: the server of 18 only warns of it."""
    pair.source.sql(T)
    pair.run()
    pair.source.admin(f'DROP PUBLICATION "{pair.slot}"')
    pair.source.sql(MORE)
    pair.source.admin(f'CREATE PUBLICATION "{pair.slot}" FOR TABLE t')
    stopped(pair.run(code=6), "publication", "ALTER PUBLICATION", "cdcd drop")
