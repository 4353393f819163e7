"""The order of a table's key, in which chunks are cut: the server's, and whether Python can reproduce it (T-PG-11)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cdcd.model.chunk import Bound
from cdcd.model.table import Table
from connectors.postgres.ask import Asker
from connectors.postgres.names import quote_identifier, relation

SAMPLED = 64 << 20
"""Bytes of a table that are looked at for its quantiles."""

SCALARS = frozenset(("int2", "int4", "int8", "oid", "uuid", "date", "timestamp", "timestamptz", "bytea", "bool"))
"""Types whose order is that of numbers or bytes everywhere."""

# Under "C" and in the C.UTF-8 of libc and of the server itself, text stands in the order of code points, as UTF-8 does.
_ORDER = """
WITH RECURSIVE chain AS (
    SELECT w.attname, coalesce(to_regcollation(w.ordered)::oid, t.typcollation) AS attcollation, t.oid, t.typtype,
           t.typbasetype
    FROM unnest(%s::text[], %s::int8[]::oid[], %s::text[]) w (attname, type, ordered) JOIN pg_type t ON t.oid = w.type
    UNION ALL
    SELECT c.attname, c.attcollation, t.oid, t.typtype, t.typbasetype
    FROM chain c JOIN pg_type t ON t.oid = c.typbasetype WHERE c.typtype = 'd')
SELECT c.attname, t.typname, t.typarray::int8, format_type(t.oid, -1),
       CASE WHEN c.attcollation <> 0 THEN quote_ident(n.nspname) || '.' || quote_ident(co.collname) END,
       coalesce(l.provider = 'b' OR l.provider <> 'i' AND l.collation IN ('C', 'POSIX', 'C.UTF-8', 'C.utf8'), false),
       current_setting('server_encoding') = 'UTF8'
FROM chain c JOIN pg_type t ON t.oid = c.oid
LEFT JOIN pg_collation co ON co.oid = c.attcollation LEFT JOIN pg_namespace n ON n.oid = co.collnamespace
LEFT JOIN LATERAL (
    SELECT x.datcollate AS collation, coalesce(to_jsonb(x) ->> 'datlocprovider', 'c') AS provider
    FROM pg_database x WHERE co.collprovider = 'd' AND x.datname = current_database()
    UNION ALL SELECT co.collcollate, co.collprovider::text WHERE co.collprovider <> 'd') l ON true
WHERE c.typtype <> 'd'
"""


# Strategies 1 and 4 of btree are < and >=. Of built-in types they are called so.
_OPERATORS = """
WITH RECURSIVE chain AS (
    SELECT oid, typtype, typbasetype FROM pg_type WHERE oid = %s
    UNION ALL
    SELECT t.oid, t.typtype, t.typbasetype FROM chain c JOIN pg_type t ON t.oid = c.typbasetype WHERE c.typtype = 'd')
SELECT format('OPERATOR(%%I.%%s)', n.nspname, o.oprname)
FROM chain JOIN pg_opclass c ON c.opcintype = chain.oid AND c.opcdefault
JOIN pg_am a ON a.oid = c.opcmethod AND a.amname = 'btree'
JOIN pg_amop m ON m.amopfamily = c.opcfamily AND m.amoplefttype = c.opcintype AND m.amoprighttype = c.opcintype
JOIN pg_operator o ON o.oid = m.amopopr JOIN pg_namespace n ON n.oid = o.oprnamespace
WHERE chain.typtype <> 'd' AND m.amopstrategy IN (1, 4) ORDER BY m.amopstrategy
"""

Operators = tuple[str, str]
"""What < and >= are called."""

ORDINARY: Operators = ("<", ">=")

_BUILT_IN = 10000
"""Types with smaller OIDs come with the server."""


@dataclass(frozen=True, slots=True)
class Ordered:
    """One key column: its base type, that type's array, and whether Python's order of its values is the server's."""

    name: str
    type: str
    array: int
    native: str
    collation: str | None
    here: bool


def key_order(asker: Asker, table: Table) -> Mapping[str, Ordered]:
    """The key's columns by name, whatever the table has become since."""
    key = [column for column in table.columns if column.name in table.key]
    given = ([one.name for one in key], [one.type_id for one in key], [one.collation for one in key])
    found = {}
    for name, type, array, native, collation, by_code, utf8 in asker.ask(_ORDER, *given):
        here = type in SCALARS or (type in ("text", "varchar") and bool(by_code) and utf8)
        found[name] = Ordered(name, type, array, native, collation, here)
    return {name: found[name] for name in table.key}


def range_operators(ask: Callable[..., Sequence[tuple[Any, ...]]], types: Sequence[int]) -> Operators:
    """What < and >= are called in the order of a chunk's columns, which have these types. An extension's operators are
    not on our search path, where citext would be compared as text, and may have other names, as hstore's have."""
    if len(types) == 1 and types[0] >= _BUILT_IN:
        found = ask(_OPERATORS, types[0])
        if found:
            return found[0][0], found[1][0]
    return ORDINARY


def read_bounds(asker: Asker, table: Table, target_bytes: int) -> list[tuple[tuple[str, ...], Bound]]:
    """Quantiles of a sample, in the order of the key's index: all key columns where Python can order them, else the
    first, as the server orders it."""
    parts = -(-table.bytes // max(1, target_bytes))
    if not table.key or parts < 2:
        return []
    order = key_order(asker, table)
    columns = tuple(table.key) if all(column.here for column in order.values()) else table.key[:1]
    if not all(order[name].array for name in columns):
        return []  # an array's order can only be asked for between two of them
    percent = min(100.0, 100.0 * SAMPLED / table.bytes)
    sample = f" TABLESAMPLE SYSTEM ({percent:.6f})" if percent < 100 else ""
    bounds = _quantiles(asker, table, columns, parts, sample)
    if not bounds and percent < 100:
        bounds = _quantiles(asker, table, columns, parts, "")
    return [(columns, bound) for bound in bounds]


def _quantiles(asker: Asker, table: Table, columns: tuple[str, ...], parts: int, sample: str) -> list[Bound]:
    names = ", ".join(quote_identifier(name) for name in columns)
    renamed = ", ".join(f"{quote_identifier(name)} AS k{number}" for number, name in enumerate(columns, 1))
    keys = [f"k{number}" for number, _ in enumerate(columns, 1)]
    rows = asker.ask(
        f"""SELECT {", ".join(f"{key}::text" for key in keys)} FROM (
                SELECT DISTINCT ON (part) part, {", ".join(keys)}
                FROM (SELECT {renamed}, ntile({parts}) OVER (ORDER BY {names}) AS part
                      FROM {relation(table)}{sample}) s
                WHERE part > 1 ORDER BY part, {", ".join(keys)}) q
            ORDER BY part"""
    )
    bounds: list[Bound] = []
    for row in rows:
        if not bounds or bounds[-1] != tuple(row):
            bounds.append(tuple(row))
    return bounds
