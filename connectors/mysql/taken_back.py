"""What the log holds of a transaction although it was taken back, by ROLLBACK or to a savepoint, and how it is left
out.

Where rows of it were handed over already, as it is too large to be held until its end, or foreign keys have acted on
them, the attempt ends, so that the target's open transaction goes back, and the next one passes these rows over.
Nothing of that is stored: who begins anew meets it anew.
"""

from __future__ import annotations

from functools import cache

from cdcd.errors import Transient
from cdcd.model.group import Transaction
from connectors.mysql.spans import Mark
from connectors.mysql.track import Name, text_of

_Place = Mark | Transaction

_END = 1 << 62


class TakenBack:
    """Of one pipeline: between which of their savepoints rows of transactions count for nothing. A transaction is known
    by its name and when it was made, as a server that was reset gives names again."""

    def __init__(self) -> None:
        self.known: dict[tuple[Name, int], list[tuple[int, int]]] = {}


@cache
def taken_back(pipeline: str) -> TakenBack:
    """What attempts know of each other, as long as this process lives."""
    return TakenBack()


class Savepoints:
    """Of the open transaction, whose beginning is the first. They are numbered as they are made or gone back to; what
    does so tells whether the rows behind it count, as far as is known."""

    def __init__(self, taken_back: TakenBack) -> None:
        self._known = taken_back.known
        self._transaction: tuple[Name, int] = ((None, ""), 0)
        self._made: dict[str, tuple[_Place, int]] = {}
        self._begun: _Place = Mark()
        self._number = 0

    def begin(self, name: Name, when: int, place: _Place) -> bool:
        """`place`: in the group."""
        self._transaction, self._begun, self._number = (name, when), place, 0
        if self._made:
            self._made.clear()
        return not self._known or self._counts()

    def make(self, name: str, place: _Place) -> bool:
        self._number += 1
        self._made[name] = place, self._number
        return self._counts()

    def go_back(self) -> bool:
        self._number += 1
        return self._counts()

    def _counts(self) -> bool:
        return not any(first <= self._number < end for first, end in self._known.get(self._transaction, ()))

    def place(self, name: str | None) -> _Place:
        """Of a savepoint, None: of the transaction's beginning."""
        return self._at(name)[0]

    def _at(self, name: str | None) -> tuple[_Place, int]:
        return self._made.get(name or "", (self._begun, 0))

    def read_again(self, name: str | None, place: str) -> Transient:
        """What ends an attempt in which rows behind a savepoint were handed over that are now taken back. `place`: from
        which whoever cannot take them back goes on: behind the transaction, or where it is not all void before it."""
        end = _END if name is None else self._number + 1
        self._known.setdefault(self._transaction, []).append((self._at(name)[1], end))
        return Transient(
            "a transaction in the log was taken back after rows of it had been handed over",
            why="it changed tables of an engine without transactions, or made a temporary table, and was too large to "
            "be held until its end, or foreign keys had acted in it: it is read once more, without these rows",
            hint="a larger group_bytes holds more. What cdcd tail has printed stays: drop the lines that have this tx, "
            f"and go on with --since {place}" + (" --group-bytes SIZE that holds it all" if name is not None else ""),
            transaction=text_of(self._transaction[0]),
        )
