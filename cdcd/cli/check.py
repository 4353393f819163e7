"""`cdcd check`: everything that would go wrong, before anything is started or beside what runs.

Its JSON: {"version": 1, "pipelines": [{"name", "tables": [id], "findings": [{"end", "id", "level", "message",
"evidence", "mend"}], "offer"}]}. `level` is "error" or "warning"; what an id means is in CHECKS.md, and does not
change. `offer` is the script of --event-trigger, "" where nothing is to be installed.
"""

from __future__ import annotations

import json as jsonlib
from collections import Counter
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console

from cdcd import wiring
from cdcd.cli.options import Around, File, From, Json, Name, Names, Tables, To, chosen, start_log
from cdcd.config import Load, Partitions, Pipeline, TargetTables
from cdcd.contracts import Finding
from cdcd.engine.examine import Examined, examine
from cdcd.errors import CheckFailed
from cdcd.secrets import hide

STYLES = {"error": "red", "warning": "yellow"}


def check(
    pipelines: Names = None,
    source: From = None,
    target: To = None,
    tables: Tables = None,
    name: Name = None,
    file: File = None,
    load: Annotated[Load | None, typer.Option(help="full, only or skip, as for `run`.")] = None,
    target_tables: Annotated[
        TargetTables | None, typer.Option(help="What `run` is to do at the target, as there.")
    ] = None,
    objects: Around = None,
    publication: Annotated[
        str | None, typer.Option(help="A publication made by hand: does it send all that is selected?")
    ] = None,
    partitions: Annotated[Partitions | None, typer.Option(help="root or leaves, as for `run`.")] = None,
    slot: Annotated[str | None, typer.Option(help="The slot's name, as for `run`.", show_default=False)] = None,
    event_trigger: Annotated[
        bool,
        typer.Option(
            "--event-trigger", help="Only print the script by which a source tells of schema changes in their place."
        ),
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors do.")] = False,
    json: Json = False,
) -> None:
    """Tell everything that would go wrong, with the statement that mends it; nothing is started or changed.

    \b
    Example:
      cdcd check --from postgresql://cdcd@db1/shop --to postgresql://cdcd@db2/shop --tables 'public.*'

    Settings, privileges, replica identities, publications, types, what at the target makes counts lie, who stands in
    the way now. A pipeline that runs may be checked too. CHECKS.md lists all ids.

    Exit code 0: nothing would go wrong; 3: something would (with --strict also for a warning).
    """
    config = chosen(
        file,
        pipelines,
        {
            "from": source, "to": target, "tables": tables, "name": name, "target_tables": target_tables,
            "objects": objects, "publication": publication, "slot": slot, "partitions": partitions,
        },
        {"load": load},
    )  # fmt: skip
    start_log(config, json)
    if event_trigger:
        for pipeline in config.pipelines:
            with wiring.opened(wiring.source(pipeline)) as origin:
                print(origin.offer() or f"-- {pipeline.name}: nothing is to be installed")
        return
    told, count = [], Counter[str]()
    for pipeline in config.pipelines:
        examined, offer = _examine(pipeline)
        count.update(finding.level for finding in examined.findings)
        if json:
            told.append(_to_json(pipeline.name, examined) | {"offer": offer})
            continue
        _print(pipeline.name, examined)
        if offer:
            print("  offered  source  schema changes exactly in their place: cdcd check --event-trigger")
    if json:
        print(hide(jsonlib.dumps({"version": 1, "pipelines": told}, ensure_ascii=False)))
    wrong = count["error"] + (count["warning"] if strict else 0)
    if wrong:
        raise CheckFailed(
            f"{wrong} thing{'s' if wrong > 1 else ''} would go wrong",
            hint="run each statement that mends it, as a role that may, and check again",
        )


def _examine(pipeline: Pipeline) -> tuple[Examined, str]:
    destination = wiring.sink(pipeline)
    origin = wiring.source(pipeline, destination.facts)
    with wiring.opened(origin), wiring.opened(destination):
        return examine(origin, destination, wiring.options(pipeline)), origin.offer()


def _ends(examined: Examined) -> Iterator[tuple[str, Finding]]:
    """What was found with its end; errors first."""
    ends = [("source", f) for f in examined.source] + [("target", f) for f in examined.target]
    yield from sorted(ends, key=lambda found: found[1].level)


def _to_json(name: str, examined: Examined) -> dict[str, object]:
    findings = [
        {"end": end, "id": f.id, "level": f.level, "message": f.message, "evidence": f.evidence, "mend": f.mend}
        for end, f in _ends(examined)
    ]
    return {"name": name, "tables": [table.id for table in examined.tables], "findings": findings}


def _print(name: str, examined: Examined) -> None:
    console = Console(highlight=False, soft_wrap=True)
    size = len(examined.tables)
    tables = f"{size} table{'' if size == 1 else 's'}"
    if not examined.findings:
        console.print(f"{name}: {tables}, nothing found that would go wrong", markup=False)
        return
    levels = Counter(finding.level for finding in examined.findings)
    said = ", ".join(f"{n} {level}{'' if n == 1 else 's'}" for level, n in sorted(levels.items()))
    console.print(f"{name}: {tables}, {said}", style="bold", markup=False)
    for end, found in _ends(examined):
        console.print(f"  {found.level:<7}  {end}  [{found.id}] ", style=STYLES[found.level], markup=False, end="")
        console.print(hide(found.message), markup=False)
        if found.evidence:
            console.print(hide(f"           seen: {found.evidence}"), markup=False)
        if found.mend:
            console.print(hide(f"           mend: {found.mend}"), markup=False)
