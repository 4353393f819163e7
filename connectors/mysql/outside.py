"""What commands ask of the control tables, and leave there, beside whoever owns the pipeline: nothing is claimed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from cdcd.model.position import printable
from connectors.mysql import control
from connectors.mysql.claim import lock_of
from connectors.mysql.durable import wait_flushed
from connectors.mysql.sessions import Session, Sessions

_EPOCH = """
SELECT e.epoch, e.claimed, e.finished, e.source, e.intent, c.checkpoint, c.updated, s.counter, IS_USED_LOCK(%s)
FROM cdcd.epochs e
LEFT JOIN cdcd.checkpoints c ON c.pipeline = e.pipeline AND c.scope = ''
LEFT JOIN cdcd.seen s ON s.pipeline = e.pipeline
WHERE e.pipeline = %s"""

_TABLES = """
SELECT t.table_id, COUNT(c.number), COALESCE(SUM(c.state = 'in'), 0), COALESCE(SUM(c.`rows`), 0),
       COALESCE(SUM(c.bytes), 0)
FROM cdcd.tables t LEFT JOIN cdcd.chunks c ON c.pipeline = t.pipeline AND c.table_id = t.table_id
WHERE t.pipeline = %s GROUP BY t.table_id ORDER BY t.table_id"""

_WISHES = "SELECT id, command, argument FROM cdcd.requests WHERE pipeline = %s AND done IS NULL ORDER BY id"
_WITHDRAW = """
UPDATE cdcd.requests SET done = CURRENT_TIMESTAMP(6) WHERE pipeline = %s AND command = %s AND done IS NULL"""
_WAITING = "SELECT COUNT(*) FROM cdcd.exceptions WHERE pipeline = %s AND state = 'open'"
_STOPPED = ("tx", "position", "table_id", "key", "error")


def read_status(url: Callable[[], str], name: str) -> Mapping[str, Any] | None:
    """What the control tables say of the pipeline; None: nothing (Connector.status has the keys)."""
    sessions = Sessions(url)
    try:
        with sessions.brief() as session:
            if not control.exist(session):
                return None
            # One snapshot, so that chunks and checkpoint belong together.
            session.run("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            session.run("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
            return _read(session, name)
    finally:
        sessions.close()


def _read(session: Session, name: str) -> Mapping[str, Any] | None:
    row = session.row(_EPOCH, lock_of(name), name)
    if row is None:
        return None
    epoch, claimed, finished, source, intent, stored, updated, seen, holder = row
    return {
        "epoch": epoch,
        "claimed": f"{claimed.isoformat()}+00:00",
        "connected": holder is not None,
        "seen": seen,
        "checkpoint": printable(json.loads(stored)["position"]) if stored else None,
        "checkpoint_stored": f"{updated.isoformat()}+00:00" if updated is not None else None,
        "finished": bool(finished),
        "source": json.loads(source) if source else None,
        "intent": json.loads(intent),
        "tables": [
            {"id": table, "chunks": int(chunks), "chunks_in": int(inside), "rows": int(rows), "bytes": int(size)}
            for table, chunks, inside, rows, size in session.rows(_TABLES, name)
        ],
        "exceptions": int(session.rows(_WAITING, name)[0][0]),
        "stopped": stopped_at(session, name),
        "requests": [
            {"id": number, "command": command, "argument": argument}
            for number, command, argument in session.rows(_WISHES, name)
        ],
    }


def stopped_at(session: Session, name: str) -> Mapping[str, Any] | None:
    """The change at which the pipeline stopped."""
    columns = ", ".join(f"`{column}`" for column in _STOPPED)
    row = session.row(f"SELECT {columns} FROM cdcd.stops WHERE pipeline = %s", name)
    return dict(zip(_STOPPED, row, strict=True)) if row else None


def leave_request(url: Callable[[], str], name: str, command: str, argument: str) -> int:
    """A wish for whoever runs the pipeline, now or next; its number."""
    sessions = Sessions(url)
    try:
        with sessions.brief() as session:
            control.require(session, name)
            session.run(
                "INSERT INTO cdcd.requests (pipeline, command, argument) VALUES (%s, %s, %s)", name, command, argument
            )
            return int(session.rows("SELECT LAST_INSERT_ID()")[0][0])
    finally:
        sessions.close()


def withdraw_requests(url: Callable[[], str], name: str, command: str) -> None:
    """End the wishes of a command. The log is flushed up to its commit when this returns."""
    sessions = Sessions(url)
    try:
        with sessions.brief() as session:
            session.run(_WITHDRAW, name, command)
            wait_flushed(session)
    finally:
        sessions.close()
