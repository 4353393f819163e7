"""The changes of a group made at the server, row by row in the source's order, with strict counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cdcd.errors import Conflict, SchemaChanged
from cdcd.model.cell import UNCHANGED
from cdcd.model.change import SchemaChange
from cdcd.model.chunk import Chunk
from cdcd.model.group import DELETE, INSERT, MOVE, Group, Rows, TableLog, Truncate
from cdcd.model.table import Table
from cdcd.rows import Row
from connectors.memory import derived, form
from connectors.memory.errors import ours
from connectors.memory.order import Values, picker, ranker
from connectors.memory.session import Session


def apply(session: Session, group: Group) -> None:
    """Every step, in the session's transaction."""
    where = str(group.position) if group.position is not None else None
    for step in group.steps:
        if isinstance(step, Rows):
            cursors = {id(log): _entries(log) for log in step.logs.values()}
            for log in step.order:
                _change(session, log, *next(cursors[id(log)]), where)
        elif isinstance(step, SchemaChange):
            raise SchemaChanged(f"{step.old.id} was altered", why=step.said, table=step.old.id)
        elif isinstance(step, Truncate):
            with ours(position=where):
                session.truncate([table.id for table in step.tables])
        else:
            derived.make(session, step)


def _entries(log: TableLog) -> Iterator[tuple[int, bytes, Any]]:
    return zip(log.ops, log.keys, log.rows, strict=True)


def _change(session: Session, log: TableLog, op: int, key_bytes: bytes, row: Any, where: str | None) -> None:
    table = log.table
    key = form.values(form.fields_of_key(table, key_bytes))
    with ours(table=table.id, key=key, position=where):
        if op == INSERT:
            session.insert(table.id, whole(row))
            return
        if op == DELETE:
            met = session.delete(table.id, key)
        else:
            image = row[1] if op == MOVE else row
            met = session.update(table.id, key, lambda old: merged(old, image))
    if not met:
        kind = "a delete" if op == DELETE else "an update"
        raise Conflict(f"{kind} met no row", table=table.id, key=key, position=where)


def whole(row: bytes) -> Values:
    """The values of a row that is there in full."""
    return form.values(form.split(row))


def merged(old: Values, row: Row) -> Values:
    """The new row: what was not sent stays as it is."""
    if isinstance(row, bytes):
        return whole(row)
    return tuple(
        before if field is UNCHANGED else form.decode(field) for before, field in zip(old, row, strict=True)
    )


def empty(session: Session, table: Table, chunk: Chunk) -> None:
    """Take away the rows of a chunk."""
    if chunk.whole:
        session.truncate([table.id])
        return
    pick, rank, key = picker(table, chunk.columns), ranker(table, chunk.columns), picker(table, table.key)
    low, high = chunk.low and rank(chunk.low), chunk.high and rank(chunk.high)
    for row in session.select(table.id):
        at = rank(pick(row))
        if (low is None or at >= low) and (high is None or at < high):
            session.delete(table.id, key(row))
