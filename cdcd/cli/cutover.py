"""`cdcd cutover`: the last change of the source is at the target, and the application may move; with the way back.

Its JSON: {"version": 1, "pipeline", "source", "target", "position", "steps": [{"step", "seconds"}], "seconds",
"still_seconds", "sequences", "compared": [{"table", "rows"}], "left_out": [table], "made": [statement],
"by_hand": [statement], "exceptions", "fenced", "sessions": [who is at the source still],
"way_back": {"now": [line], "later": [line]}}.
"""

from __future__ import annotations

import json as jsonlib
import signal
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Annotated, Any

import typer
from rich.console import Console

from cdcd import wiring
from cdcd.cli.options import Around, File, From, Json, Name, One, To, chosen, only, start_log, warn_of_bare_passwords
from cdcd.config import Pipeline
from cdcd.contracts import Comparable
from cdcd.engine.cutover import Cutover, Record, Wishes
from cdcd.errors import CdcdError, Interrupted, StateRefused, UsageError
from cdcd.fence import Fence
from cdcd.secrets import Address, hide


def cutover(
    pipeline: One = None,
    source: From = None,
    target: To = None,
    name: Name = None,
    file: File = None,
    fence: Annotated[
        bool,
        typer.Option("--fence", help="Make the source read only for new sessions, end the others; undone on errors."),
    ] = False,
    fence_as: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The source, as the role that may fence it: the database's owner."),
    ] = None,
    fenced: Annotated[bool, typer.Option("--fenced", help="Nobody writes at the source any more: do not ask.")] = False,
    max_lag: Annotated[
        float, typer.Option(metavar="SECONDS", help="Fence only when the target follows within this time.")
    ] = 5.0,
    wait: Annotated[float, typer.Option(metavar="SECONDS", help="How long to wait for that.")] = 300.0,
    compare: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long to compare what changed last, behind the fence.")
    ] = 10.0,
    objects: Around = None,
    json: Json = False,
) -> None:
    """End a migration: the last change reaches the target, sequences are set, what changed last is compared.

    \b
    Example:
      cdcd cutover -c cdcd.toml shop --fence
      cdcd cutover -c cdcd.toml shop              # tells how to stop the writers, and waits for Enter

    The daemon goes on running. Everything that takes long is done before the source is fenced; behind the fence it is
    seconds. If anything goes wrong, and on Ctrl-C, the fence is taken down. At the end the record says how to go back.

    Exit code 0: the application may move; 1: stopped, or the lag did not go; 5: the last changes differ; 6: something
    is in the way, and is named. With any but 0 the source goes on as before.
    """
    given = {"from": source, "to": target, "name": name, "objects": objects}
    config = chosen(file, [pipeline] if pipeline else None, given)
    start_log(config, json)
    one = only(config)
    if not fence and not fenced and not sys.stdin.isatty():
        raise UsageError(
            "cutover asks when the writers are stopped, and nobody can answer here",
            hint="--fence stops them; --fenced says that somebody has",
        )
    exceptions = _refuse_unfollowed(one)
    role = Address(fence_as, key="--fence-as") if fence_as else None
    if role is not None:
        warn_of_bare_passwords(role)
    # Both signals end it alike, whatever a shell that began it in the background said of them: the fence comes down.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    by_hand = [statement.text for statement in wiring.by_hand(one)]
    if by_hand:
        lines = ["To be made at the target by hand, by the tables' owner:", *map(_line, by_hand)]
        print(hide("\n".join(lines)), file=sys.stderr)
    with ExitStack() as ends:
        status = ends.enter_context(Console(stderr=True, quiet=json).status("cut over"))
        origin = ends.enter_context(wiring.opened(wiring.source(one)))
        mine, theirs = (ends.enter_context(wiring.opened(end)) for end in wiring.comparables(one))
        wall = ends.enter_context(wiring.opened(wiring.fence(one, role)))

        def ask() -> None:
            if not fenced:
                status.stop()
                _ask(wall, one)
                status.start()

        made = Cutover(
            origin,
            wall,
            mine,
            theirs,
            Wishes(fence, ask, max_lag=max_lag, wait=wait, compare=compare),
            withdraw=lambda: wiring.withdraw(one, "cutover"),
            sequences=lambda: wiring.set_sequences(one),
            hand_over=lambda: wiring.hand_over(one),
            told=lambda step: status.update(f"{one.name}: {step}"),
        )
        wiring.request(one, "cutover", "")
        try:
            record = _run(made, mine, theirs)
        except BaseException:
            wiring.withdraw(one, "cutover")
            raise
    _tell(_record(one, record, exceptions, by_hand, fence), json)


def _run(cutover: Cutover, *ends: Comparable) -> Record:
    """In a thread: a signal is not heard during a call of the driver, and must take the fence down."""
    with ThreadPoolExecutor(1, "cutover") as thread:
        future = thread.submit(cutover.run)
        try:
            return future.result()
        except KeyboardInterrupt:
            cutover.stopping.set()
            for end in ends:
                end.interrupt()
            reason = future.exception()
        except Interrupted as error:
            reason = error
    raise CdcdError("stopped before the cut-over was done: the source is as it was", why=str(reason or ""))


def _refuse_unfollowed(pipeline: Pipeline) -> int:
    """The number of changes that wait in the exceptions' table."""
    status = wiring.target_status(pipeline)
    if status is None or not status.get("finished"):
        raise StateRefused(
            f"pipeline {pipeline.name} is not at its target yet",
            why="it was never started" if status is None else "the copy is not complete",
            hint="cut over when `cdcd status` says streaming",
        )
    if status.get("connected") is False:
        raise StateRefused(
            f"no daemon runs pipeline {pipeline.name}", why="nothing would follow the source", hint="start it: cdcd run"
        )
    return int(status.get("exceptions") or 0)


def _ask(wall: Fence, pipeline: Pipeline) -> None:
    print(
        f"Stop whatever writes to {pipeline.source.shown} now: stop the applications, or as the database's owner\n"
        f"  {wall.up};\n"
        "and end the sessions that are there:",
        file=sys.stderr,
    )
    for writer in wall.writers():
        print(f"  {writer}", file=sys.stderr)
    typer.prompt("Enter when nothing writes any more (Ctrl-C leaves everything as it is)", default="", err=True)


def _line(statement: str) -> str:
    return f"  {statement};"


def _record(
    pipeline: Pipeline, record: Record, exceptions: int, by_hand: Sequence[str], fenced: bool
) -> dict[str, Any]:
    back = f"cdcd run --from '{pipeline.target.shown}' --to '{pipeline.source.shown}' --name {pipeline.name[:35]}_back"
    return {
        "version": 1,
        "pipeline": pipeline.name,
        "source": pipeline.source.shown,
        "target": pipeline.target.shown,
        "position": record.position,
        "steps": [{"step": step, "seconds": round(seconds, 3)} for step, seconds in record.steps],
        "seconds": round(sum(seconds for _, seconds in record.steps), 3),
        "still_seconds": round(record.still, 3),
        "sequences": [
            {"sequence": one.source.id, "done": one.done, "value": one.source.value} for one in record.sequences
        ],
        "compared": [{"table": report.table.id, "rows": report.source_rows} for report in record.compared],
        "left_out": record.left_out,
        "made": [one.text for one in record.made],
        "by_hand": list(by_hand),
        "exceptions": exceptions,
        "fenced": fenced,
        "sessions": record.sessions,
        "way_back": {
            "now": [
                *(f"{one.undo};   -- at the target" for one in record.made if one.undo),
                f"{record.down};   -- at the source; then let the application write there again",
            ],
            "later": [
                f"{back} --load skip --from-now --target-tables use",
                "started before the application writes at the target, it keeps the old source equal; going back is",
                f"another cut-over, of {pipeline.name[:35]}_back; what it needs there: cdcd check --load skip",
            ],
        },
    }


def _tell(told: Mapping[str, Any], json: bool) -> None:
    if json:
        print(hide(jsonlib.dumps(told, ensure_ascii=False)))
        return
    lines = [f"{told['pipeline']}: everything up to {told['position']} is at the target, durable"]
    lines += [f"  {step['seconds']:8.2f} s  {step['step']}" for step in told["steps"]]
    lines.append(f"  {told['still_seconds']:8.2f} s  in which nobody could write" if told["fenced"] else "")
    lines.append(f"sequences: {len(told['sequences'])} where the source's are")
    lines.append(_compared(told["compared"], told["left_out"]))
    if told["made"]:
        lines += ["made at the target, for the application to write there:", *map(_line, told["made"])]
    if told["by_hand"]:
        lines += ["STILL TO BE MADE at the target, by the tables' owner:", *map(_line, told["by_hand"])]
    if told["exceptions"]:
        lines.append(f"EXCEPTIONS: {told['exceptions']} changes were not made at the target: see cdcd.exceptions there")
    if told["sessions"]:
        lines.append("Still at the source, and able to write there if they set themselves to:")
        lines += [f"  {session}" for session in told["sessions"]]
    lines.append("Point the application at the target now; then stop the daemon, and `cdcd drop`.")
    lines += ["To go back at once:", *(f"  {line}" for line in told["way_back"]["now"])]
    lines += ["To be able to go back later:", *(f"  {line}" for line in told["way_back"]["later"])]
    print(hide("\n".join(line for line in lines if line)))


def _compared(compared: Sequence[Mapping[str, Any]], left_out: Sequence[str]) -> str:
    rows = sum(one["rows"] for one in compared)
    text = f"compared: {len(compared)} tables, {rows:,} rows, no difference"
    return text + (f"; not compared, for want of time: {', '.join(left_out)} (cdcd validate)" if left_out else "")
