"""Rows taken away other than one by one: the source's TRUNCATE, and chunks that go back to unread.

By DELETE: TRUNCATE would commit what is open (T-MT-4).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from cdcd.errors import StateRefused
from cdcd.model.chunk import Bound, Chunk
from cdcd.model.group import Truncate
from cdcd.model.table import Table
from connectors.mysql.exceptions import supersede_tables
from connectors.mysql.names import quote
from connectors.mysql.sessions import Session
from connectors.mysql.shape import Shape
from connectors.mysql.types import INTEGERS

Shapes = Callable[[Table], Shape]

_WHOLE = re.compile(r"-?\d+")


def truncate(session: Session, step: Truncate, shapes: Shapes) -> None:
    """No foreign key is asked: the source has asked its own."""
    for table in step.tables:
        session.run(f"DELETE FROM {shapes(table).sql}")


def empty_chunks(
    session: Session, pipeline: str, chunks: Sequence[Chunk], tables: Mapping[str, Table], shapes: Shapes
) -> None:
    """Take away the chunks' rows, and record that they are unread. Changes to them come again with their load."""
    by_table: dict[str, list[Chunk]] = {}
    for chunk in chunks:
        by_table.setdefault(chunk.table, []).append(chunk)
    for id, its in by_table.items():
        shape = shapes(tables[id])
        _mark_unread(session, pipeline, id, its)
        if not _any_in(session, pipeline, id):
            session.run(f"DELETE FROM {shape.sql}")
            supersede_tables(session, pipeline, [id])
            continue
        for chunk in its:
            session.run(f"DELETE FROM {shape.sql} WHERE {_range(chunk, shape)}")
    session.run("UPDATE cdcd.epochs SET finished = 0 WHERE pipeline = %s", pipeline)


def _mark_unread(session: Session, pipeline: str, table: str, chunks: Sequence[Chunk]) -> None:
    numbers = ", ".join(str(chunk.number) for chunk in chunks)
    marked = session.run(
        "UPDATE cdcd.chunks SET state = 'unread', `rows` = 0, bytes = 0"
        f" WHERE pipeline = %s AND table_id = %s AND number IN ({numbers}) AND state = 'in'",
        pipeline, table,
    )  # fmt: skip
    if marked != len(chunks):
        raise StateRefused(
            f"{len(chunks) - marked} chunks that were to be emptied are not in at the target", table=table
        )


def _any_in(session: Session, pipeline: str, table: str) -> bool:
    text = "SELECT 1 FROM cdcd.chunks WHERE pipeline = %s AND table_id = %s AND state = 'in' LIMIT 1"
    return bool(session.rows(text, pipeline, table))


def _range(chunk: Chunk, shape: Shape) -> str:
    """low <= key < high: of whole numbers, which every product orders alike. Of others a part of a table cannot be
    named."""
    bounds = [bound for bound in (chunk.low, chunk.high) if bound is not None]
    whole = all(shape.columns[name].native.name in INTEGERS for name in chunk.columns)
    if not whole or not all(_WHOLE.fullmatch(value) for bound in bounds for value in bound):
        raise StateRefused(
            f"a part of {chunk.table} is to be read again, which cannot be told from the rest here",
            why="only the source knows the order of its keys",
            hint=f"cdcd reload {chunk.table}",
            table=chunk.table,
        )
    parts = []
    if chunk.low is not None:
        parts.append(_compare(chunk, ">=", chunk.low))
    if chunk.high is not None:
        parts.append(_compare(chunk, "<", chunk.high))
    return " AND ".join(parts) or "TRUE"


def _compare(chunk: Chunk, operator: str, bound: Bound) -> str:
    names = ", ".join(map(quote, chunk.columns[: len(bound)]))
    return f"({names}) {operator} ({', '.join(bound)})" if len(bound) > 1 else f"{names} {operator} {bound[0]}"
