"""What is done beside the stream, on a session that never waits for it: the heartbeat, wishes, and forgetting."""

from __future__ import annotations

from psycopg2.extras import Json

from cdcd.contracts import Request
from cdcd.model.table import Table
from cdcd.refused import fenced
from connectors.postgres import control
from connectors.postgres.names import quote_identifier
from connectors.postgres.sessions import Session


def beat(session: Session, pipeline: str, epoch: int) -> None:
    """Raise the counter that a standby watches, if the epoch is still ours."""
    raised = session.run(
        "UPDATE cdcd.seen s SET counter = s.counter + 1 FROM cdcd.epochs e"
        " WHERE s.pipeline = %s AND e.pipeline = s.pipeline AND e.epoch = %s",
        (pipeline, epoch),
    )
    if not raised:
        raise fenced(pipeline)


def seen(session: Session, pipeline: str) -> int | None:
    if not control.exist(session):
        return None
    row = session.row("SELECT counter FROM cdcd.seen WHERE pipeline = %s", (pipeline,))
    return int(row[0]) if row else None


def requests(session: Session, pipeline: str) -> list[Request]:
    rows = session.rows(
        "SELECT id, command, argument FROM cdcd.requests WHERE pipeline = %s AND done IS NULL ORDER BY id",
        (pipeline,),
    )
    return [Request(*row) for row in rows]


def fulfilled(session: Session, request: Request) -> None:
    session.run("UPDATE cdcd.requests SET done = now() WHERE id = %s", (request.id,))


def note(session: Session, pipeline: str, table: Table, again: bool) -> None:
    """In one statement, so that a crash takes back both, and the change of leaves is seen again."""
    session.run(
        "WITH noted AS (UPDATE cdcd.tables SET definition = jsonb_set(definition, '{leaves}', %s)"
        " WHERE pipeline = %s AND table_id = %s RETURNING pipeline, table_id)"
        " INSERT INTO cdcd.requests (pipeline, command, argument)"
        " SELECT pipeline, 'reload', table_id FROM noted WHERE %s",
        (Json(list(table.leaves)), pipeline, table.id, again),
    )


def forget(session: Session, pipeline: str) -> None:
    """Delete the pipeline's rows from all control tables, if there are any."""
    if not control.exist(session):
        return
    session.run("BEGIN; SET LOCAL synchronous_commit = on")
    # The tables of the version that is there, which may be an older one.
    made = "SELECT tablename FROM pg_tables WHERE schemaname = 'cdcd' AND tablename <> 'version'"
    for (table,) in session.rows(made):
        session.run(f"DELETE FROM cdcd.{quote_identifier(table)} WHERE pipeline = %s", (pipeline,))
    session.run("COMMIT")
