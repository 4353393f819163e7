"""What foreign keys do to rows, derived: from a parent's rows that went or moved, and the target's own rows of the
tables that refer to it. Set by set, as each may act on further ones.

A *batch* is what happened to a set of rows of one table, kept at the target: the old values of the columns that others
refer to, and the new ones. Each foreign key to that table makes a change of its own table, and of that a batch again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from cdcd.errors import Conflict
from cdcd.model.group import Cascade
from cdcd.model.reference import Reference
from cdcd.model.table import Table


@dataclass(frozen=True, slots=True)
class Batch:
    """`number` tells it from others of its step; 0 and 1 are the parent's. `moved`: the rows have new values; else they
    are gone."""

    number: int
    table: Table
    columns: tuple[str, ...]
    moved: bool


@dataclass(frozen=True, slots=True)
class Consequence:
    """What a foreign key of `child` makes of a batch. `matches`: each column of the key, and the place of the batch's
    column that it equals. `sets`: column → the place of the batch's column of which it gets the new value, or None:
    NULL; empty: rows are deleted. `then`: the batch that this makes, if anybody asks."""

    batch: Batch
    child: Table
    matches: Sequence[tuple[str, int]]
    sets: Mapping[str, int | None]
    then: Batch | None


Told = tuple[int, bytes, bytes | None]
"""Of a parent's row: its batch, the old values, and the new ones (None: it is gone), as in Cascade."""


class Carrier(Protocol):
    """A target's side."""

    def put(self, step: Cascade, told: Sequence[Told]) -> None:
        """Keep what happened to the parent's rows."""
        ...

    def save(self) -> None:
        """A place to come back to."""
        ...

    def take_back(self) -> None:
        """All that was made since, batches too."""
        ...

    def carry(self, consequence: Consequence) -> int:
        """Make the change, having put into `then` what it is about; how many rows it met."""
        ...


def derive(carrier: Carrier, step: Cascade, moves: bool = True) -> set[str]:
    """Everything that comes of it; not `moves`: of rows that are gone alone. New values that meet what is about to get
    others (keys that move up by one) go row by row, in the source's order. The ids of the tables of which rows changed.
    """
    numbers = count(2)
    carrier.put(step, [*((0, old, None) for old in step.gone), *((1, old, new) for old, new in step.moved)])
    touched = follow(carrier, Batch(0, step.parent, step.columns, False), step.family, numbers) if step.gone else set()
    if not step.moved or not moves:
        return touched
    carrier.save()
    try:
        return touched | follow(carrier, Batch(1, step.parent, step.columns, True), step.family, numbers)
    except Conflict:
        carrier.take_back()
    for old, new in step.moved:
        batch = Batch(next(numbers), step.parent, step.columns, True)
        carrier.put(step, [(batch.number, old, new)])
        touched |= follow(carrier, batch, step.family, numbers)
    return touched


def follow(carrier: Carrier, parent: Batch, family: Sequence[Table], numbers: Iterator[int]) -> set[str]:
    """All that comes of a batch of the parent's; `numbers` are for later ones. The ids of the tables of which rows
    changed."""
    touched: set[str] = set()
    batches = deque([parent])
    while batches:
        batch = batches.popleft()
        for child, reference in referring(family, batch.table.id):
            consequence = _consequence(batch, child, reference, family, numbers)
            if consequence is None or not carrier.carry(consequence):
                continue
            touched.add(child.id)
            if consequence.then is not None:
                batches.append(consequence.then)
    return touched


def _consequence(
    batch: Batch, child: Table, reference: Reference, family: Sequence[Table], numbers: Iterator[int]
) -> Consequence | None:
    action = reference.on_update if batch.moved else reference.on_delete
    places = [batch.columns.index(name) for name in reference.other_columns]
    matches = list(zip(reference.columns, places, strict=True))
    if action == "set null":
        sets: dict[str, int | None] = dict.fromkeys(reference.columns)
    elif action != "cascade":
        return None
    else:
        sets = dict(matches) if batch.moved else {}
    asked = referred(family, child.id)
    concerned = asked and (not sets or not sets.keys().isdisjoint(asked))
    then = Batch(next(numbers), child, asked, bool(sets)) if concerned else None
    return Consequence(batch, child, matches, sets, then)


def referring(family: Iterable[Table], table: str) -> Iterator[tuple[Table, Reference]]:
    """The foreign keys to a table, each with the table that has it."""
    return ((child, one) for child in family for one in child.references if one.other == table and one.acts)


def referred(family: Iterable[Table], table: str) -> tuple[str, ...]:
    """The columns of a table that others' foreign keys with actions refer to."""
    return tuple(dict.fromkeys(name for _, one in referring(family, table) for name in one.other_columns))


def below(tables: Mapping[str, Table], table: str) -> list[str]:
    """The tables whose rows may change with those of a table, itself perhaps among them."""
    found: list[str] = []
    left = [table]
    while left:
        one = left.pop()
        for child, _ in referring(tables.values(), one):
            if child.id not in found:
                found.append(child.id)
                left.append(child.id)
    return found


def refuse_waiting(table: Table, waits: bool) -> None:
    """`waits`: changes of the table were recorded, and not made yet."""
    if waits:
        raise Conflict(
            f"foreign keys change rows of {table.id} at the source, and changes of it wait in cdcd.exceptions",
            why="whether a row would be among them depends on what was not made",
            hint="make them, by `cdcd retry`, or have the table read again, by `cdcd reload`; then run again",
            table=table.id,
        )
