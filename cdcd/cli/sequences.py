"""`cdcd sequences`: set the target's sequences to where the source's stand.

Its JSON: {"version": 1, "pipelines": [{"name", "sequences": [{"sequence", "done", "value", "called", "target",
"before", "after", "why"}]}]}. `done` is set, kept (the target stood there or further on), missing, unreadable,
refused, busy or ended (the source has passed all that the target can count to); with one of the last five the exit code
is 6.
"""

from __future__ import annotations

import json as jsonlib
from collections.abc import Sequence
from typing import Any

from cdcd import wiring
from cdcd.cli.options import Around, File, From, Json, Name, Names, Tables, To, chosen, start_log
from cdcd.engine.sequences import WRONG
from cdcd.errors import Stopped
from cdcd.model.sequence import SequenceDone


def sequences(
    pipelines: Names = None,
    source: From = None,
    target: To = None,
    tables: Tables = None,
    name: Name = None,
    file: File = None,
    objects: Around = None,
    json: Json = False,
) -> int:
    """Set the target's sequences to where the source's stand. At any time; never backwards.

    A daemon does it when the target becomes consistent. Do it again when the application has stopped writing at the
    source, before it writes at the target.

    \b
    Example:
      cdcd sequences -c cdcd.toml shop

    Exit code 6: one of them could not be set.
    """
    config = chosen(file, pipelines, {"from": source, "to": target, "tables": tables, "name": name, "objects": objects})
    start_log(config, json)
    found = {pipeline.name: wiring.set_sequences(pipeline) for pipeline in config.pipelines}
    if json:
        shown = [{"name": name, "sequences": [_shown(one) for one in its]} for name, its in found.items()]
        print(jsonlib.dumps({"version": 1, "pipelines": shown}, ensure_ascii=False))
    else:
        for name, its in found.items():
            print("\n".join(_lines(name, its)))
    return 0 if all(one.right for its in found.values() for one in its) else Stopped.exit_code


def _shown(one: SequenceDone) -> dict[str, Any]:
    return {
        "sequence": one.source.id, "done": one.done, "value": one.source.value, "called": one.source.called,
        "target": one.name, "before": one.before, "after": one.after, "why": WRONG.get(one.done),
    }  # fmt: skip


def _lines(name: str, found: Sequence[SequenceDone]) -> list[str]:
    lines = [f"{name}: {sum(one.right for one in found)} of {len(found)} sequences are where the source's are"]
    for one in found:
        what = {"set": f"{one.before} → {one.after}", "kept": f"{one.before}, as far or further on"}.get(one.done)
        lines.append(f"  {one.source.id}: {what or f'NOT SET: {WRONG[one.done]}'}")
    return lines
