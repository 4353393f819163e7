"""The end of the group that is read into: the Rows which take what comes, and how many changes come before a place."""

from __future__ import annotations

from collections.abc import Sequence

from cdcd.model.change import SchemaChange
from cdcd.model.group import Cascade, Group, Rows, Transaction, Truncate
from connectors.mysql.images import Event, ImageCode
from connectors.mysql.malformed import garbled
from connectors.mysql.spans import Mark, Spans


class Opened:
    """`group` is the one. `spans`: rows are kept there, and are in the group once it is complete."""

    def __init__(self, spans: Spans | None) -> None:
        self.group = Group()
        self._spans = spans
        self._rows: Rows | None = None
        self._before = 0  # changes of the group before those rows

    def enter(self, group: Group) -> bool:
        """Read into this group; whether it, or its end, is another than before."""
        if group is self.group and (not group.steps or group.steps[-1] is self._rows):
            return False
        self.group, self._rows, self._before = group, None, group.changes
        if group.steps and isinstance(last := group.steps[-1], Rows):
            self._rows, self._before = last, group.changes - len(last.order)
        return True

    def count(self) -> int:
        """Changes that are in the group."""
        return self._before + (len(self._rows.order) if self._rows else 0)

    def complete(self) -> None:
        """Have all rows that were read in the group, and counted."""
        if self._spans is not None and self._spans.pending:
            with garbled():
                self._spans.complete(self._take(), self._before)
            self.group.changes = self.count()

    def rows(self) -> Rows:
        """Those that take what comes, with all that came."""
        self.complete()
        return self._take()

    def _take(self) -> Rows:
        if self._rows is None:
            self._rows = self.group.rows()
        return self._rows

    def taker(self, code: ImageCode, at_once: bool) -> tuple[Event, Event, Event]:
        """What takes a table's rows, as long as these rows are open. `at_once`: once all before it is in the group."""
        rows = self._take()
        log = rows.log(code.table, code.form)
        if self._spans is None or at_once:
            return code.bind(log, rows.order)
        return self._spans.taker(code)

    def mark(self, what: Mark | Transaction) -> None:
        """It stands here among the group's changes."""
        if self._spans is not None and self._spans.pending:
            self._spans.mark(what)
        else:
            what.at = self.count()

    def put(self, steps: Sequence[Truncate | Cascade | SchemaChange]) -> None:
        """Behind all that came; what comes next is for other Rows."""
        self.complete()
        self._before, self._rows = self.count(), None
        self.group.steps.extend(steps)
        self._before += sum(isinstance(step, Truncate) for step in steps)

    def take_back(self, since: Mark | Transaction) -> None:
        """Take out of the open rows what came behind a mark."""
        self.complete()
        if self._rows is not None:
            first = since.at - self._before
            for log in reversed(self._rows.order[first:]):
                log.ops.pop()
                for its in (log.keys, log.rows, log.olds):
                    if its:
                        its.pop()
            del self._rows.order[first:]
