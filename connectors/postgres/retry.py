"""Recorded changes tried again at PostgreSQL (cdcd.recorded says how).

While it lasts the pipeline's checkpoint row is locked, so no daemon writes between looking and making, and everything
is one transaction: a retry that is killed has done nothing. What a later change of the pipeline has settled is not open
any more; a row that somebody else has written since is left alone, unless the source is to win.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from psycopg2.extras import Json

from cdcd.errors import CdcdError, Conflict, PoisonRow, Transient
from cdcd.model.retried import Retried
from cdcd.model.table import Table
from cdcd.policy import Values
from cdcd.recorded import Left, Net, Recorded
from cdcd.recorded import retry as make_again
from cdcd.refused import applies, without_checkpoint
from connectors.postgres import control
from connectors.postgres.claim import read_tables
from connectors.postgres.exceptions import by_key, row_version
from connectors.postgres.keyless import whole_row
from connectors.postgres.names import quote_identifier
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


def retry(url: Callable[[], str], pipeline: str, overwrite: bool) -> list[Retried]:
    """What became of each open record. `overwrite`: the source wins where the target has another row than the change
    met. Any error but a row's own means that nothing was done."""
    sessions = Sessions(url, "cdcd retry")
    try:
        session = sessions.open(writes=True)
        control.require(session, pipeline)
        session.run("BEGIN; SET LOCAL synchronous_commit = on; SET LOCAL lock_timeout = '30s'")
        _lock(session, pipeline)
        records = [Recorded(*row) for row in session.rows(_OPEN, (pipeline,))]
        tables = read_tables(session, pipeline)
        loading = {table for (table,) in session.rows(_LOADING, (pipeline,))}

        def find(table: Table) -> TableHere | None:
            shape = find_shape(session, table.schema, table.name)
            return TableHere(session, shape) if shape is not None else None

        result = make_again(records, tables, loading, find, overwrite)
        session.run("COMMIT")
        return result
    finally:
        sessions.close()


def _lock(session: Session, pipeline: str) -> None:
    try:
        if session.row(_LOCK, (pipeline,)) is None:
            raise without_checkpoint(pipeline)
    except Transient as error:
        if error.where.get("sqlstate") != "55P03":
            raise
        raise applies(pipeline) from None


class TableHere:
    """Net changes made to one table, by the texts of their values."""

    def __init__(self, session: Session, shape: Shape) -> None:
        self.columns = shape.columns
        self._session = session
        self._shape = shape

    @contextmanager
    def trying(self) -> Iterator[None]:
        self._session.defer("SAVEPOINT net")
        try:
            yield
        except (Conflict, PoisonRow, Left):
            self._session.run("ROLLBACK TO SAVEPOINT net")
            raise
        finally:
            self._session.defer("RELEASE SAVEPOINT net")

    def version(self, key: Values) -> str:
        return row_version(self._session, self._shape, key)

    def unreadable(self, name: str, value: Any) -> bool:
        return isinstance(value, dict)

    def delete(self, net: Net) -> int:
        return self._by_key(f"DELETE FROM {self._shape.only} t", (), net)

    def update(self, net: Net) -> int:
        # What is in the key and stays is left out: an identity column may refuse to be set.
        cells = {name: value for name, value in net.cells.items() if name not in net.key or net.key[name] != value}
        cells = cells or dict(net.key)
        sets = ", ".join(f"{quote_identifier(name)} = \0" for name in cells)
        return self._by_key(f"UPDATE {self._shape.only} AS t SET {sets}", list(cells.values()), net)

    def _by_key(self, statement: str, values: Sequence[Any], net: Net) -> int:
        where, key = by_key(self._shape, net.key)
        return self._session.run(f"{_bound(statement)} WHERE {where}", (*values, *key))

    def insert(self, net: Net) -> None:
        columns, values = ", ".join(map(quote_identifier, net.cells)), ", ".join("\0" for _ in net.cells)
        insert = f"INSERT INTO {self._shape.sql} ({columns}) OVERRIDING SYSTEM VALUE VALUES ({values})"
        self._session.run(_bound(insert), list(net.cells.values()))

    def take(self, net: Net) -> int:
        """One of those that have the same texts."""
        names = list(map(quote_identifier, net.cells))
        columns = ", ".join(f"{quote_identifier(name)} {self._shape.columns[name].staged}" for name in net.cells)
        found = (
            f"SELECT u.tableoid, u.ctid FROM {self._shape.only} u, jsonb_to_record(\0) AS r ({columns})"
            f" WHERE {whole_row('u', names)} = {whole_row('r', names)} LIMIT 1"
        )
        delete = f"DELETE FROM {self._shape.only} t USING ({found}) f WHERE t.tableoid = f.tableoid AND t.ctid = f.ctid"
        return self._session.run(_bound(delete), (Json(net.cells),))

    def made(self, records: Sequence[int]) -> None:
        self._session.run(_MADE, (list(records),))

    def failed(self, records: Sequence[int], error: CdcdError, why: str) -> None:
        sqlstate = error.where.get("sqlstate")
        self._session.run(_FAILED, (why, str(sqlstate) if sqlstate else None, list(records)))


def _bound(statement: str) -> str:
    """With the driver's placeholders in place of NULs, which no name can have."""
    return statement.replace("%", "%%").replace("\0", "%s")
