"""What foreign keys did below the log: which rows events of a parent have consequences, and where these belong.

Deletes of parents are gathered: nothing that deletes by key comes in the way of a foreign key that deletes, or that
makes NULL what is in no key. Before anything else happens to a table whose rows they may have changed, and after each
change of a referenced value, a Cascade stands among the group's steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from cdcd.cascade import below, referred
from cdcd.errors import Stopped
from cdcd.model.cell import UNCHANGED
from cdcd.model.group import DELETE, INSERT, MOVE, Cascade, Rows, TableLog
from cdcd.model.table import Table
from cdcd.rows import RowForm
from connectors.mysql.images import Event, ImageCode

_DELETES = 2
_ENDS, NO_CHECKS, LOGGED = 1, 2, 16
"""Flags of a rows event: it ends its statement; its session asked no foreign keys; the server logs what they do
(STMT_END_F, NO_FOREIGN_KEY_CHECKS_F, USE_SQL_FOREIGN_KEY_F in libs/mysql/binlog/event/rows_event.h)."""


Taker = tuple[Event, Event, Event]


class Taking(Protocol):
    """A stream. `flags`: of the event that is taken. `acted`: foreign keys may have acted in the transaction."""

    flags: int
    acted: bool

    def open_rows(self) -> Rows: ...

    def put(self, steps: Sequence[Cascade]) -> None: ...


class Cascades:
    """Of the tables that are carried, by id."""

    def __init__(self, tables: Mapping[str, Table], derives: bool) -> None:
        """Not `derives`: nobody asks what is not in the log."""
        self._tables = tables
        self.derives = derives
        self._below = {id: its for id in tables if (its := below(tables, id))}
        self._kin = {*self._below, *(name for its in self._below.values() for name in its)}
        self._columns = {id: referred(tables.values(), id) for id in self._below if derives}
        self._pending: dict[str, tuple[RowForm, dict[bytes, None]]] = {}
        self._closed_by: set[str] = set()  # tables of which rows may be about to change
        self._twice: dict[str, _Twice] = {}

    def concern(self, table: str) -> bool:
        """Whether the table's rows are changed by foreign keys, or by theirs others."""
        return table in self._kin

    def heeding(self, code: ImageCode, taker: Taker, stream: Taking) -> Taker:
        """The same taker, for a table that is concerned."""
        known = stream.open_rows()

        def heed(kind: int) -> Event:
            def event(data: bytes, at: int, end: int) -> None:
                if self._before(code.table, kind):
                    stream.put(self.take())
                rows = stream.open_rows()
                log = rows.log(code.table, code.form)
                since = len(log)
                (taker if rows is known else code.bind(log, rows.order))[kind](data, at, end)
                if kind:
                    stream.acted = True
                    self._logged(log, rows.order, since, kind, stream.flags)
                    stream.put(self._after(log, since, stream.flags))

            return event

        return heed(0), heed(1), heed(2)

    def wants_old(self, table: Table) -> bool:
        """Whether the key's bytes do not tell what others refer to."""
        columns = self._columns.get(table.id, table.key)
        return bool(table.key) and columns != table.key

    def _before(self, table: Table, kind: int) -> bool:
        """Whether what is pending has to come before an event of this kind (0 write, 1 update, 2 delete)."""
        return table.id in self._closed_by and not (kind == _DELETES and table.key)

    def _after(self, log: TableLog, since: int, flags: int) -> list[Cascade]:
        """Take note of an event's changes, those of the log from the place `since` on. What is to come right behind
        them: deletes may wait."""
        id = log.table.id
        if flags & (NO_CHECKS | LOGGED) or (columns := self._columns.get(id)) is None:
            return []
        values = _Values(log, columns)
        gone: list[bytes] = []
        moved: list[tuple[bytes, bytes]] = []
        for index in range(since, len(log)):
            if log.ops[index] == INSERT or (old := values.old(index)) is None:
                continue
            if log.ops[index] == DELETE:
                gone.append(old)
            elif (new := values.new(index)) != old:
                moved.append((old, new))
        if gone:
            _, known = self._pending.setdefault(id, (log.form, {}))
            known.update(dict.fromkeys(gone))
            self._closed_by.update(self._below[id])
        if not moved:
            return []
        steps = self.take()
        steps.append(Cascade(log.table, log.form, columns, self._family(id), [], moved))
        return steps

    def take(self) -> list[Cascade]:
        """What is pending."""
        steps = [
            Cascade(form.table, form, self._columns[id], self._family(id), list(gone), [])
            for id, (form, gone) in self._pending.items()
        ]
        self._pending.clear()
        self._closed_by.clear()
        return steps

    def _logged(self, log: TableLog, order: list[TableLog], since: int, kind: int, flags: int) -> None:
        """Where the log has what foreign keys do, a statement that deletes from parent and child deletes some rows
        twice: the second is taken out again (T-MY-26)."""
        if flags & LOGGED and kind == _DELETES:
            id = log.table.id
            if flags & NO_CHECKS:
                self._twice.setdefault(id, _Twice(log, since))
            elif id in self._twice:
                self._twice[id].take_out(log, order, since)
        if flags & _ENDS:
            self._twice.clear()

    def _family(self, id: str) -> tuple[Table, ...]:
        return tuple(self._tables[name] for name in self._below[id])


class _Twice:
    """The rows of a log that a statement's foreign keys deleted, from a place on."""

    def __init__(self, log: TableLog, since: int) -> None:
        self._log = log
        self._upto = since
        self._keys: Counter[bytes] = Counter()

    def take_out(self, log: TableLog, order: list[TableLog], since: int) -> None:
        if log is not self._log:
            raise Stopped(
                f"a statement deleted rows of {log.table.id} twice, and is too large to be held until its end",
                why="it deletes from this table and, by a foreign key, from it again",
                hint="raise group_bytes above its size",
                table=log.table.id,
            )
        deleted = (log.keys[index] for index in range(self._upto, since) if log.ops[index] == DELETE)
        self._keys.update(deleted)
        left = []
        for index in range(since, len(log)):
            if self._keys[log.keys[index]]:
                self._keys[log.keys[index]] -= 1
            else:
                left.append(index)
        del order[len(order) - (len(log) - since - len(left)) :]
        log.ops[since:] = bytes(log.ops[index] for index in left)
        log.keys[since:] = [log.keys[index] for index in left]
        log.rows[since:] = [log.rows[index] for index in left]
        if log.olds:
            log.olds[since:] = [log.olds[index] for index in left]
        self._upto = len(log)


class _Values:
    """The values of some columns in the changes of a log, as the bytes of a key of these columns."""

    def __init__(self, log: TableLog, columns: Sequence[str]) -> None:
        self._log = log
        self._columns = columns
        self._form = log.form
        self._by_key = tuple(columns) == log.table.key
        self._places = [log.form.columns.index(name) for name in columns]
        self._nullable = {column.name for column in log.table.columns if column.nullable}.intersection(columns)

    def old(self, index: int) -> bytes | None:
        """Of the row as it was; None: nothing can refer to it."""
        log = self._log
        if self._by_key:
            return log.keys[index]
        whole = log.olds[index] if log.table.key else log.keys[index]
        if whole is None:
            raise Stopped(
                f"a row of {log.table.id} was changed that others refer to, and the log does not say by which value",
                why="binlog_row_image leaves out what is in no key, and foreign keys changed rows by it, unlogged",
                hint="SET GLOBAL binlog_row_image = FULL, then cdcd reload the tables that refer to it",
                table=log.table.id,
            )
        return self._of(self._fields(whole))

    def new(self, index: int) -> bytes:
        log = self._log
        row = log.rows[index]
        if log.ops[index] == MOVE:
            key, row = row
            if self._by_key:
                return key  # type: ignore[no-any-return]
        elif self._by_key:
            return log.keys[index]
        fields = self._fields(row) if isinstance(row, bytes) else row
        if any(fields[place] is UNCHANGED for place in self._places):
            whole = log.olds[index] if log.table.key else log.keys[index]
            before = self._fields(whole) if whole is not None else fields
            fields = [was if now is UNCHANGED else now for now, was in zip(fields, before, strict=True)]
        return self._joined(fields)

    def _fields(self, row: bytes) -> Sequence[bytes]:
        assert self._form.split is not None
        return self._form.split(row)

    def _of(self, fields: Sequence[bytes]) -> bytes | None:
        null = self._form.layout.null
        if all(fields[place] == null for place in self._places):
            return None
        return self._joined(fields)

    def _joined(self, fields: Sequence[bytes]) -> bytes:
        return self._form.layout.between.join([fields[place] for place in self._places])
