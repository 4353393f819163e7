"""Which pipelines write into a database now, and which read it: one that does both closes a circle (TG-05)."""

from __future__ import annotations

from collections.abc import Sequence

from cdcd.model.table import Table
from connectors.postgres.ask import Asker
from connectors.postgres.sessions import Session

# Sessions that write are named cdcd/PIPELINE/EPOCH, and everybody may see that.
_WRITERS = """
SELECT DISTINCT split_part(application_name, '/', 2) FROM pg_stat_activity
WHERE datname = current_database() AND application_name ~ '^cdcd/[^/]+/[0-9]+$'
"""

_READABLE = """
SELECT has_schema_privilege(c.relnamespace, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
FROM pg_class c WHERE c.relnamespace = to_regnamespace('cdcd') AND c.relname = 'tables'
"""

_CARRIES = "SELECT DISTINCT pipeline FROM cdcd.tables WHERE pipeline = ANY (%s) AND table_id = ANY (%s)"

READERS = """
SELECT DISTINCT split_part(a.application_name, '/', 2)
FROM pg_replication_slots s JOIN pg_stat_activity a ON a.pid = s.active_pid
WHERE s.database = current_database() AND a.application_name LIKE 'cdcd/%'
"""


def writers(asker: Asker, tables: Sequence[Table]) -> set[str]:
    """Of these tables, as far as the control rows may be read here; else of any."""
    names = [name for (name,) in asker.ask(_WRITERS)]
    if not names or asker.ask(_READABLE) != [(True,)]:
        return set(names)
    return {name for (name,) in asker.ask(_CARRIES, names, [table.id for table in tables])}


def readers(session: Session) -> set[str]:
    return {name for (name,) in session.rows(READERS)}
