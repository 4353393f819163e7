"""What a table has beside columns and key, as the statements that make it again: secondary indexes, unique and
exclusion constraints, foreign keys."""

from __future__ import annotations

from collections.abc import Sequence

from cdcd.model.table import Table
from connectors.postgres.ask import Asker
from connectors.postgres.names import qualified

_INDEXES = """
SELECT i.indrelid::int8, quote_ident(c.relname), pg_get_indexdef(i.indexrelid)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = ANY (%s::oid[]) AND NOT i.indisprimary AND i.indisvalid
  AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
ORDER BY i.indrelid, c.relname
"""

_CONSTRAINTS = """
SELECT k.conrelid::int8, k.contype::text, quote_ident(k.conname), pg_get_constraintdef(k.oid)
FROM pg_constraint k
WHERE k.conrelid = ANY (%s::oid[]) AND k.conparentid = 0
  AND (k.contype IN ('u', 'x') OR k.contype = 'f' AND k.confrelid = ANY (%s::oid[]))
ORDER BY k.contype = 'f', k.conrelid, k.conname
"""


def read_objects(asker: Asker, tables: Sequence[Table]) -> list[str]:
    """Constraints that are unique come before the foreign keys that need them; the primary key is the sink's."""
    by_oid = {table.oid: table for table in tables}
    oids = list(by_oid)
    statements = []
    for _, name, text in asker.ask(_INDEXES, oids):
        # A partitioned table's own index is written as one that its leaves have not.
        for unique in ("", "UNIQUE "):
            text = text.replace(f"CREATE {unique}INDEX {name} ON ONLY ", f"CREATE {unique}INDEX {name} ON ", 1)
        statements.append(text)
    for oid, _, name, text in asker.ask(_CONSTRAINTS, oids, oids):
        statements.append(f"ALTER TABLE {qualified(by_oid[oid])} ADD CONSTRAINT {name} {text}")
    return statements
