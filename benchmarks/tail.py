"""`cdcd tail --slot` writing JSON lines to a file, against a loop that reads the same slot and drops the messages."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from benchmarks.clock import LIMIT, Watch, place
from benchmarks.contenders import CDCD, PUBLICATION
from benchmarks.mixed import Backlog
from benchmarks.result import Ratio
from benchmarks.rounds import rounds
from benchmarks.servers import Pair, Servers, address, environment
from deploy.demo.processes import start as spawn
from tests.servers import run as run_directory

Say = Callable[[str], None]
Alive = Callable[[], None]
Command = tuple[list[str], Mapping[str, str]]

LAST = {"cdcd": b"public.marker", "bare loop": b"done"}
"""What stands in the last line that each of them writes."""


def measure(servers: Servers, rows: int, runs: int, at_least: float, aim: float, say: Say) -> Ratio:
    """In turn, each time with a slot that stands before the backlog."""
    backlog = Backlog("inserts", rows, 1000)
    work = f"tail --slot to JSON lines, {rows:,} inserts"
    with servers.pair() as pair:
        backlog.fill(pair)
        pair.source.sql(f"CREATE PUBLICATION {PUBLICATION} FOR TABLE mixed, marker")
        slots = [f"tail_{number}" for number in range(2 * runs)]
        for slot in slots:
            pair.source.admin(f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")
        start = place(pair)
        backlog.write(pair.source)
        end = place(pair)
        say(work)

        def turn(name: str, _: int) -> float:
            pair.checkpoint()
            took, lines = _one(pair, name, slots.pop(0), start, end)
            if name == "cdcd" and lines < rows + 1:
                raise AssertionError(f"tail wrote {lines:,} lines of {rows + 1:,}")
            return took

        seconds = rounds({name: partial(turn, name) for name in LAST}, rows, runs, say)
    return Ratio(work, "bare psycopg2 loop", rows, seconds, at_least, aim)


def _one(pair: Pair, name: str, slot: str, start: str, end: str) -> tuple[float, int]:
    """Seconds from the first streamed byte to the last line written, and how many lines."""
    output = run_directory.directory() / "tail.out"
    with Watch(pair) as watch:
        started = cdcd(pair, slot) if name == "cdcd" else _bare(pair, slot, end)
        took = to_file(name, started, output, LAST[name], lambda alive: watch.begun(slot, start, alive))
    lines = int(subprocess.run(["wc", "-l", str(output)], capture_output=True, check=True).stdout.split()[0])
    output.unlink()
    return took, lines


def to_file(name: str, started: Command, output: Path, last: bytes, begun: Callable[[Alive], float]) -> float:
    """Seconds from when it has `begun` to when the last line holds `last`; then the program is ended."""
    errors = output.with_suffix(".err")
    with output.open("wb") as out, errors.open("wb") as err:
        process = spawn(*started, out, err)

        def alive() -> None:
            if process.poll() not in (None, 0):
                raise RuntimeError(f"{name} ended with exit code {process.returncode}: {errors.read_text()[-2000:]}")

        try:
            return -begun(alive) + written(output, last, alive)
        finally:
            process.terminate()
            process.wait(15)


def cdcd(pair: Pair, slot: str) -> Command:
    """The command, and its environment."""
    command = [CDCD, "tail", address(pair.source), "--slot", slot, "--publication", PUBLICATION]
    return command, environment()


def _bare(pair: Pair, slot: str, end: str) -> Command:
    command = [sys.executable, "-m", "benchmarks.bare", slot, PUBLICATION, end]
    return command, {**os.environ, "BARE_URL": pair.source.url}


def written(output: Path, last: bytes, alive: Alive) -> float:
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
