"""What becomes of changes that a target refuses, or that meet another state there than the source's."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cdcd.errors import CdcdError, Conflict, PoisonRow
from cdcd.model.group import TableLog
from cdcd.model.selection import Selection
from cdcd.model.table import Table
from cdcd.rows import RowForm

Values = Mapping[str, Any]
"""Column → the server's text, or None for NULL; {"binary": hexadecimal} where the server could not read it."""


EVERY = Selection()


@dataclass(frozen=True, slots=True)
class Policy:
    """What becomes of a change that the target refuses (`on_error`: "stop", "skip"), or that meets another state than
    the source's (`on_conflict`: "stop", "overwrite", "skip"). `most` recorded ones may wait to be tried again. This is
    for `tables`; at others the pipeline stops. Rows of `unsettled` ones are overwritten, as in Group."""

    on_error: str = "stop"
    on_conflict: str = "stop"
    most: int = 1000
    tables: Selection = EVERY
    unsettled: Collection[str] = ()

    def settling(self, tables: Collection[str]) -> Policy:
        """The same, with these tables unsettled."""
        return replace(self, unsettled=tables) if tables else self

    @property
    def stops(self) -> bool:
        """Whether nothing is ever passed over."""
        return self.on_error == self.on_conflict == "stop" and not self.unsettled

    def of(self, error: CdcdError, table: str) -> str:
        """What becomes of a change of the table that met this error."""
        if table in self.unsettled and isinstance(error, Conflict):
            return "overwrite"
        if not self.tables.matches(table):
            return "stop"
        return self.on_error if isinstance(error, PoisonRow) else self.on_conflict


STOP = Policy()


@dataclass(frozen=True, slots=True)
class Refused:
    """A change as it is recorded. `key` names the row it is made to (keyless: is that row), `row` has the new cells
    that are known; `found` is the version of the row it met; `identity` is the key as the stream brings it."""

    table: str
    op: str
    key: Values | None
    row: Values | None
    error: str
    sqlstate: str | None
    found: str = ""
    identity: bytes | None = None


def identity(form: RowForm, key: bytes) -> bytes:
    """A key as the stream brings it: equal for equal rows, where the table is foldable and the form the same."""
    return form.name.encode() + b"\0" + key


def vague(form: RowForm, waiting: Collection[bytes], foldable: bool) -> bool:
    """Whether bytes do not tell which rows these are: only the server compares the keys, or they came otherwise."""
    prefix = identity(form, b"")
    return not foldable or not all(one.startswith(prefix) for one in waiting)


class Waiting:
    """The rows of which a change waits to be made, by table: their identities, as `read` tells them once; one that is
    settled by others may stay."""

    def __init__(self, read: Callable[[], Iterable[tuple[str, bytes | None]]]) -> None:
        self._read = read
        self._known: dict[str, set[bytes]] | None = None

    def of(self, table: Table) -> set[bytes]:
        if self._known is None:
            self._known = {}
            for id, its in self._read():
                self._known.setdefault(id, set()).add(bytes(its or b""))
        return self._known.get(table.id, set()) if table.key else set()

    def add(self, table: str, its: bytes | None) -> None:
        if self._known is not None:
            self._known.setdefault(table, set()).add(its or b"")

    def touch(self, one: TableLog, foldable: bool) -> bool:
        """Whether one of these changes may be to such a row."""
        waiting = self.of(one.table)
        if not waiting or vague(one.form, waiting, foldable):
            return bool(waiting)
        prefix = len(identity(one.form, b""))
        return not {known[prefix:] for known in waiting}.isdisjoint(one.keys)

    def concern(self, form: RowForm, foldable: bool, *keys: bytes | None) -> bool:
        """Whether a change may wait of a row of one of these keys."""
        waiting = self.of(form.table)
        if not waiting or vague(form, waiting, foldable):
            return bool(waiting)
        return any(key is not None and identity(form, key) in waiting for key in keys)


class Missed(Conflict):
    """A statement that should have met one row met `count`."""

    def __init__(self, count: int, kind: str) -> None:
        super().__init__(
            f"the {kind} of a row met {count or 'no'} rows at the target",
            why="something else has written to the table there, or keeps rows from being written",
            hint="make the row what it was at the source before this change, and run again; or on_conflict = overwrite",
        )
        self.count = count

    @property
    def name(self) -> str:
        return Conflict.__name__


class Waits(Conflict):
    """A change does not tell all cells of a row, and of those that it leaves out one may be in a change that was not
    made."""

    def __init__(self, count: int) -> None:
        super().__init__(
            "an update leaves out cells of a row of which a change was not made",
            why=f"{count} changes of it wait in cdcd.exceptions: the cells that are not sent again may be theirs",
            hint="make them, by `cdcd retry`, or have the table read again, by `cdcd reload`; then run again",
        )

    @property
    def name(self) -> str:
        return Conflict.__name__
