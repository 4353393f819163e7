"""A chunk: a table, or a range of its key, read under one snapshot and written in one target transaction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """*in flight* (given to a snapshot) is held in memory only: a crash makes such a chunk unread."""

    UNREAD = "unread"
    IN = "in"


Bound = tuple[str, ...]
"""The key columns' values (or the first ones of a composite key), in the source's text form."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows of `table` (its id) with low <= key < high; None: no bound on that side. `number` is its place in the table.

    `columns` names the key columns the bounds speak of. `rows` and `bytes` are what its load has written.
    """

    table: str
    number: int
    low: Bound | None = None
    high: Bound | None = None
    columns: tuple[str, ...] = ()
    state: State = State.UNREAD
    rows: int = 0
    bytes: int = 0

    @property
    def id(self) -> tuple[str, int]:
        return (self.table, self.number)

    @property
    def whole(self) -> bool:
        """Whether it is its table's only chunk."""
        return self.low is None and self.high is None

    def with_state(self, state: State, rows: int = 0, bytes: int = 0) -> Chunk:
        return replace(self, state=state, rows=rows, bytes=bytes)

    def to_json(self) -> dict[str, Any]:
        return {"low": self.low, "high": self.high, "columns": list(self.columns)}
