"""The table of the benchmarks: every kind of line can be shown."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from benchmarks.report import show
from benchmarks.result import Memory, Ratio, Result, Unmeasured


def test_each_verdict() -> None:
    measured: list[Result] = [
        Ratio("fast", "a peer", 10, {"cdcd": [1.0], "peer": [2.0]}, 1, 1.5),
        Ratio("slow", "a peer", 10, {"cdcd": [2.0], "peer": [1.0]}, 1, 1.5),
        Memory("memory", 200, 300, 150),
        Unmeasured("nobody", "the peer is not there", absent=True),
    ]
    out = StringIO()
    show(Console(file=out, width=200), measured)
    words = ("aim met", "NOT MET", "met", "the peer is not there")
    assert all(word in line for word, line in zip(words, out.getvalue().splitlines()[1:], strict=True))
