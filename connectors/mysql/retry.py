"""Recorded changes tried again at MySQL and MariaDB (cdcd.recorded says how).

While it lasts the pipeline's checkpoint row is locked, so no daemon writes between looking and making, and everything
is one transaction: a retry that is killed has done nothing. While a change of tables is under way, which commits by
itself, nothing is made again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from cdcd.errors import CdcdError, Conflict, PoisonRow, Transient
from cdcd.model.retried import Retried
from cdcd.model.table import Table
from cdcd.policy import Values
from cdcd.recorded import Left, Net, Recorded
from cdcd.recorded import retry as make_again
from cdcd.refused import applies, without_checkpoint
from connectors.mysql import control
from connectors.mysql.charsets import encoder
from connectors.mysql.claim import read_tables
from connectors.mysql.durable import wait_flushed
from connectors.mysql.exceptions import row_version
from connectors.mysql.forms import NULL, escape
from connectors.mysql.literals import assigned, condition
from connectors.mysql.names import quote
from connectors.mysql.sessions import Session, Sessions
from connectors.mysql.shape import Shape, ShapeColumn, find_shape
from connectors.mysql.single import told_as_text

_LOCK = "SELECT 1 FROM cdcd.checkpoints WHERE pipeline = %s AND scope = '' FOR UPDATE"
_LOCK_WAIT = 1205
_UNDER_WAY = "SELECT 1 FROM cdcd.intents WHERE pipeline = %s"

_OPEN = """
SELECT id, table_id, op, `key`, `row`, found, tx FROM cdcd.exceptions
WHERE pipeline = %s AND state = 'open' ORDER BY id"""
_LOADING = "SELECT DISTINCT table_id FROM cdcd.chunks WHERE pipeline = %s AND state = 'unread'"

_MADE = """
UPDATE cdcd.exceptions SET state = 'retried', tries = tries + 1, settled = CURRENT_TIMESTAMP(6) WHERE id IN ({})"""
_FAILED = "UPDATE cdcd.exceptions SET error = %s, errno = %s, tries = tries + 1 WHERE id IN ({})"


def retry(url: Callable[[], str], pipeline: str, home: str, overwrite: bool) -> list[Retried]:
    """What became of each open record. `overwrite`: the source wins where the target has another row than the change
    met. Any error but a row's own means that nothing was done."""
    sessions = Sessions(url, home)
    try:
        session = sessions.open(autocommit=False, settings={"innodb_lock_wait_timeout": "30"})
        control.require(session, pipeline)
        _lock(session, pipeline)
        records = [_recorded(*row) for row in session.rows(_OPEN, pipeline)]
        tables = read_tables(session, pipeline)
        loading = {table for (table,) in session.rows(_LOADING, pipeline)}

        def find(table: Table) -> TableHere | None:
            shape = find_shape(session, table)
            return TableHere(session, table, shape) if shape is not None else None

        result = make_again(records, tables, loading, find, overwrite)
        session.run("COMMIT")
        wait_flushed(session)
        return result
    finally:
        sessions.close()


def _lock(session: Session, pipeline: str) -> None:
    try:
        if session.row(_LOCK, pipeline) is None:
            raise without_checkpoint(pipeline)
    except Transient as error:
        if error.where.get("errno") != _LOCK_WAIT:
            raise
        raise applies(pipeline) from None
    if session.row(_UNDER_WAY, pipeline) is not None:
        raise Transient(
            f"pipeline {pipeline} is in the middle of a change of tables",
            why="what the records name may be another column by then",
            hint="run the pipeline until it is through, and this again",
        )


def _recorded(id: int, table: str, op: str, key: str | None, row: str | None, found: str, tx: str | None) -> Recorded:
    made = [None if text is None else json.loads(text) for text in (key, row)]
    return Recorded(id, table, op, made[0], made[1], found, tx)


class TableHere:
    """Net changes made to one table, by the values of their records."""

    def __init__(self, session: Session, table: Table, shape: Shape) -> None:
        carried = {column.name for column in table.carried}
        its = {name: shape.columns[name] for name in shape.written if name in carried}
        self.columns = its.keys()
        self._session = session
        self._shape = shape
        self._fields = {name: _writer(column) for name, column in its.items()}
        self._assigned = {name: assigned(column, session.mariadb) for name, column in its.items()}
        self._tests = {name: condition(column, session.mariadb) for name, column in its.items()}

    @contextmanager
    def trying(self) -> Iterator[None]:
        self._session.defer("SAVEPOINT net")
        try:
            yield
        except (Conflict, PoisonRow, Left):
            self._session.run("ROLLBACK TO SAVEPOINT net")
            raise

    def version(self, key: Values) -> str:
        if any(name not in self._fields or self.unreadable(name, value) for name, value in key.items()):
            return ""
        return row_version(self._session, self._shape, self._where(key))

    def unreadable(self, name: str, value: Any) -> bool:
        try:
            self._field(name, value)
        except ValueError:
            return True
        return False

    def delete(self, net: Net) -> int:
        return self._met(f"DELETE FROM {self._shape.sql} WHERE ".encode() + self._where(net.key))

    def update(self, net: Net) -> int:
        sets = [_set(name, self._value(name, value)) for name, value in net.cells.items()]
        kept = (name for name, column in self._shape.columns.items() if column.touched and name not in net.cells)
        sets += [_set(name, quote(name).encode()) for name in kept]
        text = f"UPDATE {self._shape.sql} SET ".encode() + b", ".join(sets) + b" WHERE "
        return self._met(text + self._where(net.key))

    def insert(self, net: Net) -> None:
        values = b", ".join([self._value(name, value) for name, value in net.cells.items()])
        names = ", ".join(map(quote, net.cells))
        self._met(f"INSERT INTO {self._shape.sql} ({names}) VALUES (".encode() + values + b")")

    def take(self, net: Net) -> int:
        return self._met(f"DELETE FROM {self._shape.sql} WHERE ".encode() + self._where(net.cells) + b" LIMIT 1")

    def made(self, records: Sequence[int]) -> None:
        self._session.run(_MADE.format(", ".join(map(str, records))))

    def failed(self, records: Sequence[int], error: CdcdError, why: str) -> None:
        self._session.run(_FAILED.format(", ".join(map(str, records))), why, error.where.get("errno"))

    def _met(self, statement: bytes) -> int:
        return self._session.do(statement)[-1].count

    def _where(self, values: Values) -> bytes:
        return b" AND ".join([self._tests[name](self._field(name, value)) for name, value in values.items()])

    def _value(self, name: str, value: Any) -> bytes:
        return self._assigned[name](self._field(name, value))

    def _field(self, name: str, value: Any) -> bytes:
        return NULL if value is None else escape(self._fields[name](value))


def _set(name: str, value: bytes) -> bytes:
    return f"{quote(name)} = ".encode() + value


def _writer(column: ShapeColumn) -> Callable[[Any], bytes]:
    """A value as OneByOne.values tells it → its bytes; ValueError where the column is of another kind by now."""
    if told_as_text(column):
        encode = encoder(column.charset or "utf8mb4")
        return lambda value: encode(value) if isinstance(value, str) else _refuse()
    return lambda value: bytes.fromhex(value["binary"]) if isinstance(value, dict) else _refuse()


def _refuse() -> bytes:
    raise ValueError("recorded in another form")
