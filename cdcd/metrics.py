"""Every metric, in one table with its help, and the Prometheus text made of it when somebody asks.

The hot path never touches Prometheus: values are taken from Progress.snapshot() at the moment of the scrape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from cdcd import __version__
from cdcd.progress import Phase

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PHASES: tuple[str, ...] = get_args(Phase)


@dataclass(frozen=True, slots=True)
class Metric:
    """One line of the table: `field` of the snapshot, or what `value` makes of it; labelled `pipeline`."""

    name: str
    help: str
    field: str = ""
    value: Callable[[Mapping[str, Any]], float] | None = None

    @property
    def counts(self) -> bool:
        return self.name.endswith("_total")

    def of(self, snapshot: Mapping[str, Any]) -> float:
        return float(self.value(snapshot) if self.value is not None else snapshot.get(self.field, 0))


METRICS: tuple[Metric, ...] = (
    Metric("cdcd_up", "1 while the pipeline's process runs.", value=lambda s: s.get("running", True)),
    Metric("cdcd_healthy", "0 when a thread died, or nothing moves although the source does.",
           value=lambda s: not s.get("unhealthy")),
    Metric("cdcd_consistent", "1 when every chunk is in, and keys and indexes are built.", "consistent"),
    Metric("cdcd_tables", "Tables carried.", "tables"),
    Metric("cdcd_chunks", "Chunks of all tables.", "chunks_total"),
    Metric("cdcd_chunks_in", "Chunks that are in.", "chunks_in"),
    Metric("cdcd_load_rows_total", "Rows read by loads, since the process started.", "load_rows"),
    Metric("cdcd_load_bytes_total", "Bytes read by loads, since the process started.", "load_bytes"),
    Metric("cdcd_load_expected_bytes", "Bytes that this load is estimated to have.", "load_total_bytes"),
    Metric("cdcd_changes_total", "Changes applied, since the process started.", "changes"),
    Metric("cdcd_dropped_total", "Changes not carried because their chunk was not in yet.", "dropped"),
    Metric("cdcd_transactions_total", "Source transactions applied, since the start.", "transactions"),
    Metric("cdcd_groups_total", "Target transactions that applied them.", "groups"),
    Metric("cdcd_lag_bytes", "Bytes of the source's log not yet durable at the target.", "lag_bytes"),
    Metric("cdcd_lag_seconds", "Age of the newest change applied while behind, else 0.", "lag_seconds"),
    Metric("cdcd_held_bytes", "Bytes of log that the source keeps for the pipeline.", "held_bytes"),
    Metric("cdcd_retries_total", "Times the pipeline claimed and reopened after an error.", "retries"),
    Metric("cdcd_restarts_total", "Times the supervisor started the pipeline's process again.", "restarts"),
    Metric("cdcd_failing", "1 while the last attempt ended in an error.",
           value=lambda s: bool(s.get("last_error"))),
)


class _Pipelines(Collector):
    def __init__(self, snapshots: Sequence[Mapping[str, Any]]) -> None:
        self._snapshots = snapshots

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        version = GaugeMetricFamily("cdcd_info", "Which version runs.", labels=["version"])
        version.add_metric([__version__], 1)
        yield version
        for metric in METRICS:
            family = (CounterMetricFamily if metric.counts else GaugeMetricFamily)(
                metric.name, metric.help, labels=["pipeline"]
            )
            for snapshot in self._snapshots:
                family.add_metric([snapshot["name"]], metric.of(snapshot))
            yield family
        labels = ["pipeline", "phase"]
        phase = GaugeMetricFamily("cdcd_phase", "1 for the phase the pipeline is in.", labels=labels)
        for snapshot in self._snapshots:
            for name in PHASES:
                phase.add_metric([snapshot["name"], name], 1 if snapshot["phase"] == name else 0)
        yield phase


def render(snapshots: Iterable[Mapping[str, Any]]) -> bytes:
    """The Prometheus text of these pipelines and of this process."""
    registry = CollectorRegistry()
    registry.register(_Pipelines(list(snapshots)))
    ProcessCollector(registry=registry)
    return generate_latest(registry)
