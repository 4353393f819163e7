"""The target's tables and what they need before the data: planned from what is there, and made as planned. A source of
the same product says how, in statements; for any other, tables are made from the model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from cdcd import refused
from cdcd.errors import CdcdError
from cdcd.log import get_logger
from cdcd.model.schema import Statement
from cdcd.model.table import Column, Table
from cdcd.model.types import LogicalType
from connectors.postgres.missing import missing
from connectors.postgres.names import qualified, quote_identifier, quote_literal
from connectors.postgres.objects_tables import define, set_default
from connectors.postgres.objects_types import schema_statement
from connectors.postgres.sessions import Session
from connectors.postgres.shape import Shape, find_shape

log = get_logger("postgres.ddl")

_PARTS = re.compile(r'"((?:[^"]|"")*)"|([^".]+)')
"""Of a qualified name: quoted, or bare."""


def make_tables(session: Session, tables: Sequence[Table], objects: Sequence[Statement], policy: str) -> None:
    """Have every table there, by the policy: `create` (an empty one is used), `use`, `truncate`, `drop`."""
    there = _there(session, tables)
    if policy == "create":
        _refuse_filled(session, there)
    if policy == "use":
        _refuse_keyless(tables, there)
    for statement in plan_tables(session, tables, objects, policy):
        make(session, statement)


def plan_tables(
    session: Session, tables: Sequence[Table], objects: Sequence[Statement], policy: str
) -> list[Statement]:
    """What `make_tables` would run now."""
    there = _there(session, tables)
    plan = []
    if there and policy in ("truncate", "drop"):
        verb = "TRUNCATE" if policy == "truncate" else "DROP TABLE"
        names = (shape.only if policy == "truncate" else shape.sql for shape in there.values())
        text = f"{verb} {', '.join(names)}"
        plan.append(Statement(policy, text, (policy, *there)))
    dropped = set(there) if policy == "drop" else set()
    made = {table.id for table in tables} - set(there) | dropped
    given = {one.table for one in objects if one.kind == "table"}
    before = [one for one in objects if one.stage == "before"]
    for table in tables:
        if table.id in made - given:
            before += plain(table)
    before = list(dict.fromkeys(before))
    plan += missing(session, before, made, dropped)
    for table in tables:
        shape = there.get(table.id) if table.id not in made else None
        if not _will_have_key(table, shape, before):
            plan.append(Statement("index", key_index(table), ("index",), table.id))
    return plan


def _there(session: Session, tables: Sequence[Table]) -> dict[str, Shape]:
    return {table.id: shape for table in tables if (shape := find_shape(session, table.schema, table.name))}


def _refuse_filled(session: Session, there: Mapping[str, Shape]) -> None:
    filled = [id for id, shape in there.items() if session.row(f"SELECT FROM {shape.only} LIMIT 1") is not None]
    if filled:
        raise refused.filled(filled)


def make(session: Session, statement: Statement) -> None:
    """Run it. A default serves those who write here later: one that cannot be had is no reason to stop."""
    if statement.kind != "default":
        try:
            session.run(statement.text)
        except CdcdError as error:
            error.where.setdefault("statement", statement.text)
            raise
        log.debug("made", statement=statement.text)
        return
    try:
        session.defer("SAVEPOINT default_value")
        session.run(statement.text)
    except CdcdError as error:
        if session.closed or "sqlstate" not in error.where:
            raise
        session.run("ROLLBACK TO SAVEPOINT default_value")
        log.warning("a default was left out", table=statement.table, statement=statement.text, why=error.what)
    session.run("RELEASE SAVEPOINT default_value")


# --- from the model --------------------------------------------------------------------------------------------------


def plain(table: Table) -> list[Statement]:
    """The table as its model says, with its enums, for a source that gives no statements. Of other types and of
    sequences the model does not say enough."""
    of = ("table", table.schema, table.name)
    parts = [define(column, table) for column in table.columns]
    if table.primary:
        parts.append(f"PRIMARY KEY ({', '.join(map(quote_identifier, table.primary))})")
    statements = schema_statement(table.schema)
    for column in table.columns:
        statements += _enum(column)
    statements.append(Statement("table", f"CREATE TABLE {qualified(table)} ({', '.join(parts)})", of, table.id))
    for column in table.columns:
        if column.default is not None and not column.identity and "nextval(" not in column.default:
            statements.append(Statement("default", set_default(table, column), of, table.id))
    return statements


def _enum(column: Column) -> list[Statement]:
    labels = labels_of(column)
    if not labels:
        return []
    name = column.native.removesuffix("[]")
    parts = [quoted.replace('""', '"') or bare for quoted, bare in _PARTS.findall(name)]
    text = f"CREATE TYPE {name} AS ENUM ({', '.join(map(quote_literal, labels))})"
    return [*schema_statement(parts[0]), Statement("type", text, ("type", *parts))]


def missing_type(session: Session, column: Column) -> bool:
    return session.rows("SELECT to_regtype(%s) IS NULL", (column.native,))[0][0] is True


def labels_of(column: Column) -> tuple[str, ...]:
    """The labels of its enum, or of the enum that it is an array of; empty: it is none."""
    type: LogicalType | None = column.type
    while type is not None and not type.labels:
        type = type.element
    return type.labels if type is not None else ()


# --- the index that changes are found by -----------------------------------------------------------------------------


def key_index(table: Table) -> str:
    """The statement that makes the unique index that changes are found by."""
    names = ", ".join(map(quote_identifier, table.key))
    return f"CREATE UNIQUE INDEX ON {qualified(table)} ({names})"


def _will_have_key(table: Table, shape: Shape | None, before: Sequence[Statement]) -> bool:
    """T-DE-9: rows are found by the key that the source names them by, which need not be the primary key. `shape` None:
    the table is about to be made, and a unique index before the data is the source's replica identity."""
    if not table.key:
        return True
    if shape is not None:
        return has_key(shape, table)
    return (set(table.primary) <= set(table.key) and bool(table.primary)) or any(
        one.table == table.id and one.kind in ("index", "unique") for one in before
    )


def _refuse_keyless(tables: Sequence[Table], there: Mapping[str, Shape]) -> None:
    for table in tables:
        if table.key and table.id in there and not has_key(there[table.id], table):
            raise refused.keyless(table, key_index(table))


def has_key(shape: Shape, table: Table) -> bool:
    return any(columns <= set(table.key) for columns in shape.keys)
