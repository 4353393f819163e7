"""Nothing goes wrong; then, the same story with one misfortune at each call in turn."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from connectors.memory import Strike
from tests.sim.world import World

TOGETHER = 8
"""Stories at a time: each is mostly waiting."""


@pytest.mark.parametrize("seed", range(6))
def test_without_misfortune(seed: int) -> None:
    World(seed, chunks_per_snapshot=seed % 3 * 2).play()


def one(number: int, strike: Strike | str, every: int) -> str | None:
    """A story with a misfortune at call `number`; what was wrong with it."""
    world = World(seed=number, flush_every=1 + number % 7, chunks_per_snapshot=number % 4)
    try:
        world.play((number, strike))
    except BaseException as error:
        return f"call {number}: {world.faults.struck}: {type(error).__name__}: {error}"
    return None


@pytest.mark.parametrize("strike", [*Strike, "deadlock"], ids=lambda strike: getattr(strike, "name", strike))
def test_a_misfortune_at_every_call(strike: Strike | str) -> None:
    every = range(1, 400, 9)
    with ThreadPoolExecutor(TOGETHER) as pool:
        wrong = [text for text in pool.map(lambda number: one(number, strike, 1), every) if text]
    assert not wrong, "\n".join(wrong[:5])
