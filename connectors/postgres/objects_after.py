"""What is made when the data is there: checks, unique and exclusion constraints, indexes, foreign keys, and the
comments on them; of partitions what is their own alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cdcd.model.schema import Statement
from cdcd.model.table import Table
from connectors.postgres.ask import Asker
from connectors.postgres.names import quote_identifier
from connectors.postgres.objects_tables import Uses
from connectors.postgres.objects_types import comment_on

# An index that belongs to a partitioned one comes with that, where that comes.
_INDEXES = """
SELECT i.indrelid::int8, i.indexrelid::int8, n.nspname, c.relname, pg_get_indexdef(i.indexrelid), d.description,
       i.indisreplident, to_jsonb(i) ->> 'indnullsnotdistinct' = 'true'
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = c.oid AND d.objsubid = 0
WHERE i.indrelid = ANY (%s::oid[]) AND NOT i.indisprimary AND (i.indisvalid OR c.relkind = 'I')
  AND NOT EXISTS (SELECT FROM pg_inherits h JOIN pg_index p ON p.indexrelid = h.inhparent
                  WHERE h.inhrelid = i.indexrelid AND p.indrelid = ANY (%s::oid[]))
  AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
ORDER BY i.indrelid, c.relname
"""

_CONSTRAINTS = """
SELECT k.conrelid::int8, k.oid::int8, k.contype::text, k.conname, pg_get_constraintdef(k.oid), d.description,
       coalesce(i.indisreplident, false), r.relkind = 'p', to_jsonb(i) ->> 'indnullsnotdistinct' = 'true',
       jsonb_build_object('enforced', to_jsonb(k) -> 'conenforced', 'period', to_jsonb(k) -> 'conperiod',
                          'columns', to_jsonb(k) -> 'confdelsetcols')
FROM pg_constraint k JOIN pg_class r ON r.oid = k.conrelid LEFT JOIN pg_index i ON i.indexrelid = k.conindid
                                                             AND k.contype IN ('u', 'x')
LEFT JOIN pg_description d ON d.classoid = 'pg_constraint'::regclass AND d.objoid = k.oid
LEFT JOIN pg_constraint o ON o.oid = k.conparentid
WHERE k.conrelid = ANY (%(relations)s::oid[]) AND (o.conrelid = ANY (%(relations)s::oid[])) IS NOT TRUE
  AND (k.contype IN ('u', 'x') OR k.contype = 'c' AND (k.coninhcount = 0 OR k.conrelid = ANY (%(tables)s::oid[]))
       OR k.contype = 'f' AND k.confrelid = ANY (%(relations)s::oid[]))
ORDER BY k.contype = 'f', k.conrelid, k.conname
"""

_COMMENTS = """
SELECT k.conrelid::int8, k.conname, d.description FROM pg_constraint k
JOIN pg_description d ON d.classoid = 'pg_constraint'::regclass AND d.objoid = k.oid
WHERE k.conrelid = ANY (%s::oid[]) AND k.contype = 'p' AND k.conparentid = 0 ORDER BY 1
"""

_IDENTITIES = """
SELECT c.oid::int8, c.relreplident::text, x.relname FROM pg_class c
LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisreplident LEFT JOIN pg_class x ON x.oid = i.indexrelid
WHERE c.oid = ANY (%s::oid[]) AND c.relreplident IN ('f', 'i', 'n') ORDER BY 1
"""

NULLS_NOT_DISTINCT = 150000

Relations = Mapping[int, tuple[str, str, Table]]
"""OID of a table or partition → its schema, its name, and the table that it is (a partition: its root)."""


def read_after(asker: Asker, relations: Relations, uses: Uses) -> Iterator[Statement]:
    """Constraints that are unique come before the foreign keys that need them."""
    oids = list(relations)
    for oid, index, schema, name, text, comment, identity, not_distinct in asker.ask(_INDEXES, oids, oids):
        quoted, table = quote_identifier(name), relations[oid][2]
        of = ("index", schema, name)
        # A partitioned table's own index is written as one that its leaves have not.
        starts = [f"CREATE {unique}INDEX {one} ON " for unique in ("", "UNIQUE ") for one in (quoted, name)]
        for start in starts:
            if text.startswith(f"{start}ONLY "):
                text = start + text.removeprefix(f"{start}ONLY ")
        stage = _stage(identity)
        needs = NULLS_NOT_DISTINCT if not_distinct else 0
        yield Statement("index", text, of, table.id, stage, needs, uses.get(index, ()), on_partition(relations[oid]))
        for said in comment_on("INDEX", f"{quote_identifier(schema)}.{quoted}", comment, of, table.id):
            yield _at(said, stage)
    yield from _constraints(asker, relations, uses)
    for oid, name, comment in asker.ask(_COMMENTS, oids):
        table = relations[oid][2]
        on = f"{quote_identifier(name)} ON {_full(relations[oid])}"
        yield from comment_on("CONSTRAINT", on, comment, ("table", table.schema, table.name), table.id)
    yield from _identities(asker, relations)


def _constraints(asker: Asker, relations: Relations, uses: Uses) -> Iterator[Statement]:
    kinds = {"u": "unique", "x": "exclusion", "c": "check", "f": "foreign key"}
    roots = sorted({table.oid for _, _, table in relations.values()})
    found = asker.ask(_CONSTRAINTS, relations=list(relations), tables=roots)
    for oid, constraint, kind, name, text, comment, identity, partitioned, not_distinct, facts in found:
        schema, relation, table = relations[oid]
        of = ("constraint", schema, relation, name)
        full, stage = _full(relations[oid]), _stage(identity)
        needs = max(_needs(facts), NULLS_NOT_DISTINCT if not_distinct else 0)
        if partitioned and kind == "x":
            needs = max(needs, 170000)
        text = f"ALTER TABLE {full} ADD CONSTRAINT {quote_identifier(name)} {text}"
        calls = uses.get(constraint, ())
        yield Statement(kinds[kind], text, of, table.id, stage, needs, calls, on_partition(relations[oid]))
        for said in comment_on("CONSTRAINT", f"{quote_identifier(name)} ON {full}", comment, of, table.id):
            yield _at(said, stage)


def _needs(facts: Mapping[str, Any]) -> int:
    if facts["enforced"] is False or facts["period"] is True:
        return 180000
    return 150000 if facts["columns"] else 0


def _identities(asker: Asker, relations: Relations) -> Iterator[Statement]:
    """So that the target can be a source when its day has come."""
    for oid, kind, index in asker.ask(_IDENTITIES, list(relations)):
        table = relations[oid][2]
        how = {"f": "FULL", "n": "NOTHING"}.get(kind) or (index and f"USING INDEX {quote_identifier(index)}")
        if how:
            text = f"ALTER TABLE ONLY {_full(relations[oid])} REPLICA IDENTITY {how}"
            yield Statement("replica identity", text, ("table", table.schema, table.name), table.id)


def _stage(identity: bool) -> Any:
    """Changes are found by the index that is the replica identity: it is made before they come."""
    return "before" if identity else "after"


def on_partition(relation: tuple[str, str, Table]) -> tuple[str, ...]:
    """A partition of its own name may be missing, where the target's table is no tree, or another one."""
    schema, name, table = relation
    return () if (schema, name) == (table.schema, table.name) else ("table", schema, name)


def _at(statement: Statement, stage: Any) -> Statement:
    return Statement(statement.kind, statement.text, statement.of, statement.table, stage)


def _full(relation: Sequence[Any]) -> str:
    return f"{quote_identifier(relation[0])}.{quote_identifier(relation[1])}"
