"""Contenders in turn, who begins changing with each round."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Turn = Callable[[int], float]
"""The seconds that a contender took in the run of this number."""


def rounds(
    contenders: Mapping[str, Turn], rows: int, runs: int, say: Callable[[str], None]
) -> dict[str, list[float]]:
    """Each contender's seconds, run by run."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for run in range(runs):
        turn = run % len(names)
        for name in names[turn:] + names[:turn]:
            took = contenders[name](run)
            seconds[name].append(took)
            say(f"  {run + 1}/{runs} {name}: {took:.2f} s, {rows / took:,.0f} rows/s")
    return seconds
