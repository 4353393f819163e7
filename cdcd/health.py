"""Whether a pipeline that says it runs really does: judged from its progress, never from its own word (OP-04)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from cdcd.progress import Progress, duration

STREAM = ("catching up", "streaming")


class Health:
    """`reason` is "" while all is well. Its owner calls `look` every second or so."""

    def __init__(
        self, progress: Progress, stuck_after: float = 120.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.reason = ""
        self._progress = progress
        self._stuck_after = stuck_after
        self._clock = clock
        self._mark = self._headway()
        self._head = progress.head
        self._since = clock()
        self._answers = progress.answers
        self._answered = clock()

    def look(self) -> str:
        """The reason as of now."""
        if (mark := self._headway()) != self._mark or not self._ought_to_move():
            self._mark, self._head, self._since = mark, self._progress.head, self._clock()
        if self._progress.answers != self._answers or self._progress.phase not in STREAM:
            self._answers, self._answered = self._progress.answers, self._clock()
        still, mute = self._clock() - self._since, self._clock() - self._answered
        if dead := self._progress.dead:
            self.reason = f"a thread ended without leave: {', '.join(dead)}"
        elif still >= self._stuck_after:
            self.reason = f"nothing has moved for {duration(still)} while {self._progress.phase}"
        elif self._answers and mute >= self._stuck_after:
            # A source that hangs tells no new head: without this it would pass for an idle one (OP-01).
            self.reason = f"a server has not answered for {duration(mute)} while {self._progress.phase}"
        else:
            self.reason = ""
        return self.reason

    def _headway(self) -> tuple[object, ...]:
        """Whatever changes when work is done."""
        p = self._progress
        return (p.phase, p.durable_position, p.changes, p.dropped, p.rows_read, p.bytes_read, p.chunks_in)

    def _ought_to_move(self) -> bool:
        """The stream, when the source's log has grown since it last moved; a load, while it reads. An index that is
        being built shows no progress and may take hours."""
        match self._progress.phase:
            case phase if phase in STREAM:
                return self._progress.head != self._head
            case "loading":
                return bool(self._progress.reading)
            case _:
                return False


def healthy(snapshot: Mapping[str, Any]) -> bool:
    """Nothing ails it that a restart could mend. One that waits for a person is not ready, but not unhealthy."""
    return not snapshot.get("unhealthy")


def ready(snapshot: Mapping[str, Any]) -> bool:
    """The target is consistent and follows the source."""
    return bool(snapshot.get("running", True) and snapshot["consistent"] and snapshot["phase"] == "streaming")
