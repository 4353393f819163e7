"""`cdcd drop`: forget a pipeline at both ends: slot, publication and control rows. The data stays."""

from __future__ import annotations

import json as jsonlib
import sys
import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from cdcd import wiring
from cdcd.cli.options import File, From, Json, Name, Names, To, chosen, only, start_log
from cdcd.config import Pipeline
from cdcd.errors import CdcdError, StateRefused, UsageError
from cdcd.log import get_logger

log = get_logger("cli.drop")

LISTEN = 6.0
"""A living daemon raises its counter every five seconds."""


def drop(
    pipelines: Names = None,
    source: From = None,
    target: To = None,
    name: Name = None,
    file: File = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Although a daemon runs it, or the source cannot be reached any more.")
    ] = False,
    json: Json = False,
) -> None:
    """Remove a pipeline's slot, publication and control rows. The rows it copied stay where they are.

    \b
    Example:
      cdcd drop -c cdcd.toml shop
      cdcd drop -c cdcd.toml shop --force --yes  # the source is gone, and nobody is there to answer

    What was made by hand, a slot or a publication, stays too.

    Exit code 4: an end cannot be reached; 6: a daemon runs the pipeline.
    """
    config = chosen(file, pipelines, {"from": source, "to": target, "name": name})
    start_log(config, json)
    pipeline = only(config)
    if not force:
        _refuse_alive(pipeline)
    if not yes:
        _ask(pipeline)
    dropped = []
    intent = _intent(pipeline, force)
    # The slot first: left behind alone, it would fill the source's disk.
    try:
        with wiring.opened(wiring.source(pipeline)) as end:
            end.drop(intent)
        dropped.append("source")
    except CdcdError as error:
        if not (force and error.retryable):
            raise
        log.warning("the source cannot be reached: its slot, if it is there, stays", why=str(error))
    with wiring.opened(wiring.sink(pipeline)) as end:
        end.drop()
    dropped.append("target")
    if json:
        print(jsonlib.dumps({"version": 1, "pipeline": pipeline.name, "dropped": dropped}))
    else:
        where = "both ends" if len(dropped) == 2 else "the target only"
        print(f"{pipeline.name}: forgotten at {where}. Its tables and their rows are untouched.")


def _intent(pipeline: Pipeline, force: bool) -> Mapping[str, Any] | None:
    """Who made the slot, which is stored at the target. A target that is gone must not keep the slot."""
    try:
        return (wiring.target_status(pipeline) or {}).get("intent")
    except CdcdError as error:
        if not (force and error.retryable):
            raise
        log.warning("the target cannot say who made the slot: one of the pipeline's name is ours", why=str(error))
        return None


def _refuse_alive(pipeline: Pipeline) -> None:
    """By its sessions at the target, which may be ending; where they cannot be seen, by the `seen` counter, which moves
    while a daemon lives. No two clocks are compared."""
    until = time.monotonic() + LISTEN
    told = before = wiring.target_status(pipeline) or {}
    while told.get("connected") is not False and time.monotonic() < until:
        if "connected" not in told and told.get("seen") is None:
            return  # nobody ever claimed it
        if told is before:
            log.info("watching whether a daemon is alive", seconds=LISTEN)
        time.sleep(0.2)
        told = wiring.target_status(pipeline) or {}
    if told.get("connected") or (told.get("connected") is None and told.get("seen") != before.get("seen")):
        raise StateRefused(
            f"a daemon runs pipeline {pipeline.name}",
            why="it has sessions at the target" if told.get("connected") else "its counter at the target moves",
            hint="stop it first (or --force: it then stops by itself, with exit code 6)",
        )


def _ask(pipeline: Pipeline) -> None:
    if not sys.stdin.isatty():
        raise UsageError("drop asks before it acts, and nobody can answer here", hint="add --yes")
    ends = f"{pipeline.source.shown} → {pipeline.target.shown}"
    if not typer.confirm(f"Forget pipeline {pipeline.name} ({ends}), its slot included?", err=True):
        raise StateRefused("nothing was dropped", why="the answer was no")
