"""What came of it: a table that the servers vouch for, and the figures that a person decides by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.demo.proof import Compared


@dataclass(slots=True)
class Figures:
    """Collected on the way; times in seconds."""

    rows: int = 0
    rows_again: int = 0
    copy_seconds: float = 0.0
    changes: int = 0
    stream_seconds: float = 0.0
    peak_changes: float = 0.0
    transactions: int = 0
    worst_lag: float = 0.0
    worst_lag_kill: float = 0.0
    kills: list[str] = field(default_factory=list)
    seconds: float = 0.0
    command: str = ""


def show(console: Console, figures: Figures, compared: Sequence[Compared]) -> None:
    """The rows of each table, then the figures."""
    console.print()
    console.print(_tables(compared))
    for one in compared:
        if one.example:
            console.print(Text(f" {one.table}: {one.example}"), style="red", no_wrap=True, overflow="ellipsis")
    console.print()
    console.print(_figures(figures, sum(table.differences for table in compared)))
    console.print()


def _tables(compared: Sequence[Compared]) -> Table:
    title = "compared by PostgreSQL itself, with EXCEPT ALL both ways"
    table = Table(title=title, title_justify="left", title_style="dim", box=None)
    table.add_column("table")
    for heading in ("rows, source", "rows, target", "missing", "too many"):
        table.add_column(heading, justify="right")
    for one in compared:
        numbers = [f"{n:,}" for n in (one.source_rows, one.target_rows, one.missing, one.surplus)]
        table.add_row(Text(str(one.table)), *numbers, style="red" if one.differences else "")
    return table


def _figures(figures: Figures, differences: int) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(justify="right", style="dim")
    grid.add_column()
    again = f"; {figures.rows_again:,} of them twice, because of the kill" if figures.rows_again else ""
    grid.add_row(
        "rows copied",
        f"{figures.rows:,} in {figures.copy_seconds:.1f} s, {figures.rows / figures.copy_seconds:,.0f}/s{again}",
    )
    grid.add_row(
        "changes applied",
        f"{figures.changes:,} while pgbench wrote {figures.transactions:,} transactions; "
        f"up to {figures.peak_changes:,.0f}/s",
    )
    grid.add_row(
        "worst lag", f"{figures.worst_lag:.2f} s; {figures.worst_lag_kill:.1f} s over the kill and the restart"
    )
    for number, kill in enumerate(figures.kills):
        grid.add_row(f"kills survived: {len(figures.kills)}" if number == 0 else "", kill)
    if differences:
        grid.add_row("differences", Text(f"{differences:,}: the copy is NOT what the source is", style="bold red"))
    else:
        grid.add_row("differences", Text("0: the copy is what the source is", style="bold green"))
    grid.add_row("", "")
    grid.add_row("the command", Text(figures.command, style="cyan"))
    grid.add_row("the demo", f"{figures.seconds:.0f} s in all; its servers and processes have ended")
    return grid
