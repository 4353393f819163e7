"""Whose transactions are open at a server: what stands in the way of a fence, or of a snapshot."""

from __future__ import annotations

OPEN = """
SELECT p.ID, p.USER, p.HOST, COALESCE(p.DB, ''), t.trx_rows_modified FROM information_schema.INNODB_TRX t
JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id WHERE p.ID <> CONNECTION_ID()
ORDER BY t.trx_started, p.ID"""
"""To be asked with PROCESS."""

PREPARED = "XA RECOVER"


def session(number: int, user: str, host: str, database: str) -> str:
    return f"{user} ({host}{f', in {database}' if database else ''}, session {number})"


def name_of(prepared: tuple[object, ...]) -> str:
    """Of a row of PREPARED."""
    name = prepared[-1]
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)
