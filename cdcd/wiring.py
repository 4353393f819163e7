"""Configuration → live objects; the only place that builds them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from cdcd.config import Pipeline
from cdcd.connector import SinkOptions, SourceOptions
from cdcd.contracts import Comparable, Sink, Source
from cdcd.engine import preview
from cdcd.engine.examine import selected
from cdcd.engine.options import Options
from cdcd.engine.sequences import carry_sequences
from cdcd.engine.task import Task
from cdcd.errors import UsageError
from cdcd.facts import SinkFacts
from cdcd.fence import Fence
from cdcd.model.position import Checkpoint
from cdcd.model.retried import Retried
from cdcd.model.schema import Statement
from cdcd.model.selection import Selection
from cdcd.model.sequence import SequenceDone
from cdcd.model.table import Table
from cdcd.progress import Progress
from cdcd.registry import connector
from cdcd.secrets import Address

End = TypeVar("End", Source, Sink, Comparable, Fence)


def source(pipeline: Pipeline, facts: SinkFacts | None = None, temporary: bool = False) -> Source:
    """The pipeline's source, not yet connected. `facts` of the sink it reads for, where it is to be read."""
    settings = pipeline.settings
    made = connector(pipeline.source.scheme, pipeline.source.key, "source")
    told = SourceOptions(
        publication=settings.publication,
        slot=settings.slot,
        temporary=temporary,
        failover=settings.failover and not temporary,
        where=settings.where,
        mask=settings.mask,
        group_bytes=settings.group_bytes,
        lists_transactions=facts is not None and facts.lists_transactions,
        wants_old=facts is not None and facts.wants_old,
        partitions=settings.partitions,
        log_disk=settings.log_disk,
        objects=settings.objects,
        loose=facts is not None and not facts.keeps_state,
        cascades=settings.cascades if facts is not None and facts.derives else "",
        products=facts.products if facts is not None else (),
        aside=facts is not None and facts.light,
    )
    return made.source(pipeline.source.url, pipeline.name, told)


def sink(
    pipeline: Pipeline, checkpoint: Checkpoint | None = None, tables: Iterable[Table] = (), closely: bool = False
) -> Sink:
    """The pipeline's sink, not yet connected. `checkpoint`, `tables`: for one that keeps no state. `closely`: one that
    tells the transaction at fault."""
    settings = pipeline.settings
    made = connector(pipeline.target.scheme, pipeline.target.key, "sink")
    told = SinkOptions(
        target_tables=settings.target_tables,
        replicated=settings.acknowledge_after == "replicated",
        on_error=settings.on_error,
        on_conflict=settings.on_conflict,
        max_exceptions=settings.max_exceptions,
        policy_tables=settings.policy_tables,
        closely=closely,
        home=_home(pipeline),
        checkpoint=checkpoint,
        tables=tuple(tables),
    )
    return made.sink(pipeline.target.url, pipeline.name, told)


def _home(pipeline: Pipeline) -> str:
    """The source's own schema."""
    origin = connector(pipeline.source.scheme, pipeline.source.key, "source")
    return origin.home(pipeline.source.database) if hasattr(origin, "home") else ""


def task(pipeline: Pipeline, progress: Progress) -> Task:
    """The pipeline, ready to run. Both ends are built anew at each attempt, with the passwords of that moment."""
    _require(pipeline)
    settings = pipeline.settings
    if not (settings.on_error == settings.on_conflict == "stop" or sink(pipeline).facts.keeps_exceptions):
        raise UsageError(
            f"pipeline {pipeline.name}: on_error and on_conflict must be 'stop' with this target",
            why=f"a target of {pipeline.target.scheme}:// has no place where a change that was not made is recorded",
        )

    def connect(closely: bool = False) -> tuple[Source, Sink]:
        target = sink(pipeline, closely=closely)
        return source(pipeline, target.facts), target

    return Task(options(pipeline), connect, progress, partial(connect, closely=True))


def tail(pipeline: Pipeline, progress: Progress, since: str | None = None) -> Task:
    """A pipeline into a sink that keeps no state: where it goes on is in the slot, or `since` is the place."""
    _require(pipeline)
    facts = sink(pipeline).facts
    temporary = pipeline.settings.slot is None

    def connect() -> tuple[Source, Sink]:
        origin = source(pipeline, facts, temporary)
        if temporary and since is None:
            return origin, sink(pipeline)
        try:
            place = _place(origin, since)
            if place is None:
                return origin, sink(pipeline)
            carried = [table for table in origin.tables() if selection.matches(table.id)]
            return origin, sink(pipeline, Checkpoint(origin.position(place)), carried)
        except BaseException:
            origin.close()
            raise

    selection = Selection(pipeline.settings.tables)
    return Task(options(pipeline), connect, progress)


def _place(origin: Source, since: str | None) -> str | None:
    """Where tail goes on; None: a slot is to be made first."""
    status = origin.status()
    if since is not None and not status["exists"]:
        raise UsageError(
            "this source's log cannot be read from any place",
            why="it keeps only what a slot asks it to keep",
            hint="keep a place with --slot NAME, and go on there with the same words",
        )
    if since is None and status["exists"] and "confirmed" not in status:
        raise UsageError(
            "this source has no slots",
            why="its log can be read from any place that it still holds",
            hint="go on with --since POSITION, as the last line printed has it",
        )
    return since or (str(status["confirmed"]) if status["exists"] else None)


def _require(pipeline: Pipeline) -> None:
    """A connector that is missing is told before anything is started."""
    connector(pipeline.source.scheme, pipeline.source.key, "source")
    connector(pipeline.target.scheme, pipeline.target.key, "sink")


def options(pipeline: Pipeline) -> Options:
    """What the engine is asked to do."""
    settings = pipeline.settings
    return Options(
        name=pipeline.name,
        selection=Selection(settings.tables),
        load=settings.load,
        from_now=settings.from_now,
        until=settings.until,
        standby=settings.standby,
        standby_seconds=settings.standby_seconds,
        patience=settings.patience,
        where=settings.where,
        mask=settings.mask,
        chunk_bytes=settings.chunk_bytes,
        chunks_per_snapshot=settings.chunks_per_snapshot,
        loaders=settings.loaders,
        table_poll=settings.table_poll,
        on_schema_change=settings.on_schema_change,
    )


def source_status(pipeline: Pipeline) -> Mapping[str, Any]:
    """What is at the source for this pipeline."""
    with opened(source(pipeline)) as end:
        return end.status()


def target_status(pipeline: Pipeline) -> Mapping[str, Any] | None:
    """What the control tables at the target say of it, None: nothing."""
    made = connector(pipeline.target.scheme, pipeline.target.key, "status")
    return made.status(pipeline.target.url, pipeline.name)


def request(pipeline: Pipeline, command: str, argument: str) -> int:
    """Leave a wish for the pipeline's daemon; its number."""
    made = connector(pipeline.target.scheme, pipeline.target.key, "request")
    return made.request(pipeline.target.url, pipeline.name, command, argument)


def withdraw(pipeline: Pipeline, command: str) -> None:
    """End the wishes of that command."""
    made = connector(pipeline.target.scheme, pipeline.target.key, "withdraw")
    made.withdraw(pipeline.target.url, pipeline.name, command)


def retry(pipeline: Pipeline, overwrite: bool) -> Sequence[Retried]:
    """Try the changes again that were recorded at the target."""
    made = connector(pipeline.target.scheme, pipeline.target.key, "retry")
    return made.retry(pipeline.target.url, pipeline.name, _home(pipeline), overwrite)


def skip(pipeline: Pipeline, tx: str) -> Mapping[str, Any]:
    """Order the next run to pass over the transaction at which the pipeline stopped; where it stopped."""
    made = connector(pipeline.target.scheme, pipeline.target.key, "skip")
    return made.skip(pipeline.target.url, pipeline.name, tx)


def fence(pipeline: Pipeline, role: Address | None = None) -> Fence:
    """What keeps others from writing at the source; `role`: the source's address for a role that may do that."""
    address = role or pipeline.source
    made = connector(address.scheme, address.key, "fence")
    return made.fence(address.url, pipeline.name)


def set_sequences(pipeline: Pipeline) -> list[SequenceDone]:
    """The target's sequences to where the source's stand now. Claims nothing: a daemon may run, or none."""
    with opened(source(pipeline)) as origin, opened(sink(pipeline)) as target:
        return carry_sequences(origin, target, selected(origin, options(pipeline)))


def preview_of(pipeline: Pipeline) -> preview.Preview:
    """What a run would do now. Claims and changes nothing."""
    with opened(source(pipeline)) as origin, opened(sink(pipeline)) as target:
        return preview.preview(origin, target, options(pipeline))


def by_hand(pipeline: Pipeline) -> list[Statement]:
    """What the target's role may not make when the application moves there. Claims nothing."""
    with opened(source(pipeline)) as origin, opened(sink(pipeline)) as target:
        return preview.by_hand(origin, target, options(pipeline))


def hand_over(pipeline: Pipeline) -> list[Statement]:
    """Make at the target what it has to have when the application writes there. Claims nothing."""
    with opened(source(pipeline)) as origin, opened(sink(pipeline)) as target:
        asked = options(pipeline)
        return preview.hand_over(origin, target, selected(origin, asked), asked.trees)


def comparables(pipeline: Pipeline) -> tuple[Comparable, Comparable]:
    """Source and target, to be compared; not yet connected."""
    ends = []
    for address, home in (pipeline.source, ""), (pipeline.target, _home(pipeline)):
        made = connector(address.scheme, address.key, "comparable")
        ends.append(made.comparable(address.url, pipeline.name, home))
    return ends[0], ends[1]


@contextmanager
def opened(end: End) -> Iterator[End]:
    """An end for one question of a command, closed afterwards."""
    try:
        yield end
    finally:
        end.close()
