"""Rows taken away other than one by one: the source's TRUNCATE, and chunks that go back to unread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from cdcd.errors import CdcdError, Conflict, StateRefused
from cdcd.model.chunk import Bound, Chunk
from cdcd.model.group import Transaction, Truncate
from cdcd.model.table import Table
from connectors.postgres.exceptions import supersede, supersede_tables, waiting_for
from connectors.postgres.foreign import take_off
from connectors.postgres.names import quote_identifier, quote_literal
from connectors.postgres.order import Operators, range_operators
from connectors.postgres.sessions import Session
from connectors.postgres.shape import Shape

Shapes = Callable[[Table], Shape]


def truncate(
    session: Session, step: Truncate, shapes: Shapes, place: Transaction | None, position: str | None
) -> None:
    """One statement for all tables of the source's: apart, a foreign key between them would refuse it (T-PT-1).
    `place` is its transaction, where the source tells, `position` the end of its group."""
    tables = [shapes(table) for table in step.tables]
    names = ", ".join(shape.only for shape in tables)
    if not names:
        return
    restart = " RESTART IDENTITY" if step.restart_identity else ""
    ours = {f"{table.schema}.{table.name}" for table in step.tables}
    try:
        session.run(f"TRUNCATE {names}{restart}")
    except CdcdError as error:
        if error.where.get("sqlstate") != "0A000":
            raise
        raise Conflict(
            f"TRUNCATE of {', '.join(sorted(ours))} is refused at the target: {error.what}",
            why=f"{error.why} The source's statement does not name that table: at the source nothing refers to them.",
            hint="drop that foreign key at the target, and run again",
            change="truncate",
            table=step.tables[0].id,
            tx=place.id if place is not None else None,
            position=str(place.position) if place is not None else position,
        ) from error


def empty_chunks(
    session: Session,
    pipeline: str,
    chunks: Sequence[Chunk],
    tables: Mapping[str, Table],
    shapes: Shapes,
    replica: bool,
) -> bool:
    """Take away the chunks' rows, and record that they are unread. Changes to them come again with their load.
    `replica`: no trigger of a foreign key fires. Returns whether tables were altered."""
    altered = False
    by_table: dict[str, list[Chunk]] = {}
    for chunk in chunks:
        by_table.setdefault(chunk.table, []).append(chunk)
    for id, its in by_table.items():
        shape = shapes(tables[id])
        _mark_unread(session, pipeline, id, its)
        if not (partly := _any_in(session, pipeline, id)):
            supersede_tables(session, pipeline, [id])
        taken_off = not replica and take_off(session, pipeline, shape)
        altered = altered or taken_off
        if _all_of(session, pipeline, id) == len(its) and (taken_off or not shape.referenced_by):
            session.run(f"TRUNCATE {shape.only}")
            continue
        for chunk in its:
            types = [shape.columns[name].type_id for name in chunk.columns]
            operators = range_operators(lambda sql, type: session.rows(sql, (type,)), types)
            inside = _range(chunk, shape, operators)
            session.run(f"DELETE FROM {shape.only} t WHERE {inside}")
            if partly:
                supersede(session, waiting_for(session, pipeline, shape, id, chunk.columns, inside.replace("%", "%%")))
    session.run("UPDATE cdcd.epochs SET finished = false WHERE pipeline = %s AND finished", (pipeline,))
    return altered


def _mark_unread(session: Session, pipeline: str, table: str, chunks: Sequence[Chunk]) -> None:
    marked = session.run(
        "UPDATE cdcd.chunks SET state = 'unread', rows = 0, bytes = 0"
        " WHERE pipeline = %s AND table_id = %s AND number = ANY (%s) AND state = 'in'",
        (pipeline, table, [chunk.number for chunk in chunks]),
    )
    if marked != len(chunks):
        raise StateRefused(
            f"{len(chunks) - marked} chunks that were to be emptied are not in at the target", table=table
        )


def _any_in(session: Session, pipeline: str, table: str) -> bool:
    text = "SELECT FROM cdcd.chunks WHERE pipeline = %s AND table_id = %s AND state = 'in' LIMIT 1"
    return bool(session.rows(text, (pipeline, table)))


def _all_of(session: Session, pipeline: str, table: str) -> int:
    rows = session.rows("SELECT count(*) FROM cdcd.chunks WHERE pipeline = %s AND table_id = %s", (pipeline, table))
    return int(rows[0][0])


def _range(chunk: Chunk, shape: Shape, operators: Operators) -> str:
    """low <= key < high, in the order of the target's types and collations, which were made like the source's."""
    parts = []
    if chunk.low is not None:
        parts.append(_compare(chunk, shape, operators[1], chunk.low))
    if chunk.high is not None:
        parts.append(_compare(chunk, shape, operators[0], chunk.high))
    return " AND ".join(parts) or "true"


def _compare(chunk: Chunk, shape: Shape, operator: str, bound: Bound) -> str:
    names = chunk.columns[: len(bound)]
    left = ", ".join(f"t.{quote_identifier(name)}" for name in names)
    right = ", ".join(
        f"{quote_literal(value)}::{shape.columns[name].native}" for name, value in zip(names, bound, strict=True)
    )
    return f"({left}) {operator} ({right})"
