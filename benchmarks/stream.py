"""Streaming inserts, updates and deletes, against PostgreSQL's own logical replication."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from math import inf

from benchmarks import floor
from benchmarks.clock import Watch, place
from benchmarks.contenders import PUBLICATION, Cdcd, Contender, Native
from benchmarks.mixed import Backlog
from benchmarks.result import Ratio
from benchmarks.rounds import Seconds, rounds
from benchmarks.servers import Pair, Servers

Say = Callable[[str], None]

HOPELESS = 3.0
"""A peer that takes so many times as long as the fastest in its first run cannot be the bar: it is given up there, and
not run again."""


def measure(servers: Servers, backlog: Backlog, runs: int, at_least: float, aim: float, say: Say) -> Ratio:
    """All contenders in turn, `runs` times, who begins changing with each round."""
    shape = f"{backlog.size:,} row{'s' if backlog.size > 1 else ''} a transaction"
    work = f"streaming {backlog.rows:,} {backlog.kind}, {shape}"
    with servers.pair() as pair:
        backlog.fill(pair)
        contenders: list[Contender] = [Cdcd(pair.ends), Native(pair), Native(pair, "on")]
        pair.source.sql(f"CREATE PUBLICATION {PUBLICATION} FOR TABLE mixed, marker")
        for contender in contenders:
            for run in range(runs):
                contender.prepare(run)
        floor.prepare(pair)
        start = place(pair)
        say(f"{work}: writing the backlog")
        backlog.write(pair.source)
        end = place(pair)
        peers: list[float] = []

        def one(contender: Contender, run: int) -> float:
            if run or contender is contenders[0]:
                return turn(pair, backlog, contender, start, run)
            took = turn(pair, backlog, contender, start, run, HOPELESS * min(peers, default=inf))
            peers.append(took)
            return took

        turns = {contender.name: partial(one, contender) for contender in contenders}
        seconds = rounds(turns, backlog.rows, runs, say, _hopeless)
        bare = floor.measure(pair, start, end)
        say(f"  pg_recvlogical, into nothing: {min(bare):.2f}–{max(bare):.2f} s")
    return Ratio(work, "logical replication", backlog.rows, seconds, at_least, aim, bare)


def _hopeless(name: str, seconds: Seconds) -> bool:
    """Known once all peers have had a turn. synchronous_commit = on takes minutes where each row is a transaction."""
    peers = [each[0] for other, each in seconds.items() if each and other != "cdcd"]
    return name != "cdcd" and len(peers) > 1 and bool(seconds[name]) and seconds[name][0] > HOPELESS * min(peers)


class _GivenUp(Exception):
    """Its clock has run long enough."""


def turn(pair: Pair, backlog: Backlog, contender: Contender, start: str, run: int, limit: float = inf) -> float:
    """Seconds from the first byte past `start` to the durable end; or a few more than `limit`, where it is not there by
    then."""
    backlog.reset(pair)
    pair.checkpoint()
    begun = inf

    def check() -> None:
        contender.check()
        if time.monotonic() - begun > limit:
            raise _GivenUp

    with Watch(pair) as watch:
        contender.start(run)
        begun = watch.begun(contender.slot(run), start, contender.check)
        try:
            ended = watch.durable(check)
        except _GivenUp:
            ended = time.monotonic()
    contender.stop(run)
    if ended - begun <= limit:
        backlog.verify(pair)
    return ended - begun
