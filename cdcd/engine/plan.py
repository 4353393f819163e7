"""Cutting tables into chunks."""

from __future__ import annotations

from itertools import pairwise

from cdcd.contracts import Source
from cdcd.engine.options import Options
from cdcd.model.chunk import Chunk, State
from cdcd.model.table import Table

SMALLEST = 1 << 20
"""Bytes below which cutting finer gains nothing: a chunk costs a few milliseconds of its own."""

PARTS = 10
"""Into how many chunks a table is cut for each loader, at least: a kill loses what is in flight, and that shall be
about a tenth of the table."""


def plan(source: Source, table: Table, options: Options, state: State = State.UNREAD) -> list[Chunk]:
    """The table's chunks, ascending. Bounds only cut the key's order: they need no snapshot to be right."""
    if state is State.IN:
        return [Chunk(table.id, 0, state=state)]
    part = table.bytes // (PARTS * options.loaders)
    bounds = source.bounds(table, min(options.chunk_bytes, max(SMALLEST, part)))
    columns = bounds[0][0] if bounds else ()
    edges = [None, *(bound for _, bound in bounds), None]
    return [
        Chunk(table.id, number, low, high, columns, state)
        for number, (low, high) in enumerate(pairwise(edges))
    ]
