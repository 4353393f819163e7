"""The tables that may be carried, as the server's catalogue says now ("System Catalogs")."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cdcd.errors import UsageError
from cdcd.model.table import Column, Equality, Table
from cdcd.model.types import LogicalType
from connectors.postgres.connect import Connection
from connectors.postgres.defaults import simple
from connectors.postgres.types import logical_type

OURS = "cdcd"
"""The schema of control tables, at a server that is a target too."""

MARK = """CASE WHEN c.relkind = 'p'
            THEN (SELECT coalesce(hashtextextended(
                      string_agg(l.relid::oid || ':' || t.relfilenode, ',' ORDER BY l.relid::oid), 0), 0)::text
                  FROM pg_partition_tree(c.oid) l JOIN pg_class t ON t.oid = l.relid WHERE l.isleaf)
            ELSE c.relfilenode::text END"""
"""Table.mark: the files that hold the rows. A rewrite, as TRUNCATE and VACUUM FULL, takes another."""

TABLES = f"""
SELECT c.oid::int8, n.nspname, c.relname, c.relkind = 'p', c.relreplident::text,
       CASE WHEN c.relkind = 'p'
            THEN (SELECT coalesce(sum(pg_table_size(l.relid)), 0)
                  FROM pg_partition_tree(c.oid) l WHERE l.isleaf)
            ELSE pg_table_size(c.oid) END::int8,
       CASE WHEN c.relkind = 'p'
            THEN (SELECT coalesce(sum(greatest(t.reltuples, 0)), 0)
                  FROM pg_partition_tree(c.oid) l JOIN pg_class t ON t.oid = l.relid WHERE l.isleaf)
            ELSE greatest(c.reltuples, 0) END::int8,
       ARRAY(SELECT a.attname::text FROM pg_index i, unnest(i.indkey) WITH ORDINALITY k (attnum, place)
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
             WHERE i.indrelid = c.oid AND i.indisprimary AND k.place <= i.indnkeyatts ORDER BY k.place),
       ARRAY(SELECT a.attname::text FROM pg_index i, unnest(i.indkey) WITH ORDINALITY k (attnum, place)
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
             WHERE i.indrelid = c.oid AND i.indisreplident AND k.place <= i.indnkeyatts ORDER BY k.place),
       (SELECT coalesce(jsonb_agg(u.names), '[]') FROM (
            SELECT jsonb_agg(a.attname ORDER BY k.place) AS names
            FROM pg_index i, unnest(i.indkey) WITH ORDINALITY k (attnum, place)
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
            WHERE i.indrelid = c.oid AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL
              AND k.place <= i.indnkeyatts GROUP BY i.indexrelid) u),
       CASE WHEN c.relkind = 'p' THEN ARRAY(
            SELECT l.relid::oid || ':' || t.relfilenode || CASE WHEN EXISTS (
                SELECT FROM pg_attribute s JOIN pg_attribute u ON u.attrelid = s.attrelid AND u.attnum > 0
                       AND u.xmin = s.xmin AND u.cmin = s.cmin
                WHERE s.attrelid = l.relid AND s.attnum = -6 AND t.relfilenode = t.oid) THEN '+' ELSE '' END
            FROM pg_partition_tree(c.oid) l JOIN pg_class t ON t.oid = l.relid
            WHERE l.isleaf ORDER BY l.relid::oid) END,
       -- The server names no old rows by a deferrable key: two rows may share it until the transaction ends.
       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND NOT i.indimmediate),
       c.relnatts, {MARK}
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE CASE WHEN %(oids)s::int8[] IS NOT NULL THEN c.relkind IN ('r', 'p')
           WHEN %(leaves)s THEN c.relkind = 'r' ELSE c.relkind IN ('r', 'p') AND NOT c.relispartition END
  AND c.relpersistence = 'p'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', %(ours)s) AND n.nspname !~ '^pg_'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                                            AND d.deptype = 'e')
  AND (%(wanted)s::text[] IS NULL OR n.nspname || '.' || c.relname = ANY (%(wanted)s))
  AND (%(oids)s::int8[] IS NULL OR c.oid = ANY (%(oids)s::int8[]::oid[]))
ORDER BY n.nspname || '.' || c.relname COLLATE "C"
"""

# Of `leaves`: ATTACH changes the columns' rows of a table, so a partition of which one is as old as the rows of its
# system columns (-6: tableoid), by the same command, was made as one, and had no row before; and its first file, which
# TRUNCATE takes away, has its own number.

COLUMNS = """
SELECT a.attrelid::int8, a.attname, a.attnum, a.atttypid::int8, a.atttypmod,
       format_type(a.atttypid, a.atttypmod), a.attnotnull,
       pg_get_expr(d.adbin, d.adrelid), a.attgenerated <> '', nullif(a.attidentity::text, ''),
       CASE WHEN a.attcollation <> t.typcollation THEN quote_ident(cn.nspname) || '.' || quote_ident(co.collname) END,
       coalesce(co.collisdeterministic, true), array_to_string(a.attmissingval, ''), a.xmin::text
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_collation co ON co.oid = a.attcollation LEFT JOIN pg_namespace cn ON cn.oid = co.collnamespace
WHERE a.attrelid = ANY (%(oids)s::int8[]::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
"""

_TYPES = """
WITH RECURSIVE needed AS (
    SELECT unnest(%s::oid[]) AS oid
    UNION
    SELECT x.oid FROM needed n JOIN pg_type t ON t.oid = n.oid LEFT JOIN pg_range r ON r.rngtypid = t.oid,
           LATERAL (VALUES (t.typbasetype), (t.typelem), (r.rngsubtype)) x (oid) WHERE x.oid <> 0)
SELECT t.oid::int8, t.typname, t.typtype::text, t.typtypmod, t.typbasetype::int8,
       CASE WHEN t.typcategory = 'A' THEN t.typelem ELSE coalesce(r.rngsubtype, m.rngsubtype, 0) END::int8,
       ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder)
FROM needed JOIN pg_type t USING (oid) LEFT JOIN pg_range r ON r.rngtypid = t.oid LEFT JOIN {multirange} m ON true
"""

_EXACT = frozenset(
    {"bool", "int16", "int32", "int64", "uint32", "uint64", "uuid", "bytes", "text", "enum"}
    | {"date", "time", "timestamp", "timestamptz"}
)
"""Families in which equal bytes on the wire are what the server calls equal, under deterministic collations."""


@dataclass(frozen=True, slots=True)
class _Type:
    name: str
    kind: str
    typmod: int
    base: int
    element: int
    labels: tuple[str, ...]


def read_tables(
    connection: Connection,
    wanted: Sequence[str] | None = None,
    leaves: bool = False,
    oids: Sequence[int] | None = None,
) -> list[Table]:
    """Tables by id. A partitioned table is its root, and its leaves are not tables of their own; with `leaves` the
    reverse. By `oids`: whatever these are."""
    asked = {"ours": OURS, "wanted": None if wanted is None else list(wanted), "leaves": leaves}
    with connection.cursor() as cursor:
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")  # tables and columns of one moment
        try:
            cursor.execute(TABLES, {**asked, "oids": oids and list(oids)})
            found = cursor.fetchall()
            cursor.execute(COLUMNS, {"oids": [row[0] for row in found]})
            columns = cursor.fetchall()
        finally:
            if not connection.closed:
                cursor.execute("ROLLBACK")
    _refuse_twins([f"{row[1]}.{row[2]}" for row in found])
    return described(connection, found, columns)


def described(
    connection: Connection, found: Sequence[Sequence[Any]], columns: Sequence[Sequence[Any]]
) -> list[Table]:
    """The tables that rows of TABLES and COLUMNS speak of. One with a column of a type that is not there any more is
    left out: the rows are of an earlier time."""
    types = _read_types(connection, {row[3] for row in columns})
    by_table: dict[int, list[Column]] = {}
    gone = set()
    for row in columns:
        if row[3] in types:
            by_table.setdefault(row[0], []).append(_column(row, types))
        else:
            gone.add(row[0])
    return [_table(row, by_table.get(row[0], ())) for row in found if row[0] not in gone]


def _table(row: Sequence[Any], columns: Sequence[Column]) -> Table:
    oid, schema, name, partitioned, identity, size, rows, primary, by_index, unique, *more = row
    files, deferrable, attributes, mark = more
    named = [] if deferrable else primary
    key = {"d": named, "f": named, "i": by_index}.get(identity, [])
    if not {column.name for column in columns if column.generated is not None}.isdisjoint(key):
        key = []  # what is computed is not sent
    return Table(
        schema, name, tuple(columns), tuple(key), oid=oid, primary=tuple(primary), full=identity == "f",
        partitioned=partitioned, bytes=size, rows=rows, unique=tuple(map(tuple, unique)), leaves=tuple(files or ()),
        attributes=attributes, mark=mark,
    )  # fmt: skip


def _refuse_twins(ids: Sequence[str]) -> None:
    """`"a.b".c` and `a."b.c"` would be one table to us."""
    twins = [id for id, times in Counter(ids).items() if times > 1]
    if twins:
        raise UsageError(
            f"two tables are called {twins[0]}",
            why="a dot in the name of a schema or table makes schema.table ambiguous",
            hint="rename one of the two",
        )


def _column(row: Sequence[Any], types: dict[int, _Type]) -> Column:
    _, name, number, type_id, typmod, native, required, expression, *more = row
    generated, identity, collation, deterministic, missing, mark = more
    type = logical(types, type_id, typmod)
    return Column(
        name, number, type, native, type_id=type_id, nullable=not required,
        default=None if generated else expression, generated=expression if generated else None, identity=identity,
        collation=collation, equality=equality(type, deterministic), typmod=typmod, missing=missing, mark=mark,
        simple=None if generated else simple(expression, type.family),
    )  # fmt: skip


def _read_types(connection: Connection, oids: set[int]) -> dict[int, _Type]:
    # Multiranges came with version 14.
    multirange = "LATERAL (SELECT NULL::oid AS rngsubtype)"
    if connection.server_version >= 140000:
        multirange = "LATERAL (SELECT rngsubtype FROM pg_range WHERE rngmultitypid = t.oid)"
    with connection.cursor() as cursor:
        cursor.execute(_TYPES.format(multirange=multirange), (sorted(oids),))
        return {
            oid: _Type(name, kind, typmod, base, element, tuple(labels))
            for oid, name, kind, typmod, base, element, labels in cursor.fetchall()
        }


def logical(types: dict[int, _Type], oid: int, typmod: int) -> LogicalType:
    """The logical type of a column: domains through all levels, a domain's own typmod included."""
    type = types[oid]
    if type.kind == "d":
        return logical(types, type.base, type.typmod if type.typmod >= 0 else typmod)
    element = logical(types, type.element, typmod) if type.element in types else None
    return logical_type(type.name, type.kind, typmod, element, type.labels)


def equality(type: LogicalType, deterministic: bool) -> Equality:
    """Whether bytes decide equality; numeric only with a fixed scale: 1.10 and 1.1 are equal to the server."""
    if type.family == "decimal":
        return "exact" if type.scale is not None else "server"
    return "exact" if type.family in _EXACT and deterministic else "server"
