"""The source's tables as the statements that make them again, as the server writes them.

Secondary indexes and foreign keys come after the data: an index that is there while rows are loaded is written row by
row, one that is made afterwards is sorted once (of 200,000 rows and three indexes that took a third to a half of the
time). What rows are found by is there from the beginning: the primary key, or where there is none the unique keys; and
the key of a column that counts, without which there can be no such column.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from cdcd.errors import Stopped
from cdcd.model.schema import NotCarried, Statement
from cdcd.model.table import Table
from connectors.mysql.ask import rows
from connectors.mysql.login import Connection
from connectors.mysql.names import quote, quote_table
from connectors.mysql.not_carried import read_around
from connectors.mysql.show_create import Created, Item, reference, take_apart

_SCHEMAS = """
SELECT SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA
WHERE SCHEMA_NAME IN %s ORDER BY SCHEMA_NAME"""

_PLACE = re.compile(
    r" ?(?:(?:DATA|INDEX) DIRECTORY=?\s*'(?:[^'\\]|\\.|'')*'|/\*!50100 TABLESPACE `(?:[^`]|``)*`[^*]*\*/"
    r"|CONNECTION='(?:[^'\\]|\\.|'')*')"
)
"""Where the table's file lies at the source."""

_ENGINE = re.compile(r"(ENGINE ?= ?)(?!InnoDB\b)(\w+)")
_CHARSET = re.compile(r"`(?:[^`]|``)*` [^'`]*?CHARACTER SET \w+(?! COLLATE)(?=[ ]|$)")


def read_objects(connection: Connection, tables: Sequence[Table]) -> list[Statement]:
    """Before the data: databases and tables; after it: other indexes, then foreign keys."""
    found = [(table, show(connection, table)) for table in tables]
    ids = {table.id for table in tables}
    keys = [one for table, made in found for one in _foreign_keys(table, made, ids)]
    return [
        *(_schemas(connection, tables)),
        *(_table(table, made) for table, made in found),
        *(one for table, made in found for one in _indexes(table, made)),
        *(one for one in keys if isinstance(one, Statement)),
    ]


def read_not_carried(connection: Connection, tables: Sequence[Table]) -> list[NotCarried]:
    """For a target of either product."""
    ids = {table.id for table in tables}
    left: list[NotCarried] = []
    for table in tables:
        made = show(connection, table)
        left += [one for one in _foreign_keys(table, made, ids) if isinstance(one, NotCarried)]
        for place in _PLACE.findall(made.options):
            left.append(NotCarried("place", table.id, f"in the target's CREATE TABLE, by hand: {place.strip()}"))
        for engine in {found[2] for found in _ENGINE.finditer(made.options)}:
            brings = f"after cut-over: ALTER TABLE {quote_table(table)} ENGINE = {engine}"
            left.append(NotCarried("engine", table.id, brings))
    dump = "mysqldump --no-data --no-create-info"
    others = {
        "view": "mysqldump --no-data", "trigger": f"at cut-over: {dump} --triggers",
        "event": f"at cut-over: {dump} --skip-triggers --events", "sequence": "mariadb-dump --no-data",
    }  # fmt: skip
    for one in read_around(connection, tables, ""):
        how = others.get(one.kind.removesuffix("s"), f"{dump} --skip-triggers --routines")
        left.append(NotCarried(one.kind, one.name, f"{how} {one.name.partition('.')[0]}{one.brings}"))
    left.append(NotCarried("grants", "of all users", "SHOW CREATE USER and SHOW GRANTS, for each of mysql.user"))
    return left


def show(connection: Connection, table: Table) -> Created:
    """The table as the server says that it is made, whatever its sql_mode is."""
    try:
        ((_, text, *_),) = rows(connection, f"SHOW CREATE TABLE {quote_table(table)}")
        made = take_apart(text)
    except ValueError as error:
        raise Stopped(
            f"the server's CREATE TABLE of {table.id} cannot be read: {error}",
            why="a default of a binary column, which is no text, for example",
            hint="make the table at the target by hand, and choose target_tables = use",
            table=table.id,
        ) from None
    items = tuple(replace(item, text=_collated(table, item)) for item in made.items)
    return Created(quote_table(table), items, made.options)


def _collated(table: Table, item: Item) -> str:
    """Where a column has a character set and says no collation it has the set's own, which is another elsewhere."""
    found = _CHARSET.match(item.text) if item.kind == "column" else None
    collation = next((column.collation for column in table.columns if column.name == item.name), None)
    if found is None or not collation:
        return item.text
    return f"{found[0]} COLLATE {collation}{item.text[found.end() :]}"


def _options(made: Created) -> str:
    """Without the place of the file, and of the one engine whose transactions hold rows and checkpoint together."""
    return _ENGINE.sub(r"\g<1>InnoDB", _PLACE.sub("", made.options))


def _schemas(connection: Connection, tables: Sequence[Table]) -> Iterator[Statement]:
    for name, charset, collation in rows(connection, _SCHEMAS, sorted({table.schema for table in tables})):
        text = f"CREATE DATABASE {quote(name)} CHARACTER SET {charset} COLLATE {collation}"
        yield Statement("schema", text, ("schema", name))


def _table(table: Table, made: Created) -> Statement:
    items = [item for item in made.items if not _later(table, item)]
    its = Created(made.name, tuple(items), _options(made))
    return Statement("table", its.text, ("table", table.schema, table.name), table.id)


def _later(table: Table, item: Item) -> bool:
    """Whether it is made when the data is there."""
    if item.kind == "foreign key":
        return True
    if item.kind == "unique":
        return bool(table.primary)
    counting = {column.name for column in table.columns if column.identity} - set(table.primary[:1])
    return item.kind == "key" and item.first not in counting


def _indexes(table: Table, made: Created) -> Iterator[Statement]:
    for item in made.items:
        if item.kind in ("unique", "key") and _later(table, item):
            of = ("index", table.schema, table.name, item.name)
            yield Statement("index", f"ALTER TABLE {made.name} ADD {item.text}", of, table.id, "after")


def _foreign_keys(table: Table, made: Created, ids: set[str]) -> Iterator[Statement | NotCarried]:
    for item in made.items:
        if item.kind != "foreign key":
            continue
        its = reference(item)
        schema = its.schema or table.schema
        if f"{schema}.{its.table}" not in ids:
            brings = f"--tables {schema}.{its.table}, to which it refers"
            yield NotCarried("foreign key", f"{table.id}.{item.name}", brings)
            continue
        text = f"ALTER TABLE {made.name} ADD {its.to(f'{quote(schema)}.{quote(its.table)}')}"
        of = ("constraint", table.schema, table.name, item.name)
        yield Statement("foreign key", text, of, table.id, "after")
