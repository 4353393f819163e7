"""What would go wrong when the source's objects are made at the target, found before anything is started: versions that
do not know them, functions, extensions and types that are missing or others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cdcd.contracts import Finding
from cdcd.model.schema import Statement
from cdcd.model.table import Table
from connectors.postgres.ddl import labels_of, missing_type, plan_tables
from connectors.postgres.findings import finding
from connectors.postgres.grants import OTHERS
from connectors.postgres.missing import missing
from connectors.postgres.names import quote_identifier
from connectors.postgres.objects_types import types_there
from connectors.postgres.sessions import Session

_EXTENSIONS = """
SELECT w.name, bool_or(v.name IS NOT NULL), coalesce(bool_or(v.trusted OR r.rolsuper), false)
FROM unnest(%s::text[]) w (name) JOIN pg_roles r ON r.rolname = current_user
LEFT JOIN pg_available_extension_versions v ON v.name = w.name GROUP BY w.name ORDER BY 1
"""

_FUNCTIONS = "SELECT name FROM unnest(%s::text[]) u (name) WHERE to_regprocedure(name) IS NULL ORDER BY 1"


def check_objects(
    session: Session, tables: Sequence[Table], objects: Sequence[Statement], policy: str
) -> list[Finding]:
    """By what would be run now for tables that the pipeline does not carry yet."""
    if not tables:
        return []
    before = plan_tables(session, tables, objects, policy)
    made = {one.table for one in before if one.kind == "table"}
    plan = before + missing(session, [one for one in objects if one.stage != "before"], made)
    given = {one.table for one in objects if one.kind == "table"}
    return [
        *_versions(session, plan),
        *_functions(session, plan),
        *_extensions(session, plan),
        *_roles(session, plan),
        *_others(session, plan),
        *_other_types(session, objects),
        *(found for table in tables if table.id in made - given for found in _missing_types(session, table)),
    ]


def _versions(session: Session, plan: Sequence[Statement]) -> Iterator[Finding]:
    for one in plan:
        if one.needs > session.version:
            left_out = one.kind == "grant"
            yield finding(
                "PT-NEEDS", f"{one.kind} {one.name}: the target is PostgreSQL {session.version // 10000}, and "
                f"only {one.needs // 10000} knows it", one.text,
                "" if left_out else "make the table at the target as it can be there, and choose target_tables = use",
                level="warning" if left_out else None,
            )  # fmt: skip


def _functions(session: Session, plan: Sequence[Statement]) -> Iterator[Finding]:
    made = {one.of[2] for one in plan if one.of[0] == "object"}
    used = sorted({name for one in plan for name in one.uses} - made)
    gone = {row[0] for row in session.rows(_FUNCTIONS, (used,))} if used else set()
    for one in plan:
        for name in one.uses:
            if name in gone:
                level = "warning" if one.kind == "default" else None
                yield finding("PT-FUNCTION", f"{one.kind} {one.name} calls {name}, which is not at the target",
                              one.text, "create that function there first", level=level)  # fmt: skip


def _roles(session: Session, plan: Sequence[Statement]) -> Iterator[Finding]:
    """Each role once."""
    named: dict[str, Statement] = {}
    for one in plan:
        for role in one.roles:
            named.setdefault(role, one)
    there = {row[0] for row in session.rows("SELECT rolname FROM pg_roles")} if named else set()
    for role in sorted(named.keys() - there):
        yield finding("PT-ROLE", f"the role {role} is not at the target", named[role].text,
                      f"CREATE ROLE {quote_identifier(role)} NOLOGIN -- or as it is at the source")  # fmt: skip


def _others(session: Session, plan: Sequence[Statement]) -> Iterator[Finding]:
    """By hand granted, it is there, and is found no more."""
    wanted = [one for one in plan if one.kind == "grant"]
    names = [list(range(len(wanted))), [one.of[1] for one in wanted], [one.of[2] for one in wanted]]
    for (number,) in session.rows(OTHERS, names) if wanted else []:
        one = wanted[number]
        yield finding("PT-GRANT", f"{one.of[1].lower()} {one.of[2]} belongs to another role at the target", one.text,
                      one.text)  # fmt: skip


def _extensions(session: Session, plan: Sequence[Statement]) -> Iterator[Finding]:
    wanted = {one.of[1]: one for one in plan if one.kind == "extension"}
    for name, available, allowed in session.rows(_EXTENSIONS, (list(wanted),)) if wanted else []:
        if not available:
            yield finding("PT-EXTENSION", f"the target's server has no extension {name}", name,
                          f"install its package there, or leave out the tables that need {name}; where none does, "
                          "DROP EXTENSION at the source or choose objects = tables")  # fmt: skip
        elif not allowed:
            yield finding("PT-EXTENSION", f"only a superuser may create the extension {name} at the target",
                          name, wanted[name].text)  # fmt: skip


def _other_types(session: Session, objects: Sequence[Statement]) -> Iterator[Finding]:
    """By the statements that make them. The first of a type's statements makes it."""
    wanted: dict[tuple[str, ...], str] = {}
    for one in objects:
        if one.kind == "type":
            wanted.setdefault(one.of, one.text)
    for of, here in types_there(session, objects).items():
        if here != wanted[of]:
            name = ".".join(map(quote_identifier, of[1:]))
            yield finding("PT-TYPE-DIFFERS", f"the type {name} is another at the target",
                          f"there: {here}; source: {wanted[of]}",
                          f"ALTER TYPE {name} RENAME TO {quote_identifier(of[2] + '_old')}"
                          " -- or alter it to be as at the source")  # fmt: skip


def _missing_types(session: Session, table: Table) -> Iterator[Finding]:
    """Of a source that gives no statements."""
    for column in table.columns:
        if missing_type(session, column) and not labels_of(column):
            yield finding("PT-TYPE-MISSING", f"{table.id}.{column.name}: its type is not at the target", column.native,
                          "create it as at the source: CREATE EXTENSION, CREATE TYPE, CREATE DOMAIN")  # fmt: skip
        collation = column.collation
        if collation and session.row("SELECT to_regcollation(%s) IS NULL", (collation,)) == (True,):
            yield finding("PT-COLLATION", f"{table.id}.{column.name}: its collation is not at the target", collation,
                          f"CREATE COLLATION {collation} (…), as at the source")  # fmt: skip
