"""`cdcd tail URL`: changes as lines of JSON on stdout, at least once; progress and errors on stderr."""

from __future__ import annotations

import re
import secrets
import sys
from typing import Annotated

import typer

from cdcd import daemon, wiring
from cdcd.cli import live
from cdcd.cli.options import Json, Tables, warn_of_bare_passwords
from cdcd.config import PREFIX, HttpSettings, Pipeline, from_options
from cdcd.engine.task import Outcome
from cdcd.errors import CdcdError, UsageError
from cdcd.log import configure, get_logger
from cdcd.progress import Progress

log = get_logger("cli.tail")

TURN = 0.001
"""Seconds that a thread may compute while another waits to go on. The one that reads never rests while it is behind,
and with Python's own 5 ms it would hold the one that writes that long behind each piece that went out. (Into a
database, where pieces are larger and their answers slow, nothing was gained by it.)"""


def tail(
    url: Annotated[str, typer.Argument(metavar="URL", help="The source. ${NAME} is replaced from the environment.")],
    tables: Tables = None,
    load: Annotated[bool, typer.Option("--load", help='Print the rows that are there first, with "op": "r".')] = False,
    slot: Annotated[
        str | None,
        typer.Option(help="Go on where this slot stands, or make it; it stays. [default: a temporary one, from now]"),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="POSITION", help='Go on at a line\'s "position", its transaction once more.'),
    ] = None,
    publication: Annotated[str | None, typer.Option(help="A publication made by hand.", show_default=False)] = None,
    until: Annotated[
        str | None, typer.Option(metavar="caught-up|POSITION", help="End when this much has been printed.")
    ] = None,
    group_bytes: Annotated[
        str | None, typer.Option(metavar="SIZE", help="How much of the stream is printed at once, at most.")
    ] = None,
    json: Json = False,
) -> None:
    """Print changes as lines of JSON, from now on, from a slot's place or a position, until Ctrl-C. At least once.

    \b
    Example:
      cdcd tail postgresql://cdcd@db1/shop --tables 'public.orders' | jq .after
      cdcd tail postgresql://cdcd@db1/shop --slot audit     # goes on there the next time
      cdcd tail mysql://cdcd@db1/shop --since '0-1-1234'    # where there are no slots

    --json makes the log and errors JSON too.

    Exit code 0: stopped, or everything was printed; 4: the source is unreachable; 6: a person must act first.
    """
    if since is not None and (slot is not None or load):
        other = "--slot" if slot is not None else "--load"
        raise UsageError(f"--since and {other} both say where to begin", hint="leave one of them out")
    given = {
        "from": url, "to": "jsonlines://stdout", "name": _name(slot), "tables": tables, "slot": slot,
        "publication": publication, "group_bytes": group_bytes, "load": "full" if load else "skip",
        "from_now": None if load or since else True, "until": until,
    }
    pipeline = from_options({key: value for key, value in given.items() if value != []}, {"from": "URL"})
    configure(json, pipeline=pipeline.name)
    warn_of_bare_passwords(pipeline.source)
    sys.setswitchinterval(TURN)
    watch = live.watch(json, supervised=sys.stdout.isatty())
    try:
        outcome, _ = daemon.run(wiring.tail(pipeline, Progress(name=pipeline.name), since), HttpSettings(), watch)
    finally:
        if slot is None:
            _sweep(pipeline)
    if outcome is Outcome.STOPPED and slot is not None:
        log.info("the slot stays, and holds back log until it is read or dropped", slot=slot)


def _name(slot: str | None) -> str:
    """What the publication made for it is called by: the slot, so that the next run finds it; else nothing lasting."""
    if slot is None:
        return f"tail_{secrets.token_hex(4)}"
    return re.sub("[^a-z0-9_]", "_", slot.removeprefix(PREFIX).lower())[:50]


def _sweep(pipeline: Pipeline) -> None:
    """The temporary slot went with its session; the publication goes here."""
    try:
        with wiring.opened(wiring.source(pipeline)) as source:
            source.drop()
    except CdcdError as error:
        log.warning("the publication made for tail stays", publication=f"{PREFIX}{pipeline.name}", why=error.what)
