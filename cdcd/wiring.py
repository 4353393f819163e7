"""Configuration → live objects; the only place that builds them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from cdcd.config import Pipeline
from cdcd.connector import SinkOptions, SourceOptions
from cdcd.contracts import Sink, Source
from cdcd.engine.options import Options
from cdcd.engine.task import Task
from cdcd.model.selection import Selection
from cdcd.progress import Progress
from cdcd.registry import connector

End = TypeVar("End", Source, Sink)


def source(pipeline: Pipeline, temporary: bool = False) -> Source:
    """The pipeline's source, not yet connected."""
    settings = pipeline.settings
    made = connector(pipeline.source.scheme, pipeline.source.key, "source")
    options = SourceOptions(settings.publication, settings.slot, temporary, settings.group_bytes)
    return made.source(pipeline.source.url, pipeline.name, options)


def sink(pipeline: Pipeline) -> Sink:
    """The pipeline's sink, not yet connected."""
    made = connector(pipeline.target.scheme, pipeline.target.key, "sink")
    return made.sink(pipeline.target.url, pipeline.name, SinkOptions(pipeline.settings.target_tables))


def task(pipeline: Pipeline, progress: Progress) -> Task:
    """The pipeline, ready to run. Both ends are built anew at each attempt. A connector that is missing is told now."""
    connector(pipeline.source.scheme, pipeline.source.key, "source")
    connector(pipeline.target.scheme, pipeline.target.key, "sink")
    return Task(options(pipeline), lambda: (source(pipeline), sink(pipeline)), progress)


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
        chunk_bytes=settings.chunk_bytes,
        chunks_per_snapshot=settings.chunks_per_snapshot,
        loaders=settings.loaders,
        table_poll=settings.table_poll,
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


@contextmanager
def opened(end: End) -> Iterator[End]:
    """An end for one question of a command, closed afterwards."""
    try:
        yield end
    finally:
        end.close()
