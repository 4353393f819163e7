"""Control rows of a pipeline's tables: written inside a transaction of the owner's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cdcd.model.chunk import Chunk
from cdcd.model.position import Checkpoint, Identity
from cdcd.model.table import Table
from connectors.mysql.claim import to_text
from connectors.mysql.sessions import Session, literal

_TABLE = (
    "INSERT INTO cdcd.tables (pipeline, table_id, version, definition) VALUES {}"
    " ON DUPLICATE KEY UPDATE version = VALUES(version), definition = VALUES(definition)"
)
_CHUNK = "INSERT INTO cdcd.chunks (pipeline, table_id, number, place, state, `rows`, bytes) VALUES {}"
_AT_ONCE = 500


def store_intent(session: Session, pipeline: str, identity: Identity, intent: Mapping[str, Any]) -> None:
    session.run(
        "UPDATE cdcd.epochs SET source = %s, intent = %s WHERE pipeline = %s",
        to_text(identity.to_json()), to_text(dict(intent)), pipeline,
    )  # fmt: skip


def store_checkpoint(session: Session, pipeline: str, checkpoint: Checkpoint) -> None:
    session.run(
        "INSERT INTO cdcd.checkpoints (pipeline, checkpoint) VALUES (%s, %s)"
        " ON DUPLICATE KEY UPDATE checkpoint = VALUES(checkpoint)",
        pipeline, to_text(checkpoint.to_json()),
    )  # fmt: skip


def add_tables(session: Session, pipeline: str, tables: Sequence[Table], chunks: Sequence[Chunk]) -> None:
    """Carried from now on; what is to be built after their data is not built yet."""
    _insert(session, _TABLE, [(pipeline, one.id, one.version, to_text(one.to_json())) for one in tables])
    _insert(session, _CHUNK, [
        (pipeline, one.table, one.number, to_text(one.to_json()), str(one.state), one.rows, one.bytes)
        for one in chunks
    ])  # fmt: skip
    session.run("UPDATE cdcd.epochs SET finished = 0 WHERE pipeline = %s", pipeline)


def _insert(session: Session, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
    for start in range(0, len(rows), _AT_ONCE):
        values = (f"({', '.join(map(literal, row))})" for row in rows[start : start + _AT_ONCE])
        session.run(statement.format(", ".join(values)))


def replace_table(
    session: Session, pipeline: str, old: Table, new: Table | None, chunks: Sequence[Chunk]
) -> None:
    """The table is `new` from now on, in these chunks; None: it is not carried any more."""
    finished = session.row("SELECT finished FROM cdcd.epochs WHERE pipeline = %s", pipeline)
    for name in ("chunks", "tables"):
        session.run(f"DELETE FROM cdcd.{name} WHERE pipeline = %s AND table_id = %s", pipeline, old.id)
    if new is not None:
        add_tables(session, pipeline, [new], chunks)
        was = finished[0] if finished else 0
        session.run("UPDATE cdcd.epochs SET finished = %s WHERE pipeline = %s", was, pipeline)
