"""`cdcd reload TABLE`: have a table read again, by the running daemon or by the next one."""

from __future__ import annotations

import json as jsonlib
from difflib import get_close_matches
from typing import Annotated

import typer

from cdcd import wiring
from cdcd.cli.options import File, From, Json, Name, One, To, chosen, only, start_log
from cdcd.errors import StateRefused, UsageError


def reload(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="schema.table, as it is called at the source.")],
    pipeline: One = None,
    source: From = None,
    target: To = None,
    name: Name = None,
    file: File = None,
    json: Json = False,
) -> None:
    """Read a table again while everything else goes on. Its rows at the target are replaced.

    \b
    Example:
      cdcd reload public.orders -c cdcd.toml shop

    The daemon does it, now or when one is started next; what was recorded of the table's changes is settled with it.

    Exit code 0: it is ordered; 2: no such table; 6: the pipeline was never started.
    """
    config = chosen(file, [pipeline] if pipeline else None, {"from": source, "to": target, "name": name})
    start_log(config, json)
    chosen_one = only(config)
    known = wiring.target_status(chosen_one)
    if known is None:
        raise StateRefused(
            f"pipeline {chosen_one.name} was never started",
            hint="see `cdcd status`; a pipeline has the name of its source's database unless --name says otherwise",
        )
    tables = [one["id"] for one in known.get("tables", [])]
    if table not in tables:
        close = get_close_matches(table, tables, 1)
        raise UsageError(
            f"pipeline {chosen_one.name} carries no table '{table}'",
            hint=f"did you mean {close[0]}?" if close else f"it carries {', '.join(tables[:10])}",
        )
    number = wiring.request(chosen_one, "reload", table)
    if json:
        said = {"version": 1, "request": number, "command": "reload", "table": table, "pipeline": chosen_one.name}
        print(jsonlib.dumps(said, ensure_ascii=False))
    else:
        print(
            f"{table} will be read again (request {number}): within seconds by the daemon that runs\n"
            f"{chosen_one.name}, or when one is started next. Its rows are deleted and loaded anew from a\n"
            "snapshot; other tables go on. `cdcd status` shows its chunks."
        )
