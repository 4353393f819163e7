"""Progress while something runs: one line per pipeline on a terminal, a log line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cdcd.daemon import Watch
from cdcd.log import get_logger

log = get_logger("progress")

EVERY = 10.0


class Terminal:
    """One line per pipeline that stays in place, log lines above it."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False)
        self._live.start()

    def show(self, snapshots: Sequence[Mapping[str, Any]]) -> None:
        table = Table.grid(padding=(0, 2), expand=True)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        for snapshot in snapshots:
            style = "red" if snapshot.get("unhealthy") or snapshot.get("last_error") else ""
            table.add_row(snapshot["name"], Text(snapshot["sentence"], style=style))
        self._live.update(table, refresh=True)

    def close(self) -> None:
        self._live.stop()


class Lines:
    """A log line per pipeline every ten seconds, and when its phase changes."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[str, float]] = {}

    def show(self, snapshots: Sequence[Mapping[str, Any]]) -> None:
        now = time.monotonic()
        for snapshot in snapshots:
            phase, at = self._said.get(snapshot["name"], ("", 0.0))
            if phase != snapshot["phase"] or now - at >= EVERY:
                self._said[snapshot["name"]] = (snapshot["phase"], now)
                unhealthy = {"unhealthy": snapshot["unhealthy"]} if snapshot.get("unhealthy") else {}
                log.info(snapshot["sentence"], pipeline=snapshot["name"], **unhealthy)

    def close(self) -> None:
        pass


class Silent:
    """Nobody looks: a supervisor tells for its children."""

    def show(self, snapshots: Sequence[Mapping[str, Any]]) -> None:
        pass

    def close(self) -> None:
        pass


def on_terminal() -> bool:
    """Whether stderr is a terminal that can redraw a line."""
    return sys.stderr.isatty() and not Console(stderr=True).is_dumb_terminal


def watch(json: bool, supervised: bool = False) -> Watch:
    """Whoever fits: stderr shows progress, stdout is for results."""
    if supervised:
        return Silent()
    return Terminal(Console(stderr=True)) if on_terminal() and not json else Lines()
