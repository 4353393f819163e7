"""How far behind the source's head the target is, in seconds of our own clock: no two clocks are compared."""

from __future__ import annotations

import time
from collections import deque

from cdcd.model.position import Position


class Lag:
    """Samples of the source's head, each with the time it was taken. The lag is the age of the oldest sample that is
    not covered yet; before the first sample is covered it is at least that, and `known` is False."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, Position]] = deque()
        self.known = False
        self.seconds = 0.0
        self.bytes = 0

    def sample(self, head: Position) -> None:
        """The source's head, now."""
        if len(self._samples) < 4096:
            self._samples.append((time.monotonic(), head))

    def at(self, position: Position) -> None:
        """The durable position, now."""
        while self._samples and position.covers(self._samples[0][1]):
            self._samples.popleft()
            self.known = True
        if self._samples:
            self.seconds = time.monotonic() - self._samples[0][0]
            self.bytes = max(0, self._samples[-1][1].distance(position))
        else:
            self.seconds, self.bytes = 0.0, 0
