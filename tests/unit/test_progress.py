"""Progress as sentences and rates."""

import json

import pytest

from cdcd.progress import Meter, Phase, Progress, duration, volume


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_load_in_one_sentence() -> None:
    clock = Clock()
    progress = Progress(name="shop", clock=clock, phase="loading", load_total_bytes=900_000_000)
    progress.sentence()
    clock.now += 5
    progress.load_rows, progress.load_bytes = 1_000_000, 300_000_000
    progress.reading["chunk"] = {"rows": 204_000, "bytes": 110_000_000}
    said = progress.sentence()
    assert said == "loading: 1,204,000 rows, 410 MB of 900 MB, 82 MB/s, about 6 s left"


def test_a_load_that_turned_out_bigger() -> None:
    progress = Progress(phase="loading", load_total_bytes=5, load_bytes=5_000, chunks_total=3, chunks_in=1)
    assert progress.sentence() == "loading: 0 rows, 5.0 kB, 0 bytes/s, 1 of 3 chunks in"


def test_a_stream_in_one_sentence() -> None:
    progress = Progress(phase="streaming", changes=1234, durable_position="0/16B3748")
    assert progress.sentence() == "streaming: 1,234 changes, 0/s, up to date, durable to 0/16B3748"
    progress.lag_bytes, progress.lag_seconds = 2_500_000, 200
    assert "2.5 MB behind, 3 min" in progress.sentence()


def test_the_lag_grows_while_it_is_not_known() -> None:
    """From what it was when the last attempt ended; a pipeline that was never consistent has none."""
    clock = Clock()
    progress = Progress(clock=clock, phase="waiting", lag_seconds=2, consistent=True)
    progress.lose_sight()
    clock.now += 60
    progress.lose_sight()
    assert (progress.snapshot()["lag_seconds"], progress.snapshot()["stale"]) == (62, True)
    progress.lag_seconds, progress.unknown_since = 0, None
    assert (progress.snapshot()["lag_seconds"], progress.snapshot()["stale"]) == (0, False)
    first = Progress(clock=clock, phase="waiting")
    first.lose_sight()
    assert not first.snapshot()["stale"]


def test_an_error_is_told_by_its_first_line() -> None:
    progress = Progress(phase="waiting", last_error="gone away\n  why: x", retries=3)
    assert progress.sentence() == "waiting: to try again; gone away (tried again 3 times)"


def test_no_secret_in_what_it_says() -> None:
    progress = Progress(phase="waiting", last_error="cannot reach postgresql://u:canary-secret@h/d")
    assert "canary-secret" not in progress.sentence() + str(progress.snapshot())


@pytest.mark.parametrize("phase", Phase.__args__)  # type: ignore[attr-defined]
def test_every_phase_has_a_sentence_and_a_plain_snapshot(phase: Phase) -> None:
    progress = Progress(name="shop", phase=phase)
    assert progress.sentence().startswith(phase)
    assert json.loads(json.dumps(progress.snapshot()))["sentence"] == progress.sentence()


def test_a_rate_is_of_lately() -> None:
    clock = Clock()
    meter = Meter(clock)
    value = 0
    for second in range(60):
        meter.rate(value)
        clock.now += 1
        value += 1000 if second < 30 else 10
    assert meter.rate(value) == pytest.approx(10)


def test_two_looks_at_once_agree() -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.rate(0)
    clock.now += 2
    first = meter.rate(100)
    assert first == meter.rate(1_000_000) == 50


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (310e6, "310 MB"), (2e15, "2,000 TB")]
)
def test_volume(count: float, said: str) -> None:
    assert volume(count) == said


@pytest.mark.parametrize(("seconds", "said"), [(0.4, "0 s"), (99, "99 s"), (200, "3 min"), (9000, "2.5 h")])
def test_duration(seconds: float, said: str) -> None:
    assert duration(seconds) == said
