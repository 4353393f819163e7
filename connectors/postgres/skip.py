"""Transactions that are passed over by order, at PostgreSQL: orders, and the records of what was not made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cdcd.log import get_logger
from cdcd.model.group import Transaction
from cdcd.skipped import Order, Skips, Step, refusals, refuse_other
from connectors.postgres import control
from connectors.postgres.exceptions import Exceptions, row_version
from connectors.postgres.outside import stopped_at
from connectors.postgres.sessions import Session, Sessions
from connectors.postgres.single import OneByOne

log = get_logger("postgres.skip")

_ORDERS = "SELECT id, argument FROM cdcd.requests WHERE pipeline = %s AND command = 'skip' AND done IS NULL"
_ORDER = "INSERT INTO cdcd.requests (pipeline, command, argument) VALUES (%s, 'skip', %s)"
_DONE = "UPDATE cdcd.requests SET done = now() WHERE id = %s"


def read_orders(session: Session, pipeline: str) -> list[Order]:
    return [Order(id, tx) for id, tx in session.rows(_ORDERS, (pipeline,))]


def order_skip(url: Callable[[], str], pipeline: str, tx: str) -> Mapping[str, Any]:
    """Leave the order for the pipeline's next run, if it stopped at that transaction; where it stopped."""
    sessions = Sessions(url, "cdcd skip")
    try:
        with sessions.brief() as session:
            control.require(session, pipeline)
            stop = refuse_other(pipeline, stopped_at(session, pipeline), tx)
            if not any(order.tx == tx for order in read_orders(session, pipeline)):
                session.run(_ORDER, (pipeline, tx))
            return stop
    finally:
        sessions.close()


def pass_over(
    session: Session, exceptions: Exceptions, skips: Skips, step: Step, tables: Mapping[int, OneByOne],
    place: Transaction,
) -> None:
    """Record the step's changes; `tables` by the id of their log. In the transaction of the changes around them."""
    count = 0
    for table in tables.values():
        table.changes.clear()
    for refused in refusals(step, tables, place, lambda table, _, key: row_version(session, table.shape, key)):
        exceptions.record(refused, place, None)
        count += 1
    session.run(_DONE, (skips.order(place),))
    position = str(place.position)
    log.warning("a transaction was passed over, as ordered", tx=place.id, changes=count, position=position)
