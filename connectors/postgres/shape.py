"""A table of the target as its catalogue says now: what statements that write to it have to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cdcd.model.table import Table
from cdcd.refused import gone
from connectors.postgres.names import quote_identifier
from connectors.postgres.sessions import Session


@dataclass(frozen=True, slots=True)
class ShapeColumn:
    """`generated`: computed here, never written. `always`: an identity column that refuses values in UPDATE. `staged`:
    the type in which its values wait in a temporary table: a domain there would refuse what is NULL for lack of a
    value."""

    name: str
    type_id: int
    native: str
    nullable: bool
    default: bool
    generated: bool
    always: bool
    staged: str


@dataclass(frozen=True, slots=True)
class Shape:
    """`kind` is pg_class.relkind. `keys` are the columns of unique indexes that could name a row. `operators` are the
    equality operators of those indexes by column: only they can use the index. `references` are the tables that
    foreign keys here point to, `referenced_by` the ones whose foreign keys point here; both without itself. `follows`
    are tables, itself perhaps among them, whose deletes or changes of key take rows here along (CASCADE)."""

    oid: int
    schema: str
    name: str
    kind: str
    columns: Mapping[str, ShapeColumn]
    keys: tuple[frozenset[str], ...]
    operators: Mapping[str, str]
    references: frozenset[int]
    referenced_by: tuple[str, ...]
    follows: frozenset[int]

    @property
    def sql(self) -> str:
        """The name, for statements."""
        return f"{quote_identifier(self.schema)}.{quote_identifier(self.name)}"

    @property
    def only(self) -> str:
        """The same without its children by inheritance, which are tables of their own."""
        return self.sql if self.kind == "p" else f"ONLY {self.sql}"

    def staged(self, column: str) -> str:
        """A select item: the column in the type that a temporary table has for it."""
        return f"{quote_identifier(column)}::{self.columns[column].staged}"

    def equals(self, column: str, other: str) -> str:
        """The condition that `column` of the table, alias t, is equal to `other`."""
        return f"t.{quote_identifier(column)} {self.operators.get(column, '=')} {other}"


_TABLE = """
SELECT c.oid::int8, c.relkind::text,
       ARRAY(SELECT DISTINCT confrelid::int8 FROM pg_constraint
             WHERE contype = 'f' AND conrelid = c.oid AND confrelid <> c.oid),
       ARRAY(SELECT DISTINCT conrelid::regclass::text FROM pg_constraint
             WHERE contype = 'f' AND confrelid = c.oid AND conrelid <> c.oid),
       ARRAY(SELECT DISTINCT confrelid::int8 FROM pg_constraint
             WHERE contype = 'f' AND conrelid = c.oid AND 'c' IN (confdeltype, confupdtype))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""

_COLUMNS = """
WITH RECURSIVE base AS (
    SELECT DISTINCT atttypid AS type, atttypid AS oid FROM pg_attribute
    WHERE attrelid = %(table)s AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT b.type, t.typbasetype FROM base b JOIN pg_type t ON t.oid = b.oid WHERE t.typtype = 'd')
SELECT attname, atttypid::int8, format_type(atttypid, atttypmod), NOT attnotnull, atthasdef OR attidentity <> '',
       attgenerated <> '', attidentity = 'a',
       (SELECT format_type(b.oid, CASE WHEN b.oid = atttypid THEN atttypmod ELSE -1 END) FROM base b
        JOIN pg_type t ON t.oid = b.oid WHERE b.type = atttypid AND t.typtype <> 'd')
FROM pg_attribute WHERE attrelid = %(table)s AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""

# Strategy 3 is equality in btree, the only kind of index that can be unique.
_KEYS = """
SELECT i.indexrelid::int8, a.attname, format('OPERATOR(%%I.%%s)', n.nspname, o.oprname)
FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey, i.indclass) WITH ORDINALITY k (attnum, opclass, place)
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
JOIN pg_opclass c ON c.oid = k.opclass
JOIN pg_amop m ON m.amopfamily = c.opcfamily AND m.amopstrategy = 3
              AND m.amoplefttype = c.opcintype AND m.amoprighttype = c.opcintype
JOIN pg_operator o ON o.oid = m.amopopr JOIN pg_namespace n ON n.oid = o.oprnamespace
WHERE i.indrelid = %s AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
  AND k.place <= i.indnkeyatts
ORDER BY i.indisprimary, i.indexrelid
"""


def find_shape(session: Session, schema: str, name: str) -> Shape | None:
    """None: there is no such table."""
    row = session.row(_TABLE, (schema, name))
    if row is None:
        return None
    oid, kind, references, referenced_by, follows = row
    columns = {c[0]: ShapeColumn(*c) for c in session.rows(_COLUMNS, {"table": oid})}
    keys: dict[int, set[str]] = {}
    operators = {}
    for index, column, operator in session.rows(_KEYS, (oid,)):
        keys.setdefault(index, set()).add(column)
        operators[column] = operator
    return Shape(
        oid, schema, name, kind, columns, tuple(map(frozenset, keys.values())), operators,
        frozenset(references), tuple(referenced_by), frozenset(follows),
    )  # fmt: skip


def read_shape(session: Session, table: Table) -> Shape:
    """The target's table for `table`, which must be there."""
    shape = find_shape(session, table.schema, table.name)
    if shape is None:
        raise gone(table)
    return shape
