"""Waiting until the target has passed a place of the source."""

from __future__ import annotations

import time

from cdcd.contracts import Comparable
from cdcd.model.position import Position

TICK = 0.1
SILENT = 7.0
"""Seconds; who runs a pipeline shows a sign of life every 5 s."""


class Watch:
    def __init__(self, source: Comparable, target: Comparable, wait: float) -> None:
        self.seen: Position | None = None
        self._source = source
        self._target = target
        self._wait = wait
        self._stalled = False
        self._life: int | None = None  # the sign of life, and when it was another one
        self._alive = time.monotonic()

    def passed(self, place: Position) -> bool:
        """Wait until the target's checkpoint covers `place`; not where nobody runs the pipeline. Once that took too
        long, no longer than the checkpoint stands still."""
        deadline = time.monotonic() + self._wait
        while True:
            before, now = self.seen, self._checkpoint()
            if now is not None and now.covers(place):
                self._stalled = False
                return True
            if now is not None and before is not None and not before.covers(now):
                self._stalled = False
            silent = time.monotonic() - self._alive > SILENT
            if self._stalled or silent or time.monotonic() > deadline:
                self._stalled = True
                return False
            time.sleep(TICK)

    def complete(self, table: str) -> bool:
        """Whether all chunks of the table are in."""
        standing = self._target.standing()
        return standing is not None and standing.unread.get(table) == 0

    def _checkpoint(self) -> Position | None:
        standing = self._target.standing()
        if standing is not None and standing.position is not None:
            self.seen = self._source.position(standing.position)
        if standing is not None and standing.life != self._life:
            self._life, self._alive = standing.life, time.monotonic()
        return self.seen
