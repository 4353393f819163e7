"""A table as a comparison sees it: its columns' types, and the name of the order in which an index gives its key.

Two ends may cut a table by its key only if they agree which of two keys comes first. Text is ordered by its collation:
by product, locale and version of the library, and by encoding where bytes are compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cdcd.model.canonical import Word, untold
from cdcd.model.digest import Layout
from cdcd.model.table import Table
from connectors.postgres.ask import Asker
from connectors.postgres.canonical import word
from connectors.postgres.names import quote_identifier

_TABLE = """
SELECT c.oid::int8, c.relkind = 'p',
       ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
             AND NOT a.attisdropped ORDER BY a.attnum),
       ARRAY(SELECT format_type(a.atttypid, -1) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
             AND NOT a.attisdropped ORDER BY a.attnum),
       ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnotnull AND a.attnum > 0)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p')
"""

# One row per key column of each index that can give an order: b-tree, ascending, with the type's own operators and
# the column's own collation. Rows of jsonb, since each version describes collations in other columns.
_INDEXES = """
SELECT i.indexrelid::int8, a.attname::text,
       CASE WHEN t.typnamespace = 'pg_catalog'::regnamespace THEN t.typname::text END,
       o.opcdefault AND i.indoption[k.place - 1] = 0 AND i.indcollation[k.place - 1] = a.attcollation,
       a.attcollation::int8, to_jsonb(co),
       CASE WHEN a.attcollation NOT IN (0, 100) THEN pg_collation_actual_version(a.attcollation) END
FROM pg_index i
JOIN pg_class x ON x.oid = i.indexrelid
JOIN pg_am m ON m.oid = x.relam AND m.amname = 'btree'
CROSS JOIN LATERAL generate_series(1, i.indnkeyatts) k (place)
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k.place - 1]
JOIN pg_opclass o ON o.oid = i.indclass[k.place - 1]
JOIN pg_type t ON t.oid = o.opcintype
LEFT JOIN pg_collation co ON co.oid = a.attcollation
WHERE i.indrelid = %s AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
ORDER BY 1, k.place
"""

_DATABASE = """
SELECT pg_encoding_to_char(d.encoding), to_jsonb(d), {version}
FROM pg_database d WHERE d.datname = current_database()
"""

DEFAULT_COLLATION = 100

ORDERS: Mapping[str, str] = {
    **dict.fromkeys(("int2", "int4", "int8"), "integer"),
    **dict.fromkeys(("float4", "float8"), "float"),
    **{
        name: name
        for name in (
            "bool", "oid", "numeric", "date", "time", "timetz", "timestamp", "timestamptz", "interval", "uuid", "bytea",
            "inet", "macaddr", "macaddr8", "bit", "varbit", "xid8", "char",
        )
    },
}  # fmt: skip
"""Types whose order is the same at every server; those of one name are ordered alike. Text is named with its
collation; enums, arrays, ranges and what extensions bring have no name."""

WHOLE = ("int16", "int32", "int64", "uint32", "uint64")
"""Families of whole numbers."""

TEXTS = frozenset(("text", "bpchar", "name"))
"""Types whose order is a collation's; varchar's operators are those of text."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where and as what a table is here. `types`: the columns' types by name, without modifiers, as SQL writes them;
    `words`: how each carried one is written in a comparison with another product."""

    partitioned: bool
    types: Mapping[str, str]
    words: Mapping[str, Word]
    layout: Layout


def read_place(asker: Asker, table: Table, key: Sequence[str], shared: bool) -> Place | None:
    """None: there is no such table. `shared`: the other end is of another product."""
    found = asker.ask(_TABLE, table.schema, table.name)
    if not found:
        return None
    ((oid, partitioned, names, types, required),) = found
    order = _order(asker, oid, tuple(key)) if key else None
    named = dict(zip(names, types, strict=True))
    words = {
        column.name: made
        for column in table.carried
        if column.name in named
        and (made := word(column.type, named[column.name], f"t.{quote_identifier(column.name)}".replace("%", "%%")))
    }
    if shared and order is not None and all(column.type.family in WHOLE for column in table.carried
                                            if column.name in key):
        order = ", ".join("integer" for _ in key)  # whatever type holds them here
    keyed = bool(key) and set(key) <= set(required)
    lost = untold(table, words) & frozenset(names) if shared else frozenset[str]()
    return Place(partitioned, named, words, Layout(frozenset(names), order, keyed, lost))


def _order(asker: Asker, oid: int, key: tuple[str, ...]) -> str | None:
    """The name of the key's order, by the first index that begins with the key's columns."""
    indexes: dict[int, list[tuple[Any, ...]]] = {}
    for index, *column in asker.ask(_INDEXES, oid):
        indexes.setdefault(index, []).append(tuple(column))
    for columns in indexes.values():
        if tuple(name for name, *_ in columns[: len(key)]) == key:
            names = [_column_order(asker, *column[1:]) for column in columns[: len(key)]]
            if None not in names:
                return ", ".join(map(str, names))
    return None


def _column_order(
    asker: Asker, type: str | None, plain: bool, collation_id: int, collation: Mapping[str, Any], library: str | None
) -> str | None:
    if not plain or type is None:
        return None
    if type not in TEXTS:
        return ORDERS.get(type)
    with asker.connection() as connection:
        version = connection.server_version
    actual = "pg_database_collation_actual_version(d.oid)" if version >= 150000 else "NULL"
    ((encoding, database, default_library),) = asker.ask(_DATABASE.format(version=actual))
    if collation_id == DEFAULT_COLLATION:
        # Versions before 15 have libc's only, and do not say so.
        provider = database.get("datlocprovider", "c")
        locale = database.get("datlocale") or database.get("daticulocale")
        locale = database["datcollate"] if provider == "c" else locale
        name = collation_name(provider, locale, database.get("daticurules"), default_library)
    elif collation.get("collisdeterministic", True):
        locale = collation.get("colllocale") or collation.get("colliculocale") or collation["collcollate"]
        name = collation_name(collation["collprovider"], locale, collation.get("collicurules"), library)
    else:
        name = None
    return name and f"{type} {encoding} {name}"


def collation_name(provider: str, locale: str | None, rules: str | None, library: str | None) -> str | None:
    """What makes two collations one, `library` being the version of what implements it; None where nothing does."""
    locale = locale or ""
    if provider == "b" or locale in ("C", "POSIX"):
        return "C"  # by code points; the built-in provider's locales differ in upper and lower case only
    if provider == "c" and locale.upper().replace("-", "") == "C.UTF8":
        return "C.UTF-8 of libc"  # by code points too, and without a version
    return f"{provider} {locale} {rules or ''} {library}" if library else None
