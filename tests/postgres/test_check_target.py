"""What check finds at the target, each provoked, and mended by the statement that it names (more: test_sink_tables)."""

from __future__ import annotations

import pytest

from cdcd.contracts import Finding
from connectors.postgres.sink import PostgresSink
from tests.postgres.sink_hand import define
from tests.servers import Database, roles

SOURCE = """
CREATE TYPE mood AS ENUM ('sad', 'ok', 'glad');
CREATE TABLE t (id int PRIMARY KEY, m mood, ms mood[], email text UNIQUE, v text);
"""
MOOD = "CREATE TYPE mood AS ENUM ('sad', 'ok', 'glad');"
T = MOOD + "CREATE TABLE t (id int PRIMARY KEY, m mood, ms mood[], email text, v text)"


def told(database: Database, tables: list[object], policy: str = "use") -> list[Finding]:
    sink = PostgresSink(lambda: database.url, "p", target_tables=policy)
    try:
        return [f for f in sink.check(tables) if f.id != "PT-REPLICA-ROLE"]  # type: ignore[arg-type]
    finally:
        sink.close()


@pytest.fixture
def tables(source_db: Database) -> list[object]:
    source_db.sql(SOURCE)
    return list(define(source_db.as_role(roles.APP), "public.t"))


@pytest.mark.failure("T-PT-8")
@pytest.mark.parametrize(
    ("wanted", "level", "there"),
    [
        ("PT-LABELS", "error", T.replace(", 'glad'", "")),
        ("PT-NOT-NULL", "warning", T.replace("v text", "v text NOT NULL")),
        ("PT-UNIQUE", "warning", T.replace("v text", "v text UNIQUE, UNIQUE (id, email)")),
        ("PT-TYPE", "error", T.replace("v text", "v varchar(9)")),
        ("PT-NO-TABLE", "error", MOOD + "CREATE MATERIALIZED VIEW t AS SELECT 1 AS id, NULL::mood AS m"),
        ("", "", T.replace("email text", "email text UNIQUE")),
    ],
)
def test_tables_that_are_there(
    target_db: Database, tables: list[object], wanted: str, level: str, there: str
) -> None:
    assert told(target_db, tables) == []
    target_db.sql(there)
    found = told(target_db, tables)
    assert {(f.id, f.level) for f in found} == ({(wanted, level)} if wanted else set())
    if wanted.startswith(("PT-LABELS", "PT-NOT-NULL", "PT-TYPE")):
        target_db.sql(found[0].mend)
        assert told(target_db, tables) == []


def test_a_foreign_table_and_a_collation(source_db: Database, target_db: Database) -> None:
    source_db.sql('CREATE COLLATION "my own" (locale = \'C\'); CREATE TABLE c (id text COLLATE "my own" PRIMARY KEY)')
    source_db.sql("CREATE TABLE far (id int PRIMARY KEY)")
    both = list(define(source_db.as_role(roles.APP), "public.c", "public.far"))
    target_db.admin(
        "CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere;"
        "CREATE FOREIGN TABLE far (id int) SERVER nowhere"
    )
    found = told(target_db, list(both))
    assert [f.id for f in found] == ["PT-NO-TABLE", "PT-COLLATION"]
    assert "a foreign table" in found[0].message
    target_db.sql('CREATE COLLATION "my own" (locale = \'C\')')
    target_db.admin(found[0].mend.replace("…", "elsewhere"))
    assert told(target_db, list(both)) == []


@pytest.mark.failure("PG-27")
def test_each_right_with_its_grant(target_db: Database, tables: list[object]) -> None:
    """All that a role may lack, each granted by the statement named, until nothing is found."""
    role, database = target_db.role, target_db.name
    target_db.admin(T.replace("email text", "email text UNIQUE"))
    target_db.admin("CREATE SCHEMA cdcd; CREATE TABLE cdcd.version (version int)")
    target_db.admin(f'REVOKE ALL ON DATABASE "{database}" FROM PUBLIC, {role}')
    target_db.admin(f'GRANT CONNECT ON DATABASE "{database}" TO {role}')
    target_db.admin(f"REVOKE ALL ON SCHEMA public FROM PUBLIC, {role}")
    for wanted in (["PT-CONTROL", "PT-TEMPORARY", "PT-USAGE"], ["PT-RIGHTS"]):
        found = told(target_db, tables)
        assert [f.id for f in found] == wanted
        for finding in found:
            if finding.id == "PT-CONTROL":  # made by the superuser here, whom nobody joins
                target_db.admin("DROP SCHEMA cdcd CASCADE")
                target_db.admin(f'GRANT CREATE ON DATABASE "{database}" TO {role}')
            else:
                target_db.admin(finding.mend)
    assert told(target_db, tables) == []
    target_db.admin("DROP TABLE t")
    (finding,) = told(target_db, tables)
    assert finding.id == "PT-CREATE-TABLE"
    target_db.admin(finding.mend)
    assert told(target_db, tables) == []


def test_a_schema_is_named_once_however_many_tables(source_db: Database, target_db: Database) -> None:
    source_db.sql("CREATE SCHEMA s; CREATE TABLE s.a (id int PRIMARY KEY); CREATE TABLE s.b (id int PRIMARY KEY)")
    both = list(define(source_db.as_role(roles.APP), "s.a", "s.b"))
    target_db.admin(f'REVOKE CREATE ON DATABASE "{target_db.name}" FROM {target_db.role}; CREATE SCHEMA cdcd')
    target_db.admin(f"ALTER SCHEMA cdcd OWNER TO {target_db.role}")
    (finding,) = told(target_db, list(both))
    assert finding.id == "PT-CREATE-SCHEMA"
    target_db.admin(finding.mend)
    assert told(target_db, list(both)) == []
