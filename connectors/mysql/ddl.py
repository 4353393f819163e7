"""The target's tables: planned from what is there, and made as planned. A source of the same product says how, in
statements; for any other, tables are made from the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from cdcd import refused
from cdcd.errors import CdcdError
from cdcd.log import get_logger
from cdcd.model.schema import Statement
from cdcd.model.table import Column, Table
from connectors.mysql.defaults import expression
from connectors.mysql.dialect import collation_here
from connectors.mysql.missing import missing
from connectors.mysql.names import literal, quote
from connectors.mysql.sessions import Session
from connectors.mysql.shape import Shape, find_shape
from connectors.mysql.types import INTEGERS, Native

log = get_logger("mysql.ddl")

PRODUCTS = ("mysql", "mariadb")
"""Whose tables' types and collations have names that mean here what they mean there."""

KEY_LENGTH = 255
"""Characters of a text of no stated length in a key: an index of InnoDB takes 3,072 bytes."""

ROW = 60000
"""Bytes of a row that may be varchar; a longer text is kept apart from its row."""

FAMILIES: Mapping[str, str] = {
    "bool": "tinyint(1)", "int16": "smallint", "int32": "int", "int64": "bigint", "uint32": "int unsigned",
    "uint64": "bigint unsigned", "float32": "float", "float64": "double", "date": "date", "bytes": "longblob",
    "uuid": "char(36)", "inet": "varchar(43)", "cidr": "varchar(43)", "macaddr": "varchar(17)",
    "macaddr8": "varchar(23)", "timetz": "varchar(21)", "interval": "varchar(64)",
}  # fmt: skip
"""Family → type; a family that is not here, nor has parameters below, is carried as its text."""


def make_tables(session: Session, tables: Sequence[Table], objects: Sequence[Statement], policy: str) -> None:
    """Have every table there, by the policy: `create` (an empty one is used), `use`, `truncate`, `drop`. Each statement
    commits: a crash between two leaves what the next call goes on from."""
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
    for id, filled in there.items() if policy in ("truncate", "drop") else ():
        verb = "TRUNCATE" if policy == "truncate" else "DROP"
        plan.append(Statement(policy, f"{verb} TABLE {filled.sql}", (policy, id), id))
    made = {table.id for table in tables if table.id not in there or policy == "drop"}
    given = {one.table for one in objects if one.kind == "table"}
    before = [one for one in objects if one.stage == "before" and (not one.table or one.table in made)]
    for table in tables:
        if table.id in made - given:
            before += plain(session, table)
    plan += missing(session, before, made)
    for table in tables:
        shape = there.get(table.id) if table.id not in made else None
        if not _will_have_key(table, shape, before):
            plan.append(Statement("index", key_index(session, table), ("index",), table.id))
    return plan


def _will_have_key(table: Table, shape: Shape | None, before: Sequence[Statement]) -> bool:
    """`shape` None: the table is about to be made. As a source of the same product says it, all that could be its key
    is in the statement."""
    if not table.key:
        return True
    if shape is not None:
        return bool(shape.index(table.key))
    if table.primary and set(table.primary) <= set(table.key):
        return True
    return any(one.table == table.id and ("UNIQUE KEY" in one.text or one.kind == "index") for one in before)


def _there(session: Session, tables: Sequence[Table]) -> dict[str, Shape]:
    return {table.id: shape for table in tables if (shape := find_shape(session, table))}


def _refuse_filled(session: Session, there: Mapping[str, Shape]) -> None:
    filled = [id for id, shape in there.items() if session.row(f"SELECT 1 FROM {shape.sql} LIMIT 1") is not None]
    if filled:
        raise refused.filled(filled)


def _refuse_keyless(tables: Sequence[Table], there: Mapping[str, Shape]) -> None:
    for table in tables:
        if table.key and table.id in there and not there[table.id].index(table.key):
            columns = ", ".join(map(quote, table.key))
            raise refused.keyless(table, f"ALTER TABLE {there[table.id].sql} ADD UNIQUE ({columns})")


def key_index(session: Session, table: Table) -> str:
    """The statement that makes the unique index that changes are found by."""
    return f"ALTER TABLE {session.homes.sql(table)} ADD UNIQUE ({', '.join(map(quote, table.key))})"


def make(session: Session, statement: Statement) -> None:
    try:
        session.define(statement.text)
    except CdcdError as error:
        error.where.setdefault("statement", statement.text)
        raise
    log.debug("made", statement=statement.text)


# --- from the model --------------------------------------------------------------------------------------------------


def plain(
    session: Session, table: Table, comments: Mapping[tuple[str, str], str] = MappingProxyType({})
) -> list[Statement]:
    """The table as its model says, for a source that gives no statements. `comments`: by id of the table and column, ""
    for the table itself; as long as they may be here."""
    schema = session.homes.of(table.schema)
    database = f"CREATE DATABASE {quote(schema)} CHARACTER SET utf8mb4"
    parts = []
    for column in table.columns:
        if column.generated is None:
            comment = comments.get((table.id, column.name))
            said = f" COMMENT {literal(comment[:1024])}" if comment else ""
            parts.append(define_column(session, table, column) + said)
    if table.primary:
        parts.append(f"PRIMARY KEY ({', '.join(map(quote, table.primary))})")
    options = f"ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {session.collation} ROW_FORMAT = DYNAMIC"
    if comment := comments.get((table.id, "")):
        options += f" COMMENT = {literal(comment[:2048])}"
    text = f"CREATE TABLE {session.homes.sql(table)} ({', '.join(parts)}) {options}"
    return [
        Statement("schema", database, ("schema", schema)),
        Statement("table", text, ("table", schema, table.name), table.id),
    ]


def column_type(session: Session, table: Table, column: Column) -> str:
    """With its character set and collation, where the source has one."""
    return _native(session, column) if table.product in PRODUCTS else target_type(session, table, column)


def bare_type(session: Session, table: Table, column: Column) -> str:
    """The same without these."""
    return _known_type(session, column.native) if table.product in PRODUCTS else target_type(session, table, column)


def define_column(session: Session, table: Table, column: Column) -> str:
    type = column_type(session, table, column)
    null = "NULL" if column.nullable and column.name not in table.primary else "NOT NULL"
    if counting(table, column) and Native.parse(type).name in INTEGERS:
        return f"{quote(column.name)} {type} {null} AUTO_INCREMENT"
    default = expression(column, type)
    return f"{quote(column.name)} {type} {null}" + (f" DEFAULT {default}" if default is not None else "")


def counting(table: Table, column: Column) -> bool:
    """Whether the server gives it its numbers: the first column of the primary key, where the source does so."""
    counts = column.identity or (column.simple is not None and column.simple.kind == "next")
    return bool(counts) and table.primary[:1] == (column.name,)


def _native(session: Session, column: Column) -> str:
    """As the source has it; a collation that the server does not know becomes the one that compares bytes."""
    type = _known_type(session, column.native)
    if column.collation and column.collation != "binary" and Native.parse(column.native).name != "json":
        charset = column.collation.partition("_")[0]
        return f"{type} CHARACTER SET {charset} COLLATE {collation_here(column.collation, read_collations(session))}"
    return type


def read_collations(session: Session) -> set[str]:
    """All that the server has, by the names that tables have them by."""
    text = "SELECT COLLATION_NAME FROM information_schema.COLLATIONS WHERE COLLATION_NAME IS NOT NULL"
    if session.mariadb:  # of those for more than one character set the short names stand there
        text = "SELECT FULL_COLLATION_NAME FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY"
    return {str(name) for (name,) in session.rows(text)}


def _known_type(session: Session, native: str) -> str:
    """A type of the other product as this one has it."""
    name = Native.parse(native).name
    if session.mariadb:
        return "longblob" if name == "vector" else native
    return {"uuid": "char(36)", "inet4": "varchar(43)", "inet6": "varchar(43)"}.get(name, native)


def target_type(session: Session, table: Table, column: Column) -> str:
    """The type that holds every value of the column's logical type, as equal; of text by its bytes."""
    type, family = column.type, column.type.family
    in_key = column.name in table.key or any(column.name in unique for unique in table.unique)
    if family == "decimal" and type.precision and type.precision <= 65:
        scale = type.scale or 0
        if 0 <= scale <= min(30, type.precision):
            return f"decimal({type.precision},{scale})"
    if family in ("time", "timestamp", "timestamptz"):
        name = "time" if family == "time" else "datetime"
        return f"{name}({6 if type.precision is None else min(type.precision, 6)})"
    if family == "bit" and 0 < (type.length or 1) <= 64:
        return f"bit({type.length or 1})"
    if family == "vector" and type.length and not session.mariadb:
        return f"vector({type.length})"
    if family == "enum" and type.labels:
        return f"enum({', '.join(map(literal, type.labels))})"
    if family in ("json", "jsonb") and not session.mariadb:
        return "json"
    if family == "bytes" and in_key:
        return f"varbinary({min(type.length or KEY_LENGTH, 3072)})"
    if family in FAMILIES:
        return FAMILIES[family]
    if family == "char" and type.length and type.length <= 255:
        return f"char({type.length})"
    if in_key:
        return f"varchar({min(type.length or KEY_LENGTH, 768)})"
    if type.length and type.length * 4 * len(table.columns) <= ROW:
        return f"varchar({type.length})"
    return "longtext"
