"""The results on a terminal, and in benchmarks/RESULTS.md."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.result import Result

FILE = Path(__file__).with_name("RESULTS.md")
HEADINGS = ("work", "against", "measured", "spread", "at least", "aim", "verdict")

EXPLAINED = """\
How fast cdcd is, printed by `make bench`. A figure is a ratio of medians: how many times as fast cdcd was as the peer
named, on the same two servers in the same run; *spread* is the lowest and the highest ratio of one round.

- The table has ten columns: bigint (key), integer, smallint, boolean, double, timestamptz, numeric(12,2), uuid, and
  two texts.
- Slots stand first, then the backlog is written, then the contenders read it in turn, the order changing with each
  round, each from a slot of its own into a target that was put back to where it was.
- The clock runs from the first byte streamed (`sent_lsn` of the slot's walsender passes the backlog's beginning) to the
  durable end (the last transaction is visible at the target, and its server has flushed its log up to there). Nobody's
  start is in, and it is the same two looks at the servers for everyone.
- Logical replication runs as a subscription with PostgreSQL's defaults, and once more with `synchronous_commit = on`;
  the bar is the faster of the two medians, and who takes three times as long as the other in its first run is given up
  there. cdcd runs with its defaults, as roles that are no superusers.
- Below the table stands how fast the source sends the same backlog to its own pg_recvlogical, which throws it away. The
  walsender decodes on one core, for whoever reads; who takes each message as it comes has it send each by itself.
- Debezium's engine runs embedded in a small program (benchmarks/peers), with its connectors' defaults but no schemas in
  its JSON; its virtual machine has read the whole backlog once before the first run that counts.
- MySQL and MariaDB sync at each commit (`sync_binlog = 1`, `innodb_flush_log_at_trx_commit = 1`), and nobody's
  connection to them is encrypted. The clock of MySQL's log runs from the server's beginning to send it, that of a load
  from the first rows sent; MySQL's own replication has its relay log there already when its clock begins.
- A peer of which it says "the first so many" is slow: its clock stops behind so many of the same rows, and its seconds
  are counted as many times as these go into all.
- After each run the servers' digests of both tables are compared.
- Each part below was measured by itself, at the commit named. A part that is not measured anew stays as it was.
"""


def show(console: Console, results: Sequence[Result]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading in ("work", "against", "verdict") else "right")
    for result in results:
        style = {"aim met": "green", "met": "", "NOT MET": "red", "not measured": "yellow"}[result.verdict]
        table.add_row(*result.cells(), style=style)
    console.print(table)


def write(part: str, results: Sequence[Result], products: Mapping[str, str], runs: int) -> None:
    """The part of RESULTS.md; the other parts stay."""
    lines = [*_circumstances(products, runs), ""]
    lines += ["| " + " | ".join(HEADINGS) + " |", "|---|---|--:|--:|--:|--:|---|"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in result.cells()) + " |" for result in results]
    lines += ["", "### Thousands of rows a second, median (lowest–highest)", ""]
    lines += ["These depend on the machine; the ratios above should not.", ""]
    lines += [f"- {result.cells()[0]}: " + "; ".join(detail) for result in results if (detail := result.detail())]
    parts = {**_parts(FILE.read_text(encoding="utf-8")), part: "\n".join(lines)}
    text = "\n\n".join(f"## {name}\n\n{body}" for name, body in parts.items())
    FILE.write_text(f"# Results\n\n{EXPLAINED}\n{text}\n", encoding="utf-8")


def _parts(text: str) -> dict[str, str]:
    """What stands under each heading."""
    found = {}
    for piece in text.split("\n## ")[1:]:
        name, _, body = piece.partition("\n")
        found[name] = body.strip()
    return found


def _circumstances(products: Mapping[str, str], runs: int) -> list[str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=FILE.parent, capture_output=True, text=True, check=False
    ).stdout.strip()
    versions = ", ".join(f"{name} {version}" for name, version in products.items())
    return [
        f"Measured {datetime.now(UTC):%Y-%m-%d} at commit {commit or 'unknown'}: {versions}, Python "
        f"{platform.python_version()}, {os.cpu_count()} cores shared by both servers and the contender, "
        f"{memory:.0f} GB of memory, {_processor()}; {runs} runs of each.",
    ]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
