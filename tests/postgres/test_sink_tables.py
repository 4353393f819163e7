"""A PostgreSQL target before and after the stream: tables made, found or refused; what is built at the end; checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from cdcd.errors import CdcdError, Conflict, StateRefused, UsageError
from cdcd.model.chunk import Chunk, State
from cdcd.model.schema import Statement
from cdcd.model.table import Table
from connectors.postgres.sink import PostgresSink
from connectors.postgres.source import PostgresSource
from tests.postgres.sink_hand import IDENTITY, Hand, define, place
from tests.servers import Server, roles
from tests.servers.database import Database, make_source

DDL = """
CREATE SCHEMA "Odd ""one";
CREATE TYPE public.mood AS ENUM ('sad', 'it''s ok', 'a,b');
CREATE TABLE public.parent (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name varchar(20) COLLATE "C" NOT NULL UNIQUE);
CREATE TABLE "Odd ""one"."Select" (
    "a b" int, "order" text DEFAULT 'x''y', m public.mood DEFAULT 'sad', ms public.mood[],
    n numeric(10, 2) NOT NULL DEFAULT 0, twice numeric GENERATED ALWAYS AS (n * 2) STORED,
    at timestamptz DEFAULT now(), serial serial, parent bigint REFERENCES public.parent ON DELETE CASCADE,
    email text NOT NULL, PRIMARY KEY ("a b", "order"));
CREATE UNIQUE INDEX email_once ON "Odd ""one"."Select" (email);
ALTER TABLE "Odd ""one"."Select" REPLICA IDENTITY USING INDEX email_once;
CREATE INDEX lower_order ON "Odd ""one"."Select" (lower("order")) WHERE n > 0;
CREATE TABLE public.parts (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE public.parts_1 PARTITION OF public.parts FOR VALUES FROM ('2020-01-01') TO ('2030-01-01');
CREATE INDEX parts_at ON public.parts (at);
"""
ONCE = Statement(
    "index", "CREATE UNIQUE INDEX once ON public.parts (at)", ("index", "public", "once"), "public.parts", "after"
)
IDS = ("public.parent", 'Odd "one.Select', "public.parts")


@pytest.fixture(scope="module")
def described(pg18: Server) -> tuple[list[Table], list[Statement]]:
    database = make_source(pg18)
    source = PostgresSource(database.url, "p")
    try:
        database.sql(DDL)
        tables = define(database.as_role(roles.APP), *IDS)
        return tables, source.objects(tables)
    finally:
        source.close()
        database.drop()


@pytest.fixture
def tables(described: tuple[list[Table], list[Statement]]) -> list[Table]:
    """As a source describes them."""
    return described[0]


@pytest.fixture
def objects(described: tuple[list[Table], list[Statement]]) -> list[Statement]:
    """With all they need."""
    return described[1]


Sinks = Callable[..., PostgresSink]


@pytest.fixture
def sinks(target_db: Database) -> Iterator[Sinks]:
    made: list[PostgresSink] = []

    def make(policy: str = "create", database: Database = target_db) -> PostgresSink:
        made.append(PostgresSink(lambda: database.url, "p", target_tables=policy))
        return made[-1]

    yield make
    for sink in made:
        sink.close()


def columns(database: Database, table: str) -> list[tuple[object, ...]]:
    return database.sql(
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid),"
        " a.attidentity::text, a.attgenerated::text, (SELECT collname FROM pg_collation c WHERE c.oid = a.attcollation)"
        " FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
        " WHERE a.attrelid = %s::regclass AND a.attnum > 0 ORDER BY a.attnum",
        table,
    )


class TestPrepare:
    @pytest.mark.failure("TG-15")
    def test_what_is_made(
        self, target_db: Database, sinks: Sinks, tables: list[Table], objects: list[Statement]
    ) -> None:
        sink = sinks()
        sink.claim("me", True)
        assert [f.id for f in sink.check(tables, objects)] == ["PT-REPLICA-ROLE"]
        sink.prepare(tables, objects)
        sink.prepare(tables, objects)
        assert columns(target_db, "parent") == [
            ("id", "bigint", True, None, "d", "", None),
            ("name", "character varying(20)", True, None, "", "", "C"),
        ]
        by_name = {row[0]: row[1:] for row in columns(target_db, '"Odd ""one"."Select"')}
        assert by_name["order"][2] == "'x''y'::text"
        assert by_name["m"][:3] == ("mood", False, "'sad'::mood")
        assert by_name["ms"][0] == "mood[]"
        assert by_name["n"][:2] == ("numeric(10,2)", True)
        assert by_name["twice"][4] == "s"
        assert by_name["at"][2] == "now()"
        assert by_name["serial"][2] == """nextval('"Odd ""one"."Select_serial_seq"'::regclass)"""
        assert target_db.sql("SELECT enum_range(NULL::mood)::text") == [("{sad,\"it's ok\",\"a,b\"}",)]
        keys = "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = %s::regclass ORDER BY 1"
        primary = "CREATE UNIQUE INDEX parts_pkey ON public.parts USING btree (id, at)"
        assert target_db.sql(keys, "parts") == [(primary,)]
        assert len(target_db.sql(keys, '"Odd ""one"."Select"')) == 2, "primary key, and what rows are named by"

    def test_finish_builds_what_is_missing_and_no_more(
        self, target_db: Database, sinks: Sinks, tables: list[Table], objects: list[Statement]
    ) -> None:
        sink = sinks()
        sink.claim("me", True)
        sink.prepare(tables, objects)
        sink.intend(IDENTITY, {})
        sink.start(place(1), tables, [Chunk(id, 0, state=State.IN) for id in IDS])
        sink.finish(tables, objects)
        sink.finish(tables, objects)
        query = (
            "SELECT c.relname FROM pg_index JOIN pg_class c ON c.oid = indexrelid"
            " WHERE indrelid = %s::regclass ORDER BY 1"
        )
        assert target_db.sql(query, '"Odd ""one"."Select"') == [("Select_pkey",), ("email_once",), ("lower_order",)]
        assert target_db.sql(query, "parent") == [("parent_name_key",), ("parent_pkey",)]
        assert target_db.sql("SELECT conname FROM pg_constraint WHERE contype = 'f' AND connamespace > 0") == [
            ("Select_parent_fkey",)
        ]
        sink.close()
        assert sinks().claim("me", False).finished

    def test_a_statement_that_fails_is_named(
        self, target_db: Database, sinks: Sinks, tables: list[Table], objects: list[Statement]
    ) -> None:
        sink = sinks()
        sink.claim("me", True)
        sink.prepare(tables, objects)
        target_db.sql("INSERT INTO parts VALUES (1, '2020-01-01'), (2, '2020-01-01')")
        with pytest.raises(CdcdError) as caught:
            sink.finish(tables, [*objects, ONCE])
        assert "CREATE UNIQUE INDEX once" in str(caught.value)
        sink.close()
        again = sinks()
        assert not again.claim("me", False).finished
        again.finish(tables, objects)

    @pytest.mark.parametrize("policy", ["create", "use", "truncate", "drop"])
    def test_tables_that_are_there(self, target_db: Database, sinks: Sinks, tables: list[Table], policy: str) -> None:
        table = tables[2]
        target_db.sql("CREATE TABLE parts (at date, more text, id int, PRIMARY KEY (id, at))")
        target_db.sql("INSERT INTO parts VALUES ('2020-01-01', 'x', 1)")
        sink = sinks(policy)
        sink.claim("me", True)
        found = [f.id for f in sink.check([table]) if f.level == "error"]
        assert found == (["PT-FILLED"] if policy == "create" else [])
        if policy == "create":
            with pytest.raises(StateRefused) as caught:
                sink.prepare([table])
            assert "public.parts" in str(caught.value)
            return
        sink.prepare([table])
        assert target_db.sql("SELECT count(*) FROM parts") == [(1 if policy == "use" else 0,)]
        assert len(columns(target_db, "parts")) == (2 if policy == "drop" else 3)
        assert sink.forms(table)[0].columns == ("id", "at")

    def test_a_type_that_cannot_be_made(self, source_db: Database, sinks: Sinks) -> None:
        """By a source that gives no statements."""
        source_db.sql("CREATE DOMAIN positive AS int CHECK (VALUE > 0)")
        source_db.sql("CREATE TABLE d (id int PRIMARY KEY, p positive)")
        (table,) = define(source_db.as_role(roles.APP), "public.d")
        sink = sinks()
        sink.claim("me", True)
        assert "PT-TYPE-MISSING" in [f.id for f in sink.check([table])]
        with pytest.raises(CdcdError) as caught:
            sink.prepare([table])
        assert "public.positive" in str(caught.value)

    def test_the_key_is_wanted_where_tables_are_used_as_they_are(
        self, target_db: Database, sinks: Sinks, tables: list[Table]
    ) -> None:
        target_db.sql("CREATE TABLE parts (id int, at date)")
        sink = sinks("use")
        sink.claim("me", True)
        (finding,) = (f for f in sink.check(tables[2:]) if f.level == "error")
        assert finding.id == "PT-KEY"
        with pytest.raises(UsageError):
            sink.prepare(tables[2:])
        target_db.sql(finding.mend)
        sink.close()
        again = sinks("use")
        again.claim("me", False)
        again.prepare(tables[2:])


T = "CREATE TABLE t (id int PRIMARY KEY, v text)"
NOTHING = "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; "
TRIGGER = T + "; " + NOTHING + "CREATE TRIGGER keep_off {} ON t FOR EACH ROW EXECUTE FUNCTION nothing()"


class TestCheck:
    """Each with a statement that mends it, which is tried."""

    @pytest.mark.failure("T-PT-8")
    @pytest.mark.parametrize(
        ("wanted", "there", "role"),
        [
            ("PT-RULE", T + "; CREATE RULE elsewhere AS ON INSERT TO t DO INSTEAD NOTHING", roles.TARGET_REPLICA),
            ("PT-TRIGGER", TRIGGER.format("BEFORE UPDATE"), roles.TARGET),
            ("PT-TRIGGER", TRIGGER.format("BEFORE INSERT") + "; ALTER TABLE t ENABLE ALWAYS TRIGGER keep_off",
             roles.TARGET_REPLICA),
            ("PT-TRIGGER", TRIGGER.format("BEFORE INSERT") + "; ALTER TABLE t ENABLE REPLICA TRIGGER keep_off",
             roles.TARGET_REPLICA),
            ("PT-UNLOGGED", T.replace("TABLE", "UNLOGGED TABLE"), roles.TARGET),
            ("PT-COLUMN", "CREATE TABLE t (id int PRIMARY KEY)", roles.TARGET),
            ("PT-GENERATED", "CREATE TABLE t (id int PRIMARY KEY, v text GENERATED ALWAYS AS ('x') STORED)",
             roles.TARGET),
            ("PT-IDENTITY", "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text)", roles.TARGET),
            ("PT-TYPE", "CREATE TABLE t (id smallint PRIMARY KEY, v text)", roles.TARGET),
            ("PT-EXTRA", "CREATE TABLE t (id int PRIMARY KEY, v text, w int NOT NULL)", roles.TARGET),
            ("PT-FOREIGN-KEY", "CREATE TABLE p (v text PRIMARY KEY); "
             "CREATE TABLE t (id int PRIMARY KEY, v text REFERENCES p)", roles.TARGET),
            ("PT-FILLED", T + "; INSERT INTO t VALUES (1)", roles.TARGET),
        ],
    )  # fmt: skip
    def test_errors(self, target_db: Database, source_db: Database, wanted: str, there: str, role: str) -> None:
        source_db.sql(T)
        tables = define(source_db.as_role(roles.APP), "public.t")
        db = target_db.as_role(role)
        sink = PostgresSink(lambda: db.url, "p")
        assert not [f.id for f in sink.check(tables) if f.level == "error"]
        db.sql(there)
        (finding,) = (f for f in sink.check(tables) if f.level == "error")
        assert finding.id == wanted
        db.sql(finding.mend.partition(" -- ")[0])
        assert not [f.id for f in sink.check(tables) if f.level == "error"]
        assert db.sql("SELECT to_regnamespace('cdcd')::text") == [(None,)], "a check changes nothing"
        sink.close()

    def test_what_only_the_owner_can_mend(self, target_db: Database, source_db: Database, sinks: Sinks) -> None:
        source_db.sql(T)
        tables = define(source_db.as_role(roles.APP), "public.t")
        target_db.admin(T + "; ALTER TABLE t ENABLE ROW LEVEL SECURITY")
        target_db.admin(f'REVOKE CREATE, TEMPORARY ON DATABASE "{target_db.name}" FROM PUBLIC, {target_db.role}')
        sink = sinks()
        try:
            for wanted in (["PT-CREATE", "PT-TEMPORARY", "PT-RIGHTS"], ["PT-ROW-SECURITY"]):
                findings = [f for f in sink.check(tables) if f.level == "error"]
                assert [f.id for f in findings] == wanted
                for finding in findings:
                    target_db.admin(finding.mend)
            assert not [f for f in sink.check(tables) if f.level == "error"]
        finally:
            target_db.admin(f"ALTER ROLE {target_db.role} NOBYPASSRLS")

    def test_a_view(self, target_db: Database, source_db: Database, sinks: Sinks) -> None:
        source_db.sql(T)
        target_db.sql("CREATE VIEW t AS SELECT 1 AS id, 'x'::text AS v")
        (finding,) = (
            f for f in sinks().check(define(source_db.as_role(roles.APP), "public.t")) if f.level == "error"
        )
        assert finding.id == "PT-NO-TABLE"

    def test_an_audit_trigger_is_a_warning_where_it_cannot_be_switched_off(
        self, target_db: Database, source_db: Database, sinks: Sinks
    ) -> None:
        """TG-04"""
        source_db.sql(T)
        tables = define(source_db.as_role(roles.APP), "public.t")
        target_db.sql(TRIGGER.format("AFTER INSERT"))
        assert [f.id for f in sinks().check(tables)] == ["PT-REPLICA-ROLE", "PT-TRIGGER-RUNS"]
        target_db.admin(f"ALTER TABLE t OWNER TO {roles.TARGET_REPLICA}")
        other = sinks(database=target_db.as_role(roles.TARGET_REPLICA))
        assert [f.id for f in other.check(tables)] == []


def test_rows_that_a_trigger_keeps_off_are_missed_by_the_counts(target_db: Database) -> None:
    """T-PT-8: had nobody checked."""
    target_db.sql(TRIGGER.format("BEFORE INSERT"))
    hand = Hand(target_db.url, define(target_db, "public.t"), form=1).begin()
    with pytest.raises(Conflict):
        hand.apply(hand.insert("public.t", 1, "a"))
    hand.sink.close()


def test_drop_forgets_this_pipeline_only(target_db: Database, sinks: Sinks, tables: list[Table]) -> None:
    sink = sinks()
    sink.claim("me", True)
    other = PostgresSink(lambda: target_db.url, "other")
    other.claim("me", True)
    sink.drop()
    assert target_db.sql("SELECT pipeline FROM cdcd.epochs") == [("other",)]
    with pytest.raises(CdcdError):
        sink.beat()
    other.beat()
    other.close()
