"""`cdcd tail --slot` writing JSON lines to a file, against a loop that reads the same slot and drops the messages."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.clock import LIMIT, Watch, place
from benchmarks.contenders import CDCD, PUBLICATION
from benchmarks.mixed import Backlog
from benchmarks.result import Ratio
from benchmarks.servers import Pair, Servers, address, environment
from deploy.demo.processes import start as spawn
from tests.servers import run as run_directory

Say = Callable[[str], None]

LAST = {"cdcd": b"public.marker", "bare loop": b"done"}
"""What stands in the last line that each of them writes."""


def measure(servers: Servers, rows: int, runs: int, at_least: float, aim: float, say: Say) -> Ratio:
    """In turn, each time with a slot that stands before the backlog."""
    backlog = Backlog("inserts", rows, 1000)
    work = f"tail --slot to JSON lines, {rows:,} inserts"
    seconds: dict[str, list[float]] = {name: [] for name in LAST}
    with servers.pair() as pair:
        backlog.fill(pair)
        pair.source.sql(f"CREATE PUBLICATION {PUBLICATION} FOR TABLE mixed, marker")
        for number in range(2 * runs):
            pair.source.admin(f"SELECT pg_create_logical_replication_slot('tail_{number}', 'pgoutput')")
        start = place(pair)
        backlog.write(pair.source)
        end = place(pair)
        say(work)
        for run in range(runs):
            order = list(LAST) if run % 2 == 0 else list(reversed(LAST))
            for turn, name in enumerate(order):
                slot = f"tail_{2 * run + turn}"
                pair.checkpoint()
                took, lines = _one(pair, name, slot, start, end)
                if name == "cdcd" and lines < rows + 1:
                    raise AssertionError(f"tail wrote {lines:,} lines of {rows + 1:,}")
                seconds[name].append(took)
                say(f"  {run + 1}/{runs} {name}: {took:.2f} s, {rows / took:,.0f} rows/s")
    return Ratio(work, "bare psycopg2 loop", rows, seconds, at_least, aim)


def _one(pair: Pair, name: str, slot: str, start: str, end: str) -> tuple[float, int]:
    """Seconds from the first streamed byte to the last line written, and how many lines."""
    output, errors = (run_directory.directory() / f"tail.{kind}" for kind in ("out", "err"))
    with output.open("wb") as out, errors.open("wb") as err, Watch(pair) as watch:
        started = cdcd(pair, slot) if name == "cdcd" else _bare(pair, slot, end)
        process = spawn(*started, out, err)

        def alive() -> None:
            if process.poll() not in (None, 0):
                raise RuntimeError(f"{name} ended with exit code {process.returncode}: {errors.read_text()[-2000:]}")

        try:
            begun = watch.begun(slot, start, alive)
            ended = written(output, LAST[name], alive)
        finally:
            process.terminate()
            process.wait(15)
    lines = int(subprocess.run(["wc", "-l", str(output)], capture_output=True, check=True).stdout.split()[0])
    output.unlink()
    return ended - begun, lines


def cdcd(pair: Pair, slot: str) -> tuple[list[str], dict[str, str]]:
    """The command, and its environment."""
    command = [CDCD, "tail", address(pair.source), "--slot", slot, "--publication", PUBLICATION]
    return command, environment()


def _bare(pair: Pair, slot: str, end: str) -> tuple[list[str], dict[str, str]]:
    command = [sys.executable, "-m", "benchmarks.bare", slot, PUBLICATION, end]
    return command, {**os.environ, "BARE_URL": pair.source.url}


def written(output: Path, last: bytes, alive: Callable[[], None]) -> float:
    """When the file's last line holds `last`."""
    end = time.monotonic() + LIMIT
    with output.open("rb") as file:
        while time.monotonic() < end:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1000))
            if last in file.read():
                return time.monotonic()
            alive()
            time.sleep(0.004)
    raise TimeoutError(f"the last line was not written in {LIMIT:g} s")
