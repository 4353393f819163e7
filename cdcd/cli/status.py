"""`cdcd status`: where a pipeline stands, as both ends tell it; needs no daemon.

Its JSON: {"version": 1, "pipelines": [{"name", "sentence", "source": {…}, "target": {…} | null}]}, where `source` is
Source.status and `target` what the sink's control tables say (Connector.status). An end that could not be asked is
{"error": sentence} instead.
"""

from __future__ import annotations

import json as jsonlib
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from cdcd import wiring
from cdcd.cli.options import File, From, Json, Name, Names, To, chosen, start_log
from cdcd.config import Pipeline
from cdcd.errors import CdcdError
from cdcd.progress import volume
from cdcd.secrets import hide


def status(
    pipelines: Names = None,
    source: From = None,
    target: To = None,
    name: Name = None,
    file: File = None,
    json: Json = False,
) -> int:
    """Tell where pipelines stand, asking both ends. No daemon is needed, none is disturbed.

    \b
    Example:
      cdcd status -c cdcd.toml shop
      cdcd status -c cdcd.toml --json | jq '.pipelines[].sentence'

    Exit code 0: both ends told; 4: one cannot be reached.
    """
    config = chosen(file, pipelines, {"from": source, "to": target, "name": name})
    start_log(config, json, one=False)
    found, code = [], 0
    for pipeline in config.pipelines:
        one, worst = look(pipeline)
        found.append(one)
        code = max(code, worst)
    if json:
        print(hide(jsonlib.dumps({"version": 1, "pipelines": found}, ensure_ascii=False, default=str)))
    else:
        _print(found)
    return code


def look(pipeline: Pipeline) -> tuple[dict[str, Any], int]:
    """What both ends say, and the exit code of what could not be asked (0: all could)."""
    code = 0
    source: Mapping[str, Any]
    target: Mapping[str, Any] | None
    try:
        source = wiring.source_status(pipeline)
    except CdcdError as error:
        source, code = {"error": hide(str(error))}, error.exit_code
    try:
        target = wiring.target_status(pipeline)
    except CdcdError as error:
        target, code = {"error": hide(str(error))}, max(code, error.exit_code)
    return {"name": pipeline.name, "sentence": sentence(source, target), "source": source, "target": target}, code


def sentence(source: Mapping[str, Any], target: Mapping[str, Any] | None) -> str:
    """The whole in a few words."""
    if target is None:
        orphan = "; the slot is there, but no control row" if source.get("exists") else ""
        return f"never started{orphan}"
    if "error" in target:
        return "the target cannot be asked"
    tables = target.get("tables", [])
    chunks = sum(table["chunks"] for table in tables)
    inside = sum(table["chunks_in"] for table in tables)
    words = []
    if not target.get("checkpoint"):
        words.append("begun, nothing durable yet")
    elif target.get("finished"):
        words.append(f"consistent, durable to {target['checkpoint']}")
    else:
        words.append(f"loading, {inside} of {chunks} chunks in, durable to {target['checkpoint']}")
    if "error" in source:
        words.append("the source cannot be asked")
    elif source.get("exists") is False:
        words.append("the slot is gone" if not target.get("ended") else "ended, its slot dropped")
    elif (held := source.get("held_bytes")) is not None:
        words.append(f"{volume(held)} of log held at the source")
    if source.get("active") is False:
        words.append("nobody reads the slot")
    return "; ".join(words)


def _print(found: Sequence[Mapping[str, Any]]) -> None:
    console = Console(highlight=False)
    for one in found:
        console.print(f"{one['name']}: {one['sentence']}", style="bold", markup=False)
        for end in ("source", "target"):
            facts = one[end] or {}
            plain = {key: value for key, value in facts.items() if not isinstance(value, list | dict)}
            for key, value in plain.items():
                console.print(f"  {end} {key.replace('_', ' ')}: {hide(str(value))}", markup=False)
        tables = (one["target"] or {}).get("tables", [])
        if not tables:
            continue
        if console.is_terminal:
            console.print(_table(tables))
        else:
            for table in tables:
                print(f"  {table['id']}: {_chunks(table)}, {table['rows']:,} rows loaded")


def _table(tables: Sequence[Mapping[str, Any]]) -> Table:
    shown = Table("table", "chunks in", "rows loaded", box=None, padding=(0, 2))
    for table in tables:
        shown.add_row(table["id"], _chunks(table), f"{table['rows']:,}")
    return shown


def _chunks(table: Mapping[str, Any]) -> str:
    return f"{table['chunks_in']} of {table['chunks']}"
