"""What a table of the target is, as one number: two digests tell whether a statement that was under way was carried out
(T-MT-5)."""

from __future__ import annotations

from hashlib import sha256

from connectors.mysql.names import quote
from connectors.mysql.sessions import Session

_COLUMNS = """
SELECT COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, EXTRA, GENERATION_EXPRESSION, COLLATION_NAME
FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION"""
_KEYS = """
SELECT INDEX_NAME, SEQ_IN_INDEX, COLUMN_NAME, SUB_PART, NON_UNIQUE FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY INDEX_NAME, SEQ_IN_INDEX"""

_COMMENT = "SELECT TABLE_COMMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s"


def digest(session: Session, schema: str, name: str) -> str:
    """"": there is no such table."""
    columns = session.rows(_COLUMNS, schema, name)
    if not columns:
        return ""
    parts = (columns, session.rows(_KEYS, schema, name), session.rows(_COMMENT, schema, name))
    return sha256(repr(parts).encode()).hexdigest()[:16]


def clone_of(pipeline: str) -> str:
    """The table that statements are tried on, of one pipeline; a crash may leave it."""
    return f"clone_{sha256(pipeline.encode()).hexdigest()[:16]}"


def wanted(session: Session, clone: str, schema: str, name: str, actions: str) -> str:
    """What the table would be after ALTER TABLE with these actions: done to an empty one like it, on a session that has
    no transaction. What the server does not take fails here, before anything is begun."""
    session.define(f"DROP TABLE IF EXISTS cdcd.{clone}")
    session.define(f"CREATE TABLE cdcd.{clone} LIKE {quote(schema)}.{quote(name)}")
    try:
        session.define(f"ALTER TABLE cdcd.{clone} {actions}")
        return digest(session, "cdcd", clone)
    finally:
        session.define(f"DROP TABLE IF EXISTS cdcd.{clone}")


def comment(session: Session, schema: str, name: str) -> str:
    row = session.row(_COMMENT, schema, name)
    return str(row[0]) if row else ""
