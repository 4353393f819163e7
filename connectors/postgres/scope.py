"""How far objects = "all" goes: schemas that hold selected tables, and those that hold no tables at all."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from connectors.postgres.ask import Asker

_OURS = """
SELECT c.oid::int8 FROM pg_class c WHERE c.oid = ANY (%(tables)s::oid[])
   OR c.oid IN (SELECT p.relid FROM unnest(%(tables)s::oid[]) r (oid), LATERAL pg_partition_tree(r.oid) p)
"""

_APART = """
SELECT n.oid::int8, n.nspname FROM pg_namespace n
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND (n.nspname = 'cdcd' OR (
    EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p') AND NOT EXISTS (
                SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e'))
    AND NOT EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.oid = ANY (%s::oid[]))))
ORDER BY 2
"""

_LEFT = """
SELECT c.oid::int8, n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f') AND c.oid <> ALL (%s::oid[]) AND n.nspname !~ '^pg_'
  AND n.nspname NOT IN ('cdcd', 'information_schema') ORDER BY 2, 3
"""

_FREE = """
SELECT c.oid::int8 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND n.nspname <> ALL (%s) AND n.nspname !~ '^pg_'
  AND NOT EXISTS (SELECT FROM pg_depend o WHERE o.classid = 'pg_class'::regclass AND o.objid = c.oid
                                            AND o.deptype IN ('a', 'i', 'e'))
"""


def with_partitions(asker: Asker, tables: Collection[int]) -> list[int]:
    """The OIDs of tables, and of all their partitions."""
    return [oid for (oid,) in asker.ask(_OURS, tables=sorted(tables))]


def schemas_apart(asker: Asker, ours: Sequence[int]) -> list[tuple[int, str]]:
    """OID and name of the schemas that hold other tables only, and of our own."""
    return [(oid, name) for oid, name in asker.ask(_APART, ours)]


def tables_left(asker: Asker, ours: Sequence[int]) -> list[tuple[int, str, str]]:
    """OID, schema and name of the tables that are not selected."""
    return [(oid, schema, name) for oid, schema, name in asker.ask(_LEFT, ours)]


def free_sequences(asker: Asker, tables: Sequence[int]) -> list[int]:
    """The OIDs of sequences that no column owns."""
    apart = [name for _, name in schemas_apart(asker, with_partitions(asker, tables))]
    return [oid for (oid,) in asker.ask(_FREE, apart)]
