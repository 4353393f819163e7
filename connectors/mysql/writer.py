"""The session that applies: one transaction per group, in which rows and checkpoint move together or not at all.

The checkpoint's row and the epoch's are locked and compared first, so that neither another owner nor a repetition by
ourselves gets any further (T-PO-2). A step of changes is made in bulk under a savepoint; where that fails it is made
once more with all rows taken away before any is put, and then one by one, which is right where no bulk order is, or
names the change that is wrong (T-PT-4).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

from cdcd.errors import Conflict, PoisonRow, StateRefused
from cdcd.fold import Contradiction, Net, fold
from cdcd.log import get_logger
from cdcd.model.change import SchemaChange
from cdcd.model.group import (
    INSERT,
    MOVE,
    Cascade,
    Group,
    Places,
    Rows,
    TableLog,
    Transaction,
    Truncate,
    after,
    size,
)
from cdcd.model.position import Checkpoint
from cdcd.model.table import Table
from cdcd.policy import STOP, Policy
from cdcd.refused import after_error, fenced, other_checkpoint
from cdcd.skipped import Skips
from connectors.mysql.alter import verify
from connectors.mysql.bulk import Bulk
from connectors.mysql.claim import to_text
from connectors.mysql.derived import Derived
from connectors.mysql.durable import AFTER, Durable, Ticket
from connectors.mysql.empty import empty_chunks, truncate
from connectors.mysql.exceptions import Exceptions, supersede_tables
from connectors.mysql.forms import target_forms
from connectors.mysql.intents import Intent, Intents, Stored, store_changes
from connectors.mysql.ordered import InOrder, Where
from connectors.mysql.sessions import Session, literal
from connectors.mysql.shape import Shape, read_shape
from connectors.mysql.single import OneByOne
from connectors.mysql.skip import done, pass_over
from connectors.mysql.stage import TooWide
from connectors.mysql.stops import Stops

log = get_logger("mysql.writer")

_LOCK = "SELECT checkpoint FROM cdcd.checkpoints WHERE pipeline = %s AND scope = '' FOR UPDATE"
_HOLD_EPOCH = "SELECT epoch FROM cdcd.epochs WHERE pipeline = %s AND epoch = %s LOCK IN SHARE MODE"
_STORE = "UPDATE cdcd.checkpoints SET checkpoint = %s WHERE pipeline = %s AND scope = ''"


class Writer:
    """One epoch's session for apply. After an error it takes nothing any more: the next claim brings another."""

    def __init__(
        self,
        session: Session,
        pipeline: str,
        epoch: int,
        expected: str | None,
        tables: dict[str, Table],
        intents: Intents,
        policy: Policy = STOP,
        begun: Intent | None = None,
        skips: Skips | None = None,
    ) -> None:
        """`expected`: the stored checkpoint's text. `begun`: changes of tables that were made in the middle of a
        transaction of which the end is not here."""
        self.session = session
        self._pipeline = pipeline
        self._epoch = epoch
        self._expected = expected
        self._tables = tables
        self._intents = intents
        self._stored: Stored = json.loads(expected) if expected else {}
        self._since = 0  # changes applied since the stored checkpoint
        self._passed = self._stored.get("done", 0)  # of these so many come again
        self._altered: list[SchemaChange] = []  # not stored before the transaction's end
        self._former = dict(begun.shapes) if begun is not None else {}  # shapes that old rows come for
        self._open = False
        self._failed = False
        self._durable = Durable(session)
        self._stops = Stops(session, pipeline)
        self._skips = skips or Skips()
        self._skipped: set[int] = set()  # orders whose transactions were passed over since the stored checkpoint
        self._exceptions = Exceptions(session, pipeline, policy)
        self._derived = Derived(session, self._exceptions, self._shape)
        self._changed_along: set[str] = set()  # tables of which foreign keys of the source's changed rows
        self._shapes: dict[str, Shape] = {}
        self._bulks: dict[str, Bulk] = {}
        self._too_wide: set[str] = set()
        self._made = 0
        self._transaction: Transaction | None = None  # the source's, of which a piece was applied

    # --- the transaction ---------------------------------------------------------------------------------------------

    def apply(self, group: Group, checkpoint: Checkpoint | None) -> Ticket | None:
        self._refuse_after_error()
        try:
            if not self._open:
                self._make_ready(group, whole=checkpoint is not None)
                self._begin()
            position = str(group.position) if group.position is not None else None
            places = Places(group, self._transaction)
            self._transaction = places.last
            first = 0
            for step, skipped in self._skips.divide(group, places):
                if isinstance(step, SchemaChange):
                    break  # these are at the end
                if isinstance(step, Cascade):
                    if not self._passed:
                        self._changed_along |= self._derived.make(step)
                elif (left := self._left_of(step, size(step))) is None:
                    pass
                elif skipped is not None:
                    self._pass_over(left, skipped)
                elif isinstance(left, Rows):
                    begun = first + size(step) - len(left.order)
                    self._rows(left, begun, places.at, position, group.unsettled)
                else:
                    truncate(self.session, left, self._shape)
                    supersede_tables(self.session, self._pipeline, [table.id for table in left.tables])
                first += size(step)
            changes = group.schema_changes
            if group.unread:
                empty_chunks(self.session, self._pipeline, group.unread, self._tables, self._shape)
            if changes and (ticket := self._alter(changes, checkpoint)) is not None:
                return ticket
            return None if checkpoint is None else self._commit(checkpoint)
        except (Conflict, PoisonRow) as error:
            self._failed = True
            self._stops.note(error)
            raise
        except BaseException:
            self._failed = True
            raise

    def _refuse_after_error(self) -> None:
        if self._failed:
            raise after_error(self._pipeline)

    def _left_of(self, step: Rows | Truncate, changes: int) -> Rows | Truncate | None:
        """Without what is in already, of a transaction in which tables were altered (T-PO-4)."""
        self._since += changes
        again = min(changes, self._passed)
        self._passed -= again
        if not again:
            return step
        return after(step, again) if isinstance(step, Rows) and again < changes else None

    def _make_ready(self, group: Group, whole: bool) -> None:
        """What needs statements that are not for the middle of a transaction; a group that is not `whole` opens one for
        pieces that have not come yet."""
        for step in group.steps:
            for one in step.logs.values() if isinstance(step, Rows) else ():
                if one.ops.count(INSERT) < len(one.ops):
                    self._stage(one.table)
        if not whole:
            for table in self._tables.values():
                self._stage(table)
        if not whole or any(isinstance(step, Cascade) for step in group.steps):
            self._derived.ready(self._tables)

    def _stage(self, table: Table) -> None:
        if table.id in self._former:
            return  # its old rows are passed over
        try:
            self._bulk(table).ready()
        except TooWide:
            self._too_wide.add(table.id)

    def _begin(self) -> None:
        locks = f"{_LOCK}; {_HOLD_EPOCH}" % (literal(self._pipeline), literal(self._pipeline), self._epoch)
        stored, held = self.session.do(locks.encode())
        if not held.rows:
            raise fenced(self._pipeline)
        if not stored.rows or stored.rows[0][0] != self._expected:
            raise other_checkpoint(self._pipeline)
        self._changed_along.clear()
        self._open = True

    def _commit(self, checkpoint: Checkpoint) -> Ticket:
        """An error of the server means that nothing was committed; a connection that ends leaves it unknown, and the
        next claim tells."""
        stored = to_text(checkpoint.to_json())
        self._stops.passed()
        self._settle_orders()
        if self._altered:
            store_changes(self.session, self._pipeline, self._altered)
            self.session.defer(f"DELETE FROM cdcd.intents WHERE pipeline = {literal(self._pipeline)}")
            self._altered = []
        ((at_once,),) = self.session.rows(f"{_STORE}; COMMIT; {AFTER}", stored, self._pipeline)
        self._expected, self._stored = stored, checkpoint.to_json()
        self._since = self._passed = 0
        self._open = False
        self._transaction = None
        return self._durable.ticket(bool(at_once))

    def _settle_orders(self) -> None:
        """With the commit that stores, or makes certain, the place behind the transactions that were passed over."""
        if self._skipped:
            self.session.defer(done(sorted(self._skipped)))
            self._skipped.clear()

    def _alter(self, changes: list[SchemaChange], checkpoint: Checkpoint | None) -> Ticket | None:
        """Make the changes that end a group. None: nothing was committed, or the transaction goes on after them."""
        again = min(len(changes), self._passed)
        self._passed -= again
        for change in changes[:again]:
            log.debug("a change of a table that is made already", table=change.old.id)
        for change in changes:
            log.info("a table changed", table=change.old.id, what=change.said, policy=change.policy)
        todo = changes[again:]
        for change in todo:
            if change.reload:
                self.session.run(f"DELETE FROM {self._shape(change.old).sql}")
                supersede_tables(self.session, self._pipeline, [change.old.id])
        made = _statements(todo)
        if made:
            stored = to_text(checkpoint.to_json()) if checkpoint is not None else None
            shapes = {change.old.id: self._shape(change.old) for change in todo}
            intent = Intent([*self._altered, *changes], self._since, stored, {**self._former, **shapes})
            intent.number = len(intent.changes) - len(todo)
            if checkpoint is not None:
                self._settle_orders()
            self._intents.begin(intent, self._stored)
            self._open = False
            self._intents.carry_out(intent)
        self._since += len(changes)
        for change in changes:
            self._tables.pop(change.old.id, None)
            self._former.pop(change.old.id, None)
            if change.new is not None:
                self._tables[change.new.id] = change.new
        self._altered += changes
        if made:
            self.session.run("COMMIT")
            intent.done = self._since
            self._expected = self._intents.settle(intent, self._stored)
            ((at_once,),) = self.session.rows(f"COMMIT; {AFTER}")
            self.look_again()
            if checkpoint is not None:
                self._stored = checkpoint.to_json()
                self._since, self._altered, self._transaction = 0, [], None
                return self._durable.ticket(bool(at_once))
            self._go_on()
        elif again and checkpoint is None:
            self.session.run("COMMIT")  # nothing was written: all that came was in already
            self.look_again()
            self._go_on()
        elif any(change.policy != "apply" for change in todo):
            for change in todo:
                if change.new is not None:
                    verify(self.session, change)
        return None

    @contextmanager
    def durably(self) -> Iterator[Session]:
        """A transaction of its own for what is seldom: fenced like apply."""
        self._refuse_after_error()
        if self._open:
            raise StateRefused("a transaction of the source is half applied", pipeline=self._pipeline)
        try:
            self.session.run("COMMIT")
            if self.session.row(_HOLD_EPOCH, self._pipeline, self._epoch) is None:
                raise fenced(self._pipeline)
            yield self.session
            self.session.run("COMMIT")
        except BaseException:
            self._failed = True
            raise

    def started(self, checkpoint: Checkpoint) -> None:
        """What apply expects to find from now on."""
        self._expected = to_text(checkpoint.to_json())
        self._stored = checkpoint.to_json()

    def _go_on(self) -> None:
        """In the middle of a source's transaction, after its tables were altered."""
        self._open = False
        self._make_ready(Group(), whole=False)
        self._begin()

    def shape_for(self, table: Table) -> Shape:
        """That rows of the table come for: the target's, or what it was while such rows are only passed over."""
        known = self._former.get(table.id)
        return known if known is not None and self._passed else read_shape(self.session, table)

    def carries(self, tables: Sequence[Table]) -> None:
        self._tables |= {table.id: table for table in tables}
        self._derived.forget()

    def durable(self, ticket: Ticket) -> bool:
        return self._durable.holds(ticket)

    # --- a step of changes -------------------------------------------------------------------------------------------

    def _rows(
        self, step: Rows, first: int, where: Where, position: str | None, unsettled: Collection[str]
    ) -> None:
        logs = list(step.logs.values())
        touched = {id(one) for one in logs if one.table.id in unsettled or self._exceptions.touch(one)}
        single = [one for one in logs if not _folds(one) or one.table.id in self._too_wide or id(one) in touched]
        if not self._in_bulk([one for one in logs if one not in single]):
            single = logs
        if single:
            tables = self._one_by_one(single)
            in_order = InOrder(self.session, self._exceptions, where, position, self._changed_along, unsettled)
            in_order.apply(step, first, tables)

    def _pass_over(self, step: Rows | Truncate, place: Transaction) -> None:
        tables = self._one_by_one(step.logs.values()) if isinstance(step, Rows) else {}
        pass_over(self.session, self._exceptions, step, tables, place)
        self._skipped.add(self._skips.order(place))

    def _one_by_one(self, logs: Iterable[TableLog]) -> dict[int, OneByOne]:
        return {id(one): OneByOne(self._shape(one.table), one.form, self.session.mariadb) for one in logs}

    def _in_bulk(self, logs: list[TableLog]) -> bool:
        """False: it cannot be done so, and nothing was."""
        try:
            nets = [(self._bulk(one.table), fold(one)) for one in logs]
        except Contradiction:
            return False
        return self._try(nets) or (any(_shifts(bulk, net) for bulk, net in nets) and self._try(nets, shifting=True))

    def _try(self, nets: list[tuple[Bulk, Net]], shifting: bool = False) -> bool:
        try:
            self.session.defer("SAVEPOINT bulk")
            for bulk, net in nets:
                bulk.make(net, shifting)
        except (Conflict, PoisonRow) as error:
            self.session.run("ROLLBACK TO SAVEPOINT bulk")
            log.debug("in another way", why=error.what, **error.where)
            return False
        self.session.defer("RELEASE SAVEPOINT bulk")
        return True

    # --- what is known of tables -------------------------------------------------------------------------------------

    def look_again(self) -> None:
        """The target's tables were altered by ourselves: forget what was known of them."""
        for bulk in self._bulks.values():
            bulk.forget()
        self._bulks.clear()
        self._derived.forget()
        self._shapes.clear()

    def _shape(self, table: Table) -> Shape:
        if table.id not in self._shapes:
            self._shapes[table.id] = read_shape(self.session, table)
        return self._shapes[table.id]

    def _bulk(self, table: Table) -> Bulk:
        if table.id not in self._bulks:
            shape = self._shape(table)
            self._made += 1
            self._bulks[table.id] = Bulk(self.session, shape, target_forms(table, shape)[0], str(self._made))
        return self._bulks[table.id]


def _statements(changes: list[SchemaChange]) -> bool:
    """Whether any may take statements that commit."""
    return any(change.new is not None and change.policy == "apply" for change in changes)


def _folds(one: TableLog) -> bool:
    """Whether the bulk way is right: equal bytes of keys are equal keys, or there is nothing to be folded by them."""
    return one.table.foldable or (one.ops.count(one.ops[0]) == len(one.ops) and one.ops[0] != MOVE)


def _shifts(bulk: Bulk, net: Net) -> bool:
    """Whether taking all rows away first can help: rows are updated where other unique values must not meet."""
    return bool(net.updates or net.moves) and bool(bulk.shape.partial or bulk.shape.others(bulk.key))
