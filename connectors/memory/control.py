"""The control tables at the target: what is stored for a pipeline, and how each row is locked, compared and
changed.

Three rows, as each is locked by others (T-PO-9, T-PO-10, T-PO-12): *epoch* says who may write; *checkpoint*
says what is in; *seen* says that the owner is alive. Chunks and tables have a row each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cdcd.errors import Fenced, StateRefused
from cdcd.model.chunk import Chunk, State
from cdcd.model.position import Checkpoint, Identity
from cdcd.model.table import Column, Table
from cdcd.model.types import LogicalType
from connectors.memory.order import Values
from connectors.memory.session import Session

VERSION = 1


def _table(name: str, key: str, *others: str) -> Table:
    names = [*key.split(), *others]
    text = LogicalType("text")
    columns = tuple(Column(name, at, text, "text") for at, name in enumerate(names, 1))
    return Table("cdcd", name, columns, tuple(key.split()))


TABLES = [
    _table("version", "name", "version"),
    _table("epoch", "pipeline", "epoch", "owner"),
    _table("checkpoint", "pipeline", "checkpoint", "identity", "intent", "finished"),
    _table("seen", "pipeline", "counter"),
    _table("tables", "pipeline id", "definition"),
    _table("chunks", "pipeline id number", "place", "state", "rows", "bytes"),
    _table("requests", "id", "pipeline", "command", "argument", "done"),
]


def make(session: Session) -> None:
    """Make the control tables, unless there are newer ones than these."""
    for table in TABLES:
        if not session.exists(table.id):
            session.define(table)
    row = session.lock("cdcd.version", ("cdcd",))
    if row is None:
        session.insert("cdcd.version", ("cdcd", str(VERSION)))
    elif row[1] is not None and int(row[1]) > VERSION:
        raise StateRefused(
            f"the control tables have version {row[1]}, this cdcd knows {VERSION}",
            hint="run the version of cdcd that wrote them, or a newer one",
        )


class Control:
    """The rows of one pipeline. Every method works in the transaction of the session it is given."""

    def __init__(self, pipeline: str) -> None:
        self.pipeline = pipeline

    # --- epoch -----------------------------------------------------------------------------------------------------

    def epoch(self, session: Session) -> tuple[int, str | None]:
        """Epoch and owner as everybody sees them; waits for nobody, so it may be about to change."""
        for row in session.select("cdcd.epoch"):
            if row[0] == self.pipeline:
                return int(row[1] or 0), row[2]
        return 0, None

    def raise_epoch(self, session: Session, owner: str, take_over: bool) -> int:
        """Waits for whoever holds the row, a commit under way among them: what is read afterwards is the
        truth."""
        row = session.lock("cdcd.epoch", (self.pipeline,))
        if row is None:
            session.insert("cdcd.epoch", (self.pipeline, "0", owner))
            session.insert("cdcd.checkpoint", (self.pipeline, None, None, None, None))
            session.insert("cdcd.seen", (self.pipeline, "0"))
            row = (self.pipeline, "0", owner)
        if row[2] != owner and not take_over:
            raise fenced(self.pipeline)
        epoch = int(row[1] or 0) + 1
        session.update("cdcd.epoch", (self.pipeline,), lambda row: (row[0], str(epoch), owner))
        return epoch

    def hold_epoch(self, session: Session, epoch: int) -> None:
        """Nobody else becomes the owner until this transaction has ended."""
        row = session.lock("cdcd.epoch", (self.pipeline,), share=True)
        if row is None or row[1] != str(epoch):
            raise fenced(self.pipeline)

    # --- checkpoint ------------------------------------------------------------------------------------------------

    def stored(self, session: Session) -> Values:
        for row in session.select("cdcd.checkpoint"):
            if row[0] == self.pipeline:
                return row
        raise StateRefused("the control rows of this pipeline are gone", pipeline=self.pipeline)

    def hold_checkpoint(self, session: Session, expected: str | None) -> None:
        """Lock the row and compare it: this owner may not repeat itself either (T-PO-2)."""
        row = session.lock("cdcd.checkpoint", (self.pipeline,))
        if row is None or row[1] != expected:
            raise StateRefused(
                "the stored checkpoint is not the one expected",
                why=f"stored {row and row[1]}, expected {expected}",
                pipeline=self.pipeline,
            )

    def store(self, session: Session, **changed: str | None) -> None:
        """Columns of the checkpoint row."""
        names = [column.name for column in TABLES[2].columns]
        session.update(
            "cdcd.checkpoint",
            (self.pipeline,),
            lambda row: tuple(changed.get(name, value) for name, value in zip(names, row, strict=True)),
        )

    # --- chunks and tables -----------------------------------------------------------------------------------------

    def add(self, session: Session, tables: Sequence[Table], chunks: Sequence[Chunk]) -> None:
        for table in tables:
            session.insert("cdcd.tables", (self.pipeline, table.id, json.dumps(table.to_json())))
        for chunk in chunks:
            session.insert("cdcd.chunks", (self.pipeline, *_chunk_row(chunk)))

    def chunks(self, session: Session) -> list[Chunk]:
        rows = [row for row in session.select("cdcd.chunks") if row[0] == self.pipeline]
        return sorted(map(chunk_of, rows), key=lambda chunk: chunk.id)

    def tables(self, session: Session) -> dict[str, Table]:
        rows = [row for row in session.select("cdcd.tables") if row[0] == self.pipeline]
        return {str(row[1]): Table.from_json(json.loads(row[2] or "")) for row in rows}

    def set_chunk(self, session: Session, chunk: Chunk, before: State) -> None:
        """Change the record of a chunk, which must be in the other state."""
        key = (self.pipeline, chunk.table, str(chunk.number))
        row = session.lock("cdcd.chunks", key)
        if row is None or chunk_of(row).state is not before:
            raise StateRefused(f"the chunk is not {before.value}", table=chunk.table, chunk=chunk.number)
        session.update("cdcd.chunks", key, lambda row: (self.pipeline, *_chunk_row(chunk)))

    # --- all -------------------------------------------------------------------------------------------------------

    def forget(self, session: Session) -> None:
        for table in TABLES[1:6]:
            for row in session.select(table.id):
                if row[0] == self.pipeline:
                    session.delete(table.id, row[: len(table.key)])


def fenced(pipeline: str) -> Fenced:
    return Fenced(
        "another process has claimed this pipeline",
        hint="let that one run; to move the pipeline here, stop it first",
        pipeline=pipeline,
    )


def checkpoint_text(checkpoint: Checkpoint) -> str:
    return json.dumps(checkpoint.to_json())


def identity(text: str | None) -> Identity | None:
    return Identity.from_json(json.loads(text)) if text else None


def mapping(text: str | None) -> Mapping[str, Any]:
    loaded: Mapping[str, Any] = json.loads(text) if text else {}
    return loaded


def _chunk_row(chunk: Chunk) -> Values:
    place = json.dumps(chunk.to_json())
    return (chunk.table, str(chunk.number), place, chunk.state.value, str(chunk.rows), str(chunk.bytes))


def chunk_of(row: Values) -> Chunk:
    place = json.loads(row[3] or "")
    low, high = (None if bound is None else tuple(bound) for bound in (place["low"], place["high"]))
    return Chunk(
        table=row[1] or "",
        number=int(row[2] or 0),
        low=low,
        high=high,
        columns=tuple(place["columns"]),
        state=State(row[4] or ""),
        rows=int(row[5] or 0),
        bytes=int(row[6] or 0),
    )
