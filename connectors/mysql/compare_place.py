"""A table as a comparison sees it: where it is here, its columns' types, and the order in which an index gives its key.

Between products the keys of whole numbers only are cut by their order: others compare texts, dates, or NaN in ways of
their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cdcd.model.canonical import Word, untold
from cdcd.model.digest import Layout
from cdcd.model.table import Table
from connectors.mysql.ask import Asker
from connectors.mysql.canonical import word
from connectors.mysql.names import quote
from connectors.mysql.server import Server
from connectors.mysql.types import BLOBS, INTEGERS, TEXTS, Native

_COLUMNS = """
SELECT COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE = 'YES', COLLATION_NAME
FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s"""

_INDEXES = """
SELECT INDEX_NAME, COLUMN_NAME, SUB_PART IS NULL AND COLLATION = 'A' FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND INDEX_TYPE = 'BTREE'
ORDER BY INDEX_NAME <> 'PRIMARY', INDEX_NAME, SEQ_IN_INDEX"""


@dataclass(frozen=True, slots=True)
class Here:
    """A column of a table here."""

    native: Native
    nullable: bool
    collation: str | None

    @property
    def charset(self) -> str:
        return (self.collation or "binary").partition("_")[0]


@dataclass(frozen=True, slots=True)
class Place:
    """`name` is the table's as SQL writes it, `words` are those of its columns by name."""

    name: str
    columns: Mapping[str, Here]
    words: Mapping[str, Word]
    layout: Layout


def read_place(asker: Asker, server: Server, table: Table, schema: str) -> Place | None:
    """None: there is no such table in that database."""
    columns = {}
    for name, type, nullable, collation in asker.ask(_COLUMNS, schema, table.name):
        try:
            columns[str(name)] = Here(Native.parse(type), bool(nullable), collation)
        except ValueError:
            columns[str(name)] = Here(Native("unknown"), bool(nullable), collation)
    if not columns:
        return None
    words = {}
    for column in table.carried:
        here = columns.get(column.name)
        made = here and word(column.type, here.native, here.charset, f"t.{quote(column.name)}")
        if made:
            words[column.name] = made
    key = table.key or table.primary
    keyed = bool(key) and all(name in columns and not columns[name].nullable for name in key)
    order = _order(asker, server, schema, table.name, [(name, columns[name]) for name in key]) if keyed else None
    layout = Layout(frozenset(columns), order, keyed, untold(table, words) & frozenset(columns))
    return Place(f"{quote(schema)}.{quote(table.name)}", columns, words, layout)


def _order(asker: Asker, server: Server, schema: str, table: str, key: Sequence[tuple[str, Here]]) -> str | None:
    """The name of the key's order, by the first index that begins with the key's columns."""
    indexes: dict[str, list[tuple[str, int]]] = {}
    for index, column, plain in asker.ask(_INDEXES, schema, table):
        indexes.setdefault(index, []).append((column, plain))
    wanted = [(name, 1) for name, _ in key]
    if not any(columns[: len(key)] == wanted for columns in indexes.values()):
        return None
    names = [_column_order(server, here) for _, here in key]
    return None if None in names else ", ".join(map(str, names))


def _column_order(server: Server, here: Here) -> str | None:
    """Two ends of one product order text alike where the collations have one name."""
    name = here.native.name
    if name in INTEGERS or (name == "decimal" and not here.native.number(1, 0)):
        return "integer"
    if name in ("char", *TEXTS) and here.collation:
        return f"{server.product} {here.collation}"
    if name in ("binary", *BLOBS, "date", "datetime"):
        return f"{server.product} {name}"
    return None
