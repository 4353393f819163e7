"""The demo on a terminal: steps that get ticked off, and gauges that move below them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from deploy.demo.facts import Facts

BARS = " ▁▂▃▄▅▆▇█"
WIDTH = 40


class Terminal:
    """Redrawn by `rich`; what is drawn is made here from the steps and the newest facts."""

    def __init__(self, console: Console) -> None:
        self._lock = threading.Lock()
        self._steps: list[tuple[str, float]] = []
        self._step = ""
        self._since = time.monotonic()
        self._spinner = Spinner("dots", style="cyan")
        self._facts = Facts()
        self._history: dict[str, deque[float]] = {
            name: deque(maxlen=WIDTH) for name in ("tps", "changes", "lag")
        }
        self._live = Live(console=console, get_renderable=self._draw, refresh_per_second=8, transient=False)
        self._live.start()

    def begin(self, text: str) -> None:
        with self._lock:
            self._step, self._since = text, time.monotonic()

    def done(self, text: str) -> None:
        with self._lock:
            self._steps.append((text, time.monotonic() - self._since))
            self._step = ""

    def show(self, facts: Facts) -> None:
        with self._lock:
            self._facts = facts
            self._history["tps"].append(facts.tps)
            self._history["changes"].append(facts.change_rate)
            self._history["lag"].append(facts.lag or 0.0)

    def close(self) -> None:
        """The steps stay on the screen; the gauges have had their time."""
        with self._lock:
            self._facts = Facts()
        self._live.stop()

    def _draw(self) -> Group:
        with self._lock:
            steps = Table.grid(padding=(0, 1))
            steps.add_column(width=2, justify="right")
            steps.add_column()
            steps.add_column(justify="right", style="dim", no_wrap=True)
            for text, seconds in self._steps:
                steps.add_row(Text("✔", style="green"), Text(text), f"{seconds:.1f} s")
            if self._step:
                steps.add_row(
                    self._spinner, Text(self._step, style="bold"), f"{time.monotonic() - self._since:.1f} s"
                )
            if not self._facts.rows_expected:
                return Group(steps)
            return Group(steps, Text(""), self._gauges())

    def _gauges(self) -> Table:
        facts = self._facts
        gauges = Table.grid(padding=(0, 2))
        gauges.add_column(style="dim", width=12, justify="right")
        gauges.add_column(width=WIDTH)
        gauges.add_column(no_wrap=True)
        gauges.add_row("cdcd", Text(facts.phase or "not running", style="cyan" if facts.phase else "red"), "")
        rows = min(facts.rows, facts.rows_expected)
        rate = f", {facts.load_rate / 1e6:.0f} MB/s" if facts.phase == "loading" else ""
        gauges.add_row(
            "copied",
            ProgressBar(
                facts.rows_expected, rows, width=WIDTH, complete_style="cyan", finished_style="green"
            ),
            f"{rows:,} rows{rate}",
        )
        lag = "–" if facts.lag is None else f"{facts.lag:.2f} s"
        for label, name, words in (
            ("pgbench", "tps", f"{facts.tps:,.0f} transactions/s"),
            ("applied", "changes", f"{facts.change_rate:,.0f} changes/s, {facts.changes:,} in all"),
            ("behind", "lag", lag),
        ):
            gauges.add_row(label, Text(curve(self._history[name]), style="cyan"), words)
        return gauges


def curve(values: deque[float], scale: Callable[[float], float] = float) -> str:
    """The last values as little bars, the highest of them full."""
    highest = max(map(scale, values), default=0.0)
    if highest <= 0:
        return ""
    return "".join(BARS[min(8, round(scale(value) / highest * 8))] for value in values)
