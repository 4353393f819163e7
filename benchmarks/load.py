"""Copying one table whole, against psql's COPY (binary) piped into psql's COPY."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.clock import Watch
from benchmarks.contenders import Cdcd
from benchmarks.mixed import ROWS, SCHEMA, Backlog
from benchmarks.result import Ratio
from benchmarks.rounds import Turn, rounds
from benchmarks.servers import Pair, Servers
from tests.servers import Database
from tests.servers.roles import PASSWORDS

Say = Callable[[str], None]

ALL_IN = "SELECT count(*) > 0 AND bool_and(state = 'in') FROM cdcd.chunks"
"""A pipeline is dropped before the next one begins."""


def measure(servers: Servers, rows: int, runs: int, at_least: float, aim: float, say: Say) -> Ratio:
    """In turn; both write a table that has its primary key already, since cdcd makes that before it copies."""
    work = f"full load of {rows:,} rows, one table"
    with servers.pair() as pair:
        pair.source.sql(SCHEMA)
        pair.source.sql(f"INSERT INTO mixed {ROWS.format(first=1, last=rows)}")
        pair.source.sql("VACUUM ANALYZE mixed")
        say(work)

        def turn(copy: Turn, run: int) -> float:
            pair.target.sql("DROP TABLE IF EXISTS mixed, marker")
            pair.checkpoint()
            took = copy(run)
            Backlog.verify(pair)
            return took

        turns = {
            "cdcd": partial(turn, lambda run: _cdcd(pair, run)), "psql": partial(turn, lambda _: _psql(servers, pair))
        }  # fmt: skip
        seconds = rounds(turns, rows, runs, say)
    return Ratio(work, "psql COPY (binary) | COPY", rows, seconds, at_least, aim)


def _cdcd(pair: Pair, run: int) -> float:
    """From the first byte of COPY to the last chunk durably in. Then it is left to end by itself."""
    daemon = Cdcd(pair.ends)
    with Watch(pair) as watch:
        daemon.launch(run, load="full")
        begun = watch.reading(daemon.check)
        ended = watch.durable(daemon.check, ALL_IN)
    daemon.stop(run)
    daemon.drop(run)
    return ended - begun


def _psql(servers: Servers, pair: Pair) -> float:
    pair.target.sql(SCHEMA)
    with Watch(pair) as watch:
        copy_out = start(servers, pair.source, "COPY mixed TO STDOUT (FORMAT binary)", stdout=subprocess.PIPE)
        copy_in = start(servers, pair.target, "COPY mixed FROM STDIN (FORMAT binary)", stdin=copy_out.stdout)
        begun = watch.reading(lambda: None)
        if copy_out.wait() or copy_in.wait():
            raise RuntimeError("psql failed")
        ended = watch.durable(lambda: None, "SELECT true")
    return ended - begun


def start(servers: Servers, database: Database, command: str, **pipes: Any) -> subprocess.Popen[bytes]:
    server, role = database.server, database.owner
    login = ["-h", server.host, "-p", str(server.port), "-U", role, "-d", database.name]
    return subprocess.Popen(
        [servers.program("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", *login, "-c", command],
        env={**os.environ, "PGPASSWORD": PASSWORDS[role]}, **pipes,
    )
