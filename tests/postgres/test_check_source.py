"""What check finds at the source, each provoked, and mended by the statement that it names."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from cdcd.contracts import Finding
from cdcd.engine.examine import Examined, examine
from cdcd.engine.options import Options
from cdcd.errors import UsageError
from cdcd.model.selection import Selection
from connectors.jsonlines import JsonLinesSink
from connectors.postgres import check
from connectors.postgres.source import PostgresSource
from tests.servers import Database, Postgres, make_roles
from tests.servers.address import connect
from tests.servers.database import make_source
from tests.servers.matrix import has, since

NAME = "checked"


def looked(database: Database, *patterns: str, publication: str | None = None) -> Examined:
    """Everything that is found at this source, by a role that may do what it must."""
    source = PostgresSource(database.url, NAME, publication=publication)
    try:
        return examine(source, JsonLinesSink(io.BytesIO()), Options(NAME, Selection(patterns)))  # type: ignore[arg-type]
    finally:
        source.close()


def told(database: Database, *patterns: str, publication: str | None = None) -> list[Finding]:
    return looked(database, *patterns, publication=publication).source


def ids(findings: list[Finding]) -> list[str]:
    return sorted(finding.id for finding in findings)


MENDED = {
    "PG-PUBLICATION-TABLE": "ALTER PUBLICATION mine DROP TABLE t",
    "PG-PUBLICATION-FILTER": "ALTER PUBLICATION mine SET TABLE t WHERE (id > 3), p, g",
    "PG-PUBLICATION-COLUMNS": "ALTER PUBLICATION mine SET TABLE t (id), p, g",
    "PG-PUBLICATION-KINDS": "ALTER PUBLICATION mine SET (publish = 'insert, update, delete')",
    "PG-PUBLICATION-ROOT": "ALTER PUBLICATION mine SET (publish_via_partition_root = false)",
}
if has(18):
    MENDED["PG-PUBLICATION-GENERATED"] = "ALTER PUBLICATION mine SET (publish_generated_columns = stored)"
COMPUTED, FULL = "n int GENERATED ALWAYS AS (a + 1)", "ALTER TABLE it REPLICA IDENTITY FULL"
COMPARES = since(18, "a server that refuses changes for want of a published column")


class TestPublicationByHand:
    @pytest.fixture
    def by_hand(self, source_db: Database) -> Database:
        source_db.sql(
            "CREATE TABLE t (id int PRIMARY KEY, x text);"
            "CREATE TABLE g (id int PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) STORED);"
            "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id);"
            "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9)"
        )
        source_db.admin("CREATE PUBLICATION mine FOR TABLE t, p, g WITH (publish_via_partition_root = true)")
        return source_db

    @pytest.mark.failure("PG-16")
    @pytest.mark.parametrize("wanted", MENDED)
    def test_that_leaves_something_out(self, by_hand: Database, wanted: str) -> None:
        """One thing less than is selected; the statement named mends it, and check itself alters nothing."""
        assert told(by_hand, publication="mine") == []
        by_hand.admin(MENDED[wanted])
        was = by_hand.admin("SELECT p.xmin::text, p.* FROM pg_publication p")
        (finding,) = told(by_hand, publication="mine")
        assert (finding.id, finding.level) == (wanted, "error")
        assert by_hand.admin("SELECT p.xmin::text, p.* FROM pg_publication p") == was
        by_hand.admin(finding.mend)
        assert told(by_hand, publication="mine") == []

    @pytest.mark.failure("PG-05")
    def test_that_breaks_an_application(self, by_hand: Database) -> None:
        """It holds a table without replica identity, which is not even selected."""
        by_hand.sql("CREATE TABLE bare (a int); INSERT INTO bare VALUES (1)")
        by_hand.admin("ALTER PUBLICATION mine ADD TABLE bare")
        (finding,) = told(by_hand, "public.t", publication="mine")
        assert finding.id == "PG-PUBLICATION-BREAKS"
        with pytest.raises(Exception, match="replica identity"):
            by_hand.sql("UPDATE bare SET a = 2")
        by_hand.sql(finding.mend.partition(" -- ")[0])
        by_hand.sql("UPDATE bare SET a = 2")
        assert told(by_hand, "public.t", publication="mine") == []

    @pytest.mark.failure("PG-05")
    @pytest.mark.parametrize(
        ("columns", "mend"),
        [
            ("(a int PRIMARY KEY DEFERRABLE)", ""),
            pytest.param(f"(a int PRIMARY KEY, {COMPUTED} STORED); {FULL}", "", marks=COMPARES),
            pytest.param(f"(a int PRIMARY KEY, {COMPUTED}); {FULL}", "", marks=COMPARES),
            pytest.param(f"({COMPUTED} STORED PRIMARY KEY, a int NOT NULL UNIQUE)", "it_a_key", marks=COMPARES),
        ],
    )
    def test_that_breaks_an_application_in_another_way(self, by_hand: Database, columns: str, mend: str) -> None:
        by_hand.sql(f"CREATE TABLE it {columns}; INSERT INTO it (a) VALUES (1)")
        by_hand.admin("ALTER PUBLICATION mine ADD TABLE it")
        with pytest.raises(Exception, match=r"[Rr]eplica identity"):
            by_hand.sql("UPDATE it SET a = 2")
        (finding,) = told(by_hand, "public.t", publication="mine")
        assert finding.id == "PG-PUBLICATION-BREAKS"
        by_hand.sql(finding.mend.partition(" -- ")[0].replace("…", mend))
        by_hand.sql("UPDATE it SET a = 2")
        assert told(by_hand, "public.t", publication="mine") == []


def test_policies_that_hide_rows(source_db: Database) -> None:
    """Of the application's own role: only where they are forced; the right that is named is enough."""
    source_db.sql("CREATE TABLE t (id int PRIMARY KEY); ALTER TABLE t ENABLE ROW LEVEL SECURITY")
    assert told(source_db) == []
    source_db.sql("ALTER TABLE t FORCE ROW LEVEL SECURITY")
    (finding,) = told(source_db)
    assert (finding.id, finding.level) == ("PG-ROW-SECURITY", "error")
    try:
        source_db.admin(finding.mend)
        assert told(source_db) == []
    finally:
        source_db.admin(f"ALTER ROLE {source_db.role} NOBYPASSRLS")


@pytest.mark.failure("PG-23")
def test_tables_that_cannot_be_carried(source_db: Database) -> None:
    """Under a wildcard each is a warning; by its name, or where nothing else is selected, an error. Not told: what
    another pipeline, of which this is the target, has there while it writes."""
    source_db.admin(
        "CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere;"
        "CREATE FOREIGN TABLE far (id int) SERVER nowhere; CREATE EXTENSION citext;"
        "CREATE TABLE theirs (id int PRIMARY KEY); ALTER EXTENSION citext ADD TABLE theirs"
    )
    source_db.sql(
        "CREATE TABLE t (id int PRIMARY KEY); CREATE UNLOGGED TABLE scratch (id int PRIMARY KEY);"
        "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id);"
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9)"
    )
    session = source_db.connect()
    session.cursor().execute("CREATE TEMPORARY TABLE mine (a int); CREATE TEMPORARY TABLE cdcd_u_1 (a int)")
    found = told(source_db)
    assert ids(found) == ["PG-EXTENSION", "PG-FOREIGN", "PG-TEMPORARY", "PG-UNLOGGED"]
    assert {finding.level for finding in found} == {"warning"}
    session.close()
    for table, wanted in (("scratch", "PG-UNLOGGED"), ("far", "PG-FOREIGN"), ("p1", "PG-PARTITION")):
        (finding,) = told(source_db, "public.t", f"public.{table}")
        assert (finding.id, finding.level) == (wanted, "error")
    (finding,) = told(source_db, "public.scr*")
    assert finding.level == "error"
    source_db.sql(finding.mend)  # SET LOGGED
    examined = looked(source_db, "public.scr*")
    assert (examined.findings, [table.id for table in examined.tables]) == ([], ["public.scratch"])


def test_a_pattern_that_matches_nothing(source_db: Database) -> None:
    source_db.sql("CREATE TABLE t (id int PRIMARY KEY)")
    (finding,) = told(source_db, "public.t", "public.tt", "!public.x")
    assert (finding.id, finding.level) == ("TABLE-UNKNOWN", "warning")
    assert "public.tt" in finding.message
    with pytest.raises(UsageError, match="no table is selected"):
        told(source_db, "public.tt")


@pytest.fixture(scope="module")
def strict() -> Iterator[Database]:
    """A source on a server that drops slots early, decodes through its disk, and has prepared transactions."""
    settings = {
        "max_slot_wal_keep_size": "48MB", "idle_replication_slot_timeout": "1h", "logical_decoding_work_mem": "1MB",
        "max_prepared_transactions": 2, "autovacuum": "off", "autovacuum_freeze_max_age": 100000,
    }  # fmt: skip
    with Postgres.start(18, settings=settings) as server:
        make_roles(server)
        yield make_source(server)


LIMITS = ["PG-SLOT-LIMIT", "PG-SLOT-TIMEOUT", "PG-SPILL"]


def test_limits_and_who_stands_in_the_way(strict: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    strict.sql("CREATE TABLE IF NOT EXISTS t (id int PRIMARY KEY)")
    found = told(strict)
    assert ids(found) == LIMITS
    (spill,) = (finding for finding in found if finding.id == "PG-SPILL")
    assert "logical_decoding_work_mem = 1024 kB" in spill.evidence
    monkeypatch.setattr(check, "LONG_OPEN", 0)
    writer = strict.connect()
    writer.autocommit = False
    writer.cursor().execute("INSERT INTO t VALUES (1)")
    reader = strict.connect()
    reader.autocommit = False
    reader.cursor().execute("SELECT * FROM t")
    (waits,) = (finding for finding in told(strict) if finding.id not in LIMITS)
    assert waits.id == "PG-OPEN-TRANSACTION"
    assert f"process {writer.info.backend_pid} of app" in waits.evidence
    strict.admin(waits.mend.partition(" -- ")[0])
    reader.close()
    strict.sql("BEGIN; INSERT INTO t VALUES (2); PREPARE TRANSACTION 'half'")
    (prepared,) = (finding for finding in told(strict) if finding.id not in LIMITS)
    assert prepared.id == "PG-PREPARED"
    strict.sql(prepared.mend.partition(" -- ")[0])
    assert ids(told(strict)) == LIMITS


@pytest.mark.failure("PG-02", "T-DB-3")
def test_log_held_back(strict: Database) -> None:
    """Half of what the server keeps is told, and half of a disk whose size somebody gave; the slot stays."""
    slot = f"cdcd_{NAME}"
    strict.admin("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", slot)
    try:
        strict.sql("CREATE TABLE IF NOT EXISTS t (id int PRIMARY KEY)")
        assert ids(told(strict)) == LIMITS
        strict.admin("SELECT pg_logical_emit_message(false, 'x', repeat('x', 30 << 20))")
        (held,) = (finding for finding in told(strict) if finding.id not in LIMITS)
        assert (held.id, held.level) == ("PG-WAL-HELD", "warning")
        assert "max_slot_wal_keep_size = 48 MB" in held.evidence
        source = PostgresSource(strict.url, NAME, log_disk=50 << 20)
        assert [f.id for f in source.check(source.tables())].count("PG-WAL-HELD") == 2
        source.close()
        assert strict.server.slots(strict.name) == [slot]
    finally:
        strict.server.drop_slots(strict.name)


@pytest.mark.failure("PG-24")
def test_catalogue_held_back(strict: Database) -> None:
    """100,000 small transactions, those of temporary tables among them, that no reader of the slot has passed."""
    slot = f"cdcd_{NAME}"
    strict.sql("CREATE TABLE IF NOT EXISTS t (id int PRIMARY KEY)")
    strict.admin("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", slot)
    try:
        assert ids(told(strict)) == LIMITS
        strict.sql("DO $$ BEGIN FOR n IN 1..1000 LOOP CREATE TEMP TABLE tt (); DROP TABLE tt; COMMIT; END LOOP; END $$")
        strict.sql("DO $$ BEGIN FOR n IN 1..99000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$")
        (held,) = (finding for finding in told(strict) if finding.id not in LIMITS)
        assert (held.id, held.level) == ("PG-XMIN-HELD", "warning")
        assert "autovacuum_freeze_max_age = 100000" in held.evidence
    finally:
        strict.server.drop_slots(strict.name)
    assert ids(told(strict)) == LIMITS


@pytest.mark.failure("T-DB-4")
def test_who_may_not_see_what_others_do(strict: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pg_read_all_stats another role's open transaction is told by its age in transactions."""
    strict.sql("CREATE TABLE IF NOT EXISTS t (id int PRIMARY KEY)")
    monkeypatch.setattr(check, "LONG_OPEN", 0)
    other = connect(strict.admin_url)
    other.autocommit = False
    other.cursor().execute("SELECT pg_current_xact_id()")
    try:
        assert ids(told(strict)) == LIMITS
        burn = "DO $$BEGIN FOR i IN 1..1001 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END$$"
        strict.sql(burn)
        (hidden,) = (finding for finding in told(strict) if finding.id not in LIMITS)
        assert "transactions ago" in hidden.evidence
        strict.admin(f"GRANT pg_read_all_stats TO {strict.role}")
        (seen,) = (finding for finding in told(strict) if finding.id not in LIMITS)
        assert f"process {other.info.backend_pid} of postgres" in seen.evidence
        assert seen.evidence.endswith(" s")
    finally:
        strict.admin(f"REVOKE pg_read_all_stats FROM {strict.role}")
        other.close()
