"""The stream of a real server: every kind of change, in binary and text, over both kinds of wire."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator

import pytest

from cdcd.contracts import Reading
from cdcd.errors import Interrupted, Stopped
from cdcd.model.cell import UNCHANGED
from cdcd.model.group import Group
from cdcd.model.position import Checkpoint
from cdcd.model.table import Table
from cdcd.rows import RowForm
from connectors.postgres import replication
from connectors.postgres.position import Lsn
from connectors.postgres.source import PostgresSource
from connectors.postgres.wire import LibpqWire
from tests.postgres.source_reading import (
    Event,
    FormOf,
    binary_form,
    open_at,
    pipeline,
    read_all,
    slot_place,
    text_form,
    told,
)
from tests.servers.database import Database
from tests.waiting import wait_until


@pytest.fixture(params=["socket", "libpq"])
def wire(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How frames are read: from the bare socket, or through libpq, as they are under TLS."""
    if request.param == "libpq":
        monkeypatch.setattr(replication, "open_wire", lambda conn, wake, plain: LibpqWire(conn, wake))
    return str(request.param)


@pytest.fixture(params=[binary_form, text_form], ids=["binary", "text"])
def form(request: pytest.FixtureRequest) -> FormOf:
    return request.param  # type: ignore[no-any-return]


def events(database: Database, schema: str, changes: str, form: FormOf = text_form) -> list[Event]:
    """What a stream that begins after `schema` tells of `changes`, a statement each line."""
    database.sql(schema)
    with pipeline(database) as source:
        open_at(source, slot_place(database), form)
        for change in changes.strip().splitlines():
            database.sql(change)
        return told(read_all(source))


class TestKinds:
    def test_every_kind_of_change(self, source_db: Database, wire: str) -> None:
        found = events(
            source_db,
            "CREATE TABLE t (id int PRIMARY KEY, v text)",
            """
            INSERT INTO t VALUES (1, E'a\\tb'), (2, NULL)
            UPDATE t SET v = 'c' WHERE id = 1
            UPDATE t SET id = 3 WHERE id = 1
            DELETE FROM t WHERE id = 2
            TRUNCATE t
            """,
        )
        assert found == [
            ("t", "I", b"1", b"1\ta\\tb\n"),
            ("t", "I", b"2", b"2\t\\N\n"),
            ("t", "U", b"1", b"1\tc\n"),
            ("t", "M", b"1", (b"3", b"3\tc\n")),
            ("t", "D", b"2", None),
            ("truncate", ("t",)),
        ]

    def test_binary_and_text_tell_the_same(self, source_db: Database) -> None:
        source_db.sql(
            """CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN cents AS numeric(10, 2);
            CREATE TABLE t (id int8 PRIMARY KEY, a int2, b bool, c float8, d timestamptz, e numeric, f uuid,
                            g text, h bytea, i jsonb, j int4[], k mood, l cents, m date, n interval, o char(4))"""
        )
        with pipeline(source_db) as source:
            place = slot_place(source_db)
            source_db.sql(
                """INSERT INTO t VALUES (1, -2, true, 'NaN', 'infinity', 1.10, gen_random_uuid(), 'x', '\\x00ff',
                '{"a": [1]}', '{1,NULL}', 'ok', 1.5, '0044-03-15 BC', '1 mon -2 days 00:00:00.5', 'a');
                INSERT INTO t VALUES (2)"""
            )
            (table,) = open_at(source, place, binary_form)
            (_, _, key, row), (_, _, _, nulls) = told(read_all(source))
            assert key == b"\0\0\0\x08" + (1).to_bytes(8, "big")
            assert isinstance(row, bytes) and isinstance(nulls, bytes)
            assert nulls == b"\0\x10" + key[:-1] + b"\2" + b"\xff" * 4 * 15
            open_at(source, place, text_form)
            line = told(read_all(source))[0][3]
            again = source_db.connect()
            with again, again.cursor() as cursor:
                # The server itself is asked whether both forms are the row that it holds.
                cursor.execute("SET TimeZone = UTC; SET DateStyle = ISO, YMD; CREATE TABLE u (LIKE t)")
                head = b"PGCOPY\n\xff\r\n\0" + bytes(8)
                cursor.copy_expert("COPY u FROM STDIN (FORMAT binary)", io.BytesIO(head + row + b"\xff\xff"))
                assert isinstance(line, bytes)
                cursor.copy_expert("COPY u FROM STDIN", io.BytesIO(line))
                cursor.execute("SELECT count(*) FROM (SELECT DISTINCT * FROM (TABLE u UNION ALL SELECT * FROM t "
                               "WHERE id = 1) s) d")  # fmt: skip
                assert cursor.fetchall() == [(1,)]
            again.close()
            assert len(table.columns) == 16

    @pytest.mark.failure("PG-01")
    @pytest.mark.failure("T-DE-5")
    @pytest.mark.parametrize("identity", ["DEFAULT", "USING INDEX t_k_key", "FULL"])
    def test_an_unchanged_large_value(self, source_db: Database, identity: str) -> None:
        found = events(
            source_db,
            f"""CREATE TABLE t (id int PRIMARY KEY, k int NOT NULL UNIQUE, n int, big text);
            ALTER TABLE t ALTER big SET STORAGE EXTERNAL; ALTER TABLE t REPLICA IDENTITY {identity}""",
            """
            INSERT INTO t VALUES (1, 1, 0, repeat('x', 9000))
            UPDATE t SET n = 1
            UPDATE t SET id = 2, k = 2
            """,
        )
        big, kinds = b"x" * 9000, [event[1] for event in found]
        assert kinds == ["I", "U", "M"]
        assert found[0][3] == b"1\t1\t0\t" + big + b"\n"
        if identity == "FULL":
            assert found[1][3] == b"1\t1\t1\t" + big + b"\n"
            assert found[2][2:] == (b"1", (b"2", b"2\t2\t1\t" + big + b"\n"))
        else:
            assert found[1][3] == (b"1", b"1", b"1", UNCHANGED)
            assert found[2][2:] == (b"1", (b"2", (b"2", b"2", b"1", UNCHANGED)))

    @pytest.mark.failure("T-DE-9")
    def test_a_key_that_is_not_the_primary_key(self, source_db: Database) -> None:
        found = events(
            source_db,
            """CREATE TABLE ri (id int PRIMARY KEY, email text NOT NULL UNIQUE, v int);
            ALTER TABLE ri REPLICA IDENTITY USING INDEX ri_email_key; INSERT INTO ri VALUES (1, 'a'), (2, 'b')""",
            """
            UPDATE ri SET id = 7 WHERE id = 1
            DELETE FROM ri WHERE id = 2
            """,
        )
        assert found == [("ri", "U", b"a", b"7\ta\t\\N\n"), ("ri", "D", b"b", None)]

    @pytest.mark.failure("PG-17")
    def test_rows_without_a_key(self, source_db: Database, form: FormOf) -> None:
        found = events(
            source_db,
            "CREATE TABLE f (a int, b text); ALTER TABLE f REPLICA IDENTITY FULL",
            """
            INSERT INTO f VALUES (1, 'x'), (1, 'x'), (NULL, NULL)
            UPDATE f SET b = 'y' WHERE ctid = '(0,1)'
            DELETE FROM f WHERE a IS NULL
            """,
            form,
        )
        assert [event[1] for event in found] == ["I", "I", "I", "M", "D"]
        assert all(event[2] == event[3] for event in found[:3])
        moved = found[3][3]
        assert isinstance(moved, tuple) and moved[0] == moved[1] != found[0][2]
        assert found[3][2] == found[0][2]
        assert found[4][2] == found[2][2]

    @pytest.mark.failure("PG-19")
    def test_one_truncate_of_several_tables(self, source_db: Database) -> None:
        found = events(
            source_db,
            "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)",
            "BEGIN; INSERT INTO a VALUES (1); TRUNCATE a, b RESTART IDENTITY; INSERT INTO a VALUES (2); COMMIT",
        )
        assert found == [("a", "I", b"1", b"1\n"), ("truncate", ("a", "b")), ("a", "I", b"2", b"2\n")]

    def test_partitions_come_as_their_root(self, source_db: Database, form: FormOf) -> None:
        found = events(
            source_db,
            """CREATE TABLE p (id int, d date, PRIMARY KEY (id, d)) PARTITION BY RANGE (d);
            CREATE TABLE p20 PARTITION OF p FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
            CREATE TABLE p21 PARTITION OF p FOR VALUES FROM ('2021-01-01') TO ('2022-01-01')""",
            """
            INSERT INTO p VALUES (1, '2020-05-05')
            UPDATE p SET d = '2021-05-05'
            CREATE TABLE p22 PARTITION OF p FOR VALUES FROM ('2022-01-01') TO ('2023-01-01')
            INSERT INTO p VALUES (2, '2022-05-05')
            TRUNCATE p
            """,
            form,
        )
        assert [event[:2] for event in found] == [
            ("p", "I"), ("p", "D"), ("p", "I"), ("p", "I"), ("truncate", ("p",)),
        ]  # fmt: skip

    def test_names_that_need_quotes(self, source_db: Database, form: FormOf) -> None:
        schema, name = 'Sch "ö\\', "it's \"t\" \U0001f600"
        quoted = '"Sch ""ö\\"."it\'s ""t"" \U0001f600"'
        found = events(
            source_db,
            f'CREATE SCHEMA "Sch ""ö\\"; CREATE TABLE {quoted} ("I D" int PRIMARY KEY, "%s" text)',
            f"INSERT INTO {quoted} VALUES (1, 'ü')",
            form,
        )
        assert [event[:2] for event in found] == [(name, "I")]
        assert schema

    @pytest.mark.failure("T-DE-7")
    def test_settings_of_role_and_database_do_not_matter(self, source_db: Database) -> None:
        source_db.admin(
            f"""ALTER DATABASE "{source_db.name}" SET datestyle = 'German, DMY';
            ALTER DATABASE "{source_db.name}" SET timezone = 'Asia/Kolkata';
            ALTER DATABASE "{source_db.name}" SET extra_float_digits = -15;
            ALTER DATABASE "{source_db.name}" SET bytea_output = escape;
            ALTER DATABASE "{source_db.name}" SET intervalstyle = sql_standard"""
        )
        found = events(
            source_db,
            "CREATE TABLE t (id int PRIMARY KEY, d date, z timestamptz, f float8, b bytea, i interval)",
            "INSERT INTO t VALUES (1, '02.01.2003', '2003-01-02 00:00+00', 0.1::float8 + 0.2, '\\x00ff', '1 mon 2 d')",
        )
        assert found[0][3] == (
            b"1\t2003-01-02\t2003-01-02 00:00:00+00\t0.30000000000000004\t\\\\x00ff\t1 mon 2 days\n"
        )


@pytest.fixture
def source(source_db: Database) -> Iterator[PostgresSource]:
    """Table t, its slot, opened."""
    source_db.sql("CREATE TABLE t (id int PRIMARY KEY, v varchar(10)); CREATE TABLE quiet (id int PRIMARY KEY)")
    with pipeline(source_db) as source:
        open_at(source, slot_place(source_db), text_form, ["public.t"])
        yield source


class TestStop:
    @pytest.mark.failure("T-PG-19")
    def test_a_commit_record_that_begins_at_the_place(self, source_db: Database, source: PostgresSource) -> None:
        """As it was measured: W's commit record begins exactly at the snapshot's place."""
        t0, t1, w = (source_db.connect() for _ in range(3))
        for connection in (t0, t1, w):
            connection.autocommit = False
        t0.cursor().execute("INSERT INTO quiet VALUES (1)")
        made: list[Lsn] = []
        thread = threading.Thread(target=lambda: _snapshot_place(source, made))
        thread.start()
        waiting = "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'walsender' AND wait_event = 'transactionid'"
        wait_until(lambda: source_db.admin(waiting), what="the slot to wait for t0")
        t1.cursor().execute("INSERT INTO quiet VALUES (2)")
        t0.commit()
        wait_until(lambda: source_db.admin(waiting), what="the slot to wait for t1")
        w.cursor().execute("INSERT INTO t VALUES (77)")
        t1.commit()
        thread.join(20)
        w.commit()
        for connection in (t0, t1, w):
            connection.close()
        (place,) = made
        before = Group()
        wait_until(lambda: source.read(before, place, 0.1) is Reading.STOP, what="the stop")
        assert told(before) == []
        assert before.position == place
        assert [event[2] for event in told(read_all(source))] == [b"77"]

    @pytest.mark.failure("PG-13")
    def test_restarting_repeats_nothing(self, source_db: Database, source: PostgresSource) -> None:
        """From any transaction's end, though the slot stands further back."""
        for number in range(10):
            source_db.sql("INSERT INTO t SELECT %s * 3 + generate_series(0, 2)", number)
        places = [slot_place(source_db)]
        group = Group()
        wait_until(lambda: source.read(group, None, 0.05) is Reading.IDLE and len(told(group)) == 30, what="all")
        for _ in range(3):
            small = PostgresSource(source_db.url, "reading", group_bytes=150)
            open_at(small, places[-1], text_form, ["public.t"])
            first = Group()
            while first.position is None or not told(first):
                small.read(first, None, 1)
            small.close()
            assert isinstance(first.position, Lsn)
            places.append(first.position)
            open_at(source, places[-1], text_form, ["public.t"])
            assert len(told(read_all(source))) == 30 - 3 * (len(places) - 1)


def _snapshot_place(source: PostgresSource, made: list[Lsn]) -> None:
    snapshot = source.snapshot([])
    made.append(snapshot.position)
    snapshot.close()


class TestPlaces:
    @pytest.mark.failure("T-DE-1")
    def test_nothing_is_confirmed_unasked(self, source_db: Database, source: PostgresSource) -> None:
        """The slot stays at the checkpoint, whatever passes."""
        before = slot_place(source_db)
        source_db.sql("INSERT INTO quiet SELECT generate_series(1, 1000)")
        group = read_all(source)
        source.rest(1)
        assert isinstance(group.position, Lsn) and group.position.lsn > before.lsn
        assert slot_place(source_db) == before

    @pytest.mark.failure("PG-02")
    def test_an_idle_place_may_be_acknowledged(self, source_db: Database, source: PostgresSource) -> None:
        source_db.sql("INSERT INTO quiet SELECT generate_series(1, 1000)")
        group = read_all(source)
        assert group.empty and isinstance(group.position, Lsn)
        source.acknowledge(group.position)
        source.rest(1)
        assert slot_place(source_db) == group.position

    @pytest.mark.failure("T-DE-3")
    @pytest.mark.slow
    def test_resting_outlives_the_servers_patience(
        self, source_db: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(replication, "SETTINGS", {"wal_sender_timeout": "2s"})
        source_db.sql("CREATE TABLE t (id int PRIMARY KEY, v text)")
        with pipeline(source_db, group_bytes=1 << 28) as source:
            open_at(source, slot_place(source_db), text_form)
            source_db.sql("INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 50000) i")
            source.rest(5)
            assert len(told(read_all(source))) == 50000

    def test_interrupt_ends_a_read(self, source: PostgresSource) -> None:
        timer = threading.Timer(0.3, source.interrupt)
        timer.start()
        began = time.monotonic()
        with pytest.raises(Interrupted):
            while True:
                source.read(Group(), None, 30)
        assert time.monotonic() - began < 5


class TestShape:
    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ("ALTER TABLE t ADD c int DEFAULT 7", "column c integer is new"),
            ("ALTER TABLE t DROP COLUMN v", "column v is gone"),
            ("ALTER TABLE t RENAME v TO w", "column v is called w now"),
            ("ALTER TABLE t ALTER v TYPE varchar(20)", "column v was character varying(10) and"),
            ("ALTER TABLE t ALTER id TYPE bigint", "column id was integer and is bigint"),
            ("ALTER TABLE t REPLICA IDENTITY FULL", "FULL was set"),
            ("ALTER TABLE t RENAME TO u; ALTER TABLE u RENAME TO t2", "called public.t2 now"),
            ("DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, v varchar(10))", "dropped and made again"),
        ],
    )
    def test_a_changed_table_ends_the_group(
        self, source_db: Database, source: PostgresSource, change: str, said: str
    ) -> None:
        source_db.sql("INSERT INTO t VALUES (1)")
        assert len(told(read_all(source))) == 1
        source_db.sql(change)
        if "DROP TABLE" in change:
            source.publish(source.tables())
        name = "t2" if "t2" in change else "t"
        source_db.sql(f"INSERT INTO {name} VALUES (2)")
        group = Group()
        wait_until(lambda: source.read(group, None, 0.1) is Reading.ALTERED, what="the change")
        (found,) = group.schema_changes
        assert said in found.said and found.old.id == "public.t"
        assert found.reload == ("bigint" in change or "DROP TABLE" in change)

    @pytest.mark.failure("PG-15")
    def test_a_publication_that_was_made_again(self, source_db: Database, source: PostgresSource) -> None:
        source_db.admin("DROP PUBLICATION cdcd_reading")
        source_db.sql("INSERT INTO t VALUES (1)")
        with pytest.raises(Stopped) as caught:
            read_all(source)
        assert "ALTER PUBLICATION" in caught.value.hint

    @pytest.mark.failure("T-DE-10")
    def test_a_table_that_joins_makes_the_stream_text(self, source_db: Database) -> None:
        """Binary is an option of the whole stream."""
        source_db.sql("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY, m money)")
        with pipeline(source_db) as source:
            (a,) = source.tables(["public.a"])
            (b,) = source.tables(["public.b"])
            place = slot_place(source_db)
            open_at(source, place, binary_form, [a.id])
            source_db.sql("INSERT INTO a VALUES (1)")
            assert [event[2] for event in told(read_all(source))] == [b"\0\0\0\4\0\0\0\1"]
            with pytest.raises(Stopped):
                source.carry({b.id: [binary_form(b)]})
            source.close()
            source.open(Checkpoint(place), source.identity(), {a.id: [binary_form(a), text_form(a)]})
            assert len(told(read_all(source))) == 1
            source.carry({b.id: [binary_form(b), text_form(b)]})
            source_db.sql("INSERT INTO a VALUES (2); INSERT INTO b VALUES (1, 2)")
            assert told(read_all(source)) == [("a", "I", b"2", b"2\n"), ("b", "I", b"1", b"1\t$2.00\n")]


@pytest.mark.failure("PG-10")
def test_a_rolled_back_savepoint(source_db: Database) -> None:
    """Only what was committed comes, also of transactions that the server spills to disk."""
    source_db.admin(f'ALTER DATABASE "{source_db.name}" SET logical_decoding_work_mem = 64')
    found = events(
        source_db,
        "CREATE TABLE t (id int PRIMARY KEY)",
        "BEGIN; INSERT INTO t SELECT generate_series(1, 500); SAVEPOINT s; INSERT INTO t SELECT generate_series(501, "
        "9000); ROLLBACK TO s; INSERT INTO t SELECT generate_series(501, 505); COMMIT",
    )
    assert [event[2] for event in found] == [b"%d" % number for number in range(1, 506)]


def test_an_older_server(source_db15: Database) -> None:
    """Version 15: another slot grammar, another binary version."""

    def form15(table: Table) -> RowForm:
        return binary_form(table, 15)

    found = events(
        source_db15,
        "CREATE TABLE t (id int PRIMARY KEY, v text)",
        """
        INSERT INTO t VALUES (1, 'a')
        UPDATE t SET id = 2
        """,
        form15,
    )
    assert [event[1] for event in found] == ["I", "M"]
    assert found[0][3] == b"\0\2\0\0\0\4\0\0\0\1\0\0\0\1a"
