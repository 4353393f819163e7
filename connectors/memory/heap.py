"""The rows of one table at one moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from cdcd.model.table import Table
from connectors.memory.faults import ServerError
from connectors.memory.order import Rank, Values, picker, ranker

Check = Callable[[Values], bool]


class Heap:
    """A keyed table holds one row per key; a keyless one is a multiset of rows.

    `node` changes when the rows are rewritten or truncated (a file node). `unique` are further unique columns,
    `check` is a constraint on rows.
    """

    def __init__(
        self, table: Table, node: int, unique: tuple[tuple[str, ...], ...] = (), check: Check | None = None
    ) -> None:
        self.table = table
        self.node = node
        self.unique = unique
        self.check = check
        self._pick = picker(table, table.key)
        self._rank = ranker(table, table.key)
        self._uniques = [(names, picker(table, names), ranker(table, names)) for names in unique]
        self._rows: dict[Rank, list[Values]] = {}

    def copy(self) -> Heap:
        """The same rows, to be changed apart."""
        twin = Heap(self.table, self.node, self.unique, self.check)
        twin._rows = {key: list(rows) for key, rows in self._rows.items()}
        return twin

    def __iter__(self) -> Iterator[Values]:
        for rows in self._rows.values():
            yield from rows

    def __len__(self) -> int:
        return sum(map(len, self._rows.values()))

    def key(self, row: Values) -> Values:
        """The values that name a row."""
        return self._pick(row) if self.table.key else row

    def place(self, key: Values) -> Rank:
        """What a key is looked up by: equal for keys that the server calls equal."""
        return self._rank(key) if self.table.key else key

    def find(self, key: Values) -> Values | None:
        """The row of that key; of equal ones, one."""
        rows = self._rows.get(self.place(key))
        return rows[-1] if rows else None

    def claims(self, row: Values) -> Iterator[tuple[tuple[str, ...], Rank]]:
        """What the row must have for itself: a value for each unique list of columns, the key first."""
        if self.table.key:
            yield self.table.key, self.place(self.key(row))
        for names, pick, rank in self._uniques:
            value = rank(pick(row))
            if None not in value:
                yield names, value

    def admit(self, row: Values, instead_of: Values | None = None) -> None:
        """Raise what the server says to a row that may not be added, or not put in another's place."""
        if self.check is not None and not self.check(row):
            raise ServerError("check", f"{self.table.id} refuses {row}")
        if self.table.key:
            place = self.place(self.key(row))
            moved = instead_of is None or self.place(self.key(instead_of)) != place
            if moved and place in self._rows:
                raise ServerError("duplicate_key", f"{self.table.id} has {self.key(row)}")
        for names, pick, rank in self._uniques:
            value = rank(pick(row))
            others = (other for other in self if other is not instead_of)
            if None not in value and any(rank(pick(other)) == value for other in others):
                raise ServerError("duplicate", f"{self.table.id} has {names} {value}")

    def add(self, row: Values) -> None:
        self._rows.setdefault(self.place(self.key(row)), []).append(row)

    def remove(self, row: Values) -> None:
        """Take away one row equal to this."""
        at = self.place(self.key(row))
        self._rows[at].remove(row)
        if not self._rows[at]:
            del self._rows[at]
