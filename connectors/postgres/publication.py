"""The publication: which tables the server sends, as exactly the tables we carry ("CREATE PUBLICATION").

A table without a replica identity must not be in a publication of updates and deletes: the application's own UPDATE
would fail (PG-05); so it would, from 18 on, with one that holds a computed column, which is not sent.
"""

from __future__ import annotations

from collections.abc import Sequence

from cdcd.model.table import Table
from connectors.postgres.ask import Asker
from connectors.postgres.names import quote_identifier

PUBLISHES = "publish = 'insert, update, delete, truncate', publish_via_partition_root = true"


def has_identity(table: Table, version: int) -> bool:
    """Whether a source of this version names old rows of the table at all, and lets it be published."""
    if not table.full:
        return bool(table.key)
    return version < 180000 or not has_computed(table)


def has_computed(table: Table) -> bool:
    return any(column.generated is not None for column in table.columns)


def exists(asker: Asker, name: str) -> bool:
    return bool(asker.ask("SELECT 1 FROM pg_publication WHERE pubname = %s", name))


# Row filters and column lists came with version 15.
_CARRIED = """
SELECT p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate AND p.pubviaroot AND NOT p.puballtables,
       ARRAY(SELECT r.prrelid::int8 FROM pg_publication_rel r WHERE r.prpubid = p.oid),
       EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid
               AND coalesce(to_jsonb(r) ->> 'prqual', to_jsonb(r) ->> 'prattrs') IS NOT NULL)
FROM pg_publication p WHERE p.pubname = %s
"""


# As they are called now: the stream may be behind a change of name. ONLY: children by inheritance are tables of their
# own.
_NAMES = """
SELECT CASE WHEN c.relkind = 'p' THEN '' ELSE 'ONLY ' END || format('%%I.%%I', n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY (%s::oid[])
ORDER BY n.nspname, c.relname
"""


def publish_tables(asker: Asker, name: str, tables: Sequence[Table]) -> None:
    """Make our publication carry exactly these tables."""
    for statement in plan_publication(asker, name, tables):
        asker.ask(statement)


def plan_publication(asker: Asker, name: str, tables: Sequence[Table]) -> list[str]:
    """The statements for it: altered, never dropped and made again (PG-15), and left alone where it is right already,
    as an ALTER makes every session look its tables up again."""
    version = asker.version
    carried = [table for table in tables if has_identity(table, version)]
    names = ", ".join(name for (name,) in asker.ask(_NAMES, [table.oid for table in carried]))
    publication = quote_identifier(name)
    rows = asker.ask(_CARRIED, name)
    if not rows:
        listed = f" FOR TABLE {names}" if names else ""
        return [f"CREATE PUBLICATION {publication}{listed} WITH ({PUBLISHES})"]
    ((options, oids, restricted),) = rows
    statements = []
    if not options:
        statements.append(f"ALTER PUBLICATION {publication} SET ({PUBLISHES})")
    if names and (restricted or set(oids) != {table.oid for table in carried}):
        statements.append(f"ALTER PUBLICATION {publication} SET TABLE {names}")
    elif oids and not names:
        gone = ", ".join(name for (name,) in asker.ask(_NAMES, oids))
        statements.append(f"ALTER PUBLICATION {publication} DROP TABLE {gone}")
    return statements


def drop_publication(asker: Asker, name: str) -> None:
    asker.ask(drop_statement(name))


def drop_statement(name: str) -> str:
    return f"DROP PUBLICATION IF EXISTS {quote_identifier(name)}"
