"""Several processes, one pipeline: who is let in, who is shut out, and that nothing is written twice meanwhile."""

from __future__ import annotations

import pytest

from cdcd.errors import Fenced
from tests.sim.world import World
from tests.waiting import wait_until


@pytest.mark.parametrize("seed", range(8))
def test_a_second_process_takes_over_and_the_first_ends(seed: int) -> None:
    """T-PO-12: once, and not in turn."""
    first = World(seed, chunks_per_snapshot=seed % 3)
    second = first.beside()
    first.start()
    first.client.work(5 + seed, pause=0.004)
    second.start()
    try:
        wait_until(lambda: first.failure is not None, limit=10, what="the first process to end")
        second.client.work(20, pause=0.004)
        second.settle()
    finally:
        second.stop()
    assert isinstance(first.failure, Fenced)
    second.verify()


@pytest.mark.parametrize("seed", range(8))
def test_a_process_that_was_cut_off_leaves_zombies(seed: int) -> None:
    """T-PO-3: its sessions live on at both servers, locks and open transactions and all."""
    first = World(seed, chunks_per_snapshot=seed % 3)
    first.start()
    first.client.work(5 + seed, pause=0.004)
    first.cut_off()
    second = first.beside()
    second.start()
    try:
        second.client.work(20, pause=0.004)
        second.settle()
    finally:
        first.task.stop()
        second.stop()
    second.verify()


@pytest.mark.parametrize("seed", range(6))
def test_stopped_and_started_again_and_again(seed: int) -> None:
    world = World(seed, chunks_per_snapshot=seed % 3)
    for _ in range(6):
        world.start()
        world.client.work(6, pause=0.004)
        world.stop()
        assert world.failure is None
        world.client.work(3, pause=0)
    world.start()
    world.settle()
    world.stop()
    world.verify()
