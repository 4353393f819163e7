"""Recorded changes tried again: those of each row as one net change, in the order in which they came.

While it lasts the pipeline's checkpoint row is locked, so no daemon writes between looking and making, and everything
is one transaction: a retry that is killed has done nothing. What a later change of the pipeline has settled is not open
any more; a row that somebody else has written since is left alone, unless the source is to win.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from psycopg2.extras import Json

from cdcd.errors import CdcdError, Conflict, PoisonRow, StateRefused, Transient
from cdcd.model.retried import Retried
from cdcd.model.table import Table
from cdcd.policy import Missed
from connectors.postgres import control
from connectors.postgres.claim import read_tables
from connectors.postgres.exceptions import by_key, row_version
from connectors.postgres.keyless import whole_row
from connectors.postgres.names import quote_identifier
from connectors.postgres.recorded import Net, Recorded, fold, fold_rows
from connectors.postgres.sessions import Session, Sessions
from connectors.postgres.shape import Shape, find_shape

_LOCK = "SELECT FROM cdcd.checkpoints WHERE pipeline = %s AND scope = '' FOR UPDATE"

_OPEN = """
SELECT id, table_id, op, key, row, found, tx FROM cdcd.exceptions WHERE pipeline = %s AND state = 'open' ORDER BY id
"""
_LOADING = "SELECT DISTINCT table_id FROM cdcd.chunks WHERE pipeline = %s AND state = 'unread'"

_MADE = """
UPDATE cdcd.exceptions SET state = 'retried', tries = tries + 1, settled = clock_timestamp() WHERE id = ANY (%s)
"""
_FAILED = "UPDATE cdcd.exceptions SET error = %s, sqlstate = %s, tries = tries + 1 WHERE id = ANY (%s)"

_CHANGED = "somebody else has written its row at the target since, or ALTER TABLE has: --overwrite lets the source win"


def retry(url: Callable[[], str], pipeline: str, overwrite: bool) -> list[Retried]:
    """What became of each open record. `overwrite`: the source wins where the target has another row than the change
    met. Any error but a row's own means that nothing was done."""
    sessions = Sessions(url, "cdcd retry")
    try:
        session = sessions.open(writes=True)
        control.require(session, pipeline)
        return _Retry(session, pipeline, overwrite).run()
    finally:
        sessions.close()


class Left(Exception):
    """A net change that is not tried, and why."""


class _Retry:
    def __init__(self, session: Session, pipeline: str, overwrite: bool) -> None:
        self._session = session
        self._pipeline = pipeline
        self._overwrite = overwrite

    def run(self) -> list[Retried]:
        session = self._session
        session.run("BEGIN; SET LOCAL synchronous_commit = on; SET LOCAL lock_timeout = '30s'")
        self._lock()
        records = [Recorded(*row) for row in session.rows(_OPEN, (self._pipeline,))]
        tables = read_tables(session, self._pipeline)
        loading = {table for (table,) in session.rows(_LOADING, (self._pipeline,))}
        result: list[Retried] = []
        for id in dict.fromkeys(one.table for one in records):
            its = [one for one in records if one.table == id]
            table = tables.get(id)
            shape = find_shape(session, table.schema, table.name) if table is not None else None
            if table is None or shape is None:
                result += _left(its, "the table is not carried any more, or not at the target")
            elif id in loading:
                result += _left(its, "the table is being loaded: try again when it is in")
            else:
                result += self._table(table, shape, its)
        session.run("COMMIT")
        return sorted(result, key=lambda one: one.id)

    def _lock(self) -> None:
        try:
            if self._session.row(_LOCK, (self._pipeline,)) is None:
                raise StateRefused(f"pipeline {self._pipeline} was never started", why="it has no checkpoint")
        except Transient as error:
            if error.where.get("sqlstate") != "55P03":
                raise
            raise Transient(
                f"pipeline {self._pipeline} applies a transaction for longer than 30 s",
                why="no change is made again in the middle of one",
                hint="run it again when that is through: see `cdcd status`",
            ) from None

    def _table(self, table: Table, shape: Shape, records: Sequence[Recorded]) -> Iterator[Retried]:
        """Once more as long as that helps: a row may have waited for another one."""
        emptied = [one for one in records if one.op == "truncate"]
        yield from _left(emptied, "a TRUNCATE is not made again: cdcd reload reads the table anew")
        odd = [one for one in records if one not in emptied and not _fits(one, table)]
        yield from _left(odd, "it was recorded when the table had another key: cdcd reload reads the table anew")
        rest = [one for one in records if one not in emptied and one not in odd]
        nets = fold(rest) if table.key else fold_rows(rest)
        found = [row_version(self._session, shape, net.key) if table.key else "" for net in nets]
        one_table = _OneTable(self._session, table, shape, self._overwrite)
        waiting, failed = list(zip(nets, found, strict=True)), len(nets) + 1
        failures: dict[int, CdcdError | Left] = {}
        while waiting and len(waiting) < failed:
            failed, again = len(waiting), []
            for net, version in waiting:
                self._session.defer("SAVEPOINT net")
                try:
                    one_table.make(net, version)
                    made = [one.id for one in net.records]
                    self._session.run(_MADE, (made,))
                except (Conflict, PoisonRow, Left) as error:
                    self._session.run("ROLLBACK TO SAVEPOINT net")
                    failures[id(net)] = error
                    again.append((net, version))
                else:
                    failures.pop(id(net), None)
                    yield from (_told(one, True) for one in net.records)
                self._session.defer("RELEASE SAVEPOINT net")
            waiting = again
        for net, _ in waiting:
            yield from self._failed(net, failures[id(net)])

    def _failed(self, net: Net, error: CdcdError | Left) -> Iterator[Retried]:
        if isinstance(error, Left):
            return _left(net.records, str(error))
        why = f"{error.what}: {error.why}" if error.why else error.what
        sqlstate = error.where.get("sqlstate")
        self._session.run(_FAILED, (why, str(sqlstate) if sqlstate else None, [one.id for one in net.records]))
        return _left(net.records, why)


class _OneTable:
    """Net changes made to one table, by the texts of their values."""

    def __init__(self, session: Session, table: Table, shape: Shape, overwrite: bool) -> None:
        self._session = session
        self._shape = shape
        self._key = table.key
        self._whole = {column.name for column in table.carried}
        self._overwrite = overwrite

    def make(self, net: Net, version: str) -> None:
        """`version` is that of the row before any change of this retry. In a savepoint; raises what was wrong."""
        self._refuse_unknown(net)
        if not self._key:
            make = self._take_row if net.gone else self._insert
            for _ in range(net.times):
                make(net)
            return
        if version not in ("", net.found) and not self._overwrite:
            raise Left(_CHANGED)
        if net.gone:
            if version and (count := self._by_key(f"DELETE FROM {self._shape.only} t", (), net)) != 1:
                raise Missed(count, "delete")
        elif net.there:
            self._update_or_insert(net)
        elif not (self._overwrite and version and self._update(net) == 1):
            self._insert(net)

    def _refuse_unknown(self, net: Net) -> None:
        if missing := sorted((net.cells.keys() | net.key.keys()) - self._shape.columns.keys()):
            raise Left(f"the target's table has no column {', '.join(missing)}")
        if raw := sorted(name for name, value in {**net.key, **net.cells}.items() if isinstance(value, dict)):
            raise Left(f"{', '.join(raw)} was recorded as bytes, which no type here reads: cdcd reload reads the table")

    def _update_or_insert(self, net: Net) -> None:
        if (count := self._update(net)) != 1:
            if count or not (self._overwrite and self._whole <= net.cells.keys()):
                raise Missed(count, "update")
            self._insert(net)

    def _update(self, net: Net) -> int:
        # What is in the key and stays is left out: an identity column may refuse to be set.
        cells = {name: value for name, value in net.cells.items() if name not in net.key or net.key[name] != value}
        cells = cells or dict(net.key)
        sets = ", ".join(f"{quote_identifier(name)} = \0" for name in cells)
        return self._by_key(f"UPDATE {self._shape.only} AS t SET {sets}", list(cells.values()), net)

    def _by_key(self, statement: str, values: Sequence[Any], net: Net) -> int:
        where, key = by_key(self._shape, net.key)
        return self._session.run(f"{_bound(statement)} WHERE {where}", (*values, *key))

    def _insert(self, net: Net) -> None:
        columns, values = ", ".join(map(quote_identifier, net.cells)), ", ".join("\0" for _ in net.cells)
        insert = f"INSERT INTO {self._shape.sql} ({columns}) OVERRIDING SYSTEM VALUE VALUES ({values})"
        self._session.run(_bound(insert), list(net.cells.values()))

    def _take_row(self, net: Net) -> None:
        """One of those that have the same texts."""
        names = list(map(quote_identifier, net.cells))
        columns = ", ".join(f"{quote_identifier(name)} {self._shape.columns[name].staged}" for name in net.cells)
        found = (
            f"SELECT u.tableoid, u.ctid FROM {self._shape.only} u, jsonb_to_record(\0) AS r ({columns})"
            f" WHERE {whole_row('u', names)} = {whole_row('r', names)} LIMIT 1"
        )
        delete = f"DELETE FROM {self._shape.only} t USING ({found}) f WHERE t.tableoid = f.tableoid AND t.ctid = f.ctid"
        if (count := self._session.run(_bound(delete), (Json(net.cells),))) != 1:
            raise Missed(count, "delete")


def _bound(statement: str) -> str:
    """With the driver's placeholders in place of NULs, which no name can have."""
    return statement.replace("%", "%%").replace("\0", "%s")


def _fits(one: Recorded, table: Table) -> bool:
    """Whether it names its row as the table's changes do now."""
    if table.key:
        return one.key is not None and one.key.keys() == set(table.key)
    return one.op != "update"


def _left(records: Sequence[Recorded], why: str) -> Iterator[Retried]:
    return (_told(one, False, why) for one in records)


def _told(one: Recorded, made: bool, why: str = "") -> Retried:
    key = None if one.key is None else ", ".join(str(value) for value in one.key.values())
    return Retried(one.id, one.table, one.op, key, one.tx, made, why)
