"""The tables of a database as information_schema tells them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cdcd.model.table import Column, Equality, Table
from cdcd.model.types import LogicalType
from connectors.mysql.ask import rows
from connectors.mysql.defaults import simple
from connectors.mysql.login import Connection
from connectors.mysql.period import is_period, period
from connectors.mysql.references import read_references
from connectors.mysql.server import Server
from connectors.mysql.types import Native, logical

SYSTEM = ("mysql", "information_schema", "performance_schema", "sys", "cdcd")

_TABLES = """
SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, COALESCE(DATA_LENGTH, 0), COALESCE(TABLE_ROWS, 0),
       COALESCE(CREATE_OPTIONS, '') LIKE '%%partitioned%%', COALESCE(TABLE_COLLATION, '')
FROM information_schema.TABLES WHERE TABLE_SCHEMA IN %s AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')
ORDER BY TABLE_SCHEMA, TABLE_NAME"""

_COLUMNS = """
SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, ORDINAL_POSITION, COLUMN_TYPE, IS_NULLABLE = 'YES', COLUMN_DEFAULT, EXTRA,
       GENERATION_EXPRESSION, COLLATION_NAME
FROM information_schema.COLUMNS WHERE TABLE_SCHEMA IN %s ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION"""

_KEYS = """
SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, COLUMN_NAME, SUB_PART IS NULL, COALESCE(NULLABLE, '') <> 'YES'
FROM information_schema.STATISTICS WHERE TABLE_SCHEMA IN %s AND NON_UNIQUE = 0
ORDER BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME <> 'PRIMARY', INDEX_NAME, SEQ_IN_INDEX"""

_Place = tuple[str, str]


def read_tables(
    connection: Connection, server: Server, database: str, wanted: Collection[str] | None = None
) -> list[Table]:
    """The tables of `database` (of every one that is visible, where it is empty), by id; only `wanted` ids."""
    if not server.mariadb:
        rows(connection, "SET SESSION information_schema_stats_expiry = 0")
        if server.version >= (8, 0, 30):
            # A primary key that the server made itself is in the log like any column (MY-18).
            rows(connection, "SET SESSION show_gipk_in_create_table_and_information_schema = ON")
    schemas = _schemas(connection, database)
    if not schemas:
        return []
    columns: defaultdict[_Place, list[Column]] = defaultdict(list)
    keys: defaultdict[_Place, dict[str, list[tuple[str, bool]]]] = defaultdict(dict)
    for schema, name, *rest in rows(connection, _COLUMNS, schemas):
        columns[schema, name].append(_column(server, *rest) or _unknown(*rest))
    for schema, name, index, column, whole, filled in rows(connection, _KEYS, schemas):
        keys[schema, name].setdefault(index, []).append((column or "", bool(whole and filled and column)))
    found = []
    for schema, name, kind, size, count, partitioned, collation in rows(connection, _TABLES, schemas):
        if wanted is None or f"{schema}.{name}" in wanted:
            its = columns[schema, name]
            if kind == "SYSTEM VERSIONED" and not any(map(is_period, its)):
                its += period(len(its) + 1)
            table = _table(server.product, schema, name, its, keys[schema, name], size, count, partitioned)
            found.append(replace(table, collation=collation, references=read_references(connection, table)))
    return sorted(found, key=lambda table: table.id)


def _schemas(connection: Connection, database: str) -> list[str]:
    if database:
        return [database]
    return [str(name) for (name,) in rows(connection, "SHOW DATABASES") if name not in SYSTEM]


def _table(
    product: str,
    schema: str,
    name: str,
    columns: Sequence[Column],
    keys: Mapping[str, Sequence[tuple[str, bool]]],
    size: int,
    count: int,
    partitioned: int,
) -> Table:
    """The key is the primary one, or the first unique index that holds each row: what the log names an old row by when
    it leaves columns out. MariaDB's versioned tables have the end of a row in their keys, which is no name of it."""
    ends = {column.name for column in columns if is_period(column)}
    some = ((index, [one for one in its if one[0] not in ends]) for index, its in keys.items())
    keys = {index: its for index, its in some if its}
    primary = tuple(column for column, _ in keys.get("PRIMARY", ()))
    whole = [tuple(column for column, _ in its) for its in keys.values() if all(sound for _, sound in its)]
    others = tuple(
        tuple(column for column, _ in its)
        for index, its in keys.items()
        if index != "PRIMARY" and all(column for column, _ in its)
    )
    return Table(
        schema, name, tuple(columns), primary or (whole[0] if whole else ()), primary=primary,
        partitioned=bool(partitioned), bytes=int(size), rows=int(count), unique=others, attributes=len(columns),
        product=product,
    )  # fmt: skip


def _column(
    server: Server,
    name: str,
    number: int,
    type: str,
    nullable: int,
    default: str | None,
    extra: str,
    expression: str | None,
    collation: str | None,
) -> Column | None:
    """None: a type that we do not know."""
    try:
        native = Native.parse(type)
        family = logical(native, (collation or "binary").partition("_")[0])
    except ValueError:
        return None
    return Column(
        name, int(number), family, type,
        nullable=bool(nullable),
        default=_default(server, default, extra, family.family),
        generated=expression or "expression" if "GENERATED" in extra.replace("DEFAULT_GENERATED", "") else None,
        identity="d" if "auto_increment" in extra else None,
        collation=collation,
        equality=equality(native, collation),
        simple=simple(server.mariadb, default, extra, family),
    )  # fmt: skip


def _unknown(name: str, number: int, type: str, nullable: int, *rest: Any) -> Column:
    """Of a type that cdcd does not know: its table is left out."""
    return Column(name, int(number), LogicalType("opaque", labels=(type,)), type, nullable=bool(nullable))


def _default(server: Server, default: str | None, extra: str, family: str) -> str | None:
    """As SQL of the source: MariaDB gives that, MySQL the bare text of a literal."""
    if default is None or (server.mariadb and default == "NULL"):
        return None
    if server.mariadb or "DEFAULT_GENERATED" in extra or family in ("int16", "int32", "int64", "uint32", "uint64"):
        return default
    return "'" + default.replace("\\", "\\\\").replace("'", "''") + "'"


def equality(native: Native, collation: str | None) -> Equality:
    """Whether equal bytes are what the server calls equal: not under collations that fold, or that pad with blanks."""
    if native.name in ("float", "double"):
        return "server"
    if collation is None or collation in ("binary", "utf8mb4_0900_bin"):
        return "exact"
    return "server"
