"""Configuration → live objects; the only place that builds them."""

from __future__ import annotations

from cdcd.config import Pipeline
from cdcd.connector import SinkOptions, SourceOptions
from cdcd.contracts import Sink, Source
from cdcd.engine.options import Options
from cdcd.engine.task import Task
from cdcd.model.selection import Selection
from cdcd.progress import Progress
from cdcd.registry import connector


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
