"""`cdcd plan`: each statement that `run` would execute at source and target, in its order, and what is not carried.

Its JSON: {"version": 1, "pipelines": [{"name", "source": [statement], "source_after": [statement], "target": [{"stage",
"kind", "table", "statement"}], "tables": [{"table", "bytes", "chunks"}], "sequences": [id], "not_carried": [{"kind",
"name", "brings"}]}]}. `stage` is "before" the data, "after" it, or "cut-over"; `source_after`, and cut-over with it, is
where a run with --load only ends.
"""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from cdcd import wiring
from cdcd.cli.options import Around, File, From, Json, Name, Names, Tables, To, chosen, start_log
from cdcd.config import Load, Partitions, TargetTables
from cdcd.engine.preview import Preview
from cdcd.progress import volume
from cdcd.secrets import hide


def plan(
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
    publication: Annotated[str | None, typer.Option(help="A publication made by hand.", show_default=False)] = None,
    partitions: Annotated[Partitions | None, typer.Option(help="root or leaves, as for `run`.")] = None,
    slot: Annotated[str | None, typer.Option(help="The slot's name, as for `run`.", show_default=False)] = None,
    json: Json = False,
) -> None:
    """Print what `run` would execute at both ends, statement by statement, and what it does not carry.

    \b
    Example:
      cdcd plan --from postgresql://cdcd@db1/shop --to postgresql://cdcd@db2/shop --tables 'public.*'

    Nothing is started or changed. What is there already is left out. `cdcd check` tells what would go wrong.

    Exit code 0: the plan was printed, whatever is in it; 6: it cannot be made, and the reason is named.
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
    told = []
    for pipeline in config.pipelines:
        preview = wiring.preview_of(pipeline)
        if json:
            told.append({"name": pipeline.name, **_to_json(preview)})
        else:
            print(hide("\n".join(_lines(pipeline.name, preview, pipeline.settings.load == "only"))))
    if json:
        print(hide(jsonlib.dumps({"version": 1, "pipelines": told}, ensure_ascii=False)))


def _to_json(preview: Preview) -> dict[str, Any]:
    return {
        "source": list(preview.source),
        "source_after": list(preview.source_after),
        "target": [
            {"stage": one.stage, "kind": one.kind, "table": one.table, "statement": one.text} for one in preview.target
        ],
        "tables": [{"table": table.id, "bytes": table.bytes, "chunks": chunks} for table, chunks in preview.tables],
        "sequences": [sequence.id for sequence in preview.sequences],
        "not_carried": [{"kind": one.kind, "name": one.name, "brings": one.brings} for one in preview.not_carried],
    }


def _lines(name: str, preview: Preview, leaves: bool) -> Iterator[str]:
    """As SQL: whatever is no statement is a comment."""
    stages = {
        stage: [one for one in preview.target if one.stage == stage and one.kind != "control"]
        for stage in ("before", "after", "cut-over")
    }
    controls = [one for one in preview.target if one.kind == "control"]
    yield f"-- {name}: {len(preview.tables)} table{'' if len(preview.tables) == 1 else 's'}"
    if controls or stages["before"]:
        yield "-- at the target, before the data"
    if controls:
        yield f"-- ({len(controls)} statements make cdcd's own tables in the schema cdcd: see --json)"
    yield from (f"{one.text};" for one in stages["before"])
    if preview.source:
        yield "-- at the source"
        yield from (f"{text};" for text in preview.source)
    if any(chunks for _, chunks in preview.tables):
        yield "-- copied"
        for table, chunks in preview.tables:
            yield f"--   {table.id}: {volume(table.bytes)} in {chunks} chunk{'' if chunks == 1 else 's'}"
    if preview.sequences:
        yield "-- sequences, set to where the source's stand"
        yield from (f"--   {sequence.id}" for sequence in preview.sequences)
    if stages["after"]:
        yield "-- at the target, when the data is there"
        yield from (f"{one.text};" for one in stages["after"])
    if stages["cut-over"]:
        yield "-- at the target, at the end" if leaves else "-- at the target, by cdcd cutover"
        yield from (f"{one.text};" for one in stages["cut-over"])
    if preview.source_after:
        yield "-- at the source, at the end"
        yield from (f"{text};" for text in preview.source_after)
    yield "-- not carried, and what brings it" if preview.not_carried else "-- nothing is left out"
    yield from (f"--   {one.kind} {one.name}: {one.brings}" for one in preview.not_carried)
