"""The table's rows: what is measured against what, and the bars, which are the project's promises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import debezium, load, memory, stream, tail
from benchmarks.mixed import Backlog, Kind
from benchmarks.result import Result
from benchmarks.servers import Servers

Say = Callable[[str], None]
ROWS = 500_000
"""Changes of a streaming row; the load and the huge transaction have four times as many rows."""


@dataclass(frozen=True, slots=True)
class Row:
    """`measure(servers, rows, runs, say)`; `name` is what --only looks in."""

    name: str
    measure: Callable[[Servers, int, int, Say], Result]

    def is_meant(self, name: str) -> bool:
        """By its name, or by what stands before its transactions' size."""
        return name in (self.name, self.name.partition("-")[0])


def _stream(name: str, kind: Kind, size: int, at_least: float, aim: float) -> Row:
    def measure(servers: Servers, rows: int, runs: int, say: Say) -> Result:
        return stream.measure(servers, Backlog(kind, rows, size), runs, at_least, aim, say)

    return Row(f"{name}-{size}", measure)


STREAMS: tuple[tuple[str, Kind, float, float], ...] = (
    ("insert", "inserts", 0.9, 1.3),
    ("update", "updates", 0.9, 1.3),
    ("delete", "deletes", 0.9, 1.3),
    ("hot", "updates, ten to a key", 2.0, 4.0),
)

TABLE: tuple[Row, ...] = (
    *(_stream(name, kind, size, at_least, aim) for size in (1000, 1) for name, kind, at_least, aim in STREAMS),
    Row("load", lambda servers, rows, runs, say: load.measure(servers, 4 * rows, runs, 0.8, 0.95, say)),
    Row("tail", lambda servers, rows, runs, say: tail.measure(servers, rows, runs, 0.7, 0.9, say)),
    Row("debezium-postgres", lambda servers, rows, runs, say: debezium.postgres(servers, rows, runs, 4, 6, say)),
    Row("debezium-mysql", lambda servers, rows, runs, say: debezium.mysql(servers, rows, runs, 4, 6, say)),
    Row("memory", lambda servers, rows, runs, say: memory.measure(servers, 4 * rows, 300, 150, say)),
)
