"""The most memory the daemon ever holds while it carries one huge transaction."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from benchmarks.clock import Watch, place
from benchmarks.contenders import PUBLICATION, Cdcd
from benchmarks.mixed import Backlog
from benchmarks.result import Memory
from benchmarks.servers import Servers

Say = Callable[[str], None]


def measure(servers: Servers, rows: int, at_most: float, aim: float, say: Say) -> Memory:
    """VmHWM of all the daemon's processes, added up; its settings are the defaults."""
    work = f"memory: a transaction of {rows:,} rows"
    backlog = Backlog("inserts", rows, rows)
    with servers.pair() as pair:
        backlog.fill(pair)
        pair.source.sql(f"CREATE PUBLICATION {PUBLICATION} FOR TABLE mixed, marker")
        daemon = Cdcd(pair.ends)
        daemon.prepare(0)
        start = place(pair)
        backlog.write(pair.source)
        backlog.reset(pair)
        with Watch(pair) as watch:
            daemon.start(0)
            most = Most(daemon.pid)
            begun = watch.begun(daemon.slot(0), start, daemon.check)
            ended = watch.durable(daemon.check)
        megabytes = most.stop()
        daemon.stop(0)
        backlog.verify(pair)
    say(f"{work}: {megabytes:,.0f} MB, {rows / (ended - begun):,.0f} rows/s")
    return Memory(work, megabytes, at_most, aim)


class Most:
    """Looks again and again, as a process that ends takes its figure with it."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._seen: dict[int, int] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """Megabytes, of 1,000,000 bytes."""
        self._look()
        self._stopping.set()
        self._thread.join()
        return sum(self._seen.values()) * 1024 / 1e6

    def _run(self) -> None:
        while not self._stopping.wait(0.05):
            self._look()

    def _look(self) -> None:
        for pid in family(self._pid):
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue
            for line in status.splitlines():
                if line.startswith("VmHWM:"):
                    self._seen[pid] = max(self._seen.get(pid, 0), int(line.split()[1]))


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for child in children.read_text().split():
                found += family(int(child))
        except OSError:
            continue
    return found
