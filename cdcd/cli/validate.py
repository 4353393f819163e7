"""`cdcd validate`: whether the target holds what the source holds, and where not.

Its JSON: {"version": 1, "pipelines": [{"name", "followed", "tables": [{"table", "compared", "problem", "rows":
{"source", "target"}, "missing", "extra", "different", "unsettled", "note", "keys": {kind: [{"key": {…}, "columns",
"rows", "source", "target"}]}, "uncompared": [column]}]}]}. `followed`: a running pipeline was waited for before a
difference was believed. `uncompared`: columns of whose values the two ends have no common text.
"""

from __future__ import annotations

import json as jsonlib
import signal
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from cdcd import wiring
from cdcd.cli.options import File, From, Json, Name, Names, Tables, To, chosen, start_log
from cdcd.config import Pipeline
from cdcd.engine.compare import Comparison
from cdcd.engine.compare_report import Kind, TableReport, judge
from cdcd.engine.examine import selected
from cdcd.errors import CdcdError
from cdcd.secrets import hide


def validate(
    pipelines: Names = None,
    source: From = None,
    target: To = None,
    tables: Tables = None,
    name: Name = None,
    file: File = None,
    limit: Annotated[int, typer.Option(min=0, metavar="N", help="Keys shown of each kind and table.")] = 10,
    values: Annotated[bool, typer.Option("--values", help="Show what both ends hold under these keys.")] = False,
    wait: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How long the target may take to pass what was read.")
    ] = 60.0,
    still: Annotated[
        bool, typer.Option("--still", help="Nothing writes at the source: wait for nothing, believe every difference.")
    ] = False,
    json: Json = False,
) -> None:
    """Compare source and target, by digests made in the servers, while both are in use.

    \b
    Example:
      cdcd validate -c cdcd.toml shop --tables 'public.order*'

    A row that differs is read again at both ends, after the running pipeline has passed what was read at the source;
    it is different only if it is so twice.

    Exit code 0: equal; 5: there are differences; 1: something could not be told.
    """
    options = {"from": source, "to": target, "name": name}
    config = chosen(file, pipelines, options, {"tables": tables or None})
    start_log(config, json)
    # Both signals end it alike: the queries that run are cancelled.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    reports, told = [], []
    for pipeline in config.pipelines:
        followed, some = _compare(pipeline, json, values, wait=wait, still=still, limit=limit)
        reports += some
        told.append({"name": pipeline.name, "followed": followed, "tables": [report.to_json() for report in some]})
        if not json:
            _print(pipeline.name, some)
    if json:
        print(hide(jsonlib.dumps({"version": 1, "pipelines": told}, ensure_ascii=False)))
    if (error := judge(reports)) is not None:
        raise error


def _compare(pipeline: Pipeline, json: bool, values: bool, **how: Any) -> tuple[bool, list[TableReport]]:
    status = Console(stderr=True, quiet=json).status(f"{pipeline.name}: comparing")

    def work() -> tuple[bool, list[TableReport]]:
        tables = selected(origin, wiring.options(pipeline))
        comparison = Comparison(
            mine, theirs, told=lambda table, rows: status.update(f"{pipeline.name}: {table}, {rows:,} rows"), **how
        )
        reports = list(comparison.tables(tables))
        for report in reports if values else ():
            comparison.values(report, [verdict for verdict in report.shown if verdict.kind is not Kind.UNSETTLED])
        return comparison.followed, reports

    origin, (mine, theirs) = wiring.source(pipeline), wiring.comparables(pipeline)
    with wiring.opened(origin), wiring.opened(mine), wiring.opened(theirs), status:
        # In a thread: a signal is not heard during a call of the driver.
        with ThreadPoolExecutor(1, "validate") as thread:
            try:
                return thread.submit(work).result()
            except KeyboardInterrupt:
                for end in (origin, mine, theirs):
                    end.interrupt()
                raise CdcdError(
                    "stopped before everything was compared", hint="run it again, perhaps for fewer --tables"
                ) from None


def _print(name: str, reports: Sequence[TableReport]) -> None:
    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)
    console.print(f"{name}: {len(reports)} table{'s' if len(reports) > 1 else ''}", style="bold", markup=False)
    shown = Table("table", box=None, padding=(0, 2, 0, 0))
    for title in ("rows", *(kind.value for kind in Kind)):
        shown.add_column(title, justify="right")
    for report in reports:
        if report.problem is not None:
            console.print(f"{report.table.id}: {report.problem.text}", markup=False, style="yellow")
            continue
        counts = (f"{report.counts[kind]:,}" if report.counts[kind] else "·" for kind in Kind)
        shown.add_row(report.table.id, f"{report.source_rows:,}", *counts)
    if shown.row_count:
        console.print(shown)
    for report in reports:
        if report.uncompared:
            text = f"{report.table.id}: not compared, as the ends have no common text: {', '.join(report.uncompared)}"
            console.print(text, markup=False, style="yellow")
        _print_keys(console, report)


def _print_keys(console: Console, report: TableReport) -> None:
    for kind in Kind:
        some = [verdict for verdict in report.shown if verdict.kind is kind]
        if not some:
            continue
        console.print(f"{report.table.id}, {kind.value}:", markup=False, style="bold")
        for verdict in some:
            for line in _lines(verdict.to_json(report.table)):
                console.print(f"  {line}", markup=False)
        if (more := report.counts[kind] - sum(verdict.times for verdict in some)) > 0:
            console.print(f"  and {more:,} more rows", markup=False)


def _lines(verdict: Mapping[str, Any]) -> list[str]:
    first = jsonlib.dumps(verdict["key"], ensure_ascii=False)
    if columns := verdict.get("columns"):
        first += f" in {', '.join(columns)}"
    if rows := verdict.get("rows"):
        first += f" ({rows:,} rows)"
    ends = (end for end in ("source", "target") if end in verdict)
    return [first, *(f"  {end}: {jsonlib.dumps(verdict[end], ensure_ascii=False)}" for end in ends)]
