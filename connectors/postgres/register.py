"""What is written into the control tables before the stream: intent, first checkpoint, tables and chunks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg2.extras import Json

from cdcd.model.chunk import Chunk
from cdcd.model.position import Checkpoint, Identity
from cdcd.model.table import Table
from connectors.postgres.sessions import Session


def store_intent(session: Session, pipeline: str, identity: Identity, intent: Mapping[str, Any]) -> None:
    session.run(
        "UPDATE cdcd.epochs SET source = %s, intent = %s WHERE pipeline = %s",
        (Json(identity.to_json()), Json(dict(intent)), pipeline),
    )


def store_checkpoint(session: Session, pipeline: str, checkpoint: Checkpoint) -> None:
    """The first; one that is there already is an error."""
    session.run(
        "INSERT INTO cdcd.checkpoints (pipeline, checkpoint) VALUES (%s, %s)",
        (pipeline, Json(checkpoint.to_json())),
    )


_TABLES = """
INSERT INTO cdcd.tables (pipeline, table_id, version, definition)
SELECT %s, x->>'id', (x->>'version')::int, x->'definition' FROM jsonb_array_elements(%s) x
"""

_CHUNKS = """
INSERT INTO cdcd.chunks (pipeline, table_id, number, low, high, columns, state, rows, bytes)
SELECT %s, x->>'table', (x->>'number')::int, nullif(x->'low', 'null'), nullif(x->'high', 'null'), x->'columns',
       x->>'state', (x->>'rows')::int8, (x->>'bytes')::int8
FROM jsonb_array_elements(%s) x
"""


def add_tables(session: Session, pipeline: str, tables: Sequence[Table], chunks: Sequence[Chunk]) -> None:
    """Tables with their chunks; what was built for those before has to be looked at again."""
    _add(session, pipeline, tables, chunks)
    session.run("UPDATE cdcd.epochs SET finished = false WHERE pipeline = %s", (pipeline,))


def _add(session: Session, pipeline: str, tables: Sequence[Table], chunks: Sequence[Chunk]) -> None:
    definitions = [{"id": t.id, "version": t.version, "definition": t.to_json()} for t in tables]
    session.run(_TABLES, (pipeline, Json(definitions)))
    records = [
        {**c.to_json(), "table": c.table, "number": c.number, "state": c.state, "rows": c.rows, "bytes": c.bytes}
        for c in chunks
    ]
    session.run(_CHUNKS, (pipeline, Json(records)))


def replace_table(
    session: Session, pipeline: str, old: Table, new: Table | None, chunks: Sequence[Chunk]
) -> None:
    """The table is `new` from now on, in these chunks; None: it is not carried any more."""
    for control in ("chunks", "tables"):
        session.run(f"DELETE FROM cdcd.{control} WHERE pipeline = %s AND table_id = %s", (pipeline, old.id))
    if new is not None:
        _add(session, pipeline, [new], chunks)
