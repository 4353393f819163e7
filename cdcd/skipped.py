"""Transactions that are passed over by order (`cdcd skip --tx`): none of their changes is made, each is recorded at the
target, and the order is done in the transaction that stores the checkpoint behind it: it is carried out once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, Protocol

from cdcd.errors import StateRefused, UsageError
from cdcd.model.change import SchemaChange
from cdcd.model.group import Cascade, Group, Places, Rows, Transaction, Truncate, size
from cdcd.policy import Refused, Values, identity
from cdcd.rows import RowForm

Step = Rows | Truncate | Cascade | SchemaChange


@dataclass(frozen=True, slots=True)
class Order:
    """`tx` is the transaction as the source names it."""

    id: int
    tx: str


def refuse_other(pipeline: str, stop: Mapping[str, Any] | None, tx: str) -> Mapping[str, Any]:
    """Where the pipeline stopped, if it is at this transaction: nothing else is passed over."""
    if stop is None:
        raise StateRefused(
            f"pipeline {pipeline} is not stopped at a transaction",
            why="only what a run has stopped at is passed over",
            hint="see `cdcd status`; run it once, if it did not come as far",
        )
    if stop["tx"] != tx:
        raise UsageError(
            f"pipeline {pipeline} did not stop at transaction {tx}",
            why=f"it stopped at {stop['tx'] or 'one that is not known'}: {stop['error']}",
            hint=f"cdcd skip --tx {stop['tx']}" if stop["tx"] else "run it once more: the next stop names it",
        )
    return stop


class Skips:
    """The orders that an epoch found when it began."""

    def __init__(self, orders: Sequence[Order] = ()) -> None:
        self._orders = {order.tx: order for order in orders}

    def order(self, place: Transaction) -> int:
        """The number of the order for it."""
        return self._orders[place.id].id

    def divide(self, group: Group, places: Places) -> Iterator[tuple[Step, Transaction | None]]:
        """The group's steps in order; with one of a transaction that is to be passed over comes that transaction."""
        if not any(place.id in self._orders for place in places.all):
            yield from ((step, None) for step in group.steps)
            return
        first = 0
        for step in group.steps:
            # Nobody passes over a table's shape; nor what foreign keys did, which no record could tell.
            if isinstance(step, SchemaChange | Cascade):
                yield step, None
                continue
            count = size(step)
            skipped = [self._skipped(places.at(place)) for place in range(first, first + count)]
            yield from _parts(step, skipped) if isinstance(step, Rows) else [(step, skipped[0])]
            first += count

    def _skipped(self, place: Transaction | None) -> Transaction | None:
        return place if place is not None and place.id in self._orders else None


class TableHere(Protocol):
    """A table at the target, as the sink makes its changes one by one."""

    id: str
    key: tuple[str, ...]
    form: RowForm

    def add(self, op: int, key: bytes, row: Any) -> Iterable[Any]:
        """One change of the log, as changes that have `key` and `kind`."""

    def values(self, change: Any) -> tuple[Values | None, Values | None]: ...


def refusals(
    step: Step, tables: Mapping[int, Any], place: Transaction, version: Callable[[Any, Any, Values], str]
) -> Iterator[Refused]:
    """The changes of a step as they are recorded. `tables`: TableHere by the id of their log; `version` (table, change,
    key): of the row that the change would have met."""
    why = f"its transaction was passed over: cdcd skip --tx {place.id}"
    if not isinstance(step, Rows):
        for emptied in step.tables if isinstance(step, Truncate) else ():
            yield Refused(emptied.id, "truncate", None, None, why, None)
        return
    left = {id(one): zip(one.ops, one.keys, one.rows, strict=True) for one in step.logs.values()}
    for one in step.order:
        table: TableHere = tables[id(one)]
        for change in table.add(*next(left[id(one)])):
            key, row = table.values(change)
            found = version(table, change, key) if table.key and key else ""
            named = identity(table.form, change.key) if table.key else None
            yield Refused(table.id, change.kind, key, row, why, None, found, named)


def _parts(rows: Rows, skipped: Sequence[Transaction | None]) -> Iterator[tuple[Rows, Transaction | None]]:
    """The runs of changes that are to be passed over, or not."""
    at: Counter[int] = Counter()
    for place, run in groupby(zip(rows.order, skipped, strict=True), key=itemgetter(1)):
        part = Rows()
        for log, _ in run:
            mine, index = part.log(log.table, log.form), at[id(log)]
            mine.ops.append(log.ops[index])
            mine.keys.append(log.keys[index])
            mine.rows.append(log.rows[index])
            part.order.append(mine)
            at[id(log)] += 1
        yield part, place
