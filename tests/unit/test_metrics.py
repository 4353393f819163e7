"""Metrics: every one has help and a value, and they are made of a snapshot."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cdcd.metrics import METRICS, render
from cdcd.progress import Progress


def families(*snapshots: dict[str, object]) -> dict[str, dict[str, float]]:
    text = render(snapshots).decode()
    return {
        family.name: {sample.labels.get("pipeline", ""): sample.value for sample in family.samples}
        for family in text_string_to_metric_families(text)
    }


def test_every_metric_is_there_with_its_help() -> None:
    text = render([Progress(name="shop").snapshot()]).decode()
    for metric in METRICS:
        assert metric.help.endswith(".")
        assert f"# HELP {metric.name} {metric.help}" in text
        assert f'{metric.name}{{pipeline="shop"}}' in text


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_each_speaks_of_something_the_snapshot_has(metric: object) -> None:
    snapshot = Progress(name="shop").snapshot() | {"restarts": 0, "unhealthy": "", "running": True}
    field = getattr(metric, "field")  # noqa: B009
    assert not field or field in snapshot


def test_values() -> None:
    progress = Progress(name="shop", phase="streaming", changes=12, lag_seconds=1.5, consistent=True)
    found = families(progress.snapshot(), Progress(name="crm").snapshot() | {"unhealthy": "stuck"})
    assert found["cdcd_changes"] == {"shop": 12, "crm": 0}
    assert found["cdcd_lag_seconds"]["shop"] == 1.5
    assert found["cdcd_consistent"] == {"shop": 1, "crm": 0}
    assert found["cdcd_healthy"] == {"shop": 1, "crm": 0}
    assert found["process_cpu_seconds"][""] >= 0


def test_the_phase_is_one_of_many() -> None:
    text = render([Progress(name="shop", phase="loading").snapshot()]).decode()
    assert 'cdcd_phase{phase="loading",pipeline="shop"} 1.0' in text
    assert 'cdcd_phase{phase="streaming",pipeline="shop"} 0.0' in text
