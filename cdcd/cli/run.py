"""`cdcd run`: copy, then follow; one pipeline in this process, several as a supervisor of one process each."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from cdcd import daemon, wiring
from cdcd.cli import live
from cdcd.cli.options import Around, File, From, Json, Name, Names, Tables, To, chosen, http, start_log
from cdcd.config import AcknowledgeAfter, Cascades, Load, OnConflict, OnError, Partitions, TargetTables
from cdcd.errors import UsageError
from cdcd.model.change import Policy
from cdcd.progress import Progress, volume
from cdcd.secrets import hide
from cdcd.supervisor import Supervisor, child_command


def run(
    pipelines: Names = None,
    source: From = None,
    target: To = None,
    tables: Tables = None,
    name: Name = None,
    file: File = None,
    load: Annotated[
        Load | None,
        typer.Option(help="full: copy, then follow; only: end when consistent; skip: tables are equal already."),
    ] = None,
    from_now: Annotated[
        bool, typer.Option("--from-now", help="With --load skip: begin to follow at this moment.")
    ] = False,
    until: Annotated[
        str | None,
        typer.Option(metavar="caught-up|POSITION", help="End when this much is durable at the target. The slot stays."),
    ] = None,
    standby: Annotated[
        bool, typer.Option("--standby", help="Take over only when the process that runs the pipeline falls silent.")
    ] = False,
    standby_seconds: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="How long it must have been silent. [default: 30]")
    ] = None,
    patience: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="How long a run that ends by itself goes on trying. [default: 60]"),
    ] = None,
    target_tables: Annotated[
        TargetTables | None,
        typer.Option(help="What to do at the target: create (refuses tables with rows), use, truncate or drop them."),
    ] = None,
    objects: Around = None,
    publication: Annotated[
        str | None, typer.Option(help="A publication made by hand. [default: cdcd_<name>]", show_default=False)
    ] = None,
    slot: Annotated[
        str | None, typer.Option(help="The replication slot's name. [default: cdcd_<name>]", show_default=False)
    ] = None,
    failover: Annotated[
        bool, typer.Option("--failover", help="Have the source's standbys keep the slot too (PostgreSQL 17 on).")
    ] = False,
    acknowledge_after: Annotated[
        AcknowledgeAfter | None,
        typer.Option(help="Tell the source what is on the target's disk (flushed), or on its standby's (replicated)."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="TABLE: CONDITION", help="With --load only: copy the rows that fulfil it. Repeatable."),
    ] = None,
    mask: Annotated[
        list[str] | None,
        typer.Option(metavar="TABLE.COLUMN: EXPRESSION", help="With --load only: copy this instead. Repeatable."),
    ] = None,
    chunks_per_snapshot: Annotated[
        int | None, typer.Option(metavar="N", help="Load N chunks, then let the stream catch up. 0: all.")
    ] = None,
    chunk_bytes: Annotated[
        str | None, typer.Option(metavar="SIZE", help="How much of a table one chunk holds, about. [default: 64 MB]")
    ] = None,
    loaders: Annotated[int | None, typer.Option(metavar="N", help="Chunks loaded side by side. [default: 2]")] = None,
    group_bytes: Annotated[
        str | None, typer.Option(metavar="SIZE", help="How much of the stream one target transaction holds, at most.")
    ] = None,
    partitions: Annotated[
        Partitions | None, typer.Option(help="root: rows travel under the root's name; leaves: each is a table.")
    ] = None,
    log_disk: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="How large the disk of the source's log is: half of it held back is told."),
    ] = None,
    table_poll: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="How often to look for new tables. [default: 10]")
    ] = None,
    on_schema_change: Annotated[
        Policy | None,
        typer.Option(help="A table that is altered: apply it to the target, stop, or ignore it. [default: apply]"),
    ] = None,
    on_error: Annotated[
        OnError | None, typer.Option(help="What becomes of a change that the target refuses. [default: stop]")
    ] = None,
    on_conflict: Annotated[
        OnConflict | None,
        typer.Option(help="Of one that meets another state than the source's. [default: stop]"),
    ] = None,
    max_exceptions: Annotated[
        int | None, typer.Option(metavar="N", help="How many skipped changes may be recorded before it stops.")
    ] = None,
    policy_tables: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="The tables that --on-error and --on-conflict are for. Repeatable."),
    ] = None,
    cascades: Annotated[
        Cascades | None,
        typer.Option(help="Rows that foreign keys change unlogged: derive, or refuse to start. [default: derive]"),
    ] = None,
    listen: Annotated[
        str | None, typer.Option("--http", metavar="HOST:PORT", help="Serve /healthz, /readyz, /metrics and /status.")
    ] = None,
    json: Json = False,
    report: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> int:
    """Copy a database, then follow its changes, until Ctrl-C; run again to go on.

    \b
    Example:
      cdcd run --from postgresql://cdcd@db1/shop --to postgresql://cdcd@db2/shop --tables 'public.*'
      cdcd run -c cdcd.toml                      # the daemon: all pipelines of the file

    Killed or stopped, it goes on where the target stands: nothing is lost, nothing is made twice.

    Exit code 0: done, or stopped by a signal; 3: something would go wrong; 4: a server is unreachable (only where
    the run is to end by itself); 6: stopped until a person acts.
    """
    config = chosen(
        file,
        pipelines,
        {
            "from": source, "to": target, "tables": tables, "name": name, "target_tables": target_tables,
            "objects": objects, "publication": publication, "slot": slot,
            "chunks_per_snapshot": chunks_per_snapshot, "loaders": loaders,
            "chunk_bytes": chunk_bytes, "group_bytes": group_bytes, "table_poll": table_poll,
            "standby_seconds": standby_seconds, "patience": patience, "failover": failover or None,
            "acknowledge_after": acknowledge_after, "on_error": on_error, "on_conflict": on_conflict,
            "max_exceptions": max_exceptions, "policy_tables": policy_tables, "cascades": cascades,
            "partitions": partitions, "log_disk": log_disk,
            "where": _parts("--where", where), "mask": _parts("--mask", mask),
        },
        overrides := {
            "load": load, "from_now": from_now, "until": until, "standby": standby, "on_schema_change": on_schema_change
        },
    )
    start_log(config, json)
    if len(config.pipelines) == 1:
        supervised = report is not None
        one = config.pipelines[0]
        task = wiring.task(one, Progress(name=one.name))
        outcome, last = daemon.run(task, http(listen, config, supervised), live.watch(json, supervised), report)
        if not supervised:
            _tell([{**last, "outcome": outcome.value}], json)
        return 0
    supervisor = Supervisor(
        config.pipelines,
        child_command(str(file), [*_words(overrides), *(["--json"] if json else [])]),
        relay=live.on_terminal() and not json,
    )
    code = supervisor.run(http(listen, config), live.watch(json))
    _tell([{**last, "outcome": last["sentence"]} for last in supervisor.snapshots()], json)
    return code


def _parts(option: str, words: list[str] | None) -> dict[str, str] | None:
    """`NAME: SQL` of each."""
    parts = {}
    for word in words or ():
        name, colon, text = word.partition(":")
        if not colon or not name.strip() or not text.strip() or name.strip() in parts:
            raise UsageError(
                f"{option} {word}: not one NAME: SQL for each name",
                hint="write for example --where \"public.orders: created >= '2026-01-01'\"",
            )
        parts[name.strip()] = text.strip()
    return parts or None


def _words(overrides: Mapping[str, Any]) -> list[str]:
    """The options again, for a child's command line."""
    words: list[str] = []
    for key, value in overrides.items():
        option = "--" + key.replace("_", "-")
        if value is True:
            words.append(option)
        elif value not in (None, False):
            words += [option, str(value)]
    return words


def _tell(ends: Sequence[Mapping[str, Any]], json: bool) -> None:
    """What became of each pipeline, on stdout."""
    if json:
        print(hide(jsonlib.dumps({"version": 1, "pipelines": ends}, ensure_ascii=False)))
        return
    for end in ends:
        facts = [f"{end['load_rows']:,} rows ({volume(end['load_bytes'])}) copied"] if end["load_rows"] else []
        facts.append(f"{end['changes']:,} changes applied")
        if end["durable_position"]:
            facts.append(f"durable to {end['durable_position']}")
        print(hide(f"{end['name']}: {end['outcome']}; {', '.join(facts)}"))


