"""`cdcd skip --tx`: the transaction at which a pipeline stopped is passed over by its next run.

Its JSON: {"version": 1, "pipeline", "tx", "position", "table", "key", "error"}: the change at which it stopped.
"""

from __future__ import annotations

import json as jsonlib
from typing import Annotated

import typer

from cdcd import wiring
from cdcd.cli.options import File, From, Json, Name, One, To, chosen, only, start_log
from cdcd.secrets import hide


def skip(
    tx: Annotated[
        str, typer.Option("--tx", metavar="NUMBER", help="The transaction, as the stop and `cdcd status` name it.")
    ],
    pipeline: One = None,
    source: From = None,
    target: To = None,
    name: Name = None,
    file: File = None,
    json: Json = False,
) -> None:
    """Pass over the transaction at which a pipeline stopped: all of it, and nothing else, in the next run.

    \b
    Example:
      cdcd status -c cdcd.toml shop              # names the transaction
      cdcd skip --tx 123456 -c cdcd.toml shop
      cdcd run -c cdcd.toml                      # goes on behind it

    None of its changes is made; each is recorded in cdcd.exceptions at the target, where `cdcd retry` finds it.

    Exit code 2: it stopped at another transaction; 6: it is not stopped at one.
    """
    config = chosen(file, [pipeline] if pipeline else None, {"from": source, "to": target, "name": name})
    start_log(config, json)
    one = only(config)
    stop = wiring.skip(one, tx)
    shown = {"tx": tx, **{key: stop[of] for key, of in _SHOWN.items()}}
    if json:
        print(hide(jsonlib.dumps({"version": 1, "pipeline": one.name, **shown}, ensure_ascii=False)))
        return
    row = f"{stop['table_id']} {stop['key'] or ''}".strip()
    print(
        hide(
            f"{one.name}: transaction {tx} will be passed over by the next `cdcd run`: ALL of its changes, which are\n"
            f"then recorded in cdcd.exceptions at the target. It stopped there at {row}: {stop['error']}\n"
            "Later changes of the same rows will not meet what they should: mend these rows, `cdcd retry`, or `cdcd\n"
            "reload` their tables."
        )
    )


_SHOWN = {"position": "position", "table": "table_id", "key": "key", "error": "error"}
