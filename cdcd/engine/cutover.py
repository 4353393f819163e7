"""The cut-over: the last change of the source reaches the target, and the application may move.

Everything that takes long is done before the fence: behind it are the last changes, sequences, and a comparison with
a limit of its own. Whatever goes wrong before the end takes the fence down again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from cdcd.contracts import Comparable, Source
from cdcd.engine.compare import Comparison
from cdcd.engine.compare_report import TableReport
from cdcd.errors import CdcdError, Differences, Interrupted, StateRefused, Transient
from cdcd.fence import Fence
from cdcd.log import get_logger
from cdcd.model.position import Position
from cdcd.model.schema import Statement
from cdcd.model.sequence import SequenceDone

log = get_logger("engine.cutover")

TICK = 0.05
SPEED = 50_000_000
"""Bytes a second that a comparison is taken to pass until one was timed."""


@dataclass(slots=True)
class Record:
    """What was done. `steps`: name and seconds, in order; `still`: seconds in which nobody could write. `left_out` are
    tables for whose comparison there was no time; `made`: what the target was better off without until now;
    `sessions`: those at the source that could still set themselves to write."""

    steps: list[tuple[str, float]] = field(default_factory=list)
    position: str = ""
    still: float = 0.0
    sequences: Sequence[SequenceDone] = ()
    compared: list[TableReport] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    made: Sequence[Statement] = ()
    sessions: list[str] = field(default_factory=list)
    down: str = ""


@dataclass(frozen=True, slots=True)
class Wishes:
    """`raise_fence`: have the fence raised; else `told_fenced` returns once somebody else says that nobody writes.
    `max_lag`: seconds that the target may need to reach the source's present end. `wait`: how long to wait for that.
    `limit`: seconds for reaching the final position, and for a comparison of what changed last."""

    raise_fence: bool
    told_fenced: Callable[[], None]
    max_lag: float = 5.0
    wait: float = 300.0
    limit: float = 60.0
    compare: float = 10.0


class Cutover:
    """`withdraw` ends the wish that has the daemon store every place at once, and makes durable what is at the target
    before it; `sequences` sets those of the target; `hand_over` makes at the target what it has to have when the
    application writes there, all or nothing."""

    def __init__(
        self,
        origin: Source,
        fence: Fence,
        mine: Comparable,
        theirs: Comparable,
        wishes: Wishes,
        withdraw: Callable[[], None],
        sequences: Callable[[], Sequence[SequenceDone]],
        hand_over: Callable[[], Sequence[Statement]],
        told: Callable[[str], None] = lambda step: None,
    ) -> None:
        self.stopping = threading.Event()
        self.record = Record()
        self._origin = origin
        self._fence = fence
        self._mine = mine
        self._theirs = theirs
        self._wishes = wishes
        self._withdraw = withdraw
        self._sequences = sequences
        self._hand_over = hand_over
        self._told = told
        self._raised = False

    def run(self) -> Record:
        """Until the target is all that the source was. Any error leaves the source as it was found."""
        record = self.record
        try:
            before = self._fence.activity()
            with self._step("wait for a small lag"):
                self._wait_close()
            still = time.monotonic()
            with self._step("fence the source"):
                self._raise()
            with self._step("reach the final position"):
                final = self._fence.final()
                record.position = str(final)
                self._wait_for(final, self._wishes.limit)
                self._withdraw()
            quiet = self._fence.activity()
            with self._step("set sequences"):
                record.sequences = self._sequences()
                self._refuse_wrong_sequences(record.sequences)
            with self._step("compare what changed last"):
                self._compare(before, quiet)
            if self._raised:
                self._refuse_late_writes(quiet)
            with self._step("hand the target over"):
                record.made = self._hand_over()
            record.sessions = self._fence.writers()
            record.still = time.monotonic() - still
            return record
        except BaseException:
            self._lower()
            raise

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        self._told(name)
        began = time.monotonic()
        yield
        self.record.steps.append((name, time.monotonic() - began))

    # --- before the fence --------------------------------------------------------------------------------------------

    def _wait_close(self) -> None:
        """Until a place that is the source's end now is reached within `max_lag`."""
        self._refuse_unready()
        # Once before the fence too, where what is wrong with one costs nothing: no sequence goes backwards.
        self._refuse_wrong_sequences(self._sequences())
        until = time.monotonic() + self._wishes.wait
        while True:
            head, asked = self._origin.head(), time.monotonic()
            self._wait_for(head, max(0.0, until - asked))
            if time.monotonic() - asked <= self._wishes.max_lag:
                return

    def _refuse_unready(self) -> None:
        standing = self._theirs.standing()
        unread = [table for table, count in (standing.unread if standing else {}).items() if count]
        if standing is None or unread:
            raise StateRefused(
                "the target is not consistent yet",
                why=f"still loading: {', '.join(unread[:5])}" if unread else "the pipeline was never started",
                hint="cut over when `cdcd status` says streaming",
            )
        if obstacles := self._fence.obstacles() if self._wishes.raise_fence else []:
            raise StateRefused("the source cannot be fenced", why="; ".join(obstacles))

    def _wait_for(self, place: Position, limit: float) -> None:
        until = time.monotonic() + limit
        while True:
            standing = self._theirs.standing()
            if standing is not None and standing.position is not None:
                at = self._origin.position(standing.position)
                if at.covers(place):
                    return
            if self.stopping.is_set():
                raise Interrupted("told to stop")
            if time.monotonic() > until:
                raise Transient(
                    f"the target did not reach {place} in {limit:.0f} s",
                    hint="see `cdcd status`: is the daemon running, and how far is it behind?",
                )
            time.sleep(TICK)

    # --- the fence ---------------------------------------------------------------------------------------------------

    def _raise(self) -> None:
        self.record.down = self._fence.down
        if not self._wishes.raise_fence:
            self._wishes.told_fenced()
            if left := self._fence.unfinished():
                raise StateRefused(
                    "somebody is still writing at the source",
                    why="; ".join(left[:5]),
                    hint="what it commits would come too late: end it, and cut over again",
                )
            return
        log.warning("nobody writes at the source from now on", way_back=self._fence.down)
        self._raised = True
        self._fence.raise_up()

    def _lower(self) -> None:
        if not self._raised:
            return
        try:
            self._fence.lower()
            log.warning("the fence is down: the source is as it was")
        except CdcdError as error:
            log.error("THE FENCE IS STILL UP", why=error.what, way_back=self.record.down)

    def _refuse_late_writes(self, quiet: Mapping[str, int]) -> None:
        standing = self._theirs.standing()
        carried = standing.unread if standing else {}
        now = self._fence.activity()
        wrote = [table for table in carried if now.get(table) != quiet.get(table)]
        if wrote:
            raise StateRefused(
                f"somebody wrote to {', '.join(sorted(wrote)[:5])} behind the fence",
                why="a session that sets itself to read write is not kept out",
                hint="stop that application, and cut over again",
            )

    # --- behind it ---------------------------------------------------------------------------------------------------

    def _refuse_wrong_sequences(self, done: Sequence[SequenceDone]) -> None:
        if wrong := [one for one in done if not one.right]:
            raise StateRefused(
                f"{len(wrong)} sequences are not where the source's are",
                why=f"{wrong[0].source.id}: {wrong[0].done}",
                hint="see `cdcd sequences`, mend them, and cut over again",
            )

    def _compare(self, before: Mapping[str, int], now: Mapping[str, int]) -> None:
        """Whole tables, those that changed since the beginning first, small ones before large ones, for as long as
        there is time. Of a table that is left out the last changes are no more in doubt than all others."""
        standing = self._theirs.standing()
        carried = standing.unread if standing else {}
        tables = [table for table in self._origin.tables() if table.id in carried]
        tables.sort(key=lambda table: (before.get(table.id) == now.get(table.id), table.bytes))
        comparison = Comparison(self._mine, self._theirs, still=True)
        began, passed = time.monotonic(), 0
        for table in tables:
            if self.stopping.is_set():
                raise Interrupted("told to stop")
            spent = time.monotonic() - began
            speed = passed / spent if passed > SPEED else SPEED
            if spent + table.bytes / speed > self._wishes.compare:
                self.record.left_out.append(table.id)
                continue
            self.record.compared.append(comparison.table(table))
            passed += table.bytes
        wrong = [report.table.id for report in self.record.compared if not _equal(report)]
        if wrong:
            raise Differences(
                f"{', '.join(wrong[:5])} differ at the target",
                hint="see `cdcd validate`; the source goes on as before",
            )


def _equal(report: TableReport) -> bool:
    return report.problem is None and not any(report.counts.values())
