"""Transactions that are passed over by order (`cdcd skip --tx`): none of their changes is made, each is recorded in
cdcd.exceptions, and the order is done in the transaction that stores the checkpoint: it is carried out once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from cdcd.errors import StateRefused, UsageError
from cdcd.log import get_logger
from cdcd.model.change import SchemaChange
from cdcd.model.group import Group, Places, Rows, Transaction, Truncate
from cdcd.policy import Refused, identity
from connectors.postgres import control
from connectors.postgres.exceptions import Exceptions, row_version
from connectors.postgres.outside import stopped_at
from connectors.postgres.sessions import Session, Sessions
from connectors.postgres.single import OneByOne

log = get_logger("postgres.skip")

_ORDERS = "SELECT id, argument FROM cdcd.requests WHERE pipeline = %s AND command = 'skip' AND done IS NULL"
_ORDER = "INSERT INTO cdcd.requests (pipeline, command, argument) VALUES (%s, 'skip', %s)"
_DONE = "UPDATE cdcd.requests SET done = now() WHERE id = %s"

Step = Rows | Truncate | SchemaChange


@dataclass(frozen=True, slots=True)
class Order:
    """`tx` is the source's number of the transaction."""

    id: int
    tx: str


def read_orders(session: Session, pipeline: str) -> list[Order]:
    return [Order(id, tx) for id, tx in session.rows(_ORDERS, (pipeline,))]


def order_skip(url: Callable[[], str], pipeline: str, tx: str) -> Mapping[str, Any]:
    """Leave the order for the pipeline's next run, if it stopped at that transaction; where it stopped."""
    sessions = Sessions(url, "cdcd skip")
    try:
        with sessions.brief() as session:
            control.require(session, pipeline)
            stop = stopped_at(session, pipeline)
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
            if not any(order.tx == tx for order in read_orders(session, pipeline)):
                session.run(_ORDER, (pipeline, tx))
            return stop
    finally:
        sessions.close()


class Skips:
    """The orders that an epoch found when it began."""

    def __init__(self, orders: Sequence[Order] = ()) -> None:
        self._orders = {order.tx: order for order in orders}

    def divide(self, group: Group, places: Places) -> Iterator[tuple[Step, Transaction | None]]:
        """The group's steps in order; with one of a transaction that is to be passed over comes that transaction."""
        if not any(place.id in self._orders for place in places.all):
            yield from ((step, None) for step in group.steps)
            return
        first = 0
        for step in group.steps:
            if isinstance(step, SchemaChange):  # a table's shape is nobody's to pass over
                yield step, None
                continue
            size = len(step.order) if isinstance(step, Rows) else 1
            skipped = [self._skipped(places.at(place)) for place in range(first, first + size)]
            yield from _parts(step, skipped) if isinstance(step, Rows) else [(step, skipped[0])]
            first += size

    def _skipped(self, place: Transaction | None) -> Transaction | None:
        return place if place is not None and place.id in self._orders else None

    def pass_over(
        self, session: Session, exceptions: Exceptions, step: Step, tables: Mapping[int, OneByOne], place: Transaction
    ) -> None:
        """Record the step's changes; `tables` by the id of their log. In the transaction of the changes around them."""
        why = f"its transaction was passed over: cdcd skip --tx {place.id}"
        count = 0
        for refused in _of_rows(session, step, tables, why) if isinstance(step, Rows) else _of_truncate(step, why):
            exceptions.record(refused, place, None)
            count += 1
        session.run(_DONE, (self._orders[place.id].id,))
        position = str(place.position)
        log.warning("a transaction was passed over, as ordered", tx=place.id, changes=count, position=position)


def _of_rows(session: Session, step: Rows, tables: Mapping[int, OneByOne], why: str) -> Iterator[Refused]:
    left = {id(one): zip(one.ops, one.keys, one.rows, strict=True) for one in step.logs.values()}
    for table in tables.values():
        table.changes.clear()
    for one in step.order:
        table = tables[id(one)]
        for change in table.add(*next(left[id(one)])):
            key, row = table.values(change)
            found = row_version(session, table.shape, key) if table.key and key else ""
            named = identity(table.form, change.key) if table.key else None
            yield Refused(table.id, change.kind, key, row, why, None, found, named)


def _of_truncate(step: Truncate | SchemaChange, why: str) -> Iterator[Refused]:
    for table in step.tables if isinstance(step, Truncate) else ():
        yield Refused(table.id, "truncate", None, None, why, None)


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
