"""The net changes to one table, made in bulk: a statement per kind of change, each with a count that must be right.

Inserts are copied straight into the table. The others are copied into a Stage and joined to the table by its key;
the statements are prepared once per session, and planned as index look-ups by the session's settings (T-PF-5).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cdcd.errors import Conflict
from cdcd.fold import Net
from cdcd.rows import Row, RowForm
from connectors.postgres.forms import Encoding
from connectors.postgres.keyless import delete_rows
from connectors.postgres.names import quote_identifier
from connectors.postgres.sessions import Session
from connectors.postgres.shape import Shape
from connectors.postgres.stage import MOST_COLUMNS, Stage, key_items, row_items

Cells = tuple[type, ...]
"""Which cells of a row are known, by the types of its fields; empty: all of them."""


def cells_of(row: Row) -> Cells:
    return () if isinstance(row, bytes) else tuple(map(type, row))


def known(columns: Sequence[str], cells: Cells) -> list[str]:
    """The columns whose cells are known."""
    return [name for name, kind in zip(columns, cells, strict=True) if kind is bytes] if cells else list(columns)


class TooWide(Exception):
    """No table has room for a row of this one and the key that it had."""


class Bulk:
    """One table on one session, rows in one form."""

    def __init__(self, session: Session, shape: Shape, form: RowForm) -> None:
        self.shape = shape
        self.form = form
        self.encoding = Encoding(form)
        self.suffix = f"{shape.oid}_{self.encoding.format}"
        """Ends the names of what is made in the session for this table and form."""
        self._session = session
        self._key = form.table.key
        self._stages: dict[str, Stage] = {}
        self._prepared: set[str] = set()
        self._sets: dict[Cells, int] = {}
        self._places = {name: f"s.c{number}" for number, name in enumerate(form.columns, 1)}
        columns = ", ".join(map(quote_identifier, form.columns))
        self._copy = f"COPY {shape.sql} ({columns}) FROM STDIN (FORMAT {self.encoding.format})"

    def ready(self, net: Net) -> None:
        """Make the stages that this net change needs: before a savepoint, as a rollback to it would take them."""
        whole = row_items(self.shape, self.form.columns)
        if net.updates or (net.deletes and not self._key):
            self._stage("u", whole)
        if net.deletes and self._key:
            self._stage("d", key_items(self.shape, self._key))
        if net.moves:
            items = ["0::int AS n", *key_items(self.shape, self._key), *whole]
            if len(items) > MOST_COLUMNS:
                raise TooWide
            self._stage("m", items)

    def _stage(self, kind: str, items: Sequence[str]) -> None:
        if kind not in self._stages:
            self._stages[kind] = Stage(self._session, f"cdcd_{kind}_{self.suffix}", self.shape, items)

    def forget(self) -> None:
        """Take away what was made in the session for the table as it was."""
        for kind in self._prepared:
            self._session.run(f"DEALLOCATE cdcd_{kind}_{self.suffix}")
        for stage in self._stages.values():
            self._session.run(f"DROP TABLE {stage.name}")
        self._prepared.clear()
        self._stages.clear()

    def _of(self, kind: str) -> str:
        return self._stages[kind].name

    @property
    def _by_key(self) -> str:
        """The condition that the table's row, t, is the one that the stage's key columns name."""
        return " AND ".join(self.shape.equals(name, f"s.k{n}") for n, name in enumerate(self._key, 1))

    def _set(self, kind: str, columns: Sequence[str]) -> str:
        assignments = ", ".join(f"{quote_identifier(name)} = {self._places[name]}" for name in columns)
        return f"UPDATE {self.shape.only} AS t SET {assignments} FROM {self._of(kind)} s"

    def delete(self, keys: list[bytes]) -> None:
        if keys and self._key:
            self._stages["d"].fill(self.encoding, self.encoding.keys(keys, len(self._key)))
            delete = f"DELETE FROM {self.shape.only} AS t USING {self._of('d')} s WHERE {self._by_key}"
            self._execute("d", delete, len(keys), "deleted")
        elif keys:
            self._stages["u"].fill(self.encoding, keys)
            count = delete_rows(self._session, self.shape, self.form.columns, self._of("u"))
            self._check(count, len(keys), "deleted")

    def update(self, rows: list[bytes]) -> None:
        if rows:
            self._stages["u"].fill(self.encoding, rows)
            rest = [name for name in self.form.columns if name not in self._key] or self.form.columns
            same = " AND ".join(self.shape.equals(name, self._places[name]) for name in self._key)
            self._execute("u", f"{self._set('u', rest)} WHERE {same}", len(rows), "updated")

    def move(self, moves: list[tuple[bytes, Row]]) -> None:
        """Rows whose key changes, or not all of whose cells are known: one statement per set of cells."""
        alike: dict[Cells, list[tuple[bytes, Any]]] = {}
        for key, row in moves:
            alike.setdefault(cells_of(row), []).append((key, row))
        rows: list[bytes] = []
        for cells, its in alike.items():
            number = self._sets.setdefault(cells, len(self._sets))
            rows += self.encoding.moves(number, its, (len(self._key), len(self.form.columns)))
        if rows:
            self._stages["m"].fill(self.encoding, rows)
        for cells, its in alike.items():
            number = self._sets[cells]
            update = f"{self._set('m', known(self.form.columns, cells))} WHERE s.n = {number} AND {self._by_key}"
            self._execute(f"m{number}", update, len(its), "updated")

    def insert(self, rows: list[bytes]) -> None:
        if rows:
            self._check(self._session.copy(self._copy, self.encoding.stream(rows)), len(rows), "inserted")

    def _execute(self, kind: str, statement: str, expected: int, done: str) -> None:
        name = f"cdcd_{kind}_{self.suffix}"
        if kind not in self._prepared:
            self._session.run(f"PREPARE {name} AS {statement}")
            self._prepared.add(kind)
        self._check(self._session.run(f"EXECUTE {name}"), expected, done)

    def _check(self, count: int, expected: int, done: str) -> None:
        if count != expected:
            raise Conflict(f"{count} of {expected} rows were {done} at the target", table=self.form.table.id)
