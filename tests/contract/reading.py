"""Reading a source as the engine's reader does, and telling what came as plain values."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from cdcd.contracts import Blocks, Reading, Source
from cdcd.model.cell import UNCHANGED
from cdcd.model.change import SchemaChange
from cdcd.model.group import DELETE, INSERT, MOVE, UPDATE, Cascade, Group, Rows, Truncate
from cdcd.model.position import Checkpoint, Position
from cdcd.model.table import Table
from cdcd.rows import RowForm
from connectors.memory import form as text_form

NAMES = {INSERT: "insert", UPDATE: "update", MOVE: "move", DELETE: "delete"}
Event = tuple[Any, ...]


def forms(tables: Iterable[Table]) -> dict[str, Sequence[RowForm]]:
    """Every source can fill the memory sink's form, by canonical values; so the menu reads all of them alike."""
    return {table.id: [text_form.form(table)] for table in tables}


def events(groups: Iterable[Group]) -> list[Event]:
    """("insert", table, row) · ("update", table, key, row) · ("move", table, old key, row) · ("delete", table, key) ·
    ("truncate", tables), in source order; keys and rows as text, a keyless row's key its values."""
    return [event for group in groups for step in group.steps for event in _step(step)]


def _step(step: Rows | Truncate | Cascade | SchemaChange) -> Iterator[Event]:
    assert isinstance(step, Rows | Truncate)
    if isinstance(step, Truncate):
        yield ("truncate", tuple(table.name for table in step.tables))
        return
    cursors = {id(log): zip(log.ops, log.keys, log.rows, strict=True) for log in step.logs.values()}
    for log in step.order:
        op, key, row = next(cursors[id(log)])
        name, table = NAMES[op], log.table.name
        old = text_form.values(text_form.fields_of_key(log.table, key))
        if op == INSERT:
            yield (name, table, values(row))
        elif op == DELETE:
            yield (name, table, old)
        else:
            yield (name, table, old, values(row[1] if op == MOVE else row))


def values(row: Any) -> tuple[Any, ...]:
    """A row's values as text, UNCHANGED where one was not sent."""
    fields = text_form.split(row) if isinstance(row, bytes) else row
    return tuple(field if field is UNCHANGED else text_form.decode(field) for field in fields)


def keys(groups: Iterable[Group], table: str) -> list[bytes]:
    steps = (step for group in groups for step in group.steps if isinstance(step, Rows))
    return [key for step in steps if table in step.logs for key in step.logs[table].keys]


def rows_of(blocks: Blocks) -> list[tuple[Any, ...]]:
    """What a snapshot's read brought, sorted."""
    data = b"".join(blocks.data)
    return sorted((values(row) for row in data.split(text_form.TAIL)[:-1]), key=str)


def read(source: Source, stop: Position | None = None, limit: float = 20) -> tuple[list[Group], Reading]:
    """Read on until nothing is at hand, or the stop is reached; all groups, each as a writer would be given it."""
    groups = []
    end = time.monotonic() + limit
    while time.monotonic() < end:
        group = Group()
        reading = source.read(group, stop, 0.1)
        groups.append(group)
        if reading is Reading.STOP or (reading is Reading.IDLE and group.empty and _at_head(source, group)):
            return groups, reading
    raise AssertionError("the source does not come to rest")


def altered(source: Source, limit: float = 20) -> SchemaChange:
    """Read on until a group ends with a schema change."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        group = Group()
        if source.read(group, None, 0.1) is Reading.ALTERED:
            assert isinstance(group.steps[-1], SchemaChange)
            return group.steps[-1]
    raise AssertionError("the source does not tell of a schema change")


def _at_head(source: Source, group: Group) -> bool:
    return group.position is not None and group.position.covers(source.head())


def start(source: Source, names: Iterable[str]) -> tuple[Checkpoint, list[Table]]:
    """Prepare the source for these tables, as a first start without a load does; where its stream begins."""
    tables = source.tables(list(names))
    snapshot = source.prepare(tables, source.intent(), load=False)
    checkpoint = Checkpoint(snapshot.position)
    snapshot.close()
    return checkpoint, tables


def open_at(source: Source, checkpoint: Checkpoint, tables: Iterable[Table]) -> None:
    source.open(checkpoint, source.identity(), forms(tables))
