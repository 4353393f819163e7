"""Getting a snapshot that the stream has not passed, one step at a time, while the stream goes on.

Asked for when the stream is close behind (T-PG-23). When it is there the reader compares its place (T-PG-15): not
yet passed, the reader stops there; passed: thrown away and asked for again, the third time with the reader standing
still.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from cdcd.contracts import Snapshot, Source
from cdcd.engine.reader import Order, Reader
from cdcd.log import get_logger
from cdcd.model.position import Position
from cdcd.model.table import Table

log = get_logger("engine.seek")


class Seek:
    """At most one snapshot is asked for at a time. `step` never waits."""

    ATTEMPTS = 3
    took = 0.0
    """Seconds, from the wish to the snapshot that was taken."""

    def __init__(self, source: Source, reader: Reader) -> None:
        self._source = source
        self._reader = reader
        self._attempts = 0
        self._tables: Sequence[Table] = ()
        self._since = 0.0
        self._asking: _Asking | None = None
        self._order: Order | None = None
        self._snapshot: Snapshot | None = None

    @property
    def busy(self) -> bool:
        """Whether a snapshot is on its way or in hand."""
        return self._asking is not None or self._order is not None or self._snapshot is not None

    def ask(self, tables: Sequence[Table]) -> None:
        """Begin, for a snapshot of these; `step` goes on with it."""
        self._tables = list(tables)
        if not self._attempts:
            self._since = time.monotonic()
        self._attempts += 1
        if self._attempts >= self.ATTEMPTS:
            self._order = self._reader.stand()
        else:
            self._asking = _Asking(self._source, self._tables)

    def step(self) -> None:
        """Go on as far as possible. Raises what asking failed with."""
        if self._order is not None and self._order.done:
            order, self._order = self._order, None
            if self._snapshot is None:
                self._asking = _Asking(self._source, self._tables)
            elif not order.accepted:
                log.info("snapshot passed by the stream, asking again", attempt=self._attempts)
                self._snapshot.close()
                self._snapshot = None
                self.ask(self._tables)
        if self._asking is not None and (snapshot := self._asking.answer()) is not None:
            self._asking = None
            self._snapshot = snapshot
            self._order = self._reader.offer(snapshot.position)

    @property
    def high(self) -> Position | None:
        """Of the snapshot at whose place the stream stands."""
        return self._snapshot.high if self._snapshot is not None else None

    def take(self) -> Snapshot:
        """The stream stands at the snapshot's place: it is the caller's now."""
        assert self._snapshot is not None
        snapshot, self._snapshot = self._snapshot, None
        self._order = None  # its answer is known: the stream stands
        self._attempts, self.took = 0, time.monotonic() - self._since
        return snapshot

    def close(self) -> None:
        """Throw away what is in hand. The source was interrupted before, where it may be blocked."""
        if self._asking is not None:
            self._asking.abandon()
        if self._snapshot is not None:
            self._snapshot.close()


class _Asking:
    """Source.snapshot in a thread of its own: it blocks behind open writing transactions (T-PG-13)."""

    def __init__(self, source: Source, tables: Sequence[Table]) -> None:
        self._source = source
        self._tables = tables
        self._snapshot: Snapshot | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="snapshot", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._snapshot = self._source.snapshot(self._tables)
        except BaseException as failure:  # raised by answer(), in the writer's thread
            self._failure = failure

    def answer(self) -> Snapshot | None:
        if self._failure is not None:
            raise self._failure
        return self._snapshot

    def abandon(self) -> None:
        self._thread.join(5)
        if self._snapshot is not None:
            self._snapshot.close()
