"""Tables that join a running pipeline, one step at a time, while the stream goes on.

The order matters: control rows first (all chunks unread), then the reader carries the table, then the publication holds
it, and only then may a snapshot be asked for, whose slot waits for the writers that were open (T-PG-3).
"""

from __future__ import annotations

from collections.abc import Sequence

from cdcd.contracts import Sink, Source
from cdcd.engine.evolve import Survey
from cdcd.engine.examine import require
from cdcd.engine.judge import by_table
from cdcd.engine.ledger import Ledger
from cdcd.engine.objects import objects
from cdcd.engine.options import Options
from cdcd.engine.plan import plan
from cdcd.engine.reader import Order, Reader
from cdcd.errors import CdcdError, CheckFailed
from cdcd.log import get_logger
from cdcd.model.chunk import Chunk
from cdcd.model.position import Position
from cdcd.model.table import Table

log = get_logger("engine.join")


class Join:
    """At most one batch of tables joins at a time. `step` waits for the two servers only, never for the reader."""

    def __init__(self, source: Source, sink: Sink, reader: Reader, ledger: Ledger, options: Options) -> None:
        self._source = source
        self._sink = sink
        self._reader = reader
        self._ledger = ledger
        self._options = options
        self._order: Order | None = None
        self._tables: list[Table] = []
        self._chunks: list[Chunk] = []
        self._refused: dict[tuple[str, int], str] = {}  # and why
        self._again: tuple[str, int] | None = None  # one of these that is to be looked at once more
        self._looked: Survey | None = None  # the newest
        self._look: Survey | None = None

    @property
    def busy(self) -> bool:
        return self._order is not None

    def step(self, survey: Survey | None, reached: Position, changes: int) -> Sequence[Table]:
        """`reached`: up to where the target is the source; `changes`: how often tables changed on the way. The tables
        that have just joined."""
        if self._order is None:
            self._take_turns(survey)
            self._begin(self._new(survey, reached, changes))
            return ()
        if not self._order.done:
            return ()
        self._order = None
        self._ledger.add(self._tables, self._chunks)
        self._source.publish(list(self._ledger.tables.values()))
        log.info("tables joined", tables=[table.id for table in self._tables])
        return self._tables

    def _take_turns(self, survey: Survey | None) -> None:
        """What stood in the way of a table that was refused may have gone: at each look at the source one is checked
        once more, so that many take the writer no time."""
        if survey is None or survey is self._looked:
            return
        self._looked = survey
        there = {(table.id, table.oid) for table in survey[0]}
        self._refused = {table: why for table, why in self._refused.items() if table in there}
        self._again = next(iter(self._refused), None)
        if self._again is not None:
            self._refused[self._again] = self._refused.pop(self._again)

    def _new(self, survey: Survey | None, reached: Position, changes: int) -> list[Table]:
        """The selected tables that nobody knows. One that was renamed is no new one: its number tells, and where tables
        have none, that the stream has passed the place of the look, and told of nothing on the way."""
        if self._look is None or self._look[2] != changes:
            self._look = survey if survey is not None and survey[2] == changes else None
        if self._look is None:
            return []
        there, place, _ = self._look
        known = self._ledger.tables
        oids = {table.oid for table in known.values()} - {0}
        new = [
            table for table in there
            if table.id not in known and table.oid not in oids and self._options.selection.matches(table.id)
            and ((table.id, table.oid) not in self._refused or (table.id, table.oid) == self._again)
        ]  # fmt: skip
        if all(table.oid for table in new) or reached.covers(place):
            self._look = None
            return new
        return [table for table in new if table.oid]

    def _begin(self, tables: list[Table]) -> None:
        self._tables = [table for table in tables if self._fit(table)]
        self._again = None if tables else self._again
        if not self._tables:
            return
        self._chunks = [chunk for t in self._tables for chunk in plan(self._source, t, self._options)]
        made = objects(self._source, self._sink, self._tables, self._options.trees)
        self._sink.join(self._tables, self._chunks, made)
        self._order = self._reader.carry(by_table(self._chunks))

    def _fit(self, table: Table) -> bool:
        """A table that cannot be carried does not stop those that are: it is named once, and left out for now."""
        try:
            made = objects(self._source, self._sink, [table], self._options.trees)
            require(self._source.check([table]) + self._sink.check([table], made))
        except CheckFailed as error:
            if self._refused.get((table.id, table.oid)) != str(error):
                log.error("a new table is selected but cannot be carried", table=table.id, why=str(error))
            self._refused[table.id, table.oid] = str(error)
            return False
        except CdcdError:
            if self._source.tables([table.id]):
                raise
            log.info("a new table was gone again before it was carried", table=table.id)
            return False
        self._refused.pop((table.id, table.oid), None)
        return True
