"""The session that applies: one transaction per group, in which rows and checkpoint move together or not at all.

The checkpoint's row and the epoch's are locked and compared first, so that neither another owner nor a repetition by
ourselves gets any further (T-PO-2). A step of changes is made in bulk under a savepoint; where that fails it is made
again one by one, which is right where no bulk order is, or names the change that is wrong (T-PT-4).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from cdcd.errors import Conflict, PoisonRow, StateRefused, Unreachable
from cdcd.fold import Contradiction, fold
from cdcd.log import get_logger
from cdcd.model.change import SchemaChange
from cdcd.model.group import DELETE, MOVE, Cascade, Group, Places, Rows, TableLog, Transaction, size
from cdcd.model.position import Checkpoint
from cdcd.model.table import Table
from cdcd.policy import Policy
from cdcd.refused import after_error, fenced, other_checkpoint
from cdcd.skipped import Skips, Step
from connectors.postgres.alter import alter
from connectors.postgres.bulk import Bulk, TooWide
from connectors.postgres.derived import Derived
from connectors.postgres.empty import empty_chunks, truncate
from connectors.postgres.exceptions import Exceptions, supersede_tables
from connectors.postgres.ordered import InOrder, Where
from connectors.postgres.position import parse_lsn
from connectors.postgres.sessions import Session
from connectors.postgres.shape import Shape, read_shape
from connectors.postgres.single import OneByOne
from connectors.postgres.skip import pass_over
from connectors.postgres.standbys import HERE
from connectors.postgres.stops import Stops
from connectors.postgres.translate import foldable

log = get_logger("postgres.writer")

SETTINGS: Mapping[str, str] = {
    # Stages have no statistics, and a plan once prepared stays: always look up by key (T-PF-5).
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "temp_buffers": "32MB",
}

_LOCK = """
SELECT c.checkpoint = %(expected)s::jsonb, e.epoch = %(epoch)s, c.ctid::text
FROM cdcd.checkpoints c JOIN cdcd.epochs e USING (pipeline)
WHERE {row} FOR UPDATE OF c FOR SHARE OF e
"""

_STORE = """
WITH stored AS (
    UPDATE cdcd.checkpoints c SET checkpoint = %(checkpoint)s::jsonb, updated = now() WHERE {row} RETURNING c.ctid)
SELECT set_config('cdcd.place', ctid::text, false) FROM stored
"""

_AFTER = "SELECT current_setting('cdcd.place'), pg_current_wal_insert_lsn()::text, {durable}::text"

_BY_NAME = "c.pipeline = %(pipeline)s AND c.scope = ''"
_BY_PLACE = _BY_NAME + " AND c.ctid = %(place)s"
"""While a query of somebody else's runs for an hour, all old versions of the row stay. Found by its name it is looked
for among them, which took 12 ms when there were 30,000; by its place it is not."""

_SELDOM = (
    "BEGIN",
    "SET LOCAL synchronous_commit = on",
    # The plans of a foreign key's check, and of an index built on an expression, are not look-ups by key.
    "SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on; SET LOCAL enable_seqscan = on",
)

_HOLD_EPOCH = "SELECT epoch FROM cdcd.epochs WHERE pipeline = %s AND epoch = %s FOR SHARE"


@dataclass(frozen=True, slots=True)
class Ticket:
    """Durable once the server's log is flushed up to `lsn`, as told by the session that committed (T-PO-13)."""

    session: Session
    lsn: int


class Writer:
    """One epoch's session for apply. After an error it takes nothing any more: the next claim brings another."""

    def __init__(
        self,
        session: Session,
        pipeline: str,
        epoch: int,
        expected: Any,
        tables: dict[str, Table],
        replica: bool,
        policy: Policy,
        flushed: str = HERE,
        skips: Skips | None = None,
    ) -> None:
        """`flushed`: an SQL expression, up to where the log is durable."""
        self.session = session
        self._pipeline = pipeline
        self._epoch = epoch
        self._expected = expected
        self._tables = tables
        self.replica = replica
        """Whether the session fires no triggers and checks no foreign keys."""
        self._open = False
        self._failed = False
        self._flushed = 0
        self._durable_to = flushed
        self._after = _AFTER.format(durable=HERE if flushed == HERE else "'0/0'")  # others are not asked at each commit
        self._place: str | None = None
        self._shapes: dict[str, Shape] = {}
        self._bulks: dict[tuple[str, str], Bulk] = {}
        self._cascading: set[int] = set()  # tables of which rows went or moved in this transaction, where cascades fire
        self._one_by_one: dict[tuple[str, str], OneByOne] = {}
        self._exceptions = Exceptions(session, pipeline, policy)
        self._derived = Derived(session, self._exceptions, self._shape, asked=not replica)
        self._changed_along: set[str] = set()  # tables of which foreign keys of the source's changed rows
        self._stops = Stops(session, pipeline)
        self._skips = skips or Skips()
        self._transaction: Transaction | None = None  # the source's, of which a piece was applied

    # --- the transaction ---------------------------------------------------------------------------------------------

    def apply(self, group: Group, checkpoint: Checkpoint | None) -> Ticket | None:
        self._refuse_after_error()
        try:
            if not self._open:
                self._begin()
            position = str(group.position) if group.position is not None else None
            places = Places(group, self._transaction)
            self._transaction = places.last
            first = 0
            for step, skipped in self._skips.divide(group, places):
                if skipped is not None:
                    self._pass_over(step, skipped)
                elif isinstance(step, Rows):
                    self._rows(step, first, places.at, position, group.unsettled)
                elif isinstance(step, SchemaChange):
                    self._alter(step)
                elif isinstance(step, Cascade):
                    self._changed_along |= self._derived.make(step)
                else:
                    truncate(self.session, step, self._shape, places.at(first), position)
                    supersede_tables(self.session, self._pipeline, [table.id for table in step.tables])
                first += size(step)
            if group.unread and empty_chunks(
                self.session, self._pipeline, group.unread, self._tables, self._shape, self.replica
            ):
                self.look_again()
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

    def _begin(self) -> None:
        self.session.defer("BEGIN; SET CONSTRAINTS ALL DEFERRED")
        row = self._lock(_BY_PLACE) if self._place else None
        row = row or self._lock(_BY_NAME)
        if row is None or not row[1]:
            raise fenced(self._pipeline)
        if not row[0]:
            raise other_checkpoint(self._pipeline)
        self._place = row[2]
        self._cascading.clear()
        self._changed_along.clear()
        self._open = True

    def _lock(self, row: str) -> tuple[Any, ...] | None:
        names: dict[str, Any] = {"expected": json.dumps(self._expected), "epoch": self._epoch}
        names |= {"pipeline": self._pipeline, "place": self._place}
        return self.session.row(_LOCK.format(row=row), names)

    def _commit(self, checkpoint: Checkpoint) -> Ticket:
        """An error of the server means that nothing was committed; a connection that ends leaves it unknown, and the
        next claim tells. Deferred constraints are checked before, so that they are an error like any other."""
        text = checkpoint.to_json()
        self._stops.passed()
        ((self._place, inserted, flushed),) = self.session.rows(
            f"SET CONSTRAINTS ALL IMMEDIATE; {_STORE.format(row=_BY_PLACE)}; COMMIT; {self._after}",
            {"checkpoint": json.dumps(text), "pipeline": self._pipeline, "place": self._place},
        )
        self._open = False
        self._transaction = None
        self._expected = text
        self._flushed = parse_lsn(flushed)
        return Ticket(self.session, parse_lsn(inserted))

    @contextmanager
    def durably(self) -> Iterator[Session]:
        """A transaction of its own for what is seldom: fenced like apply, its commit waited for."""
        self._refuse_after_error()
        if self._open:
            raise StateRefused("a transaction of the source is half applied", pipeline=self._pipeline)
        try:
            for setting in _SELDOM:
                self.session.defer(setting)
            if self.session.row(_HOLD_EPOCH, (self._pipeline, self._epoch)) is None:
                raise fenced(self._pipeline)
            yield self.session
            self.session.run("COMMIT")
        except BaseException:
            self._failed = True
            raise

    def started(self, checkpoint: Checkpoint) -> None:
        """What apply expects to find from now on."""
        self._expected = checkpoint.to_json()

    def carries(self, tables: Sequence[Table]) -> None:
        self._tables |= {table.id: table for table in tables}

    def durable(self, ticket: Ticket) -> bool:
        if ticket.session is not self.session:
            raise Unreachable("the session that gave the ticket has ended", why="the server may have crashed since")
        if self._flushed < ticket.lsn and not self._open:
            self._flushed = parse_lsn(self.session.rows(f"SELECT {self._durable_to}::text")[0][0])
        return self._flushed >= ticket.lsn

    # --- a step of changes -------------------------------------------------------------------------------------------

    def _rows(
        self, step: Rows, first: int, where: Where, position: str | None, unsettled: Collection[str]
    ) -> None:
        if not self.replica:
            self._cascading |= {
                self._shape(one.table).oid for one in step.logs.values() if DELETE in one.ops or MOVE in one.ops
            }
        logs = self._in_order(list(step.logs.values()))
        single = [
            one for one in logs
            if not foldable(one.table) or self._exceptions.touch(one) or one.table.id in unsettled
        ]  # fmt: skip
        if single and not self._independent(logs):
            single = logs
        if not self._in_bulk([one for one in logs if one not in single]):
            single = logs
        if single:
            tables = {id(one): self._single(one) for one in single}
            followed = [one.table.id for one in single if self._shape(one.table).follows & self._cascading]
            followed += self._changed_along
            in_order = InOrder(self.session, self._exceptions, followed, where, position, unsettled)
            in_order.apply(step, first, tables)

    def _pass_over(self, step: Step, place: Transaction) -> None:
        tables = {id(one): self._single(one) for one in step.logs.values()} if isinstance(step, Rows) else {}
        pass_over(self.session, self._exceptions, self._skips, step, tables, place)

    def _in_bulk(self, logs: list[TableLog]) -> bool:
        """False: it cannot be done so, and nothing was."""
        try:
            nets = [(self._bulk(one), fold(one)) for one in logs]
            for bulk, net in nets:
                bulk.ready(net)
            self.session.defer("SAVEPOINT bulk")
            for bulk, net in reversed(nets):
                bulk.delete(net.deletes)
            for bulk, net in nets:
                bulk.update(net.updates)
                bulk.move(net.moves)
                bulk.insert(net.inserts)
        except (Contradiction, TooWide):
            return False
        except (Conflict, PoisonRow) as error:
            self.session.run("ROLLBACK TO SAVEPOINT bulk; RELEASE SAVEPOINT bulk")
            log.debug("one by one", why=error.what, **error.where)
            return False
        self.session.defer("RELEASE SAVEPOINT bulk")
        return True

    def _in_order(self, logs: list[TableLog]) -> list[TableLog]:
        """Referenced tables first, as far as there is such an order."""
        if self._independent(logs):
            return logs
        by_oid = {self._shape(one.table).oid: one for one in logs}
        graph = {oid: self._shape(one.table).references & by_oid.keys() for oid, one in by_oid.items()}
        try:
            return [by_oid[oid] for oid in TopologicalSorter(graph).static_order()]
        except CycleError:
            return logs

    def _independent(self, logs: list[TableLog]) -> bool:
        """Whether the tables may be written in any order: nothing checks foreign keys, or there are none."""
        if self.replica or len(logs) == 1:
            return True
        oids = {self._shape(one.table).oid for one in logs}
        return not any(self._shape(one.table).references & oids for one in logs)

    def _alter(self, change: SchemaChange) -> None:
        """What was prepared for the table as it was goes with it."""
        old = change.old.id
        for known in (self._bulks, self._one_by_one):
            for name in [name for name in known if name[0] == old]:
                known.pop(name).forget()
        self._derived.forget()
        self._tables.pop(old, None)
        if change.new is not None:
            self._tables[change.new.id] = change.new
        alter(self.session, self._pipeline, change, self.replica)
        self.look_again()

    # --- what is known of tables -------------------------------------------------------------------------------------

    def look_again(self) -> None:
        """The target's tables were altered by ourselves: forget what was known of them."""
        self._shapes.clear()

    def _shape(self, table: Table) -> Shape:
        if table.id not in self._shapes:
            self._shapes[table.id] = read_shape(self.session, table)
        return self._shapes[table.id]

    def _bulk(self, one: TableLog) -> Bulk:
        name = (one.table.id, one.form.name)
        if name not in self._bulks:
            self._bulks[name] = Bulk(self.session, self._shape(one.table), one.form)
        return self._bulks[name]

    def _single(self, one: TableLog) -> OneByOne:
        name = (one.table.id, one.form.name)
        if name not in self._one_by_one:
            self._one_by_one[name] = OneByOne(self.session, self._bulk(one))
        return self._one_by_one[name]
