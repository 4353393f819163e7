"""The same story each time: nothing goes wrong; then one misfortune, at each call in turn."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest

from connectors.memory import Strike
from tests.sim.world import World

TOGETHER = 8
"""Stories at a time: each is mostly waiting."""

CALLS = 640
"""About as many as a story has."""

STRIKES = pytest.mark.parametrize(
    "strike", [*Strike, "deadlock"], ids=lambda strike: getattr(strike, "name", strike)
)


@pytest.mark.parametrize("seed", range(6))
def test_without_misfortune(seed: int) -> None:
    World(seed, chunks_per_snapshot=seed % 3 * 2).play()


def story(number: int, strike: Strike | str) -> tuple[bool, str]:
    """Tell it with a misfortune at call `number`: whether that took place, and what was wrong."""
    world = World(seed=number, flush_every=1 + number % 7, chunks_per_snapshot=number % 4)
    try:
        world.play((number, strike))
    except Exception as error:
        return True, f"call {number}: {world.faults.struck}: {type(error).__name__}: {error}"
    return bool(world.faults.struck), ""


def tell(strike: Strike | str, numbers: Iterable[int]) -> None:
    with ThreadPoolExecutor(TOGETHER) as pool:
        told = list(pool.map(lambda number: story(number, strike), numbers))
    wrong = [text for _, text in told if text]
    assert not wrong, "\n".join(wrong[:5])
    assert sum(struck for struck, _ in told) > len(told) / 2, "the misfortunes did not take place"


@STRIKES
def test_a_misfortune_at_some_calls(strike: Strike | str) -> None:
    tell(strike, range(1, CALLS, 19))


@pytest.mark.soak
@pytest.mark.timeout(1800)
@STRIKES
def test_a_misfortune_at_every_call(strike: Strike | str) -> None:
    tell(strike, range(1, CALLS))
