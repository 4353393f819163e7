"""The table's rows: what is measured against what, and the bars, which are the project's promises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import (
    binlog,
    debezium,
    from_mysql,
    into_mysql,
    load,
    mariadb_load,
    memory,
    memory_mysql,
    native_mysql,
    stream,
    tail,
)
from benchmarks.mixed import Backlog, Kind
from benchmarks.result import Result
from benchmarks.servers import Servers

Say = Callable[[str], None]
ROWS = 500_000
"""Changes of a streaming row; the loads and the huge transactions have four times as many rows, transactions of a row
each, of MySQL, a fifth."""

POSTGRES, MYSQL = "PostgreSQL", "MySQL and MariaDB"
"""The parts of the table."""


@dataclass(frozen=True, slots=True)
class Row:
    """`measure(servers, rows, runs, say)`; `name` is what --only looks in."""

    part: str
    name: str
    measure: Callable[[Servers, int, int, Say], Result]

    def is_meant(self, name: str) -> bool:
        """By its name, by what stands before its transactions' size, or by its part's first word."""
        return name in (self.name, self.name.partition("-")[0], self.part.partition(" ")[0].lower())


def _stream(name: str, kind: Kind, size: int, at_least: float, aim: float) -> Row:
    def measure(servers: Servers, rows: int, runs: int, say: Say) -> Result:
        return stream.measure(servers, Backlog(kind, rows, size), runs, at_least, aim, say)

    return Row(POSTGRES, f"{name}-{size}", measure)


def _mysql(name: str, measure: Callable[[Servers, int, int, Say], Result]) -> Row:
    return Row(MYSQL, name, measure)


STREAMS: tuple[tuple[str, Kind, float, float], ...] = (
    ("insert", "inserts", 0.9, 1.3),
    ("update", "updates", 0.9, 1.3),
    ("delete", "deletes", 0.9, 1.3),
    ("hot", "updates, ten to a key", 2.0, 4.0),
)

TABLE: tuple[Row, ...] = (
    *(_stream(name, kind, size, at_least, aim) for size in (1000, 1) for name, kind, at_least, aim in STREAMS),
    Row(POSTGRES, "load", lambda servers, rows, runs, say: load.measure(servers, 4 * rows, runs, 0.8, 0.95, say)),
    Row(POSTGRES, "tail", lambda servers, rows, runs, say: tail.measure(servers, rows, runs, 0.7, 0.9, say)),
    Row(POSTGRES, "memory", lambda servers, rows, runs, say: memory.measure(servers, 4 * rows, 300, 150, say)),
    _mysql("binlog-1000", lambda servers, rows, runs, say: binlog.measure(servers, rows, 1000, runs, 8, 10, say)),
    _mysql("binlog-1", lambda servers, rows, runs, say: binlog.measure(servers, rows // 5, 1, runs, 15, 25, say)),
    _mysql("json-mysql", lambda servers, rows, runs, say: debezium.mysql(servers, rows, runs, 4, 6, say)),
    _mysql("json-postgres", lambda servers, rows, runs, say: debezium.postgres(servers, rows, runs, 4, 6, say)),
    _mysql("pgloader", lambda servers, rows, runs, say: mariadb_load.measure(servers, 4 * rows, runs, 2.5, 3.5, say)),
    _mysql("into", lambda servers, rows, runs, say: into_mysql.measure(servers, 4 * rows, runs, 0.7, 1, say)),
    _mysql(
        "from-inserts",
        lambda servers, rows, runs, say: from_mysql.measure(servers, "inserts", rows, runs, 0.7, 1, say),
    ),
    _mysql(
        "from-updates",
        lambda servers, rows, runs, say: from_mysql.measure(servers, "updates", rows, runs, 0.7, 1, say),
    ),
    _mysql(
        "native-1",
        lambda servers, rows, runs, say: native_mysql.measure(servers, rows // 25, 1, 10, runs, 0.5, 1, say),
    ),
    _mysql(
        "native-100",
        lambda servers, rows, runs, say: native_mysql.measure(servers, rows, 100, 5, runs, 0.5, 1, say),
    ),
    _mysql(
        "native-all",
        lambda servers, rows, runs, say: native_mysql.measure(servers, rows, rows, 1, runs, 0.5, 1, say),
    ),
    _mysql("huge-mysql", lambda servers, rows, runs, say: memory_mysql.into_mysql(servers, 4 * rows, 300, 150, say)),
    _mysql(
        "huge-postgres", lambda servers, rows, runs, say: memory_mysql.into_postgres(servers, 4 * rows, 300, 150, say)
    ),
)
