"""The server's log: whole transactions in the order of their commit records, and what a place in it means.

Statements take no room here: a commit record begins where the one before it ended. So the boundary that loses
or doubles a transaction (T-PG-5, T-PG-19: a record that begins exactly at a position) is met at every
checkpoint and at every snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cdcd.model.table import Table
from connectors.memory.heap import Check, Heap
from connectors.memory.order import Values

RECORD = 8
"""Bytes of a commit record."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A row: inserted (no `old`), deleted (no `new`) or updated, with the table as it was then."""

    table: Table
    old: Values | None
    new: Values | None


@dataclass(frozen=True, slots=True)
class Truncated:
    """One statement's tables, by id."""

    tables: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Defined:
    """A table made, or altered so that its rows are rewritten (`rows`: what they are then). Sends no row
    events."""

    table: Table
    unique: tuple[tuple[str, ...], ...] = ()
    check: Check | None = None
    rows: tuple[Values, ...] = ()


@dataclass(frozen=True, slots=True)
class Published:
    """From here on the publication of that name holds these tables."""

    name: str
    tables: frozenset[str]


Record = Changed | Truncated | Defined | Published


@dataclass(frozen=True, slots=True)
class Commit:
    """A transaction: its commit record begins at `at`, and the next may begin at `end`."""

    number: int
    at: int
    end: int
    time: int
    records: tuple[Record, ...]


class Log:
    """Commits in log order. Readers are given what is flushed; a crash takes back what is not."""

    def __init__(self) -> None:
        self.end = RECORD
        self.flushed = RECORD
        self._commits: list[Commit] = []
        self._number = 0

    def append(self, records: Iterable[Record]) -> Commit:
        self._number += 1
        commit = Commit(self._number, self.end, self.end + RECORD, self._number * 1_000_000, tuple(records))
        self._commits.append(commit)
        self.end = commit.end
        return commit

    def fill(self, size: int) -> None:
        """Log that holds no transaction: another database's work."""
        self.end += size

    def flush(self) -> None:
        self.flushed = self.end

    def crash(self) -> None:
        """Take back what was not flushed."""
        self._commits = [commit for commit in self._commits if commit.end <= self.flushed]
        self.end = self.flushed

    def since(self, at: int) -> Iterator[Commit]:
        """Flushed commits whose record begins at `at` or later."""
        return (commit for commit in self._commits if at <= commit.at and commit.end <= self.flushed)

    def heaps(self, at: int) -> dict[str, Heap]:
        """What the tables hold at a place: all transactions whose commit record begins before it, and nothing
        else."""
        heaps: dict[str, Heap] = {}
        for commit in self._commits:
            if commit.at < at:
                for record in commit.records:
                    replay(heaps, record)
        return heaps

    def published(self, name: str, at: int) -> frozenset[str]:
        """The tables of a publication as a transaction whose record begins at `at` sees it."""
        tables: frozenset[str] = frozenset()
        for commit in self._commits:
            for record in commit.records:
                if commit.at < at and isinstance(record, Published) and record.name == name:
                    tables = record.tables
        return tables


def replay(heaps: dict[str, Heap], record: Record, only: str | None = None) -> None:
    """Do to the tables, or to one of them, what the record says."""
    match record:
        case Changed(table, old, new) if only in (None, table.id):
            if old is not None:
                heaps[table.id].remove(old)
            if new is not None:
                heaps[table.id].add(new)
        case Truncated(tables):
            for name in tables:
                if only in (None, name):
                    heap = heaps[name]
                    heaps[name] = Heap(heap.table, heap.node + 1, heap.unique, heap.check)
        case Defined(table, unique, check, rows) if only in (None, table.id):
            before = heaps.get(table.id)
            heap = heaps[table.id] = Heap(table, before.node + 1 if before is not None else 0, unique, check)
            for row in rows:
                heap.add(row)
        case _:
            pass
