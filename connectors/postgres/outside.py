"""What commands ask of the control tables, and leave there, beside whoever owns the pipeline: nothing is claimed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cdcd.errors import StateRefused
from cdcd.model.position import printable
from connectors.postgres import control
from connectors.postgres.sessions import Session, Sessions

_NAME = "cdcd status"
"""Not the pipeline's: a claim ends sessions that carry its name."""

_EPOCH = """
SELECT e.epoch, e.claimed, e.finished, e.source, e.intent, c.checkpoint -> 'position', c.updated, s.counter,
       EXISTS (SELECT FROM pg_stat_activity a
               WHERE a.application_name LIKE format('cdcd/%%s/%%s%%%%', e.pipeline, e.epoch)),
       EXISTS (SELECT FROM pg_stat_activity a WHERE a.datname = current_database() AND a.backend_type IS NULL)
FROM cdcd.epochs e
LEFT JOIN cdcd.checkpoints c ON c.pipeline = e.pipeline AND c.scope = ''
LEFT JOIN cdcd.seen s ON s.pipeline = e.pipeline
WHERE e.pipeline = %s
"""

_TABLES = """
SELECT t.table_id, count(c), count(c) FILTER (WHERE c.state = 'in'), coalesce(sum(c.rows), 0)::bigint,
       coalesce(sum(c.bytes), 0)::bigint
FROM cdcd.tables t LEFT JOIN cdcd.chunks c USING (pipeline, table_id)
WHERE t.pipeline = %s GROUP BY t.table_id ORDER BY t.table_id
"""

_WISHES = "SELECT id, command, argument FROM cdcd.requests WHERE pipeline = %s AND done IS NULL ORDER BY id"


def read_status(url: Callable[[], str], name: str) -> Mapping[str, Any] | None:
    """What the control tables say of the pipeline; None: nothing (Connector.status has the keys)."""
    sessions = Sessions(url, _NAME)
    try:
        with sessions.brief() as session:
            # One snapshot, so that chunks and checkpoint belong together.
            session.run("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            return _read(session, name)
    finally:
        sessions.close()


def _read(session: Session, name: str) -> Mapping[str, Any] | None:
    if not control.exist(session):
        return None
    row = session.row(_EPOCH, (name,))
    if row is None:
        return None
    epoch, claimed, finished, source, intent, place, updated, seen, connected, hidden = row
    known = control.stored_version(session) >= control.WITH_EXCEPTIONS
    return {
        "epoch": epoch,
        "claimed": claimed.isoformat(),
        # Of another role's sessions the server may show no more than that they are there.
        "connected": connected or (None if hidden else False),
        "seen": seen,
        "checkpoint": printable(place) if place is not None else None,
        "checkpoint_stored": updated.isoformat() if updated is not None else None,
        "finished": finished,
        "source": source,
        "intent": intent,
        "tables": [
            {"id": table, "chunks": chunks, "chunks_in": inside, "rows": rows, "bytes": size}
            for table, chunks, inside, rows, size in session.rows(_TABLES, (name,))
        ],
        "exceptions": _waiting(session, name) if known else 0,
        "stopped": stopped_at(session, name) if known else None,
        "requests": [
            {"id": number, "command": command, "argument": argument}
            for number, command, argument in session.rows(_WISHES, (name,))
        ],
    }


def _waiting(session: Session, name: str) -> int:
    """How many changes were not made and wait to be tried again."""
    text = "SELECT count(*) FROM cdcd.exceptions WHERE pipeline = %s AND state = 'open'"
    return int(session.rows(text, (name,))[0][0])


def stopped_at(session: Session, name: str) -> Mapping[str, Any] | None:
    """The change at which the pipeline stopped."""
    columns = ("tx", "position", "table_id", "key", "error")
    row = session.row(f"SELECT {', '.join(columns)} FROM cdcd.stops WHERE pipeline = %s", (name,))
    return dict(zip(columns, row, strict=True)) if row else None


def leave_request(url: Callable[[], str], name: str, command: str, argument: str) -> int:
    """A wish for whoever runs the pipeline, now or next; its number."""
    sessions = Sessions(url, _NAME)
    try:
        with sessions.brief() as session:
            if not control.exist(session):
                raise StateRefused(f"pipeline {name} was never started", why="the target has no control tables")
            row = session.row(
                "INSERT INTO cdcd.requests (pipeline, command, argument) VALUES (%s, %s, %s) RETURNING id",
                (name, command, argument),
            )
            assert row is not None
            return int(row[0])
    finally:
        sessions.close()


def withdraw_requests(url: Callable[[], str], name: str, command: str) -> None:
    """End the wishes of a command. A commit that is waited for flushes those before it that were not."""
    sessions = Sessions(url, _NAME)
    try:
        with sessions.brief() as session:
            session.run("BEGIN; SET LOCAL synchronous_commit = on")
            session.run(
                "UPDATE cdcd.requests SET done = now() WHERE pipeline = %s AND command = %s AND done IS NULL",
                (name, command),
            )
            session.run("COMMIT")
    finally:
        sessions.close()
