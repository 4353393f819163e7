"""Contenders in turn, who begins changing with each round."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Turn = Callable[[int], float]
"""The seconds that a contender took in the run of this number."""


Seconds = dict[str, list[float]]
"""Each contender's, run by run."""


def rounds(
    contenders: Mapping[str, Turn], rows: int, runs: int, say: Callable[[str], None],
    hopeless: Callable[[str, Seconds], bool] = lambda name, seconds: False,
) -> Seconds:
    """`hopeless`: whether a contender's turns are left out from here on."""
    seconds: Seconds = {name: [] for name in contenders}
    names = list(contenders)
    for run in range(runs):
        turn = run % len(names)
        for name in names[turn:] + names[:turn]:
            if hopeless(name, seconds):
                continue
            took = contenders[name](run)
            seconds[name].append(took)
            say(f"  {run + 1}/{runs} {name}: {took:.2f} s, {rows / took:,.0f} rows/s")
    return seconds
