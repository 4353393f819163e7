"""Places in a source's log, and what is durable at the target up to there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self


class Position(Protocol):
    """A place in a log, opaque to the engine. Partly ordered: ask `covers`, never compare with <.

    PostgreSQL's is always *the next byte*: a commit's end, a slot's consistent point, a keepalive's end. A
    transaction is covered, or held by a snapshot, if and only if its Begin's `final_lsn` < position (T-PG-19).
    """

    def covers(self, other: Self) -> bool:
        """Whether everything up to `other` lies up to here; equal places cover each other."""
        ...

    def distance(self, other: Self) -> int:
        """Bytes of log from `other` up to here; 0 where it cannot be told."""
        ...

    def to_json(self) -> dict[str, Any]: ...

    def __str__(self) -> str: ...


def printable(data: Mapping[str, Any]) -> str:
    """A stored position as `str` of it gave, for an end that knows nothing of the source's positions: what it is made
    of, without what it merely knows."""
    return ":".join(str(value) for value in data.values() if isinstance(value, str | int)) or "none"


@dataclass(frozen=True, slots=True)
class Window:
    """Rows of `tables` (ids) were read without a lock, at no place of the log: the target may hold of them what changes
    up to `high` made. Until that is passed a change makes the row what it says, whatever is there."""

    high: Position
    tables: frozenset[str]

    def to_json(self) -> dict[str, Any]:
        return {"high": self.high.to_json(), "tables": sorted(self.tables)}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All up to `position` is durable at the target, and of the next transaction, `tx`, its first `done` changes.

    `done` is 0 nearly always: PostgreSQL targets never split a transaction. `window`: of a snapshot that was read
    without a lock, until its end is passed.
    """

    position: Position
    tx: str | None = None
    done: int = 0
    window: Window | None = None

    def to_json(self) -> dict[str, Any]:
        window = {"window": self.window.to_json()} if self.window is not None else {}
        return {"version": 1, "position": self.position.to_json(), "tx": self.tx, "done": self.done, **window}

    @staticmethod
    def from_json(data: Mapping[str, Any], position: Callable[[Mapping[str, Any]], Position]) -> Checkpoint:
        """A stored one whose `done` is the sink's alone. `position`: Source.position."""
        window = data.get("window")
        opened = Window(position(window["high"]), frozenset(window["tables"])) if window else None
        return Checkpoint(position(data["position"]), window=opened)

    def moved(self, position: Position) -> Checkpoint:
        """What is stored once everything up to there is in."""
        passed = self.window is None or position.covers(self.window.high)
        return Checkpoint(position, window=None if passed else self.window)

    def opened(self, high: Position | None, tables: Iterable[str]) -> Checkpoint:
        """With the window of a snapshot whose rows are of these tables, which lasts longer than any before; None: it
        has none."""
        if high is None or self.position.covers(high):
            return self
        known = self.window.tables if self.window is not None else frozenset()
        return replace(self, window=Window(high, known | frozenset(tables)))


@dataclass(frozen=True, slots=True)
class Identity:
    """Which server and database a position belongs to; stored beside it. A different one is a named stop.

    `system` is the server's own id (PostgreSQL: system identifier), `timeline` counts its promotions,
    `database` is the source's number for the database.
    """

    product: str
    system: str
    timeline: int
    database: str

    def to_json(self) -> dict[str, Any]:
        return {"product": self.product, "system": self.system, "timeline": self.timeline, "database": self.database}

    @staticmethod
    def from_json(data: dict[str, Any]) -> Identity:
        return Identity(**data)
