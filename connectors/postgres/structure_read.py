"""What tables of a PostgreSQL source are besides columns and keys, for a target of another product."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cdcd.model.reference import Action
from cdcd.model.schema import NotCarried
from cdcd.model.structure import ForeignKey, Index, Part, Structure
from cdcd.model.table import Column, Table
from connectors.postgres.ask import Asker
from connectors.postgres.not_carried import read_not_carried

BY_HAND = "at the target, in its own words"

_INDEXES = """
SELECT i.indrelid::int8, c.relname, i.indisunique, pg_get_indexdef(i.indexrelid),
       ARRAY(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY k (attnum, place)
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
             WHERE k.place <= i.indnkeyatts ORDER BY k.place),
       ARRAY(SELECT o & 1 = 1 FROM unnest(i.indoption) WITH ORDINALITY k (o, place) ORDER BY k.place),
       m.amname IN ('btree', 'hash') AND i.indpred IS NULL AND i.indexprs IS NULL AND NOT i.indisexclusion
           AND i.indimmediate AND coalesce(NOT (to_jsonb(i) ->> 'indnullsnotdistinct')::bool, true)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
WHERE i.indrelid = ANY (%s::oid[]) AND NOT i.indisprimary AND i.indisvalid ORDER BY i.indrelid, c.relname
"""

_KEYS = """
SELECT k.conrelid::int8, k.conname, k.confrelid::int8, k.confdeltype::text, k.confupdtype::text,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u (n, place)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n ORDER BY u.place),
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u (n, place)
             JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n ORDER BY u.place),
       k.confmatchtype = 's' AND k.convalidated AND to_jsonb(k) ->> 'confdelsetcols' IS NULL, k.condeferrable,
       pg_get_constraintdef(k.oid)
FROM pg_constraint k WHERE k.contype = 'f' AND k.conparentid = 0
  AND k.conrelid = ANY (%(tables)s::oid[]) AND k.confrelid = ANY (%(tables)s::oid[]) ORDER BY k.conrelid, k.conname
"""

_CHECKS = """
SELECT conrelid::int8, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE contype IN ('c', 'x') AND conrelid = ANY (%s::oid[]) ORDER BY conrelid, conname
"""

_COMMENTS = """
SELECT d.objoid::int8, coalesce(a.attname, ''), d.description FROM pg_description d
LEFT JOIN pg_attribute a ON a.attrelid = d.objoid AND a.attnum = d.objsubid AND d.objsubid > 0
WHERE d.classoid = 'pg_class'::regclass AND d.objoid = ANY (%s::oid[]) ORDER BY d.objoid, d.objsubid
"""

_ACTIONS: Mapping[str, Action] = {
    "a": "no action", "r": "restrict", "c": "cascade", "n": "set null", "d": "set default",
}  # fmt: skip


def read_structure(asker: Asker, tables: Sequence[Table]) -> Structure:
    by_oid = {table.oid: table for table in tables}
    oids = list(by_oid)
    indexes, keys, left = [], [], []
    for oid, name, unique, text, columns, descending, plain in asker.ask(_INDEXES, oids):
        table = by_oid[oid]
        if plain and not {column.name for column in table.columns if column.generated} & {*columns}:
            parts = tuple(Part(column, descending=down) for column, down in zip(columns, descending, strict=False))
            indexes.append(Index(name, table, parts, unique))
        else:
            left.append(NotCarried("index", f"{table.id}.{name}", f"{BY_HAND}: {text}"))
    for oid, name, other, delete, update, columns, others, plain, deferrable, text in asker.ask(_KEYS, tables=oids):
        table = by_oid[oid]
        if plain:
            actions = _ACTIONS[delete], _ACTIONS[update]
            exact = not any(vague(column) for column in table.columns if column.name in columns)
            its = ForeignKey(name, table, tuple(columns), by_oid[other], tuple(others), *actions, exact)
            keys.append(its)
        if deferrable or not plain:
            kind = "deferrable" if plain else "foreign key"
            left.append(NotCarried(kind, f"{table.id}.{name}", f"{BY_HAND}: ADD CONSTRAINT {text}"))
    for oid, name, text in asker.ask(_CHECKS, oids):
        left.append(NotCarried("check", f"{by_oid[oid].id}.{name}", f"{BY_HAND}: ADD CONSTRAINT {text}"))
    for table in tables:
        left += _left_of(table)
    left += (_otherwise(one) for one in read_not_carried(asker, tables, [], None))
    comments = tuple((by_oid[oid], column, text) for oid, column, text in asker.ask(_COMMENTS, oids))
    return Structure(tuple(tables), tuple(indexes), tuple(keys), comments, tuple(left))


def vague(column: Column) -> bool:
    """Whether texts of other bytes are equal at the source."""
    return column.equality == "server" and column.type.family in ("text", "char", "citext")


def _left_of(table: Table) -> Iterator[NotCarried]:
    for column in table.columns:
        name = f"{table.id}.{column.name}"
        if column.generated is not None:
            yield NotCarried("generated column", name, f"{BY_HAND}: GENERATED ALWAYS AS ({column.generated})")
        elif column.default is not None and column.simple is None:
            yield NotCarried("default", name, f"{BY_HAND}: DEFAULT {column.default}")
    if table.partitioned:
        yield NotCarried("partitions", table.id, f"{BY_HAND}: PARTITION BY")


def _otherwise(one: NotCarried) -> NotCarried:
    """What is told to a target of the same product, where it says nothing."""
    if one.kind == "foreign key":
        return one
    return NotCarried(one.kind, one.name, f"{BY_HAND}; here pg_dump --schema-only shows it")
