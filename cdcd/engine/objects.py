"""The statements that make the source's tables at the target: the source's own where the sink knows its language; else
the source tells the structure in none, and the sink makes statements of it."""

from __future__ import annotations

from collections.abc import Sequence

from cdcd.contracts import Sink, Source
from cdcd.model.schema import NotCarried, Statement
from cdcd.model.table import Table


def alike(source: Source, sink: Sink) -> bool:
    """Whether the sink knows the language of the source's statements."""
    return source.identity().product in sink.facts.products


def objects(source: Source, sink: Sink, tables: Sequence[Table], trees: bool) -> list[Statement]:
    """In an order that works. `trees`: partitioned tables with their partitions, where both ends are alike."""
    if alike(source, sink):
        return sink.adopt(source.objects(tables, trees))[0]
    return sink.statements(source.structure(tables))[0]


def needs(source: Source, sink: Sink, table: Table) -> list[Statement]:
    """What the table's columns need as they are now; the types that a sink of another product gives them need
    nothing."""
    return sink.adopt(source.needs(table))[0] if alike(source, sink) else []


def not_carried(source: Source, sink: Sink, tables: Sequence[Table], trees: bool) -> list[NotCarried]:
    """What is at the source and comes with none of these statements."""
    if alike(source, sink):
        return [*source.not_carried(tables, trees), *sink.adopt(source.objects(tables, trees))[1]]
    structure = source.structure(tables)
    return [*structure.not_carried, *sink.statements(structure)[1]]
