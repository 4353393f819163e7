"""A group as lines of JSON, one per change, in the source's order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import groupby
from typing import Any

from cdcd.model.cell import UNCHANGED
from cdcd.model.group import DELETE, INSERT, MOVE, UPDATE, Group, Rows, TableLog, Transaction, Truncate
from cdcd.model.table import Table
from cdcd.rows import RowForm
from connectors.jsonlines.form import key_object, key_of_row
from connectors.jsonlines.quoting import quote, quoted

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NULL = b"null"
_LETTERS = {INSERT: b"c", UPDATE: b"u", MOVE: b"u", DELETE: b"d"}
_AT_ONCE = 1000
"""Lines of a large transaction: so few that their pieces are at hand when they are joined."""
_LINE = b'{"op":"%b","table":%b,"key":%b,"before":%b,"after":%b,"unchanged":[%b],%b'


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    """Many transactions commit in the same second."""
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")


def end_of_line(position: str, tx: str | None = None, micros: int | None = None) -> bytes:
    """What all lines of a transaction end with: its position, its id (a number where it is one), its commit's time."""
    number = "null" if tx is None else tx if tx.isdigit() else quote(tx)
    time = "null"
    if micros is not None:
        seconds, micros = divmod(micros, 1_000_000)
        time = f'"{_second(seconds)}.{micros:06}Z"'
    return f'"position":{quote(position)},"tx":{number},"ts":{time}}}\n'.encode()


def truncated(table: Table, end: bytes) -> bytes:
    """The line of a truncated table."""
    return _LINE % (b"t", quoted(table.id), _NULL, _NULL, _NULL, b"", end)


class TableLines:
    """Lines of one table, from what does not change in them."""

    def __init__(self, form: RowForm) -> None:
        self.form = form
        self._table = quoted(form.table.id)
        self._names = [quoted(name) for name in form.columns]
        self._keyed = bool(form.table.key)
        self._key_object = key_object(form)
        self._key_of_row = key_of_row(form)
        key, end = (b"{", b"},") if self._keyed else (b"null", b",")
        self._between = end + b'"before":null,"after":'
        heads = {op: b'{"op":"%b","table":%b,"key":%b' % (op, self._table, key) for op in (b"c", b"r")}
        self._heads = heads if self._keyed else {op: head + self._between for op, head in heads.items()}

    def new(self, op: bytes, rows: Sequence[bytes], end: bytes, keys: Sequence[bytes] = ()) -> bytes:
        """Lines of rows without a past, as most lines are: one join of constants, keys and rows. `keys`: as in
        TableLog.keys, where they are at hand; one of one column then costs no call."""
        head, between, behind = self._heads[op], self._between, b',"unchanged":[],' + end
        if not self._keyed:
            return head + (behind + head).join(rows) + behind
        if len(rows) == 1:
            return b"".join((head, self._key_of_row(rows[0]), between, rows[0], behind))
        # Filled by slices, which cost a quarter of a loop, and half of a join per row.
        pieces = [between] * (4 * len(rows))
        if keys and len(self.form.table.key) == 1:
            head += self.form.layout.labels[0]
            pieces[1::4] = keys
        else:
            pieces[1::4] = map(self._key_of_row, rows)
        pieces[0::4] = [behind + head] * len(rows)
        pieces[3::4] = rows
        pieces[0] = head
        pieces.append(behind)
        return b"".join(pieces)

    def change(self, op: int, key: bytes, row: Any, old: bytes | None, end: bytes) -> bytes:
        """The line of any change: an entry of TableLog."""
        before = old
        if op == MOVE:
            before = old or self._key_object(key)
            key, row = row
        elif op == DELETE and not self._keyed:
            before = old or key
        after, unchanged = row, b""
        if row.__class__ is tuple:
            cells = list(zip(self._names, self.form.layout.labels, row, strict=True))
            after = b"{%b}" % b",".join([label + cell for _, label, cell in cells if cell is not UNCHANGED])
            unchanged = b",".join([name for name, _, cell in cells if cell is UNCHANGED])
        named = self._key_object(key) if self._keyed else _NULL
        return _LINE % (_LETTERS[op], self._table, named, before or _NULL, after or _NULL, unchanged, end)


class Lines:
    """Turns groups into lines. Between groups it remembers the transaction that one of them left open."""

    def __init__(self) -> None:
        self._tables: dict[str, TableLines] = {}
        self._end = end_of_line("")

    def of_table(self, form: RowForm) -> TableLines:
        """Made anew when the table's form is another."""
        lines = self._tables.get(form.table.id)
        if lines is None or lines.form is not form:
            lines = self._tables[form.table.id] = TableLines(form)
        return lines

    def of(self, group: Group) -> Iterator[bytes]:
        """The group's lines, in pieces of one or many."""
        transactions = iter(group.transactions)
        upcoming = next(transactions, None)
        at = 0
        for step in group.steps:
            taken: dict[int, int] = {}
            low, size = 0, len(step.order) if isinstance(step, Rows) else int(isinstance(step, Truncate))
            while low < size:
                begun: Transaction | None = None
                while upcoming is not None and upcoming.at <= at:
                    begun, upcoming = upcoming, next(transactions, None)
                if begun is not None:
                    self._end = end_of_line(str(begun.position), begun.id, begun.time)
                high = size if upcoming is None else min(size, low + upcoming.at - at)
                if isinstance(step, Rows):
                    yield from self._rows(step, low, high, taken)
                elif isinstance(step, Truncate):
                    yield from [truncated(table, self._end) for table in step.tables]
                at += high - low
                low = high

    def _rows(self, step: Rows, low: int, high: int, taken: dict[int, int]) -> Iterator[bytes]:
        """Changes low to high, all of one transaction. `taken`: how many of a log's changes came before."""
        if len(step.logs) == 1:
            runs = [(step.order[low], high - low)]
        else:
            runs = [(log, sum(1 for _ in run)) for log, run in groupby(step.order[low:high])]
        for log, count in runs:
            first = taken.get(id(log), 0)
            last = taken[id(log)] = first + count
            yield from self._run(log, first, last)

    def _run(self, log: TableLog, first: int, last: int) -> Iterator[bytes]:
        lines = self.of_table(log.form)
        if log.ops.count(INSERT, first, last) == last - first:
            for low in range(first, last, _AT_ONCE):
                high = min(last, low + _AT_ONCE)
                yield lines.new(b"c", log.rows[low:high], self._end, log.keys[low:high])
            return
        for i in range(first, last):
            old = log.olds[i] if log.olds else None
            yield lines.change(log.ops[i], log.keys[i], log.rows[i], old, self._end)
