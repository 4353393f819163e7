"""A source read as the engine reads it: behind a schema change the tables are carried on in their new shape, and what
is to be loaded again is not read until then."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cdcd.contracts import Reading
from cdcd.model.change import SchemaChange
from cdcd.model.group import DELETE, INSERT, MOVE, Group, Rows, Truncate
from cdcd.model.position import Checkpoint
from cdcd.model.table import Table
from connectors.memory import form as text_form
from connectors.mysql.source import MysqlSource
from tests.contract.reading import forms, values
from tests.servers.mysql_database import MySQLDatabase

Row = dict[str, Any]


@dataclass(frozen=True)
class Kept:
    """What a target keeps, as JSON where it keeps that."""

    place: dict[str, Any]
    tables: list[dict[str, Any]]
    rows: dict[str, dict[tuple[Any, ...], Row]]


class Follower:
    """The tables of a database, and their rows by the text of their keys, as the log tells them from a place on. `kept`
    is what a target would keep, after each group: the place, the tables and the rows; another follower may begin there.
    """

    def __init__(self, database: MySQLDatabase, names: Sequence[str], kept: Kept | None, bound: int) -> None:
        self.source = MysqlSource(database.url, f"follow_{database.name}", group_bytes=bound)
        if kept is None:
            tables = [table for table in self.source.tables() if not names or table.name in names]
            kept = Kept(self.source.head().to_json(), [t.to_json() for t in tables], {t.name: {} for t in tables})
        checkpoint = Checkpoint(self.source.position(kept.place))
        tables = [Table.from_json(table) for table in kept.tables]
        self.tables = {table.name: table for table in tables}
        self.rows = copy.deepcopy(kept.rows)
        self.changes: list[SchemaChange] = []
        self.kept = [kept]
        self.source.open(checkpoint, self.source.identity(), forms(tables))

    def read(self, limit: float = 30) -> None:
        """Up to the end of the log."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            group = Group()
            reading = self.source.read(group, None, 0.1)
            self.take(group)
            position = group.position
            if reading is Reading.IDLE and position is not None and position.covers(self.source.head()):
                return
        raise AssertionError("the source does not come to rest")

    def take(self, group: Group) -> None:
        carried: dict[str, Any] = {}
        for step in group.steps:
            if isinstance(step, Rows):
                self._take(step)
            elif isinstance(step, Truncate):
                for table in step.tables:
                    self.rows[table.name].clear()
            elif isinstance(step, SchemaChange):
                self.changes.append(step)
                carried[step.old.id] = ()
                carried |= self._change(step)
        if carried:
            self.source.carry(carried)
        if group.position is not None:
            tables = [table.to_json() for table in self.tables.values()]
            self.kept.append(Kept(group.position.to_json(), tables, copy.deepcopy(self.rows)))

    def _change(self, change: SchemaChange) -> dict[str, Any]:
        old, new = change.old, change.new
        del self.tables[old.name]
        rows = self.rows.pop(old.name)
        if new is None or change.reload:
            return {}
        names = {column.ident: column.name for column in new.carried}
        renamed = {column.name: names.get(column.ident) for column in old.carried}
        added = {c.name: c.missing for c in new.carried if c.ident not in {column.ident for column in old.columns}}
        moved = [{**{renamed[n]: v for n, v in row.items() if renamed[n]}, **added} for row in rows.values()]
        self.tables[new.name] = new
        self.rows[new.name] = {self._key(new, row): row for row in moved}
        return dict(forms([new]))

    def _key(self, table: Table, row: Row) -> tuple[Any, ...]:
        return tuple(row[name] for name in table.key or row)

    def _take(self, step: Rows) -> None:
        cursors = {id(log): zip(log.ops, log.keys, log.rows, strict=True) for log in step.logs.values()}
        for log in step.order:
            op, key, data = next(cursors[id(log)])
            rows = self.rows[log.table.name]
            was = tuple(text_form.values(text_form.fields_of_key(log.table, key)))
            if op != INSERT:
                del rows[was]
            if op != DELETE:
                row = dict(zip(log.form.columns, values(data[1] if op == MOVE else data), strict=True))
                assert self._key(log.table, row) not in rows
                rows[self._key(log.table, row)] = row

    def of(self, name: str) -> list[Row]:
        return sorted(self.rows[name].values(), key=str)


@contextmanager
def following(
    database: MySQLDatabase, *names: str, kept: Kept | None = None, bound: int = 1 << 20
) -> Iterator[Follower]:
    """Of these tables, or of all."""
    follower = Follower(database, names, kept, bound)
    try:
        yield follower
    finally:
        follower.source.close()
