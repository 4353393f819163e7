"""What crosses from reader to writer: whole transactions, or a piece of a huge one, as flat lists per table.

One row per transaction costs as little per row as a bulk load: no object per row, and none per transaction unless
the sink lists them. The source's generated functions append straight into a TableLog.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from cdcd.model.change import SchemaChange
from cdcd.model.chunk import Chunk
from cdcd.model.position import Position
from cdcd.model.table import Table
from cdcd.rows import RowForm

INSERT, UPDATE, MOVE, DELETE = b"IUMD"
"""Kinds of change. MOVE: an update that came with an old key (or, in a keyless table, any update)."""


class TableLog:
    """The changes to one table in one group, in source order, as parallel lists.

        ops[i]   keys[i]                     rows[i]
        INSERT   key of the new row          row
        UPDATE   key (old and new alike)     row
        MOVE     OLD key                     (new key, row)
        DELETE   OLD key                     None

    A row is bytes in `form`'s layout, or a tuple of fields where a cell is UNCHANGED. In a keyless table the key of a
    row is the whole row's bytes, and every update is a MOVE. `olds[i]` is the whole old row (bytes, or None where the
    source did not send it), filled only for sinks that ask (`SinkFacts.wants_old`); else it stays empty.
    """

    __slots__ = ("form", "keys", "olds", "ops", "rows", "table")

    def __init__(self, table: Table, form: RowForm) -> None:
        self.table = table
        self.form = form
        self.ops = bytearray()
        self.keys: list[bytes] = []
        self.rows: list[Any] = []
        self.olds: list[bytes | None] = []

    def __len__(self) -> int:
        return len(self.ops)


class Rows:
    """Changes with no barrier between them. `order[i]` is the log that holds the i-th change of all."""

    __slots__ = ("logs", "order")

    def __init__(self) -> None:
        self.logs: dict[str, TableLog] = {}
        self.order: list[TableLog] = []

    def log(self, table: Table, form: RowForm) -> TableLog:
        """The table's log, made at its first change."""
        if (log := self.logs.get(table.id)) is None:
            log = self.logs[table.id] = TableLog(table, form)
        return log


def after(rows: Rows, count: int) -> Rows:
    """Without the first `count` changes."""
    left = Rows()
    seen: dict[int, int] = {}
    for log in rows.order[:count]:
        seen[id(log)] = seen.get(id(log), 0) + 1
    kept = {}
    for name, log in rows.logs.items():
        first = seen.get(id(log), 0)
        kept[id(log)] = one = TableLog(log.table, log.form)
        one.ops, one.keys, one.rows, one.olds = log.ops[first:], log.keys[first:], log.rows[first:], log.olds[first:]
        if one.ops:
            left.logs[name] = one
    left.order = [kept[id(log)] for log in rows.order[count:]]
    return left


class Truncate:
    """One TRUNCATE statement of the source: all its tables, to be truncated by one statement at the target too."""

    __slots__ = ("cascade", "restart_identity", "tables")

    def __init__(self, tables: list[Table], cascade: bool, restart_identity: bool) -> None:
        self.tables = tables
        self.cascade = cascade
        self.restart_identity = restart_identity


class Cascade:
    """Rows of `parent` went, or got other values in `columns`, and what foreign keys did by that to others' rows is in
    no event: it is to be derived from the target's rows, after all steps before it and before all that follow.

    `gone`: the old values, `moved`: old and new ones, in the form's encoding of a key of these columns. `family` are
    the tables whose rows may have changed, by way of each other too, with their `references` at this place.
    """

    __slots__ = ("columns", "family", "form", "gone", "moved", "parent")

    def __init__(
        self, parent: Table, form: RowForm, columns: tuple[str, ...], family: tuple[Table, ...],
        gone: list[bytes], moved: list[tuple[bytes, bytes]],
    ) -> None:  # fmt: skip
        self.parent = parent
        self.form = form
        self.columns = columns
        self.family = family
        self.gone = gone
        self.moved = moved


class Transaction:
    """Where a source transaction begins in a group; made only for sinks that list transactions.

    `at`: how many changes (rows and truncates) of the group come before it. `time`: commit time, microseconds since
    1970, UTC.
    """

    __slots__ = ("at", "id", "position", "time")

    def __init__(self, at: int, id: str, position: Position, time: int) -> None:
        self.at = at
        self.id = id
        self.position = position
        self.time = time


class Group:
    """Whole transactions, or a piece of one.

    `steps` in order: `Rows`, or a barrier: a `Truncate`, a `Cascade`, or `SchemaChange`s, which end the group.
    `position` is the end of the last transaction when the group ends at a transaction's end (or an idle place), None
    when it ends inside one: such a piece is applied without a checkpoint and the target's transaction stays open.
    `bytes` is the wire size of what it holds, `changes` their number, `commit_time` the last commit's time at the
    source (microseconds since 1970; 0: none in here).
    `unread` are chunks that this group sends back to unread: the sink empties them after the group's changes.
    `dropped` counts changes not carried because their chunk was not in.
    `unsettled` are tables of which the target may hold rows as they come to be only behind this group: its changes make
    a row what they say, whatever is there.
    """

    __slots__ = (
        "bytes", "changes", "commit_time", "dropped", "position", "steps", "transactions", "txs", "unread", "unsettled",
    )  # fmt: skip

    def __init__(self) -> None:
        self.steps: list[Rows | Truncate | Cascade | SchemaChange] = []
        self.position: Position | None = None
        self.bytes = 0
        self.changes = 0
        self.commit_time = 0
        self.txs = 0
        self.transactions: list[Transaction] = []
        self.unread: list[Chunk] = []
        self.dropped = 0
        self.unsettled: frozenset[str] = frozenset()

    def rows(self) -> Rows:
        """The open `Rows` at the end, made where there is none (at the start, after a barrier)."""
        if not self.steps or not isinstance(self.steps[-1], Rows):
            self.steps.append(Rows())
        last = self.steps[-1]
        assert isinstance(last, Rows)
        return last

    def truncate(self, step: Truncate) -> None:
        self.steps.append(step)
        self.changes += 1

    @property
    def schema_changes(self) -> list[SchemaChange]:
        return [step for step in self.steps if isinstance(step, SchemaChange)]

    @property
    def empty(self) -> bool:
        """No change in it: only a place."""
        return not self.steps and not self.unread


def size(step: Rows | Truncate | Cascade | SchemaChange) -> int:
    """How many of a group's changes it is: what is derived comes with the change that it follows."""
    return len(step.order) if isinstance(step, Rows) else int(not isinstance(step, Cascade))


class Places:
    """Which transaction of the source each change of a group belongs to, where the source lists them. `begun` is one
    of which an earlier piece was applied."""

    def __init__(self, group: Group, begun: Transaction | None) -> None:
        self._starts = [transaction.at for transaction in group.transactions]
        self._transactions = group.transactions
        self._begun = begun

    def at(self, place: int) -> Transaction | None:
        """Of the change at this place in the group."""
        number = bisect_right(self._starts, place)
        return self._transactions[number - 1] if number else self._begun

    @property
    def all(self) -> Sequence[Transaction]:
        return [*([self._begun] if self._begun else ()), *self._transactions]

    @property
    def last(self) -> Transaction | None:
        return self._transactions[-1] if self._transactions else self._begun
