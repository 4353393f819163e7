"""Comparing source and target: which tables can be compared now and how, and one report for each.

The servers make the digests; only where they differ do keys travel (compare_descent), and column values only when they
are asked for. What differs is settled (compare_settle) before it is called a difference: the two ends are never read
at the same moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from cdcd.contracts import Comparable
from cdcd.engine.compare_descent import Counts, Suspect, by_hash, by_order
from cdcd.engine.compare_ends import Ends
from cdcd.engine.compare_report import Kind, Problem, TableReport, Verdict
from cdcd.engine.compare_settle import Settle, verdict
from cdcd.engine.compare_watch import Watch
from cdcd.errors import UsageError
from cdcd.model.digest import Found, Layout, Standing
from cdcd.model.table import Table

BATCH = 5000
"""Keys that are settled together: each round waits for the target once."""
MANY = 20_000
"""The same for a keyless table, all of which is read in each round."""
MOST = 10
"""Batches of such a table that are settled; whoever has more differences than that knows enough."""


class Comparison:
    """Asks both ends at once, so their sessions begin here; interrupting them ends it.

    `wait`: how long the target may take to pass a place. `still`: the source does not change, so nothing is waited for.
    `limit`: how many keys of each kind a report holds. `told` hears the rows compared so far of a table.
    """

    def __init__(
        self,
        source: Comparable,
        target: Comparable,
        *,
        wait: float = 60.0,
        still: bool = False,
        limit: int = 10,
        told: Callable[[str, int], None] = lambda table, rows: None,
    ) -> None:
        self._ends = Ends(source, target)
        self._limit = limit
        self._told = told
        standing = target.standing()
        self.followed = standing is not None and not still
        watch = Watch(source, target, wait) if self.followed else None
        self._standing = standing
        self._settle = Settle(self._ends, watch)
        hash = next((name for name in source.hashes() if name in target.hashes()), None)
        if hash is None:
            raise UsageError(
                "the two ends have no digest in common",
                why="each server makes the digests of its own rows, and these two write values in different ways",
            )
        source.choose(hash)
        target.choose(hash)

    def tables(self, tables: Iterable[Table]) -> Iterator[TableReport]:
        for table in tables:
            yield self.table(table)

    def table(self, table: Table) -> TableReport:
        """Compare one table."""
        report = TableReport(table, limit=self._limit)
        if (problem := _unready(table, self._standing)) is not None:
            report.problem = problem
            return report
        mine, theirs = self._ends.both(lambda end: end.layout(table))
        if mine is None or theirs is None or (problem := _shapes(table, mine, theirs)) is not None:
            report.problem = problem or _absent(mine)
            return report
        table, report.uncompared = _told(table, mine, theirs)
        table, ordered = _way(table, mine, theirs)
        report.table = table
        if lost := [name for name in table.key if name in report.uncompared]:
            report.problem = Problem(f"not compared: the two ends have no common text of its key, {', '.join(lost)}")
            return report
        self._settle.note = ""
        counts = Counts(lambda rows: self._told(table.id, rows))
        suspects = (by_order if ordered else by_hash)(self._ends, table, counts)
        if table.key:
            self._settle_all(report, suspects, BATCH)
        elif self.followed:
            self._settle_all(report, islice(suspects, MANY * MOST), MANY)
            for key, here, there in suspects:
                report.add(Verdict(key, Kind.UNSETTLED, times=abs(here.rows - there.rows)))
        else:
            # The digests said it all: a keyless row's key is its content.
            for key, here, there in suspects:
                report.add(verdict(table, key, Found(here.rows), Found(there.rows)))
        report.source_rows, report.target_rows = counts.source, counts.target
        if report.counts[Kind.UNSETTLED]:
            report.note = self._settle.note or "more rows seem to differ than were looked at again"
        return report

    def values(self, report: TableReport, verdicts: Sequence[Verdict], length: int = 200) -> None:
        """Fetch what both ends hold under the keys of the report's verdicts, for people who asked to see it."""
        keys = [one.key for one in verdicts]
        mine, theirs = self._ends.both(lambda end: end.texts(report.table, keys, length))
        for one in verdicts:
            one.source_values = mine.get(one.key)
            one.target_values = theirs.get(one.key)

    def _settle_all(self, report: TableReport, suspects: Iterator[Suspect], size: int) -> None:
        while batch := [key for key, _, _ in islice(suspects, size)]:
            for found in self._settle.settle(report.table, batch):
                report.add(found)


def _unready(table: Table, standing: Standing | None) -> Problem | None:
    """Why the target cannot be equal yet, as its control rows say."""
    if standing is None:
        return None
    if (unread := standing.unread.get(table.id)) is None:
        return Problem("not compared: the pipeline does not carry it (yet)")
    if unread:
        return Problem(f"not compared: it is still loading, {unread} of its chunks are not in")
    return None


def _shapes(table: Table, mine: Layout, theirs: Layout) -> Problem | None:
    wanted = [column.name for column in table.carried]
    for columns, end in (mine.columns, "source"), (theirs.columns, "target"):
        if lost := [name for name in wanted if name not in columns]:
            return Problem(f"the {end} has no column {', '.join(lost)}", differs=end == "target")
    return None


def _absent(mine: Layout | None) -> Problem:
    if mine is None:
        return Problem("not compared: the source has it no more")
    return Problem("the target has no such table", differs=True)


def _told(table: Table, mine: Layout, theirs: Layout) -> tuple[Table, tuple[str, ...]]:
    """The table without the columns that one of the ends has no text of, and which these are."""
    untold = mine.untold | theirs.untold
    columns = tuple(replace(column, left_out=True) if column.name in untold else column for column in table.columns)
    names = tuple(column.name for column in table.carried if column.name in untold)
    return (replace(table, columns=columns), names) if names else (table, ())


def _way(table: Table, mine: Layout, theirs: Layout) -> tuple[Table, bool]:
    """The table with the key it is compared by, and whether both ends have its rows in one order."""
    key = table.key or table.primary
    if not (key and mine.keyed and theirs.keyed):
        return replace(table, key=()), False
    return replace(table, key=key), mine.order is not None and mine.order == theirs.order
