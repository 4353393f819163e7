"""What no reader beats by much: how long the source takes to decode a slot and send it to PostgreSQL's own
pg_recvlogical, which throws it away."""

from __future__ import annotations

import os
import subprocess

from benchmarks.clock import Watch, until
from benchmarks.contenders import PUBLICATION
from benchmarks.servers import Pair
from tests.servers.binaries import binaries

RUNS = 3


def prepare(pair: Pair) -> None:
    """The slots, before the backlog."""
    for run in range(RUNS):
        pair.source.admin(f"SELECT pg_create_logical_replication_slot('floor_{run}', 'pgoutput')")


def measure(pair: Pair, start: str, end: str) -> list[float]:
    """Seconds from the first streamed byte past `start` to the end of the program, which ends at `end`."""
    return [_one(pair, f"floor_{run}", start, end) for run in range(RUNS)]


def _one(pair: Pair, slot: str, start: str, end: str) -> float:
    command = [str(binaries(18) / "pg_recvlogical"), "--start", "--no-loop", "-S", slot, "-f", os.devnull]
    command += ["--endpos", end, "-o", "proto_version=1", "-o", f"publication_names={PUBLICATION}"]
    with Watch(pair) as watch, subprocess.Popen([*command, "-d", pair.source.admin_url]) as process:

        def alive() -> None:
            if process.poll() not in (None, 0):
                raise RuntimeError(f"pg_recvlogical ended with exit code {process.returncode}")

        begun = watch.begun(slot, start, alive)
        return until(lambda: process.poll() is not None, alive, "pg_recvlogical to end") - begun
