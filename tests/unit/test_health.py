"""Health is judged from what moves."""

import threading

import pytest

from cdcd.health import Health, ready
from cdcd.progress import Progress


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.failure("OP-04")
def test_a_stream_that_stands_while_the_source_moves(clock: Clock) -> None:
    progress = Progress(phase="streaming", head="1", durable_position="1")
    health = Health(progress, 60, clock)
    for second in range(100):
        clock.now, progress.head = second, str(second)
        health.look()
    assert health.reason == "nothing has moved for 98 s while streaming"
    progress.durable_position = "99"
    assert health.look() == ""


def test_an_idle_source_is_well(clock: Clock) -> None:
    health = Health(Progress(phase="streaming", head="1"), 60, clock)
    clock.now = 1000
    assert health.look() == ""


@pytest.mark.failure("OP-01")
def test_a_server_that_does_not_answer(clock: Clock) -> None:
    progress = Progress(phase="streaming", head="1", answers=7)
    health = Health(progress, 60, clock)
    clock.now = 61
    assert health.look() == "a server has not answered for 61 s while streaming"
    progress.answers += 1
    assert health.look() == ""


def test_a_huge_transaction_moves_without_a_checkpoint(clock: Clock) -> None:
    progress = Progress(phase="streaming", head="1", durable_position="1")
    health = Health(progress, 60, clock)
    for second in range(300):
        clock.now, progress.head, progress.changes = second, str(second), second
        assert health.look() == ""


def test_a_load_that_stands(clock: Clock) -> None:
    progress = Progress(phase="loading")
    health = Health(progress, 60, clock)
    clock.now = 1000
    assert health.look() == "", "an index is being built"
    progress.reading["chunk"] = {"rows": 1, "bytes": 1}
    health.look()
    clock.now = 1061
    assert "nothing has moved" in health.look()


def test_a_thread_that_died(clock: Clock) -> None:
    progress = Progress(phase="streaming")
    thread = threading.Thread(target=lambda: None)
    progress.threads["reader"] = thread
    thread.start()
    thread.join()
    assert Health(progress, 60, clock).look() == "a thread ended without leave: reader"


def test_ready() -> None:
    progress = Progress(phase="streaming", consistent=True)
    assert ready(progress.snapshot())
    assert not ready(progress.snapshot() | {"running": False})
    progress.phase = "waiting"
    assert not ready(progress.snapshot())
