"""Changes made in the source's order, so that the one at fault is named.

Taken where the bulk way failed, and for tables whose keys only the server can compare (T-FO-3). Many statements go to
the server together; the server says of each how many rows it touched, and stops at the first that it refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cdcd.errors import CdcdError, Conflict
from cdcd.model.group import Rows, Transaction
from connectors.mysql.sessions import Session
from connectors.mysql.single import Change, OneByOne

BATCH = 500
"""Statements sent together."""

Where = Callable[[int], Transaction | None]
"""The place of a change in its group → its transaction, where the source tells."""


@dataclass(frozen=True, slots=True)
class Made:
    """A change, its table here, and its place in the group."""

    table: OneByOne
    change: Change
    place: int


class InOrder:
    """One step of changes. `where` and `position` tell of a change where it stood at the source."""

    def __init__(self, session: Session, where: Where, position: str | None) -> None:
        self._session = session
        self._where = where
        self._position = position

    def apply(self, step: Rows, first: int, tables: dict[int, OneByOne]) -> None:
        """The step's changes to `tables`, by the id of their log; `first` is the place of the step's first change."""
        left = {id(one): zip(one.ops, one.keys, one.rows, strict=True) for one in step.order if id(one) in tables}
        batch: list[tuple[Made, bytes]] = []
        size = 0
        for place, one in enumerate(step.order, first):
            if id(one) not in tables:
                continue
            table = tables[id(one)]
            for change in table.add(*next(left[id(one)])):
                statement = table.statement(change)
                if len(batch) == BATCH or (batch and size + len(statement) > self._session.packet // 4):
                    self._batch(batch)
                    batch, size = [], 0
                batch.append((Made(table, change, place), statement))
                size += len(statement)
        self._batch(batch)

    def _batch(self, batch: Sequence[tuple[Made, bytes]]) -> None:
        if not batch:
            return
        done, error = self._session.tried(b"; ".join([statement for _, statement in batch]))
        for (made, _), result in zip(batch, done, strict=False):
            if result.count != 1:
                raise self._named(made, Missed(result.count, made.change.kind))
        if error is not None:
            raise self._named(batch[len(done)][0], error) from error.__cause__

    def _named(self, made: Made, error: CdcdError) -> CdcdError:
        """The error with what it happened to."""
        place = self._where(made.place)
        tell(error, made.table, made.change, position=str(place.position) if place else self._position,
             tx=place.id if place else None)  # fmt: skip
        if place is not None and not error.hint:
            error.hint = f"mend what refuses it, and run again; or `cdcd skip --tx {place.id}`, which passes it over"
        return error


def tell(error: CdcdError, table: OneByOne, change: Change, **more: object) -> CdcdError:
    """The error, with the change that it happened to."""
    where: dict[str, object] = {"table": table.id, "key": table.key_text(change), "change": change.kind, **more}
    error.where = {name: value for name, value in where.items() if value is not None} | error.where
    return error


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
