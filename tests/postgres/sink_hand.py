"""A test's own hand on a PostgreSQL sink: groups of rows in the sink's own form, without a source or an engine."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cdcd.contracts import Blocks
from cdcd.model.cell import UNCHANGED
from cdcd.model.chunk import Chunk, State
from cdcd.model.group import DELETE, INSERT, MOVE, UPDATE, Group, Truncate
from cdcd.model.position import Checkpoint, Identity
from cdcd.model.table import Table
from cdcd.rows import RowForm
from connectors.postgres.catalogue import read_tables
from connectors.postgres.connect import connect
from connectors.postgres.forms import BINARY, escape
from connectors.postgres.position import Lsn
from connectors.postgres.sink import PostgresSink
from tests.servers.database import Database

IDENTITY = Identity("postgres", "1", 1, "1")
Values = Sequence[Any]

_WIDTH = {"smallint": ">h", "integer": ">i", "bigint": ">q", "double precision": ">d"}


def place(number: int) -> Checkpoint:
    return Checkpoint(Lsn(number))


def define(database: Database, *ids: str) -> list[Table]:
    """The tables as a source would describe them, read where they are."""
    connection = connect(database.url, "test")
    try:
        by_id = {table.id: table for table in read_tables(connection, ids)}
        return [by_id[id] for id in ids]
    finally:
        connection.close()


class Hand:
    """An owner of the pipeline that writes into tables that are there. `form`: which of the sink's forms it takes."""

    def __init__(
        self, url: str, tables: Sequence[Table], owner: str = "hand", form: int = 0, name: str = "hand"
    ) -> None:
        self.sink = PostgresSink(lambda: url, name, target_tables="use")
        self.tables = {table.id: table for table in tables}
        self.owner = owner
        self.form = form
        self.at = 1
        self._forms: dict[str, RowForm] = {}

    def begin(self, take_over: bool = True, chunks: Sequence[Chunk] | None = None) -> Hand:
        """Claim, and start where nothing was started. All chunks are in, unless others are given."""
        claim = self.sink.claim(self.owner, take_over)
        if claim.checkpoint is None:
            if chunks is None:
                chunks = [Chunk(id, 0, state=State.IN) for id in self.tables]
            self.sink.prepare(list(self.tables.values()))
            self.sink.intend(IDENTITY, {})
            self.sink.start(place(1), list(self.tables.values()), chunks)
        else:
            self.at = int(claim.checkpoint["position"]["lsn"].rpartition("/")[2], 16)
        return self

    def form_of(self, table: Table) -> RowForm:
        if table.id not in self._forms:
            self._forms[table.id] = self.sink.forms(table)[self.form]
        return self._forms[table.id]

    # --- rows --------------------------------------------------------------------------------------------------------

    def _field(self, form: RowForm, name: str, value: Any) -> Any:
        column = next(column for column in form.table.carried if column.name == name)
        if value is UNCHANGED:
            return value
        if value is None:
            return form.layout.null
        if form.name != BINARY:
            return escape(str(value).encode())
        width = _WIDTH.get(column.native)
        body = struct.pack(width, value) if width else str(value).encode()
        return struct.pack(">i", len(body)) + body

    def row(self, id: str, values: Values) -> Any:
        form = self.form_of(self.tables[id])
        fields = tuple(self._field(form, name, value) for name, value in zip(form.columns, values, strict=True))
        return fields if UNCHANGED in fields else form.join(fields)

    def key(self, id: str, values: Values) -> bytes:
        """Of a keyless table: the whole row."""
        table = self.tables[id]
        form = self.form_of(table)
        if not table.key:
            whole = self.row(id, values)
            assert isinstance(whole, bytes)
            return whole
        pairs = zip(table.key, values, strict=True)
        return form.layout.between.join(self._field(form, name, value) for name, value in pairs)

    # --- groups ------------------------------------------------------------------------------------------------------

    def group(self, *changes: Callable[[Group], None]) -> Group:
        group = Group()
        for change in changes:
            change(group)
        return group

    def _add(self, id: str, op: int, key: bytes, row: Any) -> Callable[[Group], None]:
        table = self.tables[id]
        form = self.form_of(table)

        def add(group: Group) -> None:
            rows = group.rows()
            log = rows.log(table, form)
            log.ops.append(op)
            log.keys.append(key)
            log.rows.append(row)
            rows.order.append(log)
            group.changes += 1

        return add

    def insert(self, id: str, *values: Any) -> Callable[[Group], None]:
        table = self.tables[id]
        names = [column.name for column in table.carried]
        by_name = dict(zip(names, values, strict=True))
        key = self.key(id, [by_name[name] for name in table.key] or values)
        return self._add(id, INSERT, key, self.row(id, values))

    def delete(self, id: str, *key: Any) -> Callable[[Group], None]:
        return self._add(id, DELETE, self.key(id, key), None)

    def update(self, id: str, key: Values, *values: Any) -> Callable[[Group], None]:
        """A MOVE where the key is another, and always without one."""
        table = self.tables[id]
        names = [column.name for column in table.carried]
        by_name = dict(zip(names, values, strict=True))
        new = [by_name[name] for name in table.key] or list(values)
        row = self.row(id, values)
        if table.key and list(key) == new:
            return self._add(id, UPDATE, self.key(id, key), row)
        return self._add(id, MOVE, self.key(id, key), (self.key(id, new), row))

    def truncate(self, *ids: str, restart: bool = False) -> Callable[[Group], None]:
        step = Truncate([self.tables[id] for id in ids], cascade=False, restart_identity=restart)
        return lambda group: group.truncate(step)

    def apply(self, *changes: Callable[[Group], None], unread: Iterable[Chunk] = ()) -> Any:
        """A whole transaction; its ticket."""
        group = self.group(*changes)
        group.unread.extend(unread)
        group.position = Lsn(self.at + 1)
        ticket = self.sink.apply(group, place(self.at + 1))
        self.at += 1
        return ticket

    def piece(self, *changes: Callable[[Group], None]) -> None:
        """A part of a transaction, not its last."""
        assert self.sink.apply(self.group(*changes), None) is None

    def load(self, chunk: Chunk, rows: Iterable[Values], more: Iterable[bytes] = ()) -> int:
        """In the text form, whose stream has neither head nor tail. `more` comes after the rows."""
        table = self.tables[chunk.table]
        form = self.sink.forms(table)[-1]
        lines = [
            form.join(tuple(b"\\N" if value is None else escape(str(value).encode()) for value in row)) for row in rows
        ]
        counts = {"rows": 0, "bytes": sum(map(len, lines))}
        data = (piece for pieces in (lines, more) for piece in pieces)
        return self.sink.load(table, chunk, Blocks(form, data, counts), place(self.at))
