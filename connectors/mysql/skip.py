"""Transactions that are passed over by order, at MySQL and MariaDB: orders, and the records of what was not made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cdcd.log import get_logger
from cdcd.model.group import Transaction
from cdcd.skipped import Order, Step, refusals, refuse_other
from connectors.mysql import control
from connectors.mysql.durable import wait_flushed
from connectors.mysql.exceptions import Exceptions, row_version
from connectors.mysql.outside import stopped_at
from connectors.mysql.sessions import Session, Sessions
from connectors.mysql.single import OneByOne

log = get_logger("mysql.skip")

_ORDERS = "SELECT id, argument FROM cdcd.requests WHERE pipeline = %s AND command = 'skip' AND done IS NULL"
_ORDER = "INSERT INTO cdcd.requests (pipeline, command, argument) VALUES (%s, 'skip', %s)"


def read_orders(session: Session, pipeline: str) -> list[Order]:
    return [Order(id, tx) for id, tx in session.rows(_ORDERS, pipeline)]


def order_skip(url: Callable[[], str], pipeline: str, tx: str) -> Mapping[str, Any]:
    """Leave the order for the pipeline's next run, if it stopped at that transaction; where it stopped."""
    sessions = Sessions(url)
    try:
        with sessions.brief() as session:
            control.require(session, pipeline)
            stop = refuse_other(pipeline, stopped_at(session, pipeline), tx)
            if not any(order.tx == tx for order in read_orders(session, pipeline)):
                session.run(_ORDER, pipeline, tx)
                wait_flushed(session)
            return stop
    finally:
        sessions.close()


def pass_over(
    session: Session, exceptions: Exceptions, step: Step, tables: Mapping[int, OneByOne], place: Transaction
) -> None:
    """Record the step's changes; `tables` by the id of their log. In the transaction of the changes around them."""
    count = 0

    def version(table: OneByOne, change: Any, _: object) -> str:
        return row_version(session, table.shape, table.where(change.key))

    for refused in refusals(step, tables, place, version):
        exceptions.record(refused, place, None)
        count += 1
    position = str(place.position)
    log.warning("a transaction was passed over, as ordered", tx=place.id, changes=count, position=position)


def done(orders: list[int]) -> str:
    """The statement by which they are carried out: with the checkpoint behind their transactions, as what is in the
    middle of one may be stored before its end."""
    return f"UPDATE cdcd.requests SET done = CURRENT_TIMESTAMP(6) WHERE id IN ({', '.join(map(str, orders))})"
