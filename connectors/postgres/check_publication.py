"""Whether a publication sends what is selected, all of it (PG-16, T-SC-4). One given by hand is never altered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cdcd.contracts import Finding
from cdcd.model.table import Table
from connectors.postgres.ask import Asker
from connectors.postgres.findings import finding
from connectors.postgres.names import qualified, quote_identifier
from connectors.postgres.publication import has_identity

_PUBLICATION = """
SELECT array_remove(ARRAY[CASE WHEN NOT pubinsert THEN 'insert' END, CASE WHEN NOT pubupdate THEN 'update' END,
                          CASE WHEN NOT pubdelete THEN 'delete' END,
                          CASE WHEN NOT pubtruncate THEN 'truncate' END], NULL),
       pubviaroot, pg_has_role(pubowner, 'USAGE'), pg_get_userbyid(pubowner)::text
FROM pg_publication p WHERE pubname = %s
"""

# Column lists and row filters came with version 15; attnames then holds all columns that are sent.
_LISTED = """
SELECT schemaname || '.' || tablename, to_jsonb(t) ->> 'rowfilter',
       ARRAY(SELECT jsonb_array_elements_text(nullif(to_jsonb(t) -> 'attnames', 'null')))
FROM pg_publication_tables t WHERE pubname = %s
"""

# Before, attnames lists generated columns, and none is sent.
_SENDS_GENERATED = "SELECT current_setting('server_version_num')::int >= 180000"

# By leaf, as the server publishes them: a root's own identity is asked of nobody. From 18 on the server refuses an
# identity with computed columns that are not sent, as virtual ones never are.
_BREAKS = """
SELECT c.oid::regclass::text, computed, c.relreplident = 'f'
FROM pg_publication p CROSS JOIN LATERAL pg_get_publication_tables(p.pubname) t
CROSS JOIN LATERAL (SELECT relid FROM pg_partition_tree(t.relid) WHERE isleaf
                    UNION SELECT t.relid::regclass WHERE NOT EXISTS (SELECT FROM pg_partition_tree(t.relid))) l
JOIN pg_class c ON c.oid = l.relid
LEFT JOIN pg_index i ON i.indrelid = c.oid
    AND CASE c.relreplident WHEN 'i' THEN i.indisreplident WHEN 'd' THEN i.indisprimary AND i.indimmediate END
CROSS JOIN LATERAL (SELECT current_setting('server_version_num')::int >= 180000 AND EXISTS (
    SELECT FROM pg_attribute g WHERE g.attrelid = c.oid AND NOT g.attisdropped
    AND (g.attgenerated = 'v' OR g.attgenerated = 's' AND to_jsonb(p) ->> 'pubgencols' = 'n')
    AND (c.relreplident = 'f' OR g.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]))) AS computed) g
WHERE p.pubname = %s AND (p.pubupdate OR p.pubdelete) AND c.relkind = 'r'
  AND (computed OR c.relreplident <> 'f' AND i.indexrelid IS NULL)
ORDER BY 1
"""


def check_publication(
    asker: Asker, name: str, own: bool, by_root: bool, user: str, creates: bool, tables: Sequence[Table]
) -> Iterator[Finding]:
    """`user`, quoted, is who asks; `creates`: it may create in this database."""
    rows = asker.ask(_PUBLICATION, name)
    quoted = quote_identifier(name)
    if own:
        if not rows and not creates:
            ((database,),) = asker.ask("SELECT current_database()::text")
            yield finding("PG-PUBLICATION-RIGHT", "the role may not create a publication", f"database {database}",
                          f"GRANT CREATE ON DATABASE {quote_identifier(database)} TO {user}")  # fmt: skip
        if rows and not rows[0][2]:
            yield finding("PG-PUBLICATION-OWNER", f"publication {name} belongs to another role", rows[0][3],
                          f"ALTER PUBLICATION {quoted} OWNER TO {user}")  # fmt: skip
        return  # what it lacks is put right when the pipeline starts
    if not rows:
        listed = ", ".join(qualified(table) for table in tables) or "…"
        yield finding("PG-PUBLICATION", "the publication does not exist", name,
                      f"CREATE PUBLICATION {quoted} FOR TABLE {listed} "
                      f"WITH (publish_via_partition_root = {str(by_root).lower()})")  # fmt: skip
        return
    yield from shortcomings(asker, name, by_root, tables)
    yield from broken(asker, name)


def broken(asker: Asker, name: str) -> Iterator[Finding]:
    """The tables in a publication, ours or not, that their application cannot change while they are in it."""
    for table, computed, full in asker.ask(_BREAKS, name):
        why, identity = "has no replica identity", "FULL"
        if computed:
            why = "its replica identity holds a computed column, which is not sent"
            identity = "DEFAULT" if full else "USING INDEX …"
        yield finding("PG-PUBLICATION-BREAKS", f"UPDATE and DELETE of {table} fail at the source: it is published, and "
                      f"{why}", name,
                      f"ALTER TABLE {table} REPLICA IDENTITY {identity} -- or add a primary key, or take it out")


def shortcomings(asker: Asker, name: str, by_root: bool, tables: Sequence[Table]) -> Iterator[Finding]:
    """What a publication, ours or not, does not send of these tables; one that is not there sends nothing."""
    rows = asker.ask(_PUBLICATION, name)
    quoted = quote_identifier(name)
    if not rows:
        yield finding("PG-PUBLICATION", "the publication does not exist", name, f"CREATE PUBLICATION {quoted} …")
        return
    ((missing, via_root, _, _),) = rows
    if missing:
        yield finding("PG-PUBLICATION-KINDS", f"the publication leaves out every {', '.join(missing)}", name,
                      f"ALTER PUBLICATION {quoted} SET (publish = 'insert, update, delete, truncate')")  # fmt: skip
    listed = {id: (rows, columns) for id, rows, columns in asker.ask(_LISTED, name)}
    misnamed = [t for t in tables if (t.partitioned and not via_root) or (t.id not in listed and via_root > by_root)]
    if via_root != by_root and misnamed:
        under = "their root's name" if via_root else "their own names"
        yield finding("PG-PUBLICATION-ROOT", f"the publication sends partitions under {under}", name,
                      f"ALTER PUBLICATION {quoted} SET (publish_via_partition_root = {str(by_root).lower()})")
        tables = [table for table in tables if table not in misnamed]
    for table in tables:
        if table.id not in listed:
            add = f"ALTER PUBLICATION {quoted} ADD TABLE {qualified(table)}"
            if not has_identity(table, asker.version):
                add = f"ALTER TABLE {qualified(table)} REPLICA IDENTITY FULL; {add}"
            yield finding("PG-PUBLICATION-TABLE", f"the publication does not carry {table.id}", name, add)
            continue
        again = f"ALTER PUBLICATION {quoted} DROP TABLE {qualified(table)}; " \
                f"ALTER PUBLICATION {quoted} ADD TABLE {qualified(table)}"  # fmt: skip
        where, columns = listed[table.id]
        if where is not None:
            yield finding("PG-PUBLICATION-FILTER", f"the publication carries only some rows of {table.id}",
                          f"{name}: WHERE {where}", again)  # fmt: skip
        if columns and (left := [c.name for c in table.carried if c.name not in columns]):
            yield finding("PG-PUBLICATION-COLUMNS", f"the publication does not carry {', '.join(left)} of {table.id}",
                          name, again)  # fmt: skip
        made = [c.name for c in table.columns if c.generated is not None and c.name in columns]
        if made and asker.ask(_SENDS_GENERATED) == [(True,)]:
            yield finding("PG-PUBLICATION-GENERATED", f"the publication sends {', '.join(made)} of {table.id}, which "
                          "the target computes", name,
                          f"ALTER PUBLICATION {quoted} SET (publish_generated_columns = none)")  # fmt: skip
