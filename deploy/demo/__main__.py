"""The demo's story, in order; `python -m deploy.demo --help`."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from types import FrameType

from rich.console import Console

from deploy.demo import kills, summary
from deploy.demo.daemon import Daemon
from deploy.demo.facts import Observer, Screen, wait
from deploy.demo.plain import Plain
from deploy.demo.probe import Probe
from deploy.demo.proof import Compared, compare
from deploy.demo.summary import Figures
from deploy.demo.terminal import Terminal
from deploy.demo.workload import Workload
from deploy.demo.world import World

CLOSE = 1.0
"""Seconds behind that count as caught up."""


class Story:
    """Two servers, a workload, a daemon, two kills, a comparison. `play` gives what the servers found."""

    def __init__(self, screen: Screen, options: argparse.Namespace) -> None:
        self.figures = Figures()
        self._screen = screen
        self._options = options
        self._began = time.monotonic()

    def play(self) -> list[Compared]:
        screen = self._screen
        with World() as world:
            screen.begin("starting two PostgreSQL servers")
            world.start()
            screen.done(f"two PostgreSQL {world.version()} servers run; cdcd is no superuser on either")
            screen.begin(f"filling the source: pgbench at scale {self._options.scale}, and an awkward schema")
            world.fill(self._options.scale)
            rows, tables = world.rows(world.source), world.tables()
            screen.done(f"the source has {rows:,} rows in {len(tables)} tables, {world.size() / 1e6:,.0f} MB")
            daemon = Daemon(world)
            self.figures.command = " ".join(daemon.command)
            observer = Observer(screen, daemon, rows)
            workload = Workload(world, self._options.rate)
            probe = Probe(world.source, world.target)
            observer.workload, observer.probe = workload, probe
            try:
                self._copy(world, daemon, observer, workload)
                self._stream(world, daemon, probe, workload)
                self._stop(daemon, observer, workload, probe)
                observer.stop()
                screen.begin("the servers compare every row with EXCEPT ALL, both ways")
                compared = list(compare(world.source, world.target, tables))
                screen.done("the servers have compared every row with EXCEPT ALL, both ways")
            finally:
                observer.stop()
                probe.stop()
                workload.kill()
                daemon.kill()
        self.figures.seconds = time.monotonic() - self._began
        return compared

    def _copy(self, world: World, daemon: Daemon, observer: Observer, workload: Workload) -> None:
        screen, figures = self._screen, self.figures
        screen.begin("cdcd run: copying while pgbench writes")
        began = time.monotonic()
        daemon.start()
        hit = kills.in_the_copy(daemon, world.target, "pgbench_accounts")
        workload.check()
        copied = world.rows(world.target)
        observer.goes_on(copied)
        figures.kills.append(f"in the copy: {hit}")
        screen.done(f"SIGKILL in the middle of the copy: {hit}")
        killed = daemon.last
        screen.begin("cdcd run, the same command: going on with the copy")
        daemon.start()
        wait(lambda: bool(daemon.status.get("consistent")), 90, "the copy to end", daemon)
        figures.copy_seconds = time.monotonic() - began
        figures.rows = observer.rows
        figures.rows_again = max(0, int(killed.get("load_rows", 0)) - copied)
        screen.done(f"copied {figures.rows:,} rows, from where it was killed; keys and indexes are built")

    def _stream(self, world: World, daemon: Daemon, probe: Probe, workload: Workload) -> None:
        screen, figures = self._screen, self.figures
        screen.begin("catching up with what pgbench wrote meanwhile")
        self._catch_up(daemon, probe)
        screen.done(f"caught up: {daemon.changes:,} changes applied")
        screen.begin("following pgbench")
        calm = time.monotonic()
        self._follow(daemon, workload, self._options.seconds)
        killed = time.monotonic()
        figures.worst_lag = probe.worst(calm, killed)
        screen.done(f"followed pgbench for {killed - calm:.0f} s, never more than {figures.worst_lag:.2f} s behind")
        screen.begin("killing it in the stream")
        hit = kills.in_the_stream(daemon, world.target)
        figures.kills.append(f"in the stream: {hit}")
        screen.done(f"SIGKILL in the stream: {hit}")
        screen.begin("cdcd run, the same command: going on with the stream")
        daemon.start()
        self._catch_up(daemon, probe)
        back = time.monotonic()
        figures.worst_lag_kill = probe.worst(killed, back)
        screen.done(f"caught up again, {back - killed:.1f} s after the kill")
        screen.begin("following pgbench")
        self._follow(daemon, workload, self._options.seconds / 2)
        figures.worst_lag = max(figures.worst_lag, probe.worst(back, time.monotonic()))
        screen.done("followed pgbench for a while more")

    def _catch_up(self, daemon: Daemon, probe: Probe) -> None:
        """Until the probe says so."""

        def close() -> bool:
            lag = probe.lag
            return daemon.status.get("phase") in ("catching up", "streaming") and lag is not None and lag < CLOSE

        wait(close, 90, "the target to be close behind", daemon)

    def _follow(self, daemon: Daemon, workload: Workload, seconds: float) -> None:
        end = time.monotonic() + seconds
        wait(lambda: time.monotonic() >= end, seconds + 5, "time to pass", daemon)
        workload.check()

    def _stop(self, daemon: Daemon, observer: Observer, workload: Workload, probe: Probe) -> None:
        screen, figures = self._screen, self.figures
        screen.begin("stopping pgbench, and then cdcd as systemd would")
        workload.stop()
        probe.stop()
        daemon.stop()
        figures.transactions = workload.transactions
        screen.done(f"pgbench has ended after {figures.transactions:,} transactions; cdcd has left within its time")
        screen.begin("cdcd run --until caught-up")
        daemon.start("--until", "caught-up")
        daemon.wait(60)
        figures.changes = daemon.changes
        figures.peak_changes = observer.peak
        screen.done("cdcd run --until caught-up: exit code 0")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m deploy.demo", description=__doc__)
    parser.add_argument("--scale", type=int, default=10, help="pgbench's: 100,000 rows each (default %(default)s)")
    parser.add_argument("--rate", type=int, default=800, help="transactions a second (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=10, help="to follow before the kill (default %(default)s)")
    parser.add_argument("--plain", action="store_true", help="lines of text on a terminal, too")
    options = parser.parse_args()
    if options.scale < 10:
        parser.error("a scale below 10 is copied before it can be killed")
    return options


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """The exit code: 0 equal, 1 different, 2 the demo itself failed, 130 interrupted."""
    options = _options()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    terminal = console.is_terminal and not console.is_dumb_terminal and not options.plain
    screen: Screen = Terminal(console) if terminal else Plain()
    story = Story(screen, options)
    try:
        compared = story.play()
    except KeyboardInterrupt:
        screen.close()
        console.print("interrupted; servers and processes have ended", style="yellow")
        return 130
    except Exception as error:
        screen.close()
        console.print(f"the demo failed: {type(error).__name__}: {error}", style="red", markup=False)
        return 2
    screen.close()
    summary.show(console, story.figures, compared)
    return 1 if any(table.differences for table in compared) else 0


if __name__ == "__main__":
    sys.exit(main())
