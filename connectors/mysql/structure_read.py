"""What tables of a MySQL or MariaDB source are besides columns and keys, for a target of another product. Foreign keys
and checks are read from SHOW CREATE TABLE: MariaDB's information_schema hides them from a user who may only read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cdcd.model.reference import Action
from cdcd.model.schema import NotCarried
from cdcd.model.structure import ForeignKey, Index, Part, Structure
from cdcd.model.table import Column, Table
from connectors.mysql.ask import rows
from connectors.mysql.login import Connection
from connectors.mysql.names import quote, quote_table
from connectors.mysql.not_carried import BY_HAND, read_not_carried
from connectors.mysql.objects import show
from connectors.mysql.server import Server
from connectors.mysql.show_create import Created, checks, reference

_INDEXES = """
SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, NON_UNIQUE = 0, INDEX_TYPE, COLUMN_NAME, SUB_PART, COLLATION = 'D',
       {expression}, COALESCE(INDEX_COMMENT, '')
FROM information_schema.STATISTICS WHERE TABLE_SCHEMA IN %s AND INDEX_NAME <> 'PRIMARY'
ORDER BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX"""

_COMMENTS = """
SELECT TABLE_SCHEMA, TABLE_NAME, '', TABLE_COMMENT FROM information_schema.TABLES
WHERE TABLE_SCHEMA IN %s AND TABLE_COMMENT <> '' AND TABLE_TYPE <> 'VIEW'
UNION ALL
SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, COLUMN_COMMENT FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA IN %s AND COLUMN_COMMENT <> ''"""

_ACTIONS: Mapping[str, Action] = {
    "": "no action", "NO ACTION": "no action", "RESTRICT": "no action", "CASCADE": "cascade", "SET NULL": "set null",
    "SET DEFAULT": "set default",
}  # fmt: skip
"""The first three are one to InnoDB."""

_Name = tuple[str, str, str]


def read_structure(connection: Connection, server: Server, tables: Sequence[Table]) -> Structure:
    schemas = sorted({table.schema for table in tables})
    by_name = {(table.schema, table.name): table for table in tables}
    left: list[NotCarried] = []
    indexes: list[Index] = []
    for found in _indexes(connection, server, schemas, by_name):
        (indexes if isinstance(found, Index) else left).append(found)  # type: ignore[arg-type]
    keys: list[ForeignKey] = []
    for table in tables:
        made = show(connection, table)
        for key in _keys(table, made, by_name):
            (keys if isinstance(key, ForeignKey) else left).append(key)  # type: ignore[arg-type]
        left += _checks(table, made)
    comments = tuple(
        (by_name[schema, table], column, comment)
        for schema, table, column, comment in rows(connection, _COMMENTS, schemas, schemas)
        if (schema, table) in by_name
    )
    for table in tables:
        left += _left_of(table)
    left += read_not_carried(connection, tables)
    return Structure(tuple(tables), tuple(indexes), tuple(keys), comments, tuple(left))


def _indexes(
    connection: Connection, server: Server, schemas: Sequence[str], tables: Mapping[tuple[str, str], Table]
) -> Iterator[Index | NotCarried]:
    expression = "NULL" if server.mariadb else "EXPRESSION"
    its: defaultdict[_Name, list[Sequence[Any]]] = defaultdict(list)
    for schema, table, name, *rest in rows(connection, _INDEXES.format(expression=expression), schemas):
        its[schema, table, name].append(rest)
    for (schema, name, index), parts in its.items():
        if (table := tables.get((schema, name))) is None:
            continue
        unique, kind = bool(parts[0][0]), str(parts[0][1])
        computed = {column.name for column in table.columns if column.generated}
        text = ", ".join(f"({part[5]})" if part[2] is None else quote(part[2]) for part in parts)
        if kind in ("FULLTEXT", "SPATIAL"):
            brings = f"an index of the target's own for this: {kind} ({text})"
            yield NotCarried("index", f"{table.id}.{index}", brings)
        elif any(part[2] is None or part[2] in computed for part in parts):
            what = "UNIQUE INDEX" if unique else "INDEX"
            yield NotCarried("index", f"{table.id}.{index}", f"{BY_HAND}: {what} ({text})")
        else:
            its_parts = tuple(Part(part[2], part[3] and int(part[3]), bool(part[4])) for part in parts)
            yield Index(index, table, its_parts, unique)


def _keys(table: Table, made: Created, tables: Mapping[tuple[str, str], Table]) -> Iterator[ForeignKey | NotCarried]:
    for item in made.items:
        if item.kind != "foreign key":
            continue
        its = reference(item)
        place = (its.schema or table.schema, its.table)
        if (other := tables.get(place)) is None:
            brings = f"--tables {'.'.join(place)}, to which it refers"
            yield NotCarried("foreign key", f"{table.id}.{item.name}", brings)
            continue
        exact = not any(vague(column) for column in table.columns if column.name in its.columns)
        actions = _ACTIONS[its.actions[0]], _ACTIONS[its.actions[1]]
        yield ForeignKey(item.name, table, its.columns, other, its.others, *actions, exact)


def _checks(table: Table, made: Created) -> Iterator[NotCarried]:
    for item in made.items:
        for text in checks(item):
            yield NotCarried("check", f"{table.id}.{item.name}", f"{BY_HAND}: CHECK {text}")


def vague(column: Column) -> bool:
    """Whether texts of other bytes are equal at the source."""
    return column.equality == "server" and column.type.family in ("text", "char")


def _left_of(table: Table) -> Iterator[NotCarried]:
    for column in table.columns:
        name = f"{table.id}.{column.name}"
        if column.generated is not None:
            text = f"{column.native} GENERATED ALWAYS AS ({column.generated})"
            yield NotCarried("generated column", name, f"{BY_HAND}: {text}")
        elif column.default is not None and column.simple is None:
            text = "from SHOW CREATE TABLE" if column.type.family == "bytes" else column.default
            yield NotCarried("default", name, f"{BY_HAND}: DEFAULT {text}")
    if table.partitioned:
        brings = f"{BY_HAND}: PARTITION BY, from SHOW CREATE TABLE {quote_table(table)}"
        yield NotCarried("partitions", table.id, brings)



