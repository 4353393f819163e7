"""What would go wrong with the source's tables: rights, policies, replica identities, and what cannot be carried."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from cdcd.contracts import Finding
from cdcd.model.table import Table
from connectors.postgres.ask import Asker
from connectors.postgres.findings import finding
from connectors.postgres.names import qualified, quote_identifier
from connectors.postgres.publication import has_computed, has_identity

_TABLES = """
SELECT c.oid::int8, has_table_privilege(c.oid, 'SELECT'), has_schema_privilege(c.relnamespace, 'USAGE'),
       pg_has_role(c.relowner, 'USAGE') OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
       c.relrowsecurity AND (c.relforcerowsecurity OR NOT pg_has_role(c.relowner, 'USAGE'))
           AND NOT (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user),
       pg_get_userbyid(c.relowner)::text
FROM pg_class c WHERE c.oid = ANY (%s::oid[])
"""

# A leaf's old rows come under the leaf's own identity: it must name them by the same columns as the root's.
_LEAVES = """
SELECT l.relid::regclass::text
FROM pg_partition_tree(%s) l JOIN pg_class c ON c.oid = l.relid
WHERE l.isleaf AND NOT (CASE c.relreplident
    WHEN 'f' THEN %s
    WHEN 'n' THEN false
    ELSE NOT %s AND (SELECT array_agg(a.attname::text ORDER BY a.attname::text) FROM pg_index i, unnest(i.indkey) k
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k
          WHERE i.indrelid = c.oid AND CASE c.relreplident WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END)
         IS NOT DISTINCT FROM %s::text[] END)
"""

# Other sessions' temporary tables are all said to be in pg_temp.
_OTHERS = """
SELECT CASE WHEN c.relpersistence = 't' THEN 'pg_temp' ELSE n.nspname END || '.' || c.relname, c.relkind::text,
       c.relpersistence::text, c.relispartition,
       CASE WHEN c.relispartition THEN pg_partition_root(c.oid)::regclass::text END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'cdcd')
  AND n.nspname !~ '^pg_toast' AND NOT (c.relpersistence = 't' AND starts_with(c.relname, 'cdcd_'))
  AND (c.relkind = 'f' OR c.relpersistence <> 'p' OR c.relispartition OR EXISTS (
       SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))
ORDER BY 1
"""


def check_tables(asker: Asker, own: bool, user: str, tables: Sequence[Table]) -> Iterator[Finding]:
    """`own`: they are to be in a publication of ours. `user`, quoted, is who asks."""
    rights = {row[0]: row[1:] for row in asker.ask(_TABLES, [table.oid for table in tables])}
    for table in tables:
        name = qualified(table)
        if table.oid not in rights:
            yield finding("PG-TABLE", f"{table.id} does not exist")
            continue
        selects, enters, owns, hidden, owner = rights[table.oid]
        if not enters:
            mend = f"GRANT USAGE ON SCHEMA {quote_identifier(table.schema)} TO {user}"
            yield finding("PG-USAGE", f"the schema of {table.id} may not be used", mend=mend)
        if not selects:
            yield finding("PG-SELECT", f"{table.id} may not be read", mend=f"GRANT SELECT ON {name} TO {user}")
        if own and not owns:
            mend = f"GRANT {quote_identifier(owner)} TO {user} -- or name a publication that its owner made"
            yield finding("PG-OWNER", f"{table.id} may only be published by its owner", f"owner {owner}", mend)
        if hidden:
            mend = f"ALTER ROLE {user} BYPASSRLS"
            yield finding("PG-ROW-SECURITY", f"policies hide rows of {table.id}", mend=mend)
        yield from _identity(asker, table, name)


def _identity(asker: Asker, table: Table, name: str) -> Iterator[Finding]:
    version = asker.version
    if not has_identity(table, version):
        why, mend = _no_identity(table, has_computed(table) and version >= 180000)
        yield finding(
            "PG-NO-IDENTITY", f"{table.id} has no replica identity: the source cannot name its old rows",
            f"published, the application's own UPDATE and DELETE would fail{why}", f"ALTER TABLE {name} {mend}",
        )  # fmt: skip
        return
    if table.full and not table.key:
        yield finding("PG-KEYLESS", f"{table.id} has no key: it is loaded as one chunk, and its rows are found by all "
                      "of their columns", "REPLICA IDENTITY FULL", f"ALTER TABLE {name} ADD PRIMARY KEY (…)")
    if table.partitioned:
        for (leaf,) in asker.ask(_LEAVES, table.oid, table.full, table.full, sorted(table.key)):
            yield finding("PG-LEAF-IDENTITY", f"partition {leaf} of {table.id} names old rows by other columns",
                          mend=f"ALTER TABLE {leaf} REPLICA IDENTITY {'FULL' if table.full else 'DEFAULT'}")


def _no_identity(table: Table, never_full: bool) -> tuple[str, str]:
    """Why, and what mends it. `never_full`: the server refuses to publish the table's whole rows."""
    computed = {column.name for column in table.columns if column.generated is not None}
    if table.full and table.key:
        return ": FULL, but a column is computed, and not sent", "REPLICA IDENTITY DEFAULT"
    if not computed.isdisjoint(table.primary):
        why = ": the primary key is computed, and not sent"
    else:
        why = ": REPLICA IDENTITY NOTHING, or the primary key is DEFERRABLE" if table.primary else ""
    if never_full:
        why += ": FULL will not do, as a column is computed, and not sent"
        return why, "REPLICA IDENTITY USING INDEX … -- or add a primary key, or leave the table out"
    return why, "REPLICA IDENTITY FULL -- or add a primary key, or leave the table out"


def left_out(asker: Asker, by_root: bool, named: Collection[str]) -> list[tuple[str, Finding]]:
    """What looks like a table and is not carried, by its id, with the reason. A partition, whose rows travel under its
    root, is no surprise unless it is one of `named`."""
    found = []
    for id, kind, persistence, leaf, root in asker.ask(_OTHERS):
        if leaf and persistence == "p" and not (by_root and id in named):
            continue
        found.append((id, _reason(id, kind, persistence, leaf, root)))
    return found


def _reason(id: str, kind: str, persistence: str, leaf: bool, root: str | None) -> Finding:
    if kind == "f":
        return finding("PG-FOREIGN", f"{id} is a foreign table: its rows are on another server, and their changes in "
                       "no log of this one", mend="carry it with a pipeline from the server where it lives")
    if persistence == "t":
        return finding("PG-TEMPORARY", f"{id} is a temporary table: it is one session's, and in no log")
    if persistence == "u":
        return finding("PG-UNLOGGED", f"{id} is unlogged: its changes are in no log, and it is not carried",
                       mend=f"ALTER TABLE {_quoted(id)} SET LOGGED")  # fmt: skip
    if leaf:
        return finding("PG-PARTITION", f"{id} is a partition: its rows travel under {root}",
                       mend=f"select {root}, or set partitions = \"leaves\"")  # fmt: skip
    return finding("PG-EXTENSION", f"{id} belongs to an extension, which makes and fills its own tables",
                   mend="CREATE EXTENSION at the target")  # fmt: skip


def _quoted(id: str) -> str:
    return ".".join(map(quote_identifier, id.split(".", 1)))
