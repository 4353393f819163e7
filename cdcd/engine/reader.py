"""The reader's thread: reads the source into groups and hands them to the writer.

It alone knows how far the stream has been read, so what must happen at a place in the stream is an *order*, carried out
here between two transactions. Close behind, an idle writer never waits: a group is handed over when the writer is
hungry, or at its bound. While the writer is busy the reader goes on filling the group; when the group is full it
rests, and the source's keepalives are still answered (T-DE-3).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from cdcd.contracts import Reading, Source
from cdcd.engine.handover import Handover, Parcel
from cdcd.engine.judge import Judge
from cdcd.engine.options import Options
from cdcd.model.change import SchemaChange
from cdcd.model.chunk import Chunk
from cdcd.model.group import Group
from cdcd.model.position import Position, Window
from cdcd.rows import RowForm

TICK = 0.1
GATHER = 0.02
GATHERED = 1 << 18
"""Seconds and bytes: what a group is gathered for while the stream is far behind."""


class Order:
    """Something to do in the reader's thread; `done` once it was, `accepted` is its answer."""

    def __init__(self, what: Callable[[], bool]) -> None:
        self._what = what
        self.accepted = False
        self.done = False

    def carry_out(self) -> None:
        self.accepted = self._what()
        self.done = True


class Reader:
    """Reads from an opened source until closed. The public methods are for the writer's thread."""

    def __init__(
        self, source: Source, judge: Judge, start: Position, options: Options, until: Position | None = None
    ) -> None:
        self.until = until
        self.prompt = False
        """Somebody waits for the target to reach a place: a mere position is handed over as soon as it moves."""
        self.behind = False
        """Far behind, a group is worth more when it is larger: the source's small pieces are gathered for a moment."""
        self.handover = Handover()
        self._source = source
        self._judge = judge
        self._options = options
        self._orders: deque[Order] = deque()
        self._closing = threading.Event()
        self._group = Group()
        self._position = start  # everything before it is in a group, or was dropped
        self._handed = start  # the last position handed over
        self._handed_at = time.monotonic()
        self._stop: Position | None = None
        self._inside = False  # whether a transaction is half read
        self._standing = False
        self._altered = False  # whether schema changes were handed over, and are not made yet
        self._taken: Callable[[], None] | None = None
        self.generation = 0
        """How many schema changes were taken up: an order about tables that was given before is void."""
        self.thread = threading.Thread(target=self._run, name="reader", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def close(self) -> None:
        """End the thread; the source must have been interrupted where it may be blocked."""
        self._closing.set()
        self.thread.join(10)

    # --- orders: carried out between two transactions, while the caller goes on ----------------------------------

    def offer(self, place: Position) -> Order:
        """A snapshot at `place` exists: stop there, unless the stream has passed it (`accepted` False: it is of no
        use). Judged in the reader's own thread, else the place is passed between comparing and stopping (T-PG-15)."""

        def compare() -> bool:
            self._standing = False
            if not place.covers(self._position):
                return False
            self._stop = place
            return True

        return self._order(compare)

    def stand(self) -> Order:
        """Read nothing more until the next offer: the third snapshot asked for cannot be passed."""

        def stand() -> bool:
            self._standing = True
            return True

        return self._order(stand)

    def go_on(
        self, loaded: Mapping[str, Sequence[Chunk]], forms: Mapping[str, Sequence[RowForm]], gone: Iterable[str] = (),
        window: Window | None = None,
    ) -> Order:
        """After a stop: these tables' chunks are as given now; read on. `forms` of those of which the first chunks came
        in; `gone`: tables of before that are not there, or not under that name; `window` as in Checkpoint."""

        def go_on() -> bool:
            for table in gone:
                self._judge.forget(table)
            if forms:
                self._source.carry(forms)
            for table, chunks in loaded.items():
                self._judge.set(table, chunks)
            self._judge.window = window
            self._stop = None
            self._standing = False
            return True

        return self._order(go_on)

    def carry(self, chunks: Mapping[str, Sequence[Chunk]]) -> Order:
        """Tables join: all their chunks are unread."""

        def carry() -> bool:
            for table, its in chunks.items():
                self._judge.set(table, its)
            return True

        return self._order(carry)

    def unread(self, table: str, leads: bool = False) -> Order:
        """Send all of a table's chunks back to unread; the writer empties them with the next group. `leads`: its
        changes are read on, as rows of others change with its."""

        def unread() -> bool:
            if self._judge.carries(table):
                self._judge.empty(table, self._group)
                if not leads:
                    self._source.carry({table: ()})
            return True

        return self._order(unread)

    def alter(self, changes: Sequence[SchemaChange], place: Position) -> Order:
        """Changes that were seen from outside, at `place`: they come here once the stream has passed it, unless it
        has told of others meanwhile (`accepted` False)."""
        generation = self.generation

        def alter() -> bool:
            if generation != self.generation or not self._position.covers(place):
                return False
            self._group.steps.extend(changes)
            self._altered = True
            self._hand_over_if(True)
            return True

        return self._order(alter)

    def altered(self, changes: Sequence[SchemaChange], forms: Mapping[str, Sequence[RowForm]]) -> None:
        """The writer made the changes handed over last: read on. `forms` of the tables they speak of; none where a
        table is not read."""

        def take_up() -> None:
            for change in changes:
                self._judge.forget(change.old.id)
            for change in changes:
                if change.new is not None:
                    self._judge.set(change.new.id, change.chunks)
            self._source.carry(forms)
            self.generation += 1
            self._altered = False

        self._taken = take_up

    def _order(self, carry_out: Callable[[], bool]) -> Order:
        order = Order(carry_out)
        self._orders.append(order)
        return order

    # --- the thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                self._step()
        except BaseException as failure:  # handed to the writer, which raises it
            self.handover.fail(failure)

    def _step(self) -> None:
        """One turn: an order, or one read and perhaps a hand-over."""
        if self._altered:
            if self._taken is None:
                self._source.rest(TICK / 10)
            else:
                taken, self._taken = self._taken, None
                taken()
            return
        if self._orders and not self._inside:
            self._orders.popleft().carry_out()
            return
        if self._standing:
            if not self._hand_over_if(not self._group.empty):
                self._source.rest(TICK)
            return
        reading = self._source.read(self._group, self._stop, TICK)
        self._inside = self._group.position is None
        if self._group.position is not None:
            self._position = self._group.position
        if reading is Reading.STOP:
            self._stop_here()
        elif reading is Reading.ALTERED:
            self._altered = True
            self._hand_over_if(True)
        elif reading is Reading.MORE:
            self._hand_over_if(self._inside or self._worth_handing)
        elif not self._inside:
            self._idle()

    def _idle(self) -> None:
        """Nothing is at hand: hand over what there is if the writer is hungry, and let it read on otherwise."""
        if not self._worth_handing:
            return
        if self.behind and self._group.bytes < GATHERED and time.monotonic() - self._handed_at < GATHER:
            time.sleep(GATHER / 10)
        elif self.handover.hungry:
            self._hand_over_if(True)
        else:
            self.handover.wait_hungry(0.005)

    @property
    def _worth_handing(self) -> bool:
        """A group with changes always; a mere position only when it has moved far or stood long, or is waited for."""
        if not self._group.empty:
            return True
        if self._position.covers(self._handed) and self._handed.covers(self._position):
            return False
        return (
            self.prompt
            or time.monotonic() - self._handed_at >= self._options.idle_seconds
            or self._position.distance(self._handed) >= self._options.idle_bytes
            or (self.until is not None and self._position.covers(self.until))
        )

    def _stop_here(self) -> None:
        """Everything before the snapshot's place was read: its checkpoint is that place, exactly."""
        assert self._stop is not None
        self._group.position = self._position = self._stop
        self._standing = True
        self._hand_over_if(True, stopped=True)

    def _hand_over_if(self, wanted: bool, stopped: bool = False) -> bool:
        if not wanted:
            return False
        group, self._group = self._group, Group()
        if group.position is None and not self._inside:
            group.position = self._position  # nothing was read into it: it carries what an order left
        self._judge.restrict(group)
        parcel = Parcel(group, stopped)
        while not self.handover.put(parcel, TICK / 10):
            if self._closing.is_set():
                return True
            self._source.rest(0)
        if group.position is not None:
            self._handed, self._handed_at = group.position, time.monotonic()
        return True
