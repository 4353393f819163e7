"""A pipeline's first start: checks, tables at the target, intent, publication and slot, first checkpoint.

In this order, so that a crash between any two steps is told from the control rows alone (T-PG-14): the intent is
durable before the slot exists, and the checkpoint, with tables and chunks, is what says that the pipeline has started.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from cdcd.contracts import Claim, Sink, Snapshot, Source
from cdcd.engine.examine import examine, require
from cdcd.engine.options import Options
from cdcd.engine.plan import plan
from cdcd.errors import UsageError
from cdcd.log import get_logger
from cdcd.model.chunk import Chunk, State
from cdcd.model.position import Checkpoint
from cdcd.model.table import Table

log = get_logger("engine.begin")


class Begun(NamedTuple):
    """The snapshot at the first checkpoint, and what was stored with it."""

    snapshot: Snapshot
    checkpoint: Checkpoint
    tables: list[Table]
    chunks: list[Chunk]
    intent: Mapping[str, Any]


def begin(source: Source, sink: Sink, claim: Claim, options: Options) -> Begun:
    """Start what was never started."""
    load = options.load != "skip"
    intent = {**claim.intent, "stored": True} if claim.intent else source.intent()
    intent = {**intent, "partial": options.partial}
    _where_to_begin(options, bool(intent.get("found")))
    examined = examine(source, sink, options)
    require(examined.findings)
    tables = examined.tables
    sink.prepare(tables, examined.objects)
    if not claim.intent or claim.intent.get("partial", False) != options.partial:
        sink.intend(source.identity(), intent)
    snapshot = source.prepare(tables, intent, load)
    state = State.UNREAD if load else State.IN
    chunks = [chunk for table in tables for chunk in plan(source, table, options, state)]
    checkpoint = Checkpoint(snapshot.position).opened(snapshot.high, {table.id for table in tables})
    sink.start(checkpoint, tables, chunks)
    log.info("pipeline started", position=str(snapshot.position), tables=len(tables), chunks=len(chunks))
    return Begun(snapshot, checkpoint, tables, chunks, intent)


def _where_to_begin(options: Options, found: bool) -> None:
    """Without a load, the stream begins now, or where a slot made by hand stands; which one must be said."""
    if options.load == "skip" and not options.from_now and not found:
        raise UsageError(
            f"pipeline {options.name} has no checkpoint to go on from",
            why="with --load skip nothing is copied, and where to begin the stream is not said",
            hint="add --from-now to begin at the source's present place (the tables must be equal now), give the slot "
            "that was made when they were (--slot), or leave out --load skip",
        )
    if options.from_now and found:
        raise UsageError(
            "--from-now, and a slot that is there already",
            why="the stream would begin where the slot stands, which is earlier",
            hint="leave out --from-now, or give a slot that is not there yet",
        )
