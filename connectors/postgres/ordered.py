"""Changes made one by one, in the source's order, so that the one at fault is named.

Taken where the bulk way failed: keys or unique values that change places have no safe bulk order (T-FO-2), and a count
that is wrong does not say whose. Also for tables whose keys only the server can compare (T-FO-3). The rows still travel
in bulk; then there is one statement for each change.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from cdcd.errors import CdcdError, Conflict, PoisonRow
from cdcd.fold import fill
from cdcd.model.group import DELETE, INSERT, MOVE, UPDATE, TableLog
from cdcd.rows import Row
from connectors.postgres.bulk import Bulk, Cells, cells_of, known
from connectors.postgres.keyless import delete_rows, whole_row
from connectors.postgres.names import quote_identifier
from connectors.postgres.sessions import Session
from connectors.postgres.stage import Stage, key_items, row_items

_LINE = re.compile(r"\bline (\d+)\b")


@dataclass(frozen=True, slots=True)
class _Change:
    """`number` is its place among those of its table; `key` names the row it is made to."""

    number: int
    op: int
    key: bytes
    row: Row | None

    @property
    def kind(self) -> str:
        return {INSERT: "insert", DELETE: "delete"}.get(self.op, "update")


class OneByOne:
    """One table on one session: its changes of a step, staged, and a prepared statement for each kind."""

    def __init__(self, session: Session, bulk: Bulk) -> None:
        self.changes: list[_Change] = []
        self._session = session
        self._shape = bulk.shape
        self._suffix = bulk.suffix
        self._form = bulk.form
        self._encoding = bulk.encoding
        self._key = bulk.form.table.key
        items = ["0::int AS n", *key_items(self._shape, self._key), *row_items(self._shape, self._form.columns)]
        self._stage = Stage(session, f"cdcd_o_{self._suffix}", self._shape, items)
        session.run(f"ALTER TABLE {self._stage.name} ADD PRIMARY KEY (n)")
        self._prepared: dict[tuple[int, Cells, bool], str] = {}

    def add(self, op: int, key: bytes, row: Any) -> Iterator[_Change]:
        """Take in one change of the log; without a key, an update is a delete and an insert."""
        if op == MOVE:
            row = row[1]
            if not self._key:
                yield from self.add(DELETE, key, None)
                whole = fill(self._form, row, key) if isinstance(row, tuple) else row
                yield from self.add(INSERT, cast(bytes, whole), whole)
                return
        change = _Change(len(self.changes), op, key, row)
        self.changes.append(change)
        yield change

    def stage(self) -> None:
        try:
            self._stage.fill(self._encoding, [self._staged(change) for change in self.changes])
        except CdcdError as error:
            line = _LINE.search(str(error.where.get("context", "")))
            if line is None:
                raise
            raise _Refused(self, self.changes[int(line[1]) - 1], error) from error

    def _staged(self, change: _Change) -> bytes:
        if not self._key:
            return self._encoding.numbered(change.number, b"", change.key, self._widths)
        key = b"" if change.op == INSERT else change.key
        return self._encoding.numbered(change.number, key, change.row, self._widths)

    @property
    def _widths(self) -> tuple[int, int]:
        return (len(self._key), len(self._form.columns))

    def make(self, change: _Change, followed: bool) -> None:
        """`followed`: a cascade at the target may have made the change already (T-PT-3)."""
        try:
            if change.op == DELETE and not self._key:
                where = f"s.n = {change.number}"
                count = delete_rows(self._session, self._shape, self._form.columns, self._stage.name, where)
            else:
                count = self._session.run(f"EXECUTE {self._statement(change)} ({change.number})")
            if count == 0 and followed and self._key and change.op == DELETE:
                return
            if count == 0 and followed and self._key and change.op == MOVE:
                count = self._session.run(f"EXECUTE {self._statement(change, there=True)} ({change.number})")
            if count != 1:
                raise Conflict(
                    f"the {change.kind} of a row met {count or 'no'} rows at the target",
                    why="something else has written to the table there, or keeps rows from being written",
                    hint="make the row what it was at the source before this change, and run again",
                )
        except CdcdError as error:
            raise _Refused(self, change, error) from error

    def _statement(self, change: _Change, there: bool = False) -> str:
        """`there`: the row has its new key already."""
        cells = cells_of(change.row) if change.row is not None else ()
        op = UPDATE if change.op == MOVE else change.op  # one statement makes both
        if (op, cells, there) not in self._prepared:
            name = f"cdcd_o_{self._suffix}_{len(self._prepared)}"
            self._session.run(f"PREPARE {name} (int) AS {self._sql(op, cells, there)}")
            self._prepared[op, cells, there] = name
        return self._prepared[op, cells, there]

    def _sql(self, op: int, cells: Cells, there: bool) -> str:
        table, only, stage = self._shape.sql, self._shape.only, f"{self._stage.name} s"
        places = {name: f"s.c{number}" for number, name in enumerate(self._form.columns, 1)}
        if op == INSERT:
            names = ", ".join(map(quote_identifier, places))
            values = f"SELECT {', '.join(places.values())} FROM {stage} WHERE s.n = $1"
            return f"INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE {values}"
        named = {name: places[name] if there else f"s.k{n}" for n, name in enumerate(self._key, 1)}
        by_key = " AND ".join(self._shape.equals(name, place) for name, place in named.items())
        if op == DELETE:
            return f"DELETE FROM {only} AS t USING {stage} WHERE s.n = $1 AND {by_key}"
        columns = known(self._form.columns, cells)
        assignments = ", ".join(f"{quote_identifier(name)} = {places[name]}" for name in columns)
        return f"UPDATE {only} AS t SET {assignments} FROM {stage} WHERE s.n = $1 AND {by_key}"

    def key_text(self, change: _Change) -> str | None:
        """The key, or the whole row where there is none, as the server writes it."""
        if self._key:
            staged = self._encoding.numbered(0, change.key, None, self._widths)
            item = ", ".join(f"s.k{number}::text" for number in range(1, len(self._key) + 1))
        else:
            staged = self._encoding.numbered(0, b"", change.key, self._widths)
            item = whole_row("s", [f"c{number}" for number in range(1, len(self._form.columns) + 1)])
        try:
            self._stage.fill(self._encoding, [staged])
            (values,) = self._session.rows(f"SELECT {item} FROM {self._stage.name} s")
        except PoisonRow:
            return None  # the key is what the server cannot read
        return ", ".join(map(str, values))


class _Refused(Exception):
    """A change that could not be made, and why."""

    def __init__(self, table: OneByOne, change: _Change, error: CdcdError) -> None:
        super().__init__(str(error))
        self.table = table
        self.change = change
        self.error = error

    def named(self, position: str | None) -> CdcdError:
        """The error with what it happened to."""
        where = {"table": self.table._form.table.id, "key": self.table.key_text(self.change)}
        where |= {"change": self.change.kind, "position": position}
        self.error.where = {name: value for name, value in where.items() if value is not None} | self.error.where
        return self.error


def apply_one_by_one(
    session: Session,
    order: Sequence[TableLog],
    tables: Mapping[str, OneByOne],
    position: str | None,
    followed: Collection[str],
) -> None:
    """`order` names the log of each change. `tables` were made before: what follows may be rolled back. `followed` are
    tables on which cascades of this transaction may have fired."""
    for table in tables.values():
        table.changes.clear()
    left = {id(log): zip(log.ops, log.keys, log.rows, strict=True) for log in order}
    changes = [
        (log.table.id, tables[log.table.id], change)
        for log in order
        for change in tables[log.table.id].add(*next(left[id(log)]))
    ]
    session.defer("SAVEPOINT one_by_one")
    try:
        for table in tables.values():
            table.stage()
        for name, table, change in changes:
            table.make(change, name in followed)
    except _Refused as refused:
        if isinstance(refused.error, Conflict | PoisonRow):
            session.run("ROLLBACK TO SAVEPOINT one_by_one")
            raise refused.named(position) from refused.error.__cause__
        raise refused.error from refused.error.__cause__
    session.defer("RELEASE SAVEPOINT one_by_one")
