"""Changes made in the source's order, so that the one at fault is named, and the pipeline's policy for it applies.

Taken where the bulk way failed, and for tables whose keys only the server can compare (T-FO-3). Many statements go to
the server together; it says of each how many rows it touched, and stops at the first that it refuses. Where that is not
the end of it, those before it are made again, and it is settled by the policy.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from cdcd.errors import CdcdError, Conflict, PoisonRow
from cdcd.log import get_logger
from cdcd.model.group import DELETE, UPDATE, Rows, Transaction
from cdcd.policy import Missed, Refused, Waits, identity
from connectors.mysql.exceptions import Exceptions, row_version, supersede
from connectors.mysql.sessions import Session
from connectors.mysql.single import Change, OneByOne

log = get_logger("mysql.ordered")

BATCH = 500
"""Statements sent together."""

Where = Callable[[int], Transaction | None]
"""The place of a change in its group → its transaction, where the source tells."""


@dataclass(frozen=True, slots=True)
class Made:
    """A change, its table here, its place in the group, and the statement that makes it."""

    table: OneByOne
    change: Change
    place: int
    statement: bytes


class InOrder:
    """One step of changes. `where` and `position` tell of a change where it stood at the source. `followed` are tables
    of which rows were deleted in this transaction that the source may delete once more; `unsettled` as in Group."""

    def __init__(
        self, session: Session, exceptions: Exceptions, where: Where, position: str | None, followed: Collection[str],
        unsettled: Collection[str] = (),
    ) -> None:  # fmt: skip
        self._policy = exceptions.policy.settling(unsettled)
        self._session = session
        self._exceptions = exceptions
        self._where = where
        self._position = position
        self._followed = followed
        self._overwritten = 0

    def apply(self, step: Rows, first: int, tables: dict[int, OneByOne]) -> None:
        """The step's changes to `tables`, by the id of their log; `first` is the place of the step's first change."""
        left = {id(one): zip(one.ops, one.keys, one.rows, strict=True) for one in step.order if id(one) in tables}
        batch: list[Made] = []
        size = 0
        for place, one in enumerate(step.order, first):
            if id(one) not in tables:
                continue
            table = tables[id(one)]
            for change in table.add(*next(left[id(one)])):
                made = Made(table, change, place, table.statement(change))
                size += len(made.statement)
                if len(batch) == BATCH or (batch and size > self._session.packet // 4):
                    self._batch(batch)
                    batch, size = [], len(made.statement)
                batch.append(made)
        self._batch(batch)
        if self._overwritten:
            log.warning("conflicts overwritten: the source wins", changes=self._overwritten, position=self._position)

    def _batch(self, batch: Sequence[Made]) -> None:
        if self._policy.stops and not any(map(self._concerned, batch)):
            made, error = self._run(batch)
            if error is not None:
                raise self._named(batch[made], error) from error.__cause__
            return
        while batch:
            alone = next((at for at, made in enumerate(batch) if self._concerned(made)), len(batch))
            easy, batch = batch[:alone], batch[alone:]
            if easy:
                self._session.run("SAVEPOINT batch")
                made, error = self._run(easy)
                if error is not None:
                    self._session.run("ROLLBACK TO SAVEPOINT batch")
                    self._run(easy[:made])
                    self._one(easy[made])
                    batch = [*easy[made + 1 :], *batch]  # some may be concerned by that now
                    continue
            if batch:
                self._one(batch[0])
                batch = batch[1:]

    def _run(self, batch: Sequence[Made]) -> tuple[int, CdcdError | None]:
        """How many were right before the first that was not, and what that one met."""
        if not batch:
            return 0, None
        done, error = self._session.tried(b"; ".join([made.statement for made in batch]))
        for number, (made, result) in enumerate(zip(batch, done, strict=False)):
            if result.count != 1 and not self._gone(made, result.count):
                return number, Missed(result.count, made.change.kind)
        return len(done), error

    def _gone(self, made: Made, count: int) -> bool:
        return not count and made.change.op == DELETE and made.table.id in self._followed and bool(made.table.key)

    # --- one at a time -----------------------------------------------------------------------------------------------

    def _concerned(self, made: Made) -> bool:
        return self._exceptions.concern(made.table.form, made.change.key, made.change.landing)

    def _waiting(self, made: Made) -> list[int]:
        """The records of changes to its row that wait to be made."""
        keys = [key for key in (made.change.key, made.change.landing) if key is not None]
        return self._exceptions.of_rows(made.table, keys) if self._concerned(made) else []

    def _one(self, made: Made) -> None:
        self._session.run("SAVEPOINT one")
        try:
            waiting = self._waiting(made)
            if waiting and made.change.row is not None and not made.change.whole:
                raise Waits(len(waiting))
            self._make(made, [made.statement])
            supersede(self._session, waiting)
        except (Conflict, PoisonRow) as error:
            self._session.run("ROLLBACK TO SAVEPOINT one")
            self._settle(made, error)

    def _make(self, made: Made, statements: Sequence[bytes]) -> None:
        for statement in statements:
            done, error = self._session.tried(statement)
            if error is not None:
                raise error
            if done[-1].count != 1 and not self._gone(made, done[-1].count):
                raise Missed(done[-1].count, made.change.kind)

    def _settle(self, made: Made, error: CdcdError) -> None:
        """By the policy; nothing of the change is made."""
        met = error.count if isinstance(error, Missed) else None
        settling = made.table.id in self._policy.unsettled
        if settling and met == 0 and made.change.op == UPDATE and not made.change.whole:
            return  # of a row that is deleted later
        if self._policy.of(error, made.table.id) == "overwrite" and not isinstance(error, Waits):
            for statements in made.table.overwrite(made.change, met):
                try:
                    waiting = self._waiting(made)
                    self._make(made, statements)
                    supersede(self._session, waiting)
                    self._overwritten += not settling
                    return
                except (Conflict, PoisonRow) as again:
                    self._session.run("ROLLBACK TO SAVEPOINT one")
                    error = again
        self._pass_over(made, error)

    def _pass_over(self, made: Made, error: CdcdError) -> None:
        """Record the change, if that is the policy and there is room; else stop at it."""
        if self._policy.of(error, made.table.id) != "skip":
            raise self._named(made, error) from error.__cause__
        if self._exceptions.full():
            most = self._policy.most
            error.hint = f"max_exceptions = {most} wait: mend the target and `cdcd retry`, or `cdcd reload` a table"
            raise self._named(made, error) from error.__cause__
        table, change = made.table, made.change
        key, row = table.values(change)
        found = row_version(self._session, table.shape, table.where(change.key)) if table.key else ""
        told = f"{error.what}: {error.why}" if error.why else error.what
        errno = error.where.get("errno")
        named = identity(table.form, change.key) if table.key else None
        refused = Refused(table.id, change.kind, key, row, told, str(errno) if errno else None, found, named)
        self._exceptions.record(refused, self._where(made.place), self._position)
        log.warning("a change was passed over", why=error.what, table=table.id, change=change.kind, errno=errno)

    def _named(self, made: Made, error: CdcdError) -> CdcdError:
        """The error with what it happened to."""
        place = self._where(made.place)
        tell(error, made.table, made.change, position=str(place.position) if place else self._position,
             tx=place.id if place else None)  # fmt: skip
        if place is not None and isinstance(error, Conflict | PoisonRow):
            mend = error.hint or "mend what refuses it, and run again"
            error.hint = f"{mend}; or `cdcd skip --tx {place.id}` passes over its transaction"
        return error


def tell(error: CdcdError, table: OneByOne, change: Change, **more: object) -> CdcdError:
    """The error, with the change that it happened to."""
    where: dict[str, object] = {"table": table.id, "key": table.key_text(change), "change": change.kind, **more}
    error.where = {name: value for name, value in where.items() if value is not None} | error.where
    return error
