"""What the source has in the tables' schemas and cdcd does not carry by itself, each with what brings it."""

from __future__ import annotations

from collections.abc import Sequence

from cdcd.model.schema import NotCarried
from cdcd.model.table import Table
from connectors.postgres.ask import Asker

ALL = '--objects all, or objects = "all" in the file'

# Nothing of an extension's; of tables and their partitions, and of the schemas they are in.
_ALL = """
WITH mine AS (SELECT unnest(%(tables)s::oid[]) AS oid UNION
              SELECT p.relid FROM unnest(%(tables)s::oid[]) r (root), LATERAL pg_partition_tree(r.root) p),
spaces AS (SELECT DISTINCT relnamespace AS oid FROM pg_class JOIN mine USING (oid))
SELECT kind, name FROM (
    SELECT CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' ELSE 'foreign table' END AS kind,
           c.oid::regclass::text AS name, 'pg_class'::regclass AS class, c.oid
    FROM pg_class c JOIN spaces s ON s.oid = c.relnamespace WHERE relkind IN ('v', 'm', 'f')
    UNION ALL
    SELECT CASE prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END,
           p.oid::regprocedure::text, 'pg_proc'::regclass, p.oid
    FROM pg_proc p JOIN spaces s ON s.oid = p.pronamespace
    UNION ALL
    SELECT 'trigger', format('%%I on %%s', tgname, tgrelid::regclass), 'pg_trigger'::regclass, t.oid
    FROM pg_trigger t JOIN mine m ON m.oid = t.tgrelid WHERE NOT tgisinternal AND t.tgparentid = 0
    UNION ALL
    SELECT 'rule', format('%%I on %%s', rulename, ev_class::regclass), 'pg_rewrite'::regclass, r.oid
    FROM pg_rewrite r JOIN mine m ON m.oid = r.ev_class
    UNION ALL
    SELECT 'policy', format('%%I on %%s', polname, polrelid::regclass), 'pg_policy'::regclass, p.oid
    FROM pg_policy p JOIN mine m ON m.oid = p.polrelid
    UNION ALL
    SELECT 'row security', c.oid::regclass::text, 'pg_class'::regclass, c.oid
    FROM pg_class c JOIN mine USING (oid) WHERE relrowsecurity
    UNION ALL
    SELECT 'grants', c.oid::regclass::text, 'pg_class'::regclass, c.oid
    FROM pg_class c JOIN mine USING (oid) WHERE relacl IS NOT NULL
    UNION ALL
    SELECT 'statistics', format('%%I.%%I', n.nspname, x.stxname), 'pg_statistic_ext'::regclass, x.oid
    FROM pg_statistic_ext x JOIN mine m ON m.oid = x.stxrelid JOIN pg_namespace n ON n.oid = x.stxnamespace) o
WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype = 'e')
ORDER BY kind, name
"""

_EXTENSIONS = "SELECT extname FROM pg_extension WHERE extname <> 'plpgsql' AND extname <> ALL (%s) ORDER BY 1"

_ELSEWHERE = """
SELECT format('%%I on %%s', conname, conrelid::regclass), confrelid::regclass::text FROM pg_constraint
WHERE contype = 'f' AND conparentid = 0 AND conrelid = ANY (%(tables)s::oid[]) AND confrelid <> ALL (%(tables)s::oid[])
  AND NOT EXISTS (SELECT FROM unnest(%(tables)s::oid[]) r (root), LATERAL pg_partition_tree(r.root) p
                  WHERE p.relid = confrelid) ORDER BY 1
"""

_CHILDREN = """
SELECT inhrelid::regclass::text, inhparent::regclass::text FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
WHERE NOT c.relispartition AND inhrelid = ANY (%s::oid[]) ORDER BY 1, inhseqno
"""


def read_not_carried(asker: Asker, tables: Sequence[Table], extensions: Sequence[str]) -> list[NotCarried]:
    """`extensions`: those that come because tables need them."""
    oids = [table.oid for table in tables]
    found = [NotCarried(kind, name, ALL) for kind, name in asker.ask(_ALL, tables=oids)]
    found += [NotCarried("extension", name, ALL) for (name,) in asker.ask(_EXTENSIONS, list(extensions))]
    for name, other in asker.ask(_ELSEWHERE, tables=oids):
        found.append(NotCarried("foreign key", name, f"--tables {other}, to which it refers"))
    for child, parent in asker.ask(_CHILDREN, oids):
        brings = f"after cut-over, at the target: ALTER TABLE {child} INHERIT {parent}"
        found.append(NotCarried("inheritance", child, brings))
    return found
