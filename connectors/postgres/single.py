"""One table's changes, one statement for each: staged in bulk, then made by prepared statements, by number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from cdcd.errors import PoisonRow
from cdcd.fold import fill
from cdcd.model.group import DELETE, INSERT, MOVE, UPDATE
from cdcd.policy import Values
from cdcd.rows import Row
from connectors.postgres.bulk import Bulk, Cells, cells_of, known
from connectors.postgres.keyless import delete_rows, whole_row
from connectors.postgres.names import quote_identifier
from connectors.postgres.sessions import Session
from connectors.postgres.stage import MOST_COLUMNS, Stage, key_items, row_items
from connectors.postgres.values import Reader


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """`number` is its place among those of its table; `key` names the row it is made to; `landing` is the key that a
    row moves to."""

    number: int
    op: int
    key: bytes
    row: Row | None
    landing: bytes | None = None

    @property
    def kind(self) -> str:
        return {INSERT: "insert", DELETE: "delete"}.get(self.op, "update")

    @property
    def is_delete(self) -> bool:
        return self.op == DELETE

    @property
    def is_move(self) -> bool:
        return self.op == MOVE

    @property
    def whole(self) -> bool:
        """Whether all cells of the new row are known."""
        return isinstance(self.row, bytes)


class OneByOne:
    """One table on one session: its changes of a step, staged, and prepared statements for each kind."""

    def __init__(self, session: Session, bulk: Bulk) -> None:
        self.changes: list[Change] = []
        self.shape = bulk.shape
        self.key = bulk.form.table.key
        self.id = bulk.form.table.id
        self.form = bulk.form
        self._session = session
        self._suffix = bulk.suffix
        self._encoding = bulk.encoding
        named = ["0::int AS n", *key_items(self.shape, self.key)]
        whole = row_items(self.shape, self.form.columns)
        self._rows: Stage | None = None  # where a stage has no room for key and row: then one change at a time
        if len(named) + len(whole) > MOST_COLUMNS:
            self._rows, whole = Stage(session, f"cdcd_w_{self._suffix}", self.shape, whole), []
        self._stage = Stage(session, f"cdcd_o_{self._suffix}", self.shape, [*named, *whole])
        self._source = self._stage.name
        if self._rows is None:
            session.run(f"ALTER TABLE {self._stage.name} ADD PRIMARY KEY (n)")
        else:
            self._source = f"(SELECT * FROM {self._stage.name} LEFT JOIN {self._rows.name} ON true)"
        self._prepared: dict[tuple[int, Cells, bool, bool], str] = {}
        self._reader = Reader(session, self.shape, self.form, f"cdcd_r_{self._suffix}")

    def forget(self) -> None:
        """Take away what was made in the session for the table as it was."""
        for name in self._prepared.values():
            self._session.run(f"DEALLOCATE {name}")
        self._reader.forget()
        for stage in filter(None, (self._stage, self._rows)):
            self._session.run(f"DROP TABLE {stage.name}")

    def add(self, op: int, key: bytes, row: Any) -> Iterator[Change]:
        """Take in one change of the log; without a key, an update is a delete and an insert."""
        landing = None
        if op == MOVE:
            landing, row = row
            if not self.key:
                yield from self.add(DELETE, key, None)
                whole = fill(self.form, row, key) if isinstance(row, tuple) else row
                yield from self.add(INSERT, cast(bytes, whole), whole)
                return
        change = Change(len(self.changes), op, key, row, landing)
        self.changes.append(change)
        yield change

    # --- staging -----------------------------------------------------------------------------------------------------

    def empty(self) -> None:
        self._stage.empty()

    def stage(self, changes: Sequence[Change]) -> None:
        """Send their rows, in this order."""
        if changes and self._rows is None:
            self._stage.add(self._encoding, [self._staged(change) for change in changes])

    def _staged(self, change: Change) -> bytes:
        if not self.key:
            return self._encoding.numbered(change.number, b"", change.key, self._widths)
        key = b"" if change.op == INSERT else change.key
        return self._encoding.numbered(change.number, key, change.row, self._widths)

    @property
    def _widths(self) -> tuple[int, int]:
        return (len(self.key), 0 if self._rows is not None else len(self.form.columns))

    def _put(self, change: Change) -> None:
        """The one change that the two stages of a wide table hold."""
        if self._rows is not None:
            row = change.row if self.key else change.key
            key = b"" if change.op == INSERT or not self.key else change.key
            self._stage.fill(self._encoding, [self._encoding.numbered(change.number, key, None, self._widths)])
            self._rows.fill(self._encoding, [] if row is None else [self._encoding.alone(row)])

    # --- making ------------------------------------------------------------------------------------------------------

    def make(self, change: Change, there: bool = False) -> int:
        """The number of rows it met. `there`: the row has its new key already."""
        if change.op == DELETE and not self.key:
            self._put(change)
            where = f"s.n = {change.number}"
            return delete_rows(self._session, self.shape, self.form.columns, self._source, where)
        op = UPDATE if change.op == MOVE else change.op  # one statement makes both
        return self._execute(op, change, there)

    def checked(self, change: Change) -> str | None:
        """A statement that makes the change and fails unless it met one row; None: there is none such."""
        if self._rows is not None or (change.op == DELETE and not self.key):
            return None
        op = UPDATE if change.op == MOVE else change.op
        return f"EXECUTE {self._statement(op, change, False, checked=True)} ({change.number})"

    def overwrite(self, change: Change, met: int | None) -> bool:
        """Make the row what the source says, whatever is there. `met`: the rows that the change met, None: it was
        refused. False: that cannot be done, and something may have been tried."""
        if not self.key or (met is None and change.op not in (INSERT, MOVE)) or (met or 0) > 1:
            return False
        if change.op == DELETE:
            return True
        if change.op == INSERT:
            return self._execute(UPDATE, change, True) == 1
        if met is None:  # another row stands where this one moves to
            return self._execute(DELETE, change, True) == 1 and self._execute(UPDATE, change, False) == 1
        if change.op == MOVE and self._execute(UPDATE, change, True) == 1:
            return change.whole
        return change.whole and self._execute(INSERT, change, False) == 1

    def _execute(self, op: int, change: Change, there: bool) -> int:
        self._put(change)
        return self._session.run(f"EXECUTE {self._statement(op, change, there)} ({change.number})")

    def _statement(self, op: int, change: Change, there: bool, checked: bool = False) -> str:
        cells = cells_of(change.row) if change.row is not None else ()
        made = (op, cells, there, checked)
        if made not in self._prepared:
            name = f"cdcd_o_{self._suffix}_{len(self._prepared)}"
            sql = self._sql(op, cells, there)
            if checked:
                # Division by zero is an error of the class of bad values: the batch is taken back for it.
                sql = f"WITH made AS ({sql} RETURNING 1) SELECT 1 / (count(*) = 1)::int FROM made"
            self._session.run(f"PREPARE {name} (int) AS {sql}")
            self._prepared[made] = name
        return self._prepared[made]

    def _sql(self, op: int, cells: Cells, there: bool) -> str:
        table, only, stage = self.shape.sql, self.shape.only, f"{self._source} s"
        places = {name: f"s.c{number}" for number, name in enumerate(self.form.columns, 1)}
        if op == INSERT:
            names = ", ".join(map(quote_identifier, places))
            values = f"SELECT {', '.join(places.values())} FROM {stage} WHERE s.n = $1"
            return f"INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE {values}"
        named = {name: places[name] if there else f"s.k{n}" for n, name in enumerate(self.key, 1)}
        by_key = " AND ".join(self.shape.equals(name, place) for name, place in named.items())
        if op == DELETE:
            return f"DELETE FROM {only} AS t USING {stage} WHERE s.n = $1 AND {by_key}"
        columns = known(self.form.columns, cells)
        assignments = ", ".join(f"{quote_identifier(name)} = {places[name]}" for name in columns)
        return f"UPDATE {only} AS t SET {assignments} FROM {stage} WHERE s.n = $1 AND {by_key}"

    # --- telling -----------------------------------------------------------------------------------------------------

    def ready_to_tell(self) -> None:
        """Before a savepoint that may be rolled back."""
        self._reader.make()

    def values(self, change: Change) -> tuple[Values | None, Values | None]:
        """The key that names the row the change is made to (without a key: that row), and the new cells."""
        if not self.key:
            whole = self._reader.row(change.key)
            return (None, whole) if change.op == INSERT else (whole, None)
        return self._reader.key(change.key), None if change.row is None else self._reader.row(change.row)

    def keys(self, change: Change) -> list[Values]:
        """All keys that the change is about."""
        keys = [change.key] if change.landing in (None, change.key) else [change.key, change.landing]
        return [self._reader.key(key) for key in keys if key is not None]

    def key_text(self, change: Change) -> str | None:
        """The key, or the whole row where there is none, as the server writes it."""
        if self.key:
            staged = self._encoding.numbered(0, change.key, None, self._widths)
            item = ", ".join(f"s.k{number}::text" for number in range(1, len(self.key) + 1))
        else:
            staged = self._encoding.numbered(0, b"", change.key, self._widths)
            item = whole_row("s", [f"c{number}" for number in range(1, len(self.form.columns) + 1)])
        try:
            if self.key or self._rows is None:  # else it is there still
                self._stage.fill(self._encoding, [staged])
            (values,) = self._session.rows(f"SELECT {item} FROM {self._source} s")
        except PoisonRow:
            return None  # the key is what the server cannot read
        return ", ".join(map(str, values))
