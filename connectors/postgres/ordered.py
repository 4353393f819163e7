"""Changes made in the source's order, so that the one at fault is named, and the pipeline's policy for it applies.

Taken where the bulk way failed: keys or unique values that change places have no safe bulk order (T-FO-2), and a count
that is wrong does not say whose. Also for tables whose keys only the server can compare (T-FO-3). The rows still travel
in bulk; then there is one statement for each change, of which many go to the server together: each fails where its
count is wrong, and a batch that failed is taken back and made again one by one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from cdcd.errors import CdcdError, Conflict, PoisonRow
from cdcd.log import get_logger
from cdcd.model.group import UPDATE, Rows, Transaction
from cdcd.policy import Missed, Refused, Waits, identity
from connectors.postgres.exceptions import Exceptions, row_version, supersede
from connectors.postgres.sessions import Session
from connectors.postgres.single import Change, OneByOne

log = get_logger("postgres.ordered")

BATCH = 500
"""Statements sent together. A row at fault among 30,000 is found in 60 round trips and the 500 of its batch."""

_LINE = re.compile(r"\bline (\d+)\b")

Where = Callable[[int], Transaction | None]
"""The place of a change in its group → its transaction, where the source tells."""


class OutOfOrder(Exception):
    """A change that could not be made, and why."""

    def __init__(self, made: Made, error: CdcdError) -> None:
        super().__init__(str(error))
        self.made = made
        self.error = error


@dataclass(frozen=True, slots=True)
class Made:
    """A change, its table here, and its place in the group."""

    table: OneByOne
    change: Change
    place: int


class InOrder:
    """One step of changes. `followed` are tables on which cascades of this transaction may have fired; `where` and
    `position` tell of a change where it stood at the source; `unsettled` as in Group."""

    def __init__(
        self,
        session: Session,
        exceptions: Exceptions,
        followed: Collection[str],
        where: Where,
        position: str | None,
        unsettled: Collection[str] = (),
    ) -> None:
        self._policy = exceptions.policy.settling(unsettled)
        self._session = session
        self._exceptions = exceptions
        self._followed = followed
        self._where = where
        self._position = position
        self._overwritten = 0
        self._unread: dict[Change, OutOfOrder] = {}

    def apply(self, step: Rows, first: int, tables: dict[int, OneByOne]) -> None:
        """The step's changes to `tables`, by the id of their log; `first` is the place of the step's first change."""
        for table in tables.values():
            table.changes.clear()
        left = {id(one): zip(one.ops, one.keys, one.rows, strict=True) for one in step.order if id(one) in tables}
        changes = [
            Made(tables[id(one)], change, place)
            for place, one in enumerate(step.order, first)
            if id(one) in tables
            for change in tables[id(one)].add(*next(left[id(one)]))
        ]
        for table in tables.values():
            if self._exceptions.waiting(table.form.table):
                table.ready_to_tell()
        self._session.defer("SAVEPOINT in_order")
        try:
            self._stage(changes, list(tables.values()))
            for start in range(0, len(changes), BATCH):
                self._batch(changes[start : start + BATCH])
        except OutOfOrder as at_fault:
            raise self._named(at_fault) from at_fault.error.__cause__
        self._session.defer("RELEASE SAVEPOINT in_order")
        if self._overwritten:
            log.warning("conflicts overwritten: the source wins", changes=self._overwritten, position=self._position)

    # --- staging -----------------------------------------------------------------------------------------------------

    def _stage(self, changes: Sequence[Made], tables: Sequence[OneByOne]) -> None:
        """Send all rows but those that the server cannot even read, which are noted: they are passed over in their
        turn, as a version that is recorded is the one that the change would have met."""
        self._unread.clear()
        for table in tables:
            its = [made for made in changes if made.table is table]
            table.empty()
            start = 0
            while start < len(its):
                self._session.defer("SAVEPOINT stage")
                try:
                    table.stage([made.change for made in its[start:]])
                except CdcdError as error:
                    line = _LINE.search(str(error.where.get("context", "")))
                    if line is None or not isinstance(error, Conflict | PoisonRow):
                        raise
                    at_fault = OutOfOrder(its[start + int(line[1]) - 1], error)
                    if self._policy.of(error, table.id) != "skip":
                        raise at_fault from error
                    self._unread[at_fault.made.change] = at_fault
                    self._session.run("ROLLBACK TO SAVEPOINT stage")
                    # What comes before it was read by the server and found good.
                    table.stage([made.change for made in its[start : start + int(line[1]) - 1]])
                    start += int(line[1])
                else:
                    start = len(its)
                self._session.defer("RELEASE SAVEPOINT stage")

    # --- making ------------------------------------------------------------------------------------------------------

    def _batch(self, changes: Sequence[Made]) -> None:
        """Together what can be checked by its own statement, and one by one what lies between."""
        run: dict[Made, str] = {}
        for made in changes:
            easy = made.change not in self._unread and not self._concerned(made)
            if easy and (statement := made.table.checked(made.change)) is not None:
                run[made] = statement
                continue
            self._together(run)
            run = {}
            self._one(made)
        self._together(run)

    def _together(self, run: Mapping[Made, str]) -> None:
        if len(run) > 1:
            try:
                self._session.run(f"SAVEPOINT batch; {'; '.join(run.values())}; RELEASE SAVEPOINT batch")
                return
            except (Conflict, PoisonRow):
                self._session.run("ROLLBACK TO SAVEPOINT batch; RELEASE SAVEPOINT batch")
        for made in run:
            self._one(made)

    def _one(self, made: Made) -> None:
        stops = self._policy.stops
        if not stops:
            self._session.defer("SAVEPOINT one")
        try:
            if made.change in self._unread:
                raise self._unread[made.change]
            self._make(made)
        except OutOfOrder as at_fault:
            if stops or not isinstance(at_fault.error, Conflict | PoisonRow):
                raise
            self._session.run("ROLLBACK TO SAVEPOINT one")
            self._settle(at_fault)
        if not stops:
            self._session.defer("RELEASE SAVEPOINT one")

    def _make(self, made: Made) -> None:
        """A cascade at the target may have made a change to a followed table already (T-PT-3)."""
        table, change = made.table, made.change
        followed = table.id in self._followed and bool(table.key)
        try:
            waiting = self._waiting(made)
            if waiting and change.row is not None and not change.whole:
                raise Waits(len(waiting))
            count = table.make(change)
            if count == 0 and followed and change.is_move:
                count = table.make(change, there=True)
            if count != 1 and not (count == 0 and followed and change.is_delete):
                raise Missed(count, change.kind)
            supersede(self._session, waiting)
        except CdcdError as error:
            raise OutOfOrder(made, error) from error

    # --- what could not be made --------------------------------------------------------------------------------------

    def _settle(self, at_fault: OutOfOrder) -> None:
        """By the policy. The savepoint `one` is open, and nothing was done since it."""
        error, made = at_fault.error, at_fault.made
        met = error.count if isinstance(error, Missed) else None
        settling = made.table.id in self._policy.unsettled
        if settling and met == 0 and made.change.op == UPDATE and not made.change.whole:
            return  # of a row that is deleted later
        if self._policy.of(error, made.table.id) == "overwrite" and not isinstance(error, Waits):
            try:
                waiting = self._waiting(made)
                if made.table.overwrite(made.change, met):
                    self._overwritten += not settling
                    supersede(self._session, waiting)
                    return
            except (Conflict, PoisonRow) as again:
                at_fault = OutOfOrder(made, again)
            self._session.run("ROLLBACK TO SAVEPOINT one")
        self._pass_over(at_fault)

    def _pass_over(self, at_fault: OutOfOrder) -> None:
        """Record the change, if that is the policy and there is room; else stop at it."""
        made, error = at_fault.made, at_fault.error
        if self._policy.of(error, made.table.id) != "skip":
            raise at_fault
        if self._exceptions.full():
            most = self._policy.most
            error.hint = f"max_exceptions = {most} wait: mend the target and `cdcd retry`, or `cdcd reload` a table"
            raise at_fault
        table, change = made.table, made.change
        key, row = table.values(change)
        found = row_version(self._session, table.shape, key) if table.key and key else ""
        told = f"{error.what}: {error.why}" if error.why else error.what
        sqlstate = error.where.get("sqlstate")
        named = identity(table.form, change.key) if table.key else None
        refused = Refused(table.id, change.kind, key, row, told, str(sqlstate) if sqlstate else None, found, named)
        self._exceptions.record(refused, self._where(made.place), self._position)
        log.warning("a change was passed over", why=error.what, table=table.id, change=change.kind, sqlstate=sqlstate)

    def _concerned(self, made: Made) -> bool:
        return self._exceptions.concern(made.table.form, made.change.key, made.change.landing)

    def _waiting(self, made: Made) -> list[int]:
        """The records of changes to its row that wait to be made."""
        if not self._concerned(made):
            return []
        return self._exceptions.of_rows(made.table.shape, made.table.id, made.table.keys(made.change))


    def _named(self, at_fault: OutOfOrder) -> CdcdError:
        """The error with what it happened to."""
        error, made = at_fault.error, at_fault.made
        if not isinstance(error, Conflict | PoisonRow):
            return error
        self._session.run("ROLLBACK TO SAVEPOINT in_order")
        place = self._where(made.place)
        where: dict[str, object] = {"table": made.table.id, "key": made.table.key_text(made.change)}
        where |= {"change": made.change.kind, "position": str(place.position) if place else self._position}
        where |= {"tx": place.id if place else None}
        error.where = {name: value for name, value in where.items() if value is not None} | error.where
        if place is not None and not error.hint:
            error.hint = f"mend what refuses it, and run again; or `cdcd skip --tx {place.id}`, which passes it over"
        return error
