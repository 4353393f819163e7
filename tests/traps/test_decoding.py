"""What a stream of pgoutput holds and when it is answered: positions, images, keys, wire forms (T-DE)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg2
import psycopg2.extras
import pytest

from cdcd.errors import CheckFailed
from cdcd.model.cell import UNCHANGED
from cdcd.model.group import DELETE, MOVE, UPDATE, Group, Rows
from connectors.postgres import replication
from connectors.postgres.position import parse_lsn
from tests.contract.reading import open_at, read, start
from tests.equality import assert_equal
from tests.fix_daemon import Daemon
from tests.servers import make_roles, run
from tests.servers.address import execute
from tests.servers.database import Database, make_source
from tests.servers.postgres import Postgres
from tests.servers.roles import TARGET_REPLICA
from tests.traps.conftest import Sources
from tests.traps.running import Running
from tests.traps.sessions import Open
from tests.waiting import wait_until

NOISE = "SELECT count(pg_logical_emit_message(false, 'noise', repeat('x', 1000000))) FROM generate_series(1, 20)"
"""20 MB of log that holds nothing of the pipeline's."""


def confirmed(source: Database) -> int:
    query = "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = %s"
    return parse_lsn(source.admin(query, f"cdcd_{source.name}")[0][0])


def stored(target: Database, name: str) -> int:
    query = "SELECT checkpoint -> 'position' ->> 'lsn' FROM cdcd.checkpoints WHERE pipeline = %s"
    return parse_lsn(target.sql(query, name)[0][0])


class TestPositions:
    @pytest.mark.failure("T-DE-1")
    def test_a_slot_is_told_only_what_was_acknowledged(self, source_db: Database, open_source: Sources) -> None:
        """Fails where the reader confirms what it has read (Follower._tell with the stream's place): the driver that
        does so by itself is shown first."""
        source_db.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE other (v text)")
        source = open_source(source_db, status_seconds=0.05)
        checkpoint, tables = start(source, ["public.t"])
        before = confirmed(source_db)
        source_db.sql("INSERT INTO other SELECT 'x' FROM generate_series(1, 1000)")
        open_at(source, checkpoint, tables)
        groups, _ = read(source)
        assert groups[-1].position is not None and groups[-1].position.lsn > before  # type: ignore[attr-defined]
        told = source_db.admin("SELECT now()")[0][0]
        reply = "SELECT max(reply_time) FROM pg_stat_replication WHERE application_name = %s"

        def answered() -> bool:
            source.read(Group(), None, 0.02)
            ((at,),) = source_db.admin(reply, f"cdcd/{source_db.name}")
            return bool(at and at > told)

        wait_until(answered, what="a status reply after what was read")
        assert confirmed(source_db) == before
        source.close()
        assert _confirmed_by_the_driver(source_db, before) > before, "psycopg2 has mended its ways"

    @pytest.mark.failure("T-DE-2")
    def test_after_a_kill_an_idle_slot_is_no_false_alarm(
        self, source_db: Database, target_db: Database, cdcd: Callable[..., Daemon]
    ) -> None:
        """Fails where idle places are acknowledged and never stored (Reader._worth_handing without its last lines, and
        the place confirmed): the slot is ahead of the checkpoint, which means loss."""
        source_db.sql("CREATE TABLE t (id int PRIMARY KEY)")
        arguments = ["run", "--from", source_db.url, "--to", target_db.url, "--name", source_db.name]
        daemon = cdcd(*arguments)
        daemon.wait_said("stream started")
        before = confirmed(source_db)
        source_db.admin(NOISE)
        wait_until(lambda: confirmed(source_db) > before, what="an idle place to be acknowledged")
        assert confirmed(source_db) <= stored(target_db, source_db.name)
        source_db.admin(NOISE)
        daemon.kill()
        assert confirmed(source_db) <= stored(target_db, source_db.name)
        source_db.sql("INSERT INTO t VALUES (1)")
        cdcd(*arguments, "--until", "caught-up").wait(0)
        assert_equal(source_db, target_db, ["public.t"])

    @pytest.mark.failure("T-DE-2")
    def test_idle_places_are_stored_before_they_are_acknowledged(
        self, source_db: Database, target_db: Database
    ) -> None:
        """Fails where a group without changes is acknowledged at once (Attempt._apply): the slot runs ahead while the
        target is held."""
        source_db.sql("CREATE TABLE t (id int PRIMARY KEY)")
        replied = "SELECT reply_time FROM pg_stat_replication WHERE application_name = %s"
        with Running(source_db, target_db) as pipeline:
            pipeline.caught_up()
            with Open(target_db, "SELECT FROM cdcd.checkpoints FOR UPDATE") as held:
                source_db.admin(NOISE)
                blocked = "SELECT clock_timestamp() FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))"
                wait_until(lambda: target_db.admin(blocked, held.pid), what="the idle place to be stored")
                ((since,),) = source_db.admin("SELECT clock_timestamp()")
                ahead = f"SELECT 1 FROM ({replied}) r WHERE reply_time > %s + interval '1 second'"
                wait_until(lambda: source_db.admin(ahead, f"cdcd/{source_db.name}", since), what="two status replies")
                assert confirmed(source_db) <= stored(target_db, source_db.name)
            pipeline.caught_up()

    @pytest.mark.failure("T-DE-3")
    @pytest.mark.slow
    def test_a_reader_that_waits_goes_on_answering(
        self, source_db: Database, target_db: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Fails where Follower.rest, or the hand-over's wait, does not answer: the server cuts the link after two
        seconds, and the transaction begins again."""
        monkeypatch.setitem(replication.SETTINGS, "wal_sender_timeout", "2s")
        source_db.sql("CREATE TABLE t (id int PRIMARY KEY, v text)")
        walsender = "SELECT pid, reply_time FROM pg_stat_replication WHERE application_name = %s"
        me = f"cdcd/{source_db.name}"
        with Running(source_db, target_db, group_bytes=1 << 16) as pipeline:
            pipeline.caught_up()
            with Open(target_db, "LOCK TABLE t IN SHARE MODE"):
                source_db.sql("INSERT INTO t SELECT i, repeat('x', 200) FROM generate_series(1, 200000) i")
                wait_until(
                    lambda: target_db.admin("SELECT pid FROM pg_locks WHERE NOT granted AND relation = 't'::regclass"),
                    what="the target to be waited for",
                )
                ((pid, since),) = source_db.admin(walsender, me)
                began = time.monotonic()
                wait_until(
                    lambda: source_db.admin(
                        f"SELECT pid FROM ({walsender}) w WHERE reply_time > %s + interval '4.5 s'", me, since
                    ),
                    what="replies for longer than two time-outs",
                )
                assert time.monotonic() - began > 4
            pipeline.equal("public.t", limit=60)
            assert source_db.admin(walsender, me)[0][0] == pid
            assert pipeline.progress.retries == 0


def _confirmed_by_the_driver(source: Database, before: int) -> int:
    """Where a slot stands after psycopg2's own loop has read it without ever sending feedback."""
    name = source.name
    connection = psycopg2.connect(source.url, connection_factory=psycopg2.extras.LogicalReplicationConnection)
    try:
        with connection.cursor() as cursor:
            cursor.start_replication(
                f"cdcd_{name}", decode=False, status_interval=1,
                options={"proto_version": "1", "publication_names": f"cdcd_{name}"},
            )  # fmt: skip

            def moved() -> bool:
                while cursor.read_message() is not None:
                    pass
                return confirmed(source) > before

            wait_until(moved, what="psycopg2 to acknowledge by itself")
            return confirmed(source)
    finally:
        connection.close()


@pytest.fixture(scope="module")
def wrapping() -> Iterator[Postgres]:
    """A server whose transaction ids are about to wrap: 296 are left."""
    with Postgres.start(18, {"autovacuum": "off"}) as server:
        for name in ("postgres", "template1"):  # no row is to bear an id from before
            execute(server.url(name), "VACUUM (FREEZE)")
        server.stop()
        server.run("pg_resetwal", "-D", server.data, "-x", 4294967000, "-u", 4294960000)
        # The commit log's page of those ids, which no transaction has begun here.
        segment = server.data / "pg_xact" / "0FFF"
        segment.write_bytes(bytes(1 << 18))
        run.give(segment)
        server.launch()
        make_roles(server)
        yield server


@pytest.fixture
def wrapping_db(wrapping: Postgres) -> Iterator[Database]:
    database = make_source(wrapping)
    yield database
    database.drop()


@pytest.mark.failure("T-DE-4")
def test_transaction_ids_wrap(wrapping_db: Database, target_db: Database, cdcd: Callable[..., Daemon]) -> None:
    """Fails where ids are compared with what is 64 bits wide (a transaction skipped because its id is lower than a
    snapshot's), and where `tail` names transactions by 32 bits (Stream that lists `xid` as it came)."""
    source = wrapping_db
    source.sql("CREATE TABLE t (id int PRIMARY KEY, xid text); CREATE TABLE log (v int)")
    source.sql("ALTER TABLE log REPLICA IDENTITY FULL; INSERT INTO t VALUES (0, pg_current_xact_id()::text)")
    ((before,),) = source.sql("SELECT pg_current_xact_id()::text::numeric")
    assert before < 1 << 32, "the wrap is to come while it runs"
    with Running(source, target_db) as pipeline:
        pipeline.caught_up()
        tail = cdcd("tail", source.url, "--tables", "public.t")
        tail.wait_said("stream started")
        with closing(source.connect()) as connection, connection.cursor() as cursor:
            for number in range(1, 300):
                cursor.execute("INSERT INTO t VALUES (%s, pg_current_xact_id()::text)", (number,))
                cursor.execute("INSERT INTO log VALUES (%s)", (number,))
                if number % 50 == 0:
                    cursor.execute("UPDATE t SET id = -id WHERE id = %s", (number - 7,))
        ((after,),) = source.sql("SELECT pg_current_xact_id()::text::numeric")
        assert after > 1 << 32
        pipeline.equal("public.t", "public.log")
        wait_until(lambda: tail.output.read_text().count("\n") == 304, what="the lines of tail")
    tail.stop()
    for line in map(json.loads, tail.output.read_text().splitlines()):
        if line["op"] == "c":
            assert str(line["tx"]) == line["after"]["xid"]
    # Started anew beyond the wrap, with a snapshot of its own.
    source.sql("INSERT INTO log VALUES (1)")
    with Running(source, target_db) as pipeline:
        pipeline.equal("public.t", "public.log")


class TestImages:
    @pytest.mark.failure("T-DE-5")
    def test_old_images_differ_from_row_to_row(
        self, source_db: Database, target_db: Database, open_source: Sources
    ) -> None:
        """Fails where an update with an old key is taken for one without (other() appending UPDATE): the kinds are
        compared, then the rows at the target."""
        source_db.sql("CREATE TABLE d (id int PRIMARY KEY, v int, u text); ALTER TABLE d ALTER u SET STORAGE EXTERNAL")
        source_db.sql("CREATE TABLE f (LIKE d INCLUDING ALL); ALTER TABLE f REPLICA IDENTITY FULL")
        rows = "SELECT i, 0, repeat(md5(i::text), 200) FROM generate_series(1, 9) i"
        source_db.sql(f"INSERT INTO d {rows}; INSERT INTO f {rows}")
        with Running(source_db, target_db) as pipeline:
            pipeline.caught_up()
            source = open_source(source_db, slot=f"other_{source_db.name}")
            checkpoint, tables = start(source, ["public.d", "public.f"])
            with Open(source_db) as session:
                for table in ("d", "f"):
                    session.sql(f"UPDATE {table} SET v = 1 WHERE id = 1")
                    session.sql(f"UPDATE {table} SET id = 90 WHERE id = 2")
                    session.sql(f"UPDATE {table} SET v = 2 WHERE id = 3")
                    session.sql(f"UPDATE {table} SET u = 'short', id = 91 WHERE id = 4")
                    session.sql(f"DELETE FROM {table} WHERE id = 5")
                session.commit()
            pipeline.equal("public.d", "public.f")
        open_at(source, checkpoint, tables)
        groups, _ = read(source)
        kinds = {"public.d": b"", "public.f": b""}
        missing = {"public.d": 0, "public.f": 0}
        for group in groups:
            for step in group.steps:
                assert isinstance(step, Rows)
                for log in step.logs.values():
                    kinds[log.table.id] += bytes(log.ops)
                    missing[log.table.id] += sum(
                        UNCHANGED in (row[1] if op == MOVE else row) and isinstance(row, tuple)
                        for op, row in zip(log.ops, log.rows, strict=True)
                        if row is not None and not isinstance(row[1] if op == MOVE else row, bytes)
                    )
        expected = bytes([UPDATE, MOVE, UPDATE, MOVE, DELETE])
        assert kinds == {"public.d": expected, "public.f": expected}
        assert missing == {"public.d": 3, "public.f": 0}, "FULL sends what was not changed in the old row"

    @pytest.mark.failure("T-DE-5")
    def test_no_identity_is_refused_before_the_application_fails(
        self, source_db: Database, target_db: Database
    ) -> None:
        """Fails where the check of identities is left out: published, the application's own UPDATE is an error."""
        source_db.sql("CREATE TABLE n (id int PRIMARY KEY, v int); ALTER TABLE n REPLICA IDENTITY NOTHING")
        source_db.sql("INSERT INTO n VALUES (1, 0)")
        with Running(source_db, target_db) as pipeline:
            error = pipeline.stopped_by(CheckFailed)
        assert "PG-NO-IDENTITY" in str(error) and "REPLICA IDENTITY FULL" in str(error)
        source_db.sql("UPDATE n SET v = 1")

    @pytest.mark.failure("T-DE-9")
    @pytest.mark.parametrize("binary", [True, False], ids=["binary", "text"])
    def test_the_key_is_what_the_source_names_old_rows_by(
        self, source_db: Database, target_db: Database, binary: bool
    ) -> None:
        """Fails where the key is the primary key: the update of 7 meets no row, the delete looks for NULL."""
        source_db.sql(
            "CREATE TABLE ri (id int PRIMARY KEY, email text NOT NULL UNIQUE, v int);"
            "ALTER TABLE ri REPLICA IDENTITY USING INDEX ri_email_key"
        )
        source_db.sql("INSERT INTO ri SELECT i, 'loaded ' || i FROM generate_series(1, 5000) i; ANALYZE ri")
        with Running(source_db, target_db, binary=binary, chunk_bytes=1 << 16) as pipeline:
            pipeline.equal("public.ri")
            keys = target_db.sql("SELECT DISTINCT columns::text FROM cdcd.chunks WHERE columns <> '[]'")
            assert keys == [('["email"]',)], "chunks are ranges of the identity"
            by_email = "SELECT count(*) FROM pg_indexes WHERE tablename = 'ri' AND indexdef ~ '\\(email'"
            assert target_db.sql(by_email) == [(1,)]
            source_db.sql("INSERT INTO ri VALUES (10001, 'a'), (10002, 'b')")
            source_db.sql("UPDATE ri SET id = 20001 WHERE id = 10001; UPDATE ri SET id = -1 WHERE id = 1")
            source_db.sql("DELETE FROM ri WHERE id = 10002; DELETE FROM ri WHERE id = 2")
            source_db.sql("UPDATE ri SET v = id, email = email || '!' WHERE id < 100")
            pipeline.equal("public.ri")


class TestWireForms:
    @pytest.mark.failure("T-DE-7")
    @pytest.mark.parametrize("binary", [True, False], ids=["binary", "text"])
    def test_settings_of_either_end_change_no_value(
        self, source_db: Database, target_db: Database, binary: bool
    ) -> None:
        """Fails where connect.SESSION is not set on the sessions: in German style 1.2.2020 is read as January, and
        -5 digits round."""
        for database in (source_db, target_db):
            german = database is source_db
            for setting in (
                f"datestyle = '{'German' if german else 'SQL, DMY'}'",
                f"extra_float_digits = {-5 if german else -15}",
                f"intervalstyle = '{'sql_standard' if german else 'iso_8601'}'",
                f"timezone = '{'Asia/Kathmandu' if german else 'America/St_Johns'}'",
                f"bytea_output = '{'escape' if german else 'hex'}'",
                f"xmlbinary = '{'hex' if german else 'base64'}'",
                "standard_conforming_strings = off",
                "search_path = nowhere",
            ):
                database.admin(f'ALTER DATABASE "{database.name}" SET {setting}')
        source_db.sql(
            "CREATE TABLE public.v (id int PRIMARY KEY, d date, ts timestamp, tz timestamptz, i interval,"
            " f8 float8, f4 float4, b bytea, fs float8[], ds daterange, m money, t text)"
        )
        row = (
            "SELECT i, date '2020-02-01' + i, timestamp '2020-02-01 03:04:05.678' + i * interval '1 day',"
            " timestamptz '2020-02-01 03:04:05.678+00' + i * interval '1 day',"
            " interval '-1 year -2 mons 3 days -04:05:06.789' * i, 0.1::float8 + 0.2::float8 * i, 0.1::float4 * i,"
            " decode('00ff5c41', 'hex'), ARRAY[0.1::float8 + 0.2::float8 * i],"
            " daterange(date '2020-02-01', date '2020-02-01' + i), 1234.56::numeric::money * i, E'a\\\\b\\n' || i"
            " FROM generate_series({}, {}) i"
        )
        source_db.sql("INSERT INTO public.v " + row.format(1, 50))
        with Running(source_db, target_db, binary=binary) as pipeline:
            pipeline.equal("public.v")
            source_db.sql("INSERT INTO public.v " + row.format(51, 90))
            source_db.sql("UPDATE public.v SET f8 = f8 / 3, i = i * 2, d = d + 1 WHERE id % 2 = 0")
            pipeline.equal("public.v")

    @pytest.mark.failure("T-DE-10")
    @pytest.mark.parametrize("with_it", ["", "moods", "names"], ids=["portable", "enum array", "regclass"])
    def test_binary_is_chosen_for_the_whole_stream(
        self, source_db: Database, target_db: Database, with_it: str
    ) -> None:
        """Fails where binary is chosen although an OID is in a value: a regclass names another table at the target, an
        array of an enum says another type in its header (WireType.portable or NEVER_BINARY left out)."""
        for name, database in {"ints": source_db, "other": target_db}.items():
            database.sql(f"CREATE TABLE {name} (id int PRIMARY KEY, v bigint); CREATE TYPE mood AS ENUM ('sad', 'ok')")
        rows = "FROM generate_series({0}, {0} + 5) i"
        insert = [f"INSERT INTO ints SELECT i, i {rows}"]
        if with_it == "moods":
            source_db.sql("CREATE TABLE moods (id int PRIMARY KEY, one mood, many mood[])")
            insert.append(f"INSERT INTO moods SELECT i, 'ok', ARRAY['sad', 'ok']::mood[] {rows}")
        elif with_it == "names":
            source_db.sql("CREATE TABLE names (id int PRIMARY KEY, c regclass)")
            insert.append(f"INSERT INTO names SELECT i, 'ints' {rows}")
        tables = ["public.ints", *([f"public.{with_it}"] if with_it else [])]
        source_db.sql(";".join(insert).format(10))
        oids = "SELECT 'public.mood'::regtype::oid"
        assert source_db.sql(oids) != target_db.sql(oids)
        with Running(source_db, target_db) as pipeline:
            pipeline.equal(*tables)
            source_db.sql(";".join(insert).format(50))
            source_db.sql("UPDATE ints SET v = v + 1 WHERE id % 2 = 0; DELETE FROM ints WHERE id % 5 = 0")
            pipeline.equal(*tables)
            ((started,),) = source_db.admin(
                "SELECT query FROM pg_stat_activity WHERE backend_type = 'walsender' AND application_name = %s",
                f"cdcd/{source_db.name}",
            )
            assert ("binary 'true'" in started) is (not with_it)


@pytest.mark.failure("T-DE-7")
def test_as_a_role_that_switches_triggers_off(source_db: Database, target_db: Database) -> None:
    """The same road with the other role: a smoke test that settings do not depend on it."""
    source_db.sql("CREATE TABLE v (id int PRIMARY KEY, f float8); INSERT INTO v VALUES (1, 0.1 + 0.2)")
    target_db.admin(f'ALTER ROLE {TARGET_REPLICA} IN DATABASE "{target_db.name}" SET extra_float_digits = -5')
    with Running(source_db, target_db.as_role(TARGET_REPLICA)) as pipeline:
        pipeline.equal("public.v")
