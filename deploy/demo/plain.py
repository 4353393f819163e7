"""The demo as lines of text, for logs and pipes."""

from __future__ import annotations

import time

from deploy.demo.facts import Facts

EVERY = 2.0


class Plain:
    """A line per step that begins and ends, and one each two seconds while something moves."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._said = 0.0

    def begin(self, text: str) -> None:
        self._say(f"… {text}")

    def done(self, text: str) -> None:
        self._say(f"✔ {text}")

    def show(self, facts: Facts) -> None:
        if facts.phase and time.monotonic() - self._said >= EVERY:
            self._say(f"    {sentence(facts)}")

    def close(self) -> None:
        pass

    def _say(self, text: str) -> None:
        self._said = time.monotonic()
        print(f"{self._said - self._began:6.1f} s  {text}", flush=True)


def sentence(facts: Facts) -> str:
    """Facts in a line."""
    words = [f"cdcd {facts.phase}"]
    if facts.phase == "loading":
        words.append(f"{facts.rows:,} of {facts.rows_expected:,} rows, {facts.load_rate / 1e6:.0f} MB/s")
    else:
        words.append(f"{facts.changes:,} changes applied, {facts.change_rate:,.0f}/s")
    if facts.tps:
        words.append(f"pgbench writes {facts.tps:,.0f} transactions/s")
    if facts.lag is not None:
        words.append(f"{facts.lag:.2f} s behind")
    return "; ".join(words)
