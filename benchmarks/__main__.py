"""`python -m benchmarks --help`. Without options, the whole table, and RESULTS.md is written."""

from __future__ import annotations

import argparse
import signal
import sys
from types import FrameType

from rich.console import Console

from benchmarks import report
from benchmarks.result import Result
from benchmarks.servers import Servers
from benchmarks.table import ROWS, TABLE

RUNS = 5


def _options() -> argparse.Namespace:
    names = ", ".join(row.name for row in TABLE)
    parser = argparse.ArgumentParser("python -m benchmarks", description=report.EXPLAINED)
    parser.add_argument("--rows", type=int, default=ROWS, help="changes of a stream (default %(default)s)")
    parser.add_argument("--runs", type=int, default=RUNS, help="of each contender (default %(default)s)")
    parser.add_argument("--only", action="append", metavar="NAME", help=f"only this row, or those of a kind: {names}")
    return parser.parse_args()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """0 when every bar is met, 1 when one is not, 130 when interrupted."""
    options = _options()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    wanted = [row for row in TABLE if not options.only or any(map(row.is_meant, options.only))]
    complete = len(wanted) == len(TABLE) and options.rows >= ROWS and options.runs >= RUNS
    rows = max(options.rows // 1000, 1) * 1000
    results: list[Result] = []
    servers = Servers()
    try:
        for row in wanted:
            results.append(row.measure(servers, rows, options.runs, lambda text: console.print(text, style="dim")))
            report.show(console, results[-1:])
        console.rule()
        report.show(console, results)
        report.write(results, servers.version, options.runs, complete)
    except KeyboardInterrupt:
        return 130
    finally:
        servers.close()
    if complete:
        console.print(f"written to {report.FILE}")
    return 1 if any(result.verdict == "NOT MET" for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
