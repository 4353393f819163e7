"""What the source has in the tables' schemas and cdcd does not carry by itself, each with what brings it."""

from __future__ import annotations

from collections.abc import Sequence

from cdcd.model.schema import NotCarried
from cdcd.model.table import Table
from connectors.postgres.ask import Asker

ALL = '--objects all, or objects = "all" in the file'
DEPENDS = "--tables, where it depends on tables that are not selected; else a superuser, from pg_dump --schema-only"

# Nothing of an extension's; of tables and their partitions, and of the schemas they are in.
_ALL = """
WITH mine AS (SELECT unnest(%(tables)s::oid[]) AS oid UNION
              SELECT p.relid FROM unnest(%(tables)s::oid[]) r (root), LATERAL pg_partition_tree(r.root) p),
spaces AS (SELECT DISTINCT relnamespace AS oid FROM pg_class JOIN mine USING (oid))
SELECT kind, name FROM (
    SELECT CASE relkind WHEN 'v' THEN 'view' ELSE 'materialized view' END AS kind,
           c.oid::regclass::text AS name, 'pg_class'::regclass AS class, c.oid
    FROM pg_class c JOIN spaces s ON s.oid = c.relnamespace WHERE relkind IN ('v', 'm')
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

# No setting of ours brings these.
_NEVER = """
SELECT 'event trigger', evtname::text,
       format('as a superuser: CREATE EVENT TRIGGER %%I ON %%s%%s EXECUTE FUNCTION %%s()', evtname, evtevent,
              (SELECT ' WHEN TAG IN (' || string_agg(quote_literal(t), ', ') || ')' FROM unnest(evttags) t),
              evtfoid::regproc)
FROM pg_event_trigger e WHERE NOT starts_with(evtname, 'cdcd_') AND NOT EXISTS (
    SELECT FROM pg_depend d WHERE d.classid = 'pg_event_trigger'::regclass AND d.objid = e.oid AND d.deptype = 'e')
UNION ALL
SELECT 'foreign server', srvname, 'with its user mappings, from pg_dump --schema-only' FROM pg_foreign_server
UNION ALL
SELECT 'foreign table', c.oid::regclass::text,
       format('pg_dump --schema-only --table=%%s', quote_literal(c.oid::regclass))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'f' AND n.nspname !~ '^pg_'
UNION ALL
SELECT 'language', lanname, format('as a superuser: CREATE LANGUAGE %%I', lanname) FROM pg_language l
WHERE l.oid >= 16384 AND NOT EXISTS (
    SELECT FROM pg_depend d WHERE d.classid = 'pg_language'::regclass AND d.objid = l.oid AND d.deptype = 'e')
UNION ALL
SELECT 'operator class', format('%%I.%%I', n.nspname, o.opcname), 'as a superuser, from pg_dump --schema-only'
FROM pg_opclass o JOIN pg_namespace n ON n.oid = o.opcnamespace WHERE o.oid >= 16384 AND NOT EXISTS (
    SELECT FROM pg_depend d WHERE d.classid = 'pg_opclass'::regclass AND d.objid = o.oid AND d.deptype = 'e')
UNION ALL
SELECT 'large objects', count(*)::text, 'at cut-over: pg_dump --blobs --section=data --exclude-table=''*.*'''
FROM pg_largeobject_metadata HAVING count(*) > 0
UNION ALL
SELECT 'default privileges', coalesce(quote_ident(n.nspname), 'of every schema'),
       'ALTER DEFAULT PRIVILEGES, from pg_dump --schema-only'
FROM pg_default_acl a LEFT JOIN pg_namespace n ON n.oid = a.defaclnamespace
UNION ALL
SELECT 'publication', pubname, 'for readers of the target, from pg_dump --schema-only'
FROM pg_publication WHERE NOT starts_with(pubname, 'cdcd_')
UNION ALL
SELECT 'storage options', c.oid::regclass::text,
       format('at the target: ALTER TABLE %%s SET (%%s)', c.oid::regclass, array_to_string(c.reloptions, ', '))
FROM pg_class c WHERE c.oid = ANY (%(tables)s::oid[]) AND c.reloptions IS NOT NULL
UNION ALL
SELECT 'tablespace', c.oid::regclass::text,
       format('at the target: ALTER TABLE %%s SET TABLESPACE %%I', c.oid::regclass, t.spcname)
FROM pg_class c JOIN pg_tablespace t ON t.oid = c.reltablespace WHERE c.oid = ANY (%(tables)s::oid[])
UNION ALL
SELECT DISTINCT 'owner', r.rolname::text, format(
    'at the target, once we write there no more: REASSIGN OWNED BY (our role there) TO %%I', r.rolname)
FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner WHERE c.oid = ANY (%(tables)s::oid[])
ORDER BY 1, 2
"""

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


def read_not_carried(
    asker: Asker, tables: Sequence[Table], extensions: Sequence[str], left_out: Sequence[tuple[str, str]] | None
) -> list[NotCarried]:
    """`extensions`: those that come. `left_out`, type and name: with objects = all, what nevertheless does not come."""
    oids = [table.oid for table in tables]
    if left_out is None:
        found = [NotCarried(kind, name, ALL) for kind, name in asker.ask(_ALL, tables=oids)]
        found += [NotCarried("extension", name, ALL) for (name,) in asker.ask(_EXTENSIONS, list(extensions))]
    else:
        found = [NotCarried(kind, name, DEPENDS) for kind, name in left_out]
    found += [NotCarried(*row) for row in asker.ask(_NEVER, tables=oids)]
    for name, other in asker.ask(_ELSEWHERE, tables=oids):
        found.append(NotCarried("foreign key", name, f"--tables {other}, to which it refers"))
    for child, parent in asker.ask(_CHILDREN, oids):
        brings = f"after cut-over, at the target: ALTER TABLE {child} INHERIT {parent}"
        found.append(NotCarried("inheritance", child, brings))
    return found


def partitions(table: Table) -> NotCarried:
    """Of a table that is followed: rows of partitions made later must find a place."""
    return NotCarried(
        "partitions", table.id,
        "made by hand before the start, from cdcd plan --load only, with --target-tables use; later ones by hand too",
    )  # fmt: skip
