"""Tables that change their shape while they are carried: what is done about it, by the pipeline's policy.

A change is learnt in three ways. The stream tells of it before the first row of the new shape: exactly there, inside a
transaction too, the reader hands over what it has and waits until the writer has altered the target. A survey of the
catalogue finds what no row followed: it is made once the stream has passed the place of the survey, unless the stream
has told of something meanwhile. And a table of which nothing is in has no shape to keep: its changes are not even
read, and it is made what the source has when it is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from cdcd.contracts import Sink, Source
from cdcd.engine.ledger import Ledger
from cdcd.engine.objects import needs
from cdcd.engine.options import Options
from cdcd.engine.plan import plan
from cdcd.engine.reader import Order, Reader
from cdcd.errors import SchemaChanged
from cdcd.log import get_logger
from cdcd.model.change import Policy, SchemaChange, asks, become, carried_over, concerned, numbered, without
from cdcd.model.chunk import Chunk
from cdcd.model.group import Group
from cdcd.model.position import Position
from cdcd.model.table import Table
from cdcd.rows import RowForm

log = get_logger("engine.evolve")

Survey = tuple[Sequence[Table], Position, int]
"""Tables, the place of that, and how many changes had been made when it was begun."""


class Evolve:
    """The writer's. `busy` while changes that a survey found are on their way through the reader."""

    def __init__(self, source: Source, sink: Sink, ledger: Ledger, options: Options) -> None:
        self._source = source
        self._sink = sink
        self._ledger = ledger
        self._options = options
        self._policy = options.on_schema_change
        self._order: Order | None = None
        self._found: Sequence[SchemaChange] = ()
        self._place: Position | None = None
        self._generation = -1
        self._looked: Survey | None = None
        self.count = 0
        """How often changes were made."""

    # --- what the stream tells of --------------------------------------------------------------------------------

    def resolve(self, group: Group) -> None:
        """Have the group's changes say what is to be done, by the policy and the chunks that are in."""
        chunks: dict[str, Sequence[Chunk]] = {}
        resolved = []
        names = set(self._ledger.tables)
        changes = group.schema_changes
        for place, change in enumerate(changes):
            names.discard(change.old.id)
            if change.new is not None and change.new.id in names:
                raise _in_turn([change.old.id, change.new.id])
            names |= {change.new.id} if change.new is not None else set()
            its = chunks.pop(change.old.id, None) or self._ledger.chunks(change.old.id)
            passing = change.new is not None and change.new.id in {later.old.id for later in changes[place + 1 :]}
            for one in self._resolved(change, its, passing):
                resolved.append(one)
                if one.new is not None:
                    chunks[one.new.id] = one.chunks
        group.steps = [step for step in group.steps if not isinstance(step, SchemaChange)]
        group.steps.extend(resolved)

    def _resolved(self, change: SchemaChange, chunks: Sequence[Chunk], passing: bool) -> list[SchemaChange]:
        """`passing`: the table has its new name only until the next change."""
        policy, old, new = self._policy, change.old, change.new
        if new is not None and (new.full or not new.key):
            self._refuse_nameless(old, new)
        change = replace(change, policy=policy)
        blank = self._ledger.blank(old.id)
        if new is None:
            if policy == "stop":
                hint = "to go on without it, run with --on-schema-change apply: its rows stay at the target"
                raise _stop(change, hint)
            return [change]
        again = f"alter the target's table in the same way, then: cdcd reload {old.id}, and run again"
        if policy == "ignore" and old.id != new.id:
            raise _stop(change, f"run with --on-schema-change apply, or rename {new.id} back at the source")
        # What was left out before, by another policy and on purpose, is no reason to stop.
        if policy == "ignore" or (policy == "stop" and any(column.left_out for column in old.columns)):
            new = without(old, new, added=policy == "ignore")
            change = replace(change, new=new, reload=change.reload and concerned(old, new))
        if policy == "stop" and change.reload and not blank:
            raise _stop(change, again)
        kept = None if change.reload else carried_over(old, new, chunks)
        if kept is None:
            if policy == "stop" and not blank:
                raise _stop(change, again)
            kept = self._cut(new)
            change = replace(change, reload=True)
        if policy == "apply" and asks(change):
            change = replace(change, needs=tuple(needs(self._source, self._sink, new)))
        change = replace(change, chunks=kept)
        if passing or self._options.selection.matches(new.id):
            return [change]
        log.warning("a table's new name is not selected", table=old.id, name=new.id)
        return [change, SchemaChange(new, None, policy=policy)]

    def _refuse_nameless(self, old: Table, new: Table) -> None:
        """As long as the source is told to send its changes, the application's own would fail (PG-05)."""
        now = next((table for table in self._source.tables([new.id]) if table.oid == new.oid), None)
        if now is None or (now.key and not now.full):
            return  # it is gone, or names its rows again
        errors = [one for one in self._source.check([now]) if one.level == "error" and now.id in one.message]
        if not errors:
            return  # the source can do without a key
        self._source.publish([table for table in self._ledger.tables.values() if table.id != old.id])
        raise SchemaChanged(
            f"{new.id} has lost what names its rows",
            why=f"[{errors[0].id}] {errors[0].message}; so a publication of ours does not hold it any more",
            hint=f"{errors[0].mend}; what to do next is said by the next run",
            table=new.id,
        )

    def _cut(self, table: Table) -> tuple[Chunk, ...]:
        """All to be read; by bounds where it is at the source as it is here, else it is cut when it is read."""
        for there in self._source.tables([table.id]):
            if (there.oid, there.key) == (table.oid, table.key):
                return tuple(plan(self._source, there, self._options))
        return (Chunk(table.id, 0),)

    def made(self, changes: Sequence[SchemaChange]) -> Mapping[str, Sequence[RowForm]]:
        """The sink has made them. The forms for the reader: none for what is not read."""
        self.count += 1
        for change in changes:
            self._ledger.change(change)
        forms: dict[str, Sequence[RowForm]] = {change.old.id: () for change in changes}
        for change in changes:
            if change.new is not None and change.new.id in self._ledger.tables:
                followed = self._ledger.followed(change.new.id)
                forms[change.new.id] = self._sink.forms(change.new) if followed else ()
        for id, table in self._ledger.tables.items():  # a foreign key that is new may lead from one that is not in
            if id not in forms and self._ledger.blank(id) and self._ledger.leads(id):
                forms[id] = self._sink.forms(table)
        self._found, self._order = (), None
        if self.published(changes):
            self._source.publish(list(self._ledger.tables.values()))
        return forms

    @staticmethod
    def published(changes: Sequence[SchemaChange]) -> bool:
        """Whether the stream is to carry other tables than before."""
        return any(change.new is None or change.old.oid != change.new.oid for change in changes)

    # --- what a survey finds -------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        return self._order is not None

    def step(self, survey: Survey | None, reader: Reader) -> None:
        """One step: compare a new survey with what is known, or bring what was found to its place."""
        if self._order is not None:
            if not self._order.done or self._order.accepted:
                return  # accepted: `made` ends it
            self._order = None
            if self._generation != reader.generation:
                self._found = ()  # the stream told of something itself: look again
        if not self._found and survey is not None and survey is not self._looked and survey[2] == self.count:
            self._looked, self._place, self._generation = survey, survey[1], reader.generation
            tables = [table for id, table in self._ledger.tables.items() if not self._ledger.blank(id)]
            self._found = compare(tables, survey[0], self._policy)
        if self._found and self._place is not None:
            self._order = reader.alter(self._found, self._place)

    # --- what is loaded ------------------------------------------------------------------------------------------

    def refresh(self, tables: Iterable[str], position: Position) -> Group | None:
        """A group that makes these tables what the source has now, before they are read; None: they are that."""
        known = [self._ledger.tables[id] for id in tables if id in self._ledger.tables]
        found = compare(known, self._source.tables(), self._policy) if known else []
        group = Group()
        group.position = position
        for change in found:
            blank = change.new is not None and self._ledger.blank(change.old.id)
            group.steps.append(replace(change, reload=True) if blank else change)
        if not found:
            return None
        self.resolve(group)
        return group


def compare(known: Iterable[Table], there: Sequence[Table], policy: Policy) -> list[SchemaChange]:
    """What these tables have become, in an order in which no name is wanted before it is free."""
    by_oid = {table.oid: table for table in there if table.oid}
    by_id = {table.id: table for table in there}
    found = []
    for table in known:
        now = by_oid.get(table.oid) or by_id.get(table.id)
        if now is not None and not now.oid:
            now = numbered(table, now)
        if now is not None and policy != "apply":
            now = without(table, now, added=policy == "ignore")
        change = become(table, now)
        if change is not None:
            found.append(change)
    return _in_order(found)


def _in_order(changes: list[SchemaChange]) -> list[SchemaChange]:
    """Tables that go and names that become free first."""
    ordered: list[SchemaChange] = []
    left = sorted(changes, key=lambda change: change.new is not None)
    while left:
        held = {change.old.id for change in left}
        free = [c for c in left if c.new is None or c.new.id == c.old.id or c.new.id not in held]
        if not free:
            raise _in_turn([change.old.id for change in left])
        ordered += free
        left = [change for change in left if change not in free]
    return ordered


def _in_turn(tables: Sequence[str]) -> SchemaChanged:
    return SchemaChanged(
        f"tables have changed their names in turn: {', '.join(tables)}",
        why="each has the name of another now, and there is no order in which they could be renamed",
        hint="begin a new pipeline; event triggers (cdcd check --event-trigger) show each name in its place",
    )


def _stop(change: SchemaChange, hint: str) -> SchemaChanged:
    return SchemaChanged(
        f"the source's table {change.old.id} was altered: {change.said}",
        why=f"on_schema_change = {change.policy}",
        hint=hint,
        table=change.old.id,
    )
