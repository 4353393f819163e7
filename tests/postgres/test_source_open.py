"""Opening at a checkpoint: what the server no longer holds, who else reads, and what `check` finds beforehand."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import psycopg2
import psycopg2.extras
import pytest

from cdcd.contracts import Finding
from cdcd.errors import CdcdError, Interrupted, OtherServer, SlotInUse, SlotLost, StateRefused, Unreachable, UsageError
from cdcd.model.group import Group
from cdcd.model.position import Checkpoint
from cdcd.wake import Wake
from connectors.postgres.ask import Asker
from connectors.postgres.position import Lsn
from connectors.postgres.source import PostgresSource
from tests.postgres.source_reading import NAME, open_at, pipeline, read_all, slot_place, text_form, told
from tests.servers import Postgres, make_roles
from tests.servers.database import Database, make_source
from tests.waiting import wait_until


@pytest.fixture
def source(source_db: Database) -> Iterator[PostgresSource]:
    source_db.sql("CREATE TABLE t (id int PRIMARY KEY)")
    with pipeline(source_db) as source:
        yield source


class TestSlot:
    @pytest.mark.failure("PG-03")
    def test_dropped(self, source_db: Database, source: PostgresSource) -> None:
        place = slot_place(source_db)
        source_db.server.drop_slots(source_db.name)
        with pytest.raises(SlotLost, match="gone"):
            open_at(source, place, text_form)

    @pytest.mark.failure("PG-08")
    def test_moved_past_the_checkpoint(self, source_db: Database, source: PostgresSource) -> None:
        place = slot_place(source_db)
        source_db.sql("INSERT INTO t VALUES (1)")
        source_db.admin("SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn())", f"cdcd_{NAME}")
        with pytest.raises(SlotLost, match="past"):
            open_at(source, place, text_form)

    @pytest.mark.failure("PG-03")
    @pytest.mark.slow
    def test_invalidated(self) -> None:
        with Postgres.start(18, settings={"max_slot_wal_keep_size": "16MB", "min_wal_size": "32MB"}) as server:
            make_roles(server)
            database = make_source(server)
            database.sql("CREATE TABLE t (id int PRIMARY KEY)")
            with pipeline(database) as source:
                place = slot_place(database)
                for _ in range(5):
                    database.admin("SELECT pg_logical_emit_message(false, 'x', 'x')")
                    database.admin("SELECT pg_switch_wal()")
                database.admin("CHECKPOINT")
                lost = "SELECT wal_status = 'lost' FROM pg_replication_slots"
                wait_until(lambda: database.admin(lost)[0][0], what="the slot to be lost")
                with pytest.raises(SlotLost, match="invalidated") as caught:
                    open_at(source, place, text_form)
                assert "max_slot_wal_keep_size" in caught.value.hint
                assert source.status()["wal_status"] == "lost"

    @pytest.mark.failure("PG-07")
    def test_our_own_stale_reader_is_ended(self, source_db: Database, source: PostgresSource) -> None:
        place = slot_place(source_db)
        stale = PostgresSource(source_db.url, NAME)
        open_at(stale, place, text_form)
        open_at(source, place, text_form)
        source_db.sql("INSERT INTO t VALUES (1)")
        assert len(told(read_all(source))) == 1
        with pytest.raises((Unreachable, CdcdError)):
            read_all(stale)
        stale.close()

    def test_somebody_else_reads_it(self, source_db: Database, source: PostgresSource) -> None:
        stranger = psycopg2.connect(
            source_db.admin_url, connection_factory=psycopg2.extras.LogicalReplicationConnection
        )
        cursor = stranger.cursor()
        options = {"proto_version": "1", "publication_names": f"cdcd_{NAME}"}
        cursor.start_replication(slot_name=f"cdcd_{NAME}", decode=False, options=options)
        with pytest.raises(SlotInUse):
            open_at(source, slot_place(source_db), text_form)
        cursor.close()
        stranger.close()

    def test_of_another_plugin(self, source_db: Database) -> None:
        source_db.sql("CREATE TABLE t (id int PRIMARY KEY)")
        source_db.admin("SELECT pg_create_physical_replication_slot(%s)", f"cdcd_{NAME}")
        source = PostgresSource(source_db.url, NAME)
        with pytest.raises(StateRefused):
            open_at(source, source.head(), text_form)
        source.close()
        source_db.admin("SELECT pg_drop_replication_slot(%s)", f"cdcd_{NAME}")


class TestServer:
    @pytest.mark.failure("PG-26")
    def test_another_one(self, source_db: Database, source: PostgresSource) -> None:
        place, identity = slot_place(source_db), source.identity()
        for other in (replace(identity, system="1"), replace(identity, database="1"), replace(identity, timeline=9)):
            with pytest.raises(OtherServer):
                source.open(Checkpoint(place), other, {})

    @pytest.mark.failure("PG-28")
    def test_one_that_went_back_in_time(self, source: PostgresSource) -> None:
        with pytest.raises(OtherServer, match="back in time"):
            source.open(Checkpoint(Lsn(source.head().lsn + (1 << 32))), source.identity(), {})

    @pytest.mark.slow
    def test_a_restart_is_no_loss(self) -> None:
        with Postgres.start(18) as server:
            make_roles(server)
            database = make_source(server)
            database.sql("CREATE TABLE t (id int PRIMARY KEY)")
            with pipeline(database) as source:
                place = slot_place(database)
                open_at(source, place, text_form)
                database.sql("INSERT INTO t VALUES (1)")
                server.restart("immediate")
                with pytest.raises(Unreachable):
                    while True:
                        source.read(Group(), None, 1)
                source.close()
                open_at(source, place, text_form)
                assert [event[2] for event in told(read_all(source))] == [b"1"]

    def test_nobody_listens(self) -> None:
        source = PostgresSource("postgresql://u:canary@127.0.0.1:1/d", NAME)
        with pytest.raises(Unreachable) as caught:
            source.identity()
        assert "canary" not in str(caught.value)

    def test_a_wrong_password(self, source_db: Database) -> None:
        source = PostgresSource(source_db.url.replace("canary", "c\u00e4nary"), NAME)
        for ask in (source.identity, lambda: source.snapshot([])):
            with pytest.raises(UsageError) as caught:
                ask()
            assert "nary" not in str(caught.value)

    def test_the_url_is_asked_at_each_connect(self, source_db: Database) -> None:
        """A password that was changed is used from then on."""
        asked: list[int] = []

        def url() -> str:
            asked.append(1)
            return source_db.url

        source = PostgresSource(url, NAME)
        source.identity()
        source.head()
        assert len(asked) == 2
        source.close()

    def test_interrupt_ends_a_question(self, source_db: Database, source: PostgresSource) -> None:
        (table,) = source.tables()
        holder = source_db.connect()
        holder.autocommit = False
        holder.cursor().execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        threading.Timer(0.5, source.interrupt).start()
        began = time.monotonic()
        with pytest.raises(Interrupted):
            source.bounds(replace(table, bytes=1 << 30), 1 << 20)
        assert time.monotonic() - began < 5
        holder.close()


class TestCheck:
    def ids(self, findings: list[Finding]) -> set[str]:
        return {finding.id for finding in findings if finding.level == "error"}

    def test_nothing_is_wrong(self, source_db: Database) -> None:
        source_db.sql("CREATE TABLE t (id int PRIMARY KEY)")
        source = PostgresSource(source_db.url, NAME)
        assert source.check(source.tables()) == []
        assert not source_db.server.slots(source_db.name)
        source.close()

    @pytest.mark.failure("PG-05")
    def test_a_table_without_identity(self, source_db: Database) -> None:
        source_db.sql("CREATE TABLE t (id int); INSERT INTO t VALUES (1); CREATE TABLE k (id int PRIMARY KEY)")
        source = PostgresSource(source_db.url, NAME)
        (finding,) = source.check(source.tables())
        assert (finding.id, finding.level) == ("PG-NO-IDENTITY", "error")
        assert "REPLICA IDENTITY FULL" in finding.mend
        source.publish(source.tables())
        source_db.sql("UPDATE t SET id = 2; DELETE FROM t")  # the application's own statements go on working
        source_db.sql(finding.mend.split(" -- ")[0])
        assert self.ids(source.check(source.tables())) == set()
        source.drop()
        source.close()

    @pytest.mark.failure("PG-27")
    def test_rights_on_tables(self, source_db: Database) -> None:
        source_db.admin(
            "CREATE TABLE theirs (id int PRIMARY KEY); CREATE SCHEMA hidden; CREATE TABLE hidden.t (id int PRIMARY KEY)"
        )
        source = PostgresSource(source_db.url, NAME)
        assert self.ids(source.check(source.tables())) == {"PG-SELECT", "PG-OWNER", "PG-USAGE"}
        source.close()

    @pytest.mark.failure("PG-27")
    def test_a_role_that_may_not_replicate(self, source_db: Database) -> None:
        source_db.sql("CREATE TABLE t (id int PRIMARY KEY)")
        source = PostgresSource(source_db.owner_url, NAME)
        assert self.ids(source.check(source.tables())) == {"PG-REPLICATION"}
        source.close()

    @pytest.mark.failure("PG-27")
    @pytest.mark.slow
    def test_settings_of_the_server(self) -> None:
        settings = {"wal_level": "replica", "max_replication_slots": 1, "max_wal_senders": 1}
        with Postgres.start(18, settings=settings) as server:
            make_roles(server)
            source = PostgresSource(make_source(server).url, NAME)
            assert self.ids(source.check([])) == {"PG-WAL-LEVEL", "PG-SLOTS", "PG-SENDERS"}
            source.close()

    def test_partitions_with_another_identity(self, source_db: Database) -> None:
        source_db.sql(
            "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id);"
            "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9); ALTER TABLE p1 REPLICA IDENTITY FULL"
        )
        source = PostgresSource(source_db.url, NAME)
        (finding,) = source.check(source.tables())
        assert finding.id == "PG-LEAF-IDENTITY"
        source_db.sql(finding.mend)
        assert source.check(source.tables()) == []
        source.close()

    def test_a_publication_given_by_hand(self, source_db: Database) -> None:
        source_db.sql("CREATE TABLE t (id int PRIMARY KEY)")
        source_db.sql("CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id)")
        source = PostgresSource(source_db.url, NAME, publication="mine")
        tables = source.tables()
        assert self.ids(source.check(tables)) == {"PG-PUBLICATION"}
        source_db.admin("CREATE PUBLICATION mine FOR TABLE p WITH (publish = 'insert')")
        found = source.check(tables)
        assert self.ids(found) == {"PG-PUBLICATION-KINDS", "PG-PUBLICATION-ROOT", "PG-PUBLICATION-TABLE"}
        for finding in found:
            source_db.admin(finding.mend)
        assert source.check(tables) == []
        source.publish([])
        source.drop()
        assert source_db.admin("SELECT pubname FROM pg_publication") == [("mine",)]
        source.close()


def test_nothing_stays_open(source_db: Database) -> None:
    """After close no descriptor of ours is left."""
    source_db.sql("CREATE TABLE t (id int PRIMARY KEY)")

    def once() -> None:
        with pipeline(source_db) as source:
            open_at(source, slot_place(source_db), text_form)
            read_all(source)
            source.snapshot([]).close()

    once()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        once()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_questions_to_the_catalogue_are_not_compiled(source_db15: Database) -> None:
    """Debian's server would: it takes a second, of a question of five milliseconds."""
    assert source_db15.sql("SHOW jit") == [("on",)]
    asker = Asker(lambda: source_db15.url, "cdcd/test", Wake())
    try:
        assert asker.ask("SHOW jit") == [("off",)]
    finally:
        asker.close()
