"""Snapshots of a real server: what they hold, when they are lost, and that waiting for one is told and can be ended."""

from __future__ import annotations

import io
import struct
import threading
from collections.abc import Iterator
from itertools import pairwise

import pytest
import structlog

from cdcd.errors import Interrupted, Outgrown, SnapshotLost, StateRefused
from cdcd.model.chunk import Chunk
from cdcd.model.position import Checkpoint
from cdcd.model.table import Table
from connectors.postgres import replication
from connectors.postgres.snapshot import PostgresSnapshot
from connectors.postgres.source import PostgresSource
from connectors.postgres.wire import LibpqWire
from tests.postgres.source_reading import NAME, FormOf, binary_form, read_all, text_form, told
from tests.servers.database import Database
from tests.waiting import wait_until

SCHEMA = """
CREATE TABLE t (id int PRIMARY KEY, v text);
INSERT INTO t SELECT i, E'row\\t' || i FROM generate_series(1, 5000) i; INSERT INTO t VALUES (0, NULL);
CREATE TABLE p (id int, d date, PRIMARY KEY (id, d)) PARTITION BY RANGE (d);
CREATE TABLE p20 PARTITION OF p FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE p21 PARTITION OF p FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
INSERT INTO p SELECT i, date '2020-01-01' + i % 700 FROM generate_series(1, 3000) i;
CREATE TABLE spare (id int, d date, PRIMARY KEY (id, d))
"""


@pytest.fixture
def source(source_db: Database) -> Iterator[PostgresSource]:
    source_db.sql(SCHEMA)
    source = PostgresSource(source_db.url, NAME)
    yield source
    source.close()
    last = PostgresSource(source_db.url, NAME)
    last.drop()
    last.close()


@pytest.fixture
def tables(source: PostgresSource) -> dict[str, Table]:
    return {table.name: table for table in source.tables()}


@pytest.fixture
def snapshot(source: PostgresSource, tables: dict[str, Table]) -> Iterator[PostgresSnapshot]:
    snapshot = source.prepare(list(tables.values()), source.intent(), load=True)
    yield snapshot
    snapshot.close()


def data(snapshot: PostgresSnapshot, table: Table, form: FormOf = text_form, chunk: Chunk | None = None) -> bytes:
    return b"".join(snapshot.read(table, chunk or Chunk(table.id, 0), [form(table)]).data)


def copied_back(database: Database, table: str, form: FormOf, copied: bytes) -> int:
    """How many rows differ between the table and what was copied of it; the server compares."""
    connection = database.connect()
    with connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMP TABLE back (LIKE {table})")
        options = "(FORMAT binary)" if form is binary_form else ""
        cursor.copy_expert(f"COPY back FROM STDIN {options}", io.BytesIO(copied))
        cursor.execute(
            f"SELECT (SELECT count(*) FROM (TABLE back EXCEPT ALL TABLE {table}) a)"
            f" + (SELECT count(*) FROM (TABLE {table} EXCEPT ALL TABLE back) b)"
        )
        differing = cursor.fetchall()[0][0]
    connection.close()
    return int(differing)


class TestReading:
    @pytest.mark.parametrize("form", [binary_form, text_form], ids=["binary", "text"])
    @pytest.mark.parametrize("wire", ["socket", "libpq"])
    @pytest.mark.parametrize("name", ["t", "p", "spare"])
    def test_the_servers_own_copy(
        self, source_db: Database, snapshot: PostgresSnapshot, tables: dict[str, Table], name: str, wire: str,
        form: FormOf, monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        if wire == "libpq":
            monkeypatch.setattr(replication, "open_wire", lambda conn, wake, plain: LibpqWire(conn, wake))
        blocks = snapshot.read(tables[name], Chunk(name, 0), [form(tables[name])])
        copied = b"".join(blocks.data)
        assert copied_back(source_db, name, form, copied) == 0
        assert blocks.counts == {"rows": {"t": 5001, "p": 3000, "spare": 0}[name], "bytes": len(copied)}

    def test_children_by_inheritance_are_tables_of_their_own(self, source_db: Database) -> None:
        source_db.sql(
            "CREATE TABLE mother (id int PRIMARY KEY); CREATE TABLE child (PRIMARY KEY (id)) INHERITS (mother);"
            "INSERT INTO mother VALUES (1); INSERT INTO child VALUES (2)"
        )
        source = PostgresSource(source_db.url, NAME)
        tables = source.tables()
        snapshot = source.prepare(tables, source.intent(), load=True)
        assert {table.name: data(snapshot, table) for table in tables} == {"mother": b"1\n", "child": b"2\n"}
        chunk = Chunk("public.mother", 0, None, ("9",), ("id",))
        mother = next(table for table in tables if table.name == "mother")
        assert data(snapshot, mother, chunk=chunk) == b"1\n"
        snapshot.close()
        source.drop()
        source.close()

    @pytest.mark.failure("PG-14")
    def test_snapshot_and_stream_meet_without_gap_or_double(
        self, source_db: Database, source: PostgresSource, tables: dict[str, Table]
    ) -> None:
        """Six writers through the whole start; the copy and the stream together are the table."""
        stop = threading.Event()
        source_db.sql("CREATE TABLE w (id bigserial PRIMARY KEY, v int); CREATE TABLE x (v int)")

        def write(number: int) -> None:
            connection = source_db.connect()
            while not stop.is_set():
                with connection.cursor() as cursor:
                    cursor.execute("INSERT INTO w (v) VALUES (%s)", (number,))
            connection.close()

        writers = [threading.Thread(target=write, args=(number,)) for number in range(6)]
        for writer in writers:
            writer.start()
        try:
            (w,) = source.tables(["public.w"])
            wait_until(lambda: source_db.sql("SELECT count(*) > 200 FROM w")[0][0], what="some rows")
            snapshot = source.prepare([w], source.intent(), load=True)
            wait_until(lambda: source_db.sql("SELECT count(*) > 1000 FROM w")[0][0], what="more rows")
        finally:
            stop.set()
            for writer in writers:
                writer.join()
        copied = [int(line.split(b"\t")[0]) for line in data(snapshot, w).splitlines()]
        snapshot.close()
        source.open(Checkpoint(snapshot.position), source.identity(), {w.id: [text_form(w)]})
        streamed = [int(event[2]) for event in told(read_all(source)) if isinstance(event[2], bytes)]
        there = [row[0] for row in source_db.sql("SELECT id FROM w")]
        assert copied and streamed
        assert sorted(copied + streamed) == sorted(there)


class TestLost:
    @pytest.mark.failure("T-PG-6")
    @pytest.mark.parametrize(
        ("change", "name"),
        [
            ("ALTER TABLE t ALTER v TYPE varchar(99)", "t"),
            ("ALTER TABLE t ALTER id TYPE bigint", "t"),
            ("TRUNCATE t", "t"),
            ("VACUUM FULL t", "t"),
            ("ALTER TABLE t ADD c int", "t"),
            ("ALTER TABLE t DROP v; ALTER TABLE t ADD v text", "t"),
            ("ALTER TABLE t RENAME v TO w", "t"),
            ("DROP TABLE t", "t"),
            ("ALTER TABLE t RENAME TO u", "t"),
            ("TRUNCATE p20", "p"),
            ("ALTER TABLE p DETACH PARTITION p20", "p"),
            ("ALTER TABLE p ATTACH PARTITION spare FOR VALUES FROM ('2022-01-01') TO ('2023-01-01')", "p"),
        ],
    )
    def test_a_table_that_changed_after_the_place(
        self, source_db: Database, snapshot: PostgresSnapshot, tables: dict[str, Table], change: str, name: str
    ) -> None:
        for statement in change.split(";"):
            source_db.sql(statement)
        with pytest.raises(SnapshotLost):
            data(snapshot, tables[name])

    def test_a_leaf_that_goes_while_its_root_is_read(
        self, source_db: Database, snapshot: PostgresSnapshot, tables: dict[str, Table]
    ) -> None:
        """DETACH … CONCURRENTLY takes no lock that our COPY would meet."""
        blocks = snapshot.read(tables["p"], Chunk("p", 0), [text_form(tables["p"])])
        source_db.sql("ALTER TABLE p ATTACH PARTITION spare FOR VALUES FROM ('2022-01-01') TO ('2023-01-01')")
        with pytest.raises(SnapshotLost):
            list(blocks.data)

    def test_a_table_that_changed_before_is_another_table(
        self, source_db: Database, source: PostgresSource, tables: dict[str, Table]
    ) -> None:
        source_db.sql("ALTER TABLE t ADD c int")
        snapshot = source.prepare(list(tables.values()), source.intent(), load=True)
        with pytest.raises(Outgrown):
            data(snapshot, tables["t"])
        snapshot.close()

    @pytest.mark.failure("T-PG-12")
    def test_the_connection_that_made_it_ends(
        self, source_db: Database, snapshot: PostgresSnapshot, tables: dict[str, Table]
    ) -> None:
        reading = snapshot.read(tables["t"], Chunk("t", 0), [text_form(tables["t"])])
        assert source_db.server.terminate("application_name = %s", f"cdcd/{NAME}") == 1
        wait_until(
            lambda: not source_db.admin("SELECT 1 FROM pg_stat_activity WHERE application_name = %s", f"cdcd/{NAME}"),
            what="the keeper to end",
        )
        assert len(b"".join(reading.data).splitlines()) == 5001  # it was imported in time
        with pytest.raises(SnapshotLost):
            data(snapshot, tables["t"])

    def test_interrupt_ends_a_read(
        self, source_db: Database, snapshot: PostgresSnapshot, tables: dict[str, Table]
    ) -> None:
        """One that waits for a lock."""
        holder = source_db.connect()
        holder.autocommit = False
        holder.cursor().execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        timer = threading.Timer(0.5, snapshot.interrupt)
        timer.start()
        with pytest.raises(Interrupted):
            data(snapshot, tables["t"])
        holder.close()


class TestWaiting:
    @pytest.mark.failure("T-PG-13")
    @pytest.mark.failure("PG-06")
    def test_who_blocks_is_told(
        self, source_db: Database, source: PostgresSource, tables: dict[str, Table]
    ) -> None:
        writer = source_db.connect()
        writer.autocommit = False
        writer.cursor().execute("INSERT INTO t VALUES (-1)")
        threading.Timer(3, writer.commit).start()
        with structlog.testing.capture_logs() as logs:
            snapshot = source.prepare(list(tables.values()), source.intent(), load=True)
        waits = [entry for entry in logs if "waiting" in entry["event"]]
        assert waits[0]["pid"] == writer.info.backend_pid
        assert "INSERT INTO t" in waits[0]["query"]
        assert b"-1\t" in data(snapshot, tables["t"])
        snapshot.close()
        writer.close()

    @pytest.mark.failure("PG-06")
    @pytest.mark.parametrize("which", ["prepare", "snapshot"])
    def test_a_wait_that_is_ended_leaves_nothing(
        self, source_db: Database, source: PostgresSource, tables: dict[str, Table], which: str
    ) -> None:
        writer = source_db.connect()
        writer.autocommit = False
        writer.cursor().execute("INSERT INTO t VALUES (-1)")
        timer = threading.Timer(1, source.interrupt)
        timer.start()
        with pytest.raises(Interrupted):
            if which == "prepare":
                source.prepare(list(tables.values()), {}, load=True)
            else:
                source.snapshot([])
        source.close()
        mine = "SELECT 1 FROM pg_replication_slots WHERE database = current_database()"
        wait_until(lambda: not source_db.admin(mine), limit=10, what="the slot to go, the writer still open")
        writer.close()

    @pytest.mark.failure("T-PG-14")
    def test_a_slot_of_unknown_owner(
        self, source_db: Database, source: PostgresSource, tables: dict[str, Table]
    ) -> None:
        intent = dict(source.intent())
        source.prepare(list(tables.values()), intent, load=True).close()
        for given in (intent, {}, source.intent(), {**source.intent(), "stored": True}):
            with pytest.raises(StateRefused):
                source.prepare(list(tables.values()), given, load=True)
        again = source.prepare(list(tables.values()), {**intent, "stored": True}, load=True)
        assert len(data(again, tables["t"]).splitlines()) == 5001
        again.close()

    @pytest.mark.failure("T-PG-3")
    def test_a_table_that_joins_under_an_open_writer(
        self, source_db: Database, source: PostgresSource, tables: dict[str, Table]
    ) -> None:
        source.prepare([tables["t"]], source.intent(), load=False).close()
        source_db.sql("CREATE TABLE n (id int PRIMARY KEY)")
        writer = source_db.connect()
        writer.autocommit = False
        writer.cursor().execute("INSERT INTO n VALUES (1)")
        source.publish(source.tables())
        made: list[PostgresSnapshot] = []
        thread = threading.Thread(target=lambda: made.append(source.snapshot([])))
        thread.start()
        writer.cursor().execute("INSERT INTO n VALUES (2)")
        writer.commit()
        thread.join(20)
        source_db.sql("INSERT INTO n VALUES (3)")
        (n,) = source.tables(["public.n"])
        assert data(made[0], n) == b"1\n2\n"
        made[0].close()
        writer.close()


KEYS = {
    "bigint": "i - 3000",
    "smallint": "i - 2000",
    "uuid": "md5(i::text)::uuid",
    "date": "date '2000-01-01' + i - 2000",
    "timestamptz": "timestamptz '2000-01-01' + (i - 2000) * interval '7.3 h'",
    "bytea": "decode(md5(i::text), 'hex')",
    'text COLLATE "C"': "chr(i % 700 + 200) || i",
    "text": "chr(i % 700 + 200) || E'\\\\\\t' || i",
    "numeric": "(i - 2000) * 1.1",
    "float8": "(i - 2000) / 3.0",
    "char(10)": "'k' || i",
    "interval": "i * interval '7.3 h'",
}


class TestOrder:
    """Bounds, ranges and `locate` follow one order, the server's, whatever the type."""

    @pytest.mark.failure("T-PG-22")
    @pytest.mark.parametrize("form", [binary_form, text_form], ids=["binary", "text"])
    @pytest.mark.parametrize("type", list(KEYS))
    def test_a_key_lies_where_the_range_reads_it(self, source_db: Database, type: str, form: FormOf) -> None:
        source_db.sql(
            f"CREATE TABLE k (k {type} PRIMARY KEY, pad text);"
            f"INSERT INTO k SELECT {KEYS[type]}, repeat('x', 50) FROM generate_series(1, 4000) i"
        )
        ordered(source_db, "k", form)

    @pytest.mark.parametrize("form", [binary_form, text_form], ids=["binary", "text"])
    @pytest.mark.parametrize("second", ["text", "numeric"])
    def test_keys_of_two_columns(self, source_db: Database, second: str, form: FormOf) -> None:
        source_db.sql(
            f"CREATE TABLE k (pad text, b {second}, a int, PRIMARY KEY (a, b));"
            "INSERT INTO k SELECT repeat('x', 50), i, i % 7 FROM generate_series(1, 4000) i"
        )
        columns = ordered(source_db, "k", form)
        assert columns == (("a", "b") if second == "text" else ("a",))

    def test_an_order_that_only_the_server_knows(self, source_db15: Database) -> None:
        """ICU: case and accents are not those of code points."""
        source_db15.sql(
            "CREATE TABLE k (k text COLLATE \"de-x-icu\" PRIMARY KEY, pad text);"
            "INSERT INTO k SELECT w || i, repeat('x', 50) FROM unnest(ARRAY['a','B','ä','Z','é','1','_']) w, "
            "generate_series(1, 600) i"
        )
        ordered(source_db15, "k", text_form)

    def test_moments_at_the_ends_of_time(self, source_db: Database) -> None:
        source_db.sql(
            "CREATE TABLE k (k timestamp PRIMARY KEY, pad text);"
            "INSERT INTO k SELECT timestamp '0001-01-01' + i * interval '10 years', repeat('x', 50)"
            " FROM generate_series(-400, 4000) i;"
            "INSERT INTO k VALUES ('infinity'), ('-infinity')"
        )
        ordered(source_db, "k", binary_form)
        ordered(source_db, "k", text_form)


def ordered(database: Database, name: str, form: FormOf) -> tuple[str, ...]:
    """Cut, read and locate a table; the columns its bounds speak of."""
    source = PostgresSource(database.url, NAME)
    try:
        (table,) = source.tables([f"public.{name}"])
        cut = source.bounds(table, table.bytes // 6)
        assert len(cut) >= 4
        columns = cut[0][0]
        bounds = [bound for _, bound in cut]
        edges = [None, *bounds, None]
        with_keys = source.prepare([table], source.intent(), load=True)
        total = 0
        for number, (low, high) in enumerate(pairwise(edges)):
            chunk = Chunk(table.id, number, low, high, columns)
            keys = keys_of(data(with_keys, table, form, chunk), table, form)
            total += len(keys)
            assert set(source.locate(table, columns, bounds, form(table), keys)) == {number}
        assert total == database.sql(f"SELECT count(*) FROM {name}")[0][0]
        with_keys.close()
    finally:
        source.drop()
        source.close()
    return columns


def keys_of(copied: bytes, table: Table, form: FormOf) -> list[bytes]:
    """The key bytes, as TableLog.keys has them, of copied rows."""
    places = [[column.name for column in table.carried].index(name) for name in table.key]
    if form is text_form:
        lines = [line.split(b"\t") for line in copied.split(b"\n")[:-1]]
        return [b"\t".join(line[place] for place in places) for line in lines]
    keys, at = [], 19
    while (count := struct.unpack_from(">h", copied, at)[0]) >= 0:
        at, fields = at + 2, []
        for _ in range(count):
            end = at + 4 + max(0, struct.unpack_from(">i", copied, at)[0])
            fields.append(copied[at:end])
            at = end
        keys.append(b"".join(fields[place] for place in places))
    return keys


def test_a_temporary_slot_reads_its_own_snapshot(source_db: Database) -> None:
    """`tail --load`: load, then stream, on the slot of this session; nothing stays."""
    source_db.sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
    source = PostgresSource(source_db.url, NAME, temporary=True)
    (t,) = source.tables()
    snapshot = source.prepare([t], source.intent(), load=True)
    source_db.sql("INSERT INTO t VALUES (2)")
    assert data(snapshot, t) == b"1\n"
    snapshot.close()
    source.open(Checkpoint(snapshot.position), source.identity(), {t.id: [text_form(t)]})
    assert [event[2] for event in told(read_all(source))] == [b"2"]
    source.close()
    wait_until(lambda: not source_db.server.slots(source_db.name), what="the slot to go")


def test_secondary_objects_are_told_in_an_order_that_works(source_db: Database, target_db: Database) -> None:
    source_db.sql(
        """CREATE TABLE a (id int PRIMARY KEY, "N n" text UNIQUE, v int); CREATE INDEX "a V" ON a (lower("N n"));
        CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a, n text REFERENCES a ("N n") DEFERRABLE);
        CREATE UNIQUE INDEX b_n ON b (n) WHERE a > 3;
        CREATE TABLE p (id int, d date, PRIMARY KEY (id, d)) PARTITION BY RANGE (d); CREATE INDEX p_d ON p (d)"""
    )
    source = PostgresSource(source_db.url, NAME)
    statements = [one for one in source.objects(source.tables()) if one.stage == "after"]
    target_db.sql('CREATE TABLE a (id int PRIMARY KEY, "N n" text, v int);'
                  "CREATE TABLE b (id int PRIMARY KEY, a int, n text); CREATE TABLE p (id int, d date)")  # fmt: skip
    for statement in statements:
        target_db.sql(statement.text)
    made = "SELECT contype::text FROM pg_constraint WHERE conrelid IN ('a'::regclass, 'b'::regclass) AND contype <> 'n'"
    assert sorted(row[0] for row in target_db.sql(made)) == ["f", "f", "p", "p", "u"]
    assert len(statements) == 6
    source.close()

