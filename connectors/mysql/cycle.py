"""Which pipelines write into a server now, and which read it: one that does both closes a circle (TG-05).

As far as our user may see it: it is no reason not to run that he may not."""

from __future__ import annotations

from collections.abc import Sequence

from cdcd.errors import CdcdError
from cdcd.model.table import Table
from connectors.mysql.ask import Asker
from connectors.mysql.sessions import Session

# The sessions of a pipeline that runs hold locks, by names that are recorded. A table has its schema's name at the
# source there, which may be another one here: its own name tells enough.
_WRITERS = """
SELECT DISTINCT t.pipeline FROM cdcd.tables t JOIN cdcd.sessions s ON s.pipeline = t.pipeline
WHERE IS_USED_LOCK(s.held) IS NOT NULL AND SUBSTRING(t.table_id, LOCATE('.', t.table_id) + 1) IN ({})
"""

_HOST = "cdcd/"
"""What a pipeline calls itself before its name, when it registers as a replica."""


def writers(asker: Asker, tables: Sequence[Table]) -> set[str]:
    """Of tables of these names."""
    names = sorted({table.name for table in tables})
    if not names:
        return set()
    try:
        found = asker.ask(_WRITERS.format(", ".join(["%s"] * len(names))), *names)
    except CdcdError:
        return set()
    return {str(name) for (name,) in found}


def readers(session: Session) -> set[str]:
    try:
        found = session.rows("SHOW SLAVE HOSTS" if session.mariadb else "SHOW REPLICAS")
    except CdcdError:
        return set()
    return {str(row[1]).removeprefix(_HOST) for row in found if str(row[1]).startswith(_HOST)}
