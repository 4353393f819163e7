"""Which statements make something that is not here yet."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from cdcd.model.schema import Statement, Thing
from connectors.mysql.sessions import Session

_EXISTS = {
    "schema": "SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s",
    "table": "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s",
    "index": "SELECT 1 FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s"
    " AND INDEX_NAME = %s LIMIT 1",
    "constraint": "SELECT 1 FROM information_schema.TABLE_CONSTRAINTS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s"
    " AND CONSTRAINT_NAME = %s",
}


def missing(session: Session, statements: Sequence[Statement], made: Collection[str] = ()) -> list[Statement]:
    """In their order, and each once. `made`: ids of tables that are about to be made anew, with all that is theirs."""
    return [one for one in dict.fromkeys(statements) if one.table in made or not _there(session, one.of)]


def _there(session: Session, of: Thing) -> bool:
    kind, *names = of
    return bool(session.rows(_EXISTS[kind], *names))
