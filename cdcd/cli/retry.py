"""`cdcd retry`: the changes recorded in the target's exceptions table are tried again.

Its JSON: {"version": 1, "pipelines": [{"name", "made", "waiting", "changes": [{"id", "table", "change", "key", "tx",
"made", "why"}]}]}. `why`: what is in the way of one that was not made.
"""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from cdcd import wiring
from cdcd.cli.options import File, From, Json, Name, Names, To, chosen, start_log
from cdcd.errors import Stopped
from cdcd.model.retried import Retried
from cdcd.secrets import hide


def retry(
    pipelines: Names = None,
    source: From = None,
    target: To = None,
    name: Name = None,
    file: File = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="The source wins where the target has another row than the change met."),
    ] = False,
    json: Json = False,
) -> int:
    """Try the changes again that the target refused, and that were recorded in cdcd.exceptions there.

    \b
    Example:
      cdcd retry -c cdcd.toml shop
      cdcd retry -c cdcd.toml shop --overwrite   # rows that were written there since, too

    First mend what was in the way: the target's check, type, or row. A daemon may run. What the changes of one row
    leave is made at once; a row that a later change has made right is none of these any more.

    Exit code 0: all were made, or there were none; 6: some wait, each with the reason.
    """
    config = chosen(file, pipelines, {"from": source, "to": target, "name": name})
    start_log(config, json)
    found = {pipeline.name: wiring.retry(pipeline, overwrite) for pipeline in config.pipelines}
    if json:
        told = [
            {
                "name": name, "made": sum(one.made for one in its), "waiting": sum(not one.made for one in its),
                "changes": [asdict(one) for one in its],
            }
            for name, its in found.items()
        ]  # fmt: skip
        print(hide(jsonlib.dumps({"version": 1, "pipelines": told}, ensure_ascii=False)))
    else:
        for name, its in found.items():
            print(hide("\n".join(_lines(name, its))))
    return 0 if all(one.made for its in found.values() for one in its) else Stopped.exit_code


def _lines(name: str, found: Sequence[Retried]) -> Iterator[str]:
    if not found:
        yield f"{name}: nothing to retry"
        return
    yield f"{name}: {sum(one.made for one in found)} of {len(found)} recorded changes were made"
    for one in found:
        if not one.made:
            key = "" if one.key is None else f" {one.key}"
            yield f"  NOT MADE: {one.change} of {one.table}{key}: {one.why}"
