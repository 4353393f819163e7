"""What is shown while the demo runs: a glance at everything, taken several times a second."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from deploy.demo.daemon import Daemon
from deploy.demo.probe import Probe
from deploy.demo.workload import Workload

EVERY = 0.2
WINDOW = 5
"""Glances over which the rate of changes is taken: a second."""


@dataclass(frozen=True, slots=True)
class Facts:
    """`phase` is the daemon's own word, "" where no daemon runs."""

    phase: str = ""
    rows: int = 0
    rows_expected: int = 0
    load_rate: float = 0.0
    changes: int = 0
    change_rate: float = 0.0
    tps: float = 0.0
    lag: float | None = None


class Screen(Protocol):
    """Where the demo is shown: a terminal, or lines of text."""

    def begin(self, text: str) -> None:
        """A step begins."""
        ...

    def done(self, text: str) -> None:
        """It ended well; `text` says what came of it."""
        ...

    def show(self, facts: Facts) -> None: ...

    def close(self) -> None: ...


class Observer:
    """A thread that looks at daemon, workload and probe and shows what it sees. `peak` is the best rate of changes."""

    def __init__(self, screen: Screen, daemon: Daemon, rows_expected: int) -> None:
        self.workload: Workload | None = None
        self.probe: Probe | None = None
        self._base = 0
        self._rows = 0
        self.peak = 0.0
        self._screen = screen
        self._daemon = daemon
        self._expected = rows_expected
        self._seen: deque[tuple[float, int]] = deque(maxlen=WINDOW + 1)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)
        self._thread.start()

    def goes_on(self, rows: int) -> None:
        """The next daemon begins with so many rows at the target; its own count begins with nothing."""
        self._base = self._rows = rows

    @property
    def rows(self) -> int:
        """Copied by all daemons so far."""
        if self._daemon.status.get("load_rows"):
            self._rows = self._base + int(self._daemon.status["load_rows"])
        return self._rows

    def stop(self) -> None:
        """No more is shown, and what is on the screen goes."""
        self._stopping.set()
        self._thread.join(5)
        self._screen.show(Facts())

    def _run(self) -> None:
        while not self._stopping.wait(EVERY):
            self._daemon.look()
            self._seen.append((time.monotonic(), self._daemon.changes))
            self.peak = max(self.peak, self._rate)
            self._screen.show(self.facts())

    @property
    def _rate(self) -> float:
        """Changes a second, lately."""
        if len(self._seen) <= WINDOW:
            return 0.0
        (then, before), (now, after) = self._seen[0], self._seen[-1]
        return (after - before) / (now - then)

    def facts(self) -> Facts:
        status = self._daemon.status
        return Facts(
            phase=status.get("phase", ""),
            rows=self.rows,
            rows_expected=self._expected,
            load_rate=float(status.get("load_rate", 0)),
            changes=self._daemon.changes,
            change_rate=self._rate,
            tps=self.workload.tps if self.workload else 0.0,
            lag=self.probe.lag if self.probe else None,
        )


def wait(condition: Callable[[], bool], limit: float, what: str, daemon: Daemon) -> None:
    """Until it holds, while the daemon lives."""
    pause = threading.Event()
    for _ in range(int(limit / 0.05)):
        daemon.check()
        if condition():
            return
        pause.wait(0.05)
    raise TimeoutError(f"waited {limit:g} s for {what}\n{daemon.tail()}")
