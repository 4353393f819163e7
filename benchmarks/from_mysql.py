"""Streaming from MySQL into PostgreSQL, against cdcd itself streaming the same from PostgreSQL into the same server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Literal

from benchmarks import clock_mysql, mixed, mixed_mysql
from benchmarks.clock import Look, place
from benchmarks.contenders import PUBLICATION, Cdcd
from benchmarks.result import Ratio
from benchmarks.rounds import Turn, rounds
from benchmarks.servers import Ends, Servers, address, mysql_address
from benchmarks.stream import turn
from tests.servers.roles import SOURCE

Say = Callable[[str], None]
Kind = Literal["inserts", "updates"]
SIZE = 1000


def measure(servers: Servers, kind: Kind, rows: int, runs: int, at_least: float, aim: float, say: Say) -> Ratio:
    """In turn, both with pipelines that stood before their backlog was written."""
    work = f"MySQL to PostgreSQL, streaming {rows:,} {kind}, {SIZE:,} rows a transaction"
    say(f"{work}: writing the backlogs")
    with _from_mysql(servers, kind, rows, runs) as ours, _from_postgres(servers, kind, rows, runs) as theirs:
        seconds = rounds({"cdcd": ours, "PostgreSQL to PostgreSQL": theirs}, rows, runs, say)
    return Ratio(work, "cdcd, PostgreSQL to PostgreSQL", rows, seconds, at_least, aim)


@contextmanager
def _from_mysql(servers: Servers, kind: Kind, rows: int, runs: int) -> Iterator[Turn]:
    with servers.mysql() as source, servers.target() as target:
        mixed_mysql.make(source)
        if kind == "updates":
            mixed_mysql.Backlog("inserts", rows, SIZE).write(source, 1)
        daemon = Cdcd(Ends(mysql_address(source, SOURCE), address(target), f"{source.name}.m*"))
        copy(daemon)
        mixed_at = f"{source.name}.mixed"
        target.sql(f"CREATE UNLOGGED TABLE before (LIKE {mixed_at}); INSERT INTO before SELECT * FROM {mixed_at}")
        for run in range(runs):
            daemon.prepare(run)
        mixed_mysql.Backlog(kind, rows, SIZE).write(source, 2)
        whole = mixed_mysql.digest(source)

        def one(run: int) -> float:
            target.sql(f"TRUNCATE {mixed_at}, {source.name}.marker; INSERT INTO {mixed_at} SELECT * FROM before")
            target.sql(f"VACUUM ANALYZE {mixed_at}")
            target.admin("CHECKPOINT")
            clock_mysql.end_dumps(source)
            with clock_mysql.Look(source) as first, Look(target) as last:
                daemon.start(run)
                begun = first.dumping(daemon.check)
                ended = last.durable(daemon.check, f"SELECT count(*) = 1 FROM {source.name}.marker WHERE id = 2")
            daemon.stop(run)
            mixed_mysql.verify(whole, mixed_mysql.digest_of_postgres(target, source.name))
            return ended - begun

        yield one


@contextmanager
def _from_postgres(servers: Servers, kind: Kind, rows: int, runs: int) -> Iterator[Turn]:
    backlog = mixed.Backlog(kind, rows, SIZE)
    with servers.pair() as pair:
        backlog.fill(pair)
        pair.source.sql(f"CREATE PUBLICATION {PUBLICATION} FOR TABLE mixed, marker")
        daemon = Cdcd(pair.ends)
        for run in range(runs):
            daemon.prepare(run)
        start = place(pair)
        backlog.write(pair.source)
        yield partial(turn, pair, backlog, daemon, start)


def copy(daemon: Cdcd) -> None:
    """Have the tables made at the target, with the rows that there are, and forget how."""
    daemon.launch(0, load="only")
    daemon.wait()
    daemon.drop(0)
