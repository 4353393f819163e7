"""What is done beside the stream, on a session that never waits for it: the heartbeat, wishes, and forgetting."""

from __future__ import annotations

import json

from cdcd.contracts import Request
from cdcd.model.table import Table
from cdcd.refused import fenced
from connectors.mysql import control
from connectors.mysql.claim import to_text
from connectors.mysql.digest import clone_of
from connectors.mysql.names import quote
from connectors.mysql.sessions import Session


def beat(session: Session, pipeline: str, epoch: int) -> None:
    """Raise the counter that a standby watches, if the epoch is still ours."""
    if session.row("SELECT 1 FROM cdcd.epochs WHERE pipeline = %s AND epoch = %s", pipeline, epoch) is None:
        raise fenced(pipeline)
    session.run("UPDATE cdcd.seen SET counter = counter + 1 WHERE pipeline = %s", pipeline)


def seen(session: Session, pipeline: str) -> int | None:
    if not control.exist(session):
        return None
    row = session.row("SELECT counter FROM cdcd.seen WHERE pipeline = %s", pipeline)
    return int(row[0]) if row else None


def requests(session: Session, pipeline: str) -> list[Request]:
    rows = session.rows(
        "SELECT id, command, argument FROM cdcd.requests WHERE pipeline = %s AND done IS NULL ORDER BY id", pipeline
    )
    return [Request(*row) for row in rows]


def fulfilled(session: Session, request: Request) -> None:
    session.run("UPDATE cdcd.requests SET done = CURRENT_TIMESTAMP(6) WHERE id = %s", request.id)


def note(session: Session, pipeline: str, table: Table, again: bool) -> None:
    """In one transaction, so that a crash takes back both, and the change of leaves is seen again."""
    session.run("BEGIN")
    row = session.row(
        "SELECT definition FROM cdcd.tables WHERE pipeline = %s AND table_id = %s FOR UPDATE", pipeline, table.id
    )
    if row is not None:
        definition = json.loads(row[0]) | {"leaves": list(table.leaves)}
        session.run(
            "UPDATE cdcd.tables SET definition = %s WHERE pipeline = %s AND table_id = %s",
            to_text(definition), pipeline, table.id,
        )  # fmt: skip
        if again:
            session.run(
                "INSERT INTO cdcd.requests (pipeline, command, argument) VALUES (%s, 'reload', %s)", pipeline, table.id
            )
    session.run("COMMIT")


def forget(session: Session, pipeline: str) -> None:
    """Delete the pipeline's rows from all control tables, if there are any; but those by which its sessions are ended
    if it is begun anew."""
    if not control.exist(session):
        return
    session.define(f"DROP TABLE IF EXISTS cdcd.{clone_of(pipeline)}")
    session.run("BEGIN")
    # The tables of the version that is there, which may be an older one.
    made = "SELECT TABLE_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND COLUMN_NAME = %s"
    for (table,) in session.rows(made, "cdcd", "pipeline"):
        if table == "sessions" or table.startswith("clone_"):
            continue
        session.run(f"DELETE FROM cdcd.{quote(table)} WHERE pipeline = %s", pipeline)
    session.run("COMMIT")
