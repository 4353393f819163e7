"""`python -m benchmarks --help`. Without options, the whole table, and RESULTS.md is written."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from types import FrameType

from rich.console import Console

from benchmarks import report
from benchmarks.result import Result, Unmeasured
from benchmarks.servers import Absent, Servers
from benchmarks.table import ROWS, TABLE, Row

RUNS = 5
FEWEST = 3
"""With fewer runs, or fewer rows, it was a look, and RESULTS.md stays as it is."""


def _options() -> argparse.Namespace:
    names = ", ".join(row.name for row in TABLE)
    parser = argparse.ArgumentParser("python -m benchmarks", description=report.EXPLAINED)
    parser.add_argument("--rows", type=int, default=ROWS, help="changes of a stream (default %(default)s)")
    parser.add_argument("--runs", type=int, default=RUNS, help="of each contender (default %(default)s)")
    meant = f"only this row, those of a kind, or a part (postgresql, mysql): {names}"
    parser.add_argument("--only", action="append", metavar="NAME", help=meant)
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
    enough = options.rows >= ROWS and options.runs >= FEWEST
    rows = max(options.rows // 1000, 1) * 1000
    results: dict[Row, Result] = {}
    servers = Servers()
    try:
        for row in wanted:
            began = time.monotonic()
            results[row] = _measured(row, servers, rows, options.runs, console)
            report.show(console, [results[row]])
            console.print(f"{row.name}: {time.monotonic() - began:.0f} s", style="dim")
        console.rule()
        report.show(console, list(results.values()))
        for part in dict.fromkeys(row.part for row in wanted):
            its = [row for row in TABLE if row.part == part]
            if enough and results.keys() >= set(its):
                report.write(part, [results[row] for row in its], servers.versions, options.runs)
                console.print(f"{part}: written to {report.FILE}")
    except KeyboardInterrupt:
        return 130
    finally:
        servers.close()
    return 1 if any(result.verdict == "NOT MET" for result in results.values()) else 0


def _measured(row: Row, servers: Servers, rows: int, runs: int, console: Console) -> Result:
    """A row that fails is told, and leaves the others their turn."""
    try:
        return row.measure(servers, rows, runs, lambda text: console.print(text, style="dim"))
    except Absent as error:
        return Unmeasured(row.name, str(error), absent=True)
    except Exception as error:
        console.print_exception()
        return Unmeasured(row.name, f"failed: {str(error).strip().splitlines()[-1]}", absent=False)


if __name__ == "__main__":
    sys.exit(main())
