"""Waiting until the target has passed a place of the source."""

from __future__ import annotations

import time

from cdcd.contracts import Comparable
from cdcd.model.position import Position

TICK = 0.1


class Watch:
    def __init__(self, source: Comparable, target: Comparable, wait: float) -> None:
        self.seen: Position | None = None
        self._source = source
        self._target = target
        self._wait = wait
        self._stalled = False

    def passed(self, place: Position) -> bool:
        """Wait until the target's checkpoint covers `place`. Once that took too long, no longer than the checkpoint
        stands still: a daemon that does not run is waited for once."""
        deadline = time.monotonic() + self._wait
        while True:
            before, now = self.seen, self._checkpoint()
            if now is not None and now.covers(place):
                self._stalled = False
                return True
            if now is not None and before is not None and not before.covers(now):
                self._stalled = False
            if self._stalled or time.monotonic() > deadline:
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
        return self.seen
