"""The publication: which tables the server sends, as exactly the tables we carry ("CREATE PUBLICATION").

A table without a replica identity must not be in a publication of updates and deletes: the application's own UPDATE
would fail (PG-05).
"""

from __future__ import annotations

from collections.abc import Sequence

from cdcd.model.table import Table
from connectors.postgres.ask import Asker
from connectors.postgres.names import quote_identifier

PUBLISHES = "publish = 'insert, update, delete, truncate', publish_via_partition_root = true"


def has_identity(table: Table) -> bool:
    """Whether the source names old rows of the table at all."""
    return bool(table.key) or table.full


def exists(asker: Asker, name: str) -> bool:
    return bool(asker.ask("SELECT 1 FROM pg_publication WHERE pubname = %s", name))


def publish_tables(asker: Asker, name: str, tables: Sequence[Table]) -> None:
    """Make our publication carry exactly these tables; altered, never dropped and made again (PG-15)."""
    names = ", ".join(
        # ONLY: children by inheritance are tables of their own.
        f"{'' if table.partitioned else 'ONLY '}{quote_identifier(table.schema)}.{quote_identifier(table.name)}"
        for table in tables
        if has_identity(table)
    )
    publication = quote_identifier(name)
    if not exists(asker, name):
        asker.ask(f"CREATE PUBLICATION {publication}{f' FOR TABLE {names}' if names else ''} WITH ({PUBLISHES})")
        return
    asker.ask(f"ALTER PUBLICATION {publication} SET ({PUBLISHES})")
    if names:
        asker.ask(f"ALTER PUBLICATION {publication} SET TABLE {names}")


def drop_publication(asker: Asker, name: str) -> None:
    asker.ask(f"DROP PUBLICATION IF EXISTS {quote_identifier(name)}")
