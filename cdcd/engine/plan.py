"""Cutting tables into chunks."""

from __future__ import annotations

from itertools import pairwise

from cdcd.contracts import Source
from cdcd.model.chunk import Chunk, State
from cdcd.model.table import Table


def plan(source: Source, table: Table, chunk_bytes: int, state: State = State.UNREAD) -> list[Chunk]:
    """The table's chunks, ascending. Bounds only cut the key's order: they need no snapshot to be right."""
    if state is State.IN:
        return [Chunk(table.id, 0, state=state)]
    bounds = source.bounds(table, chunk_bytes)
    columns = bounds[0][0] if bounds else ()
    edges = [None, *(bound for _, bound in bounds), None]
    return [
        Chunk(table.id, number, low, high, columns, state)
        for number, (low, high) in enumerate(pairwise(edges))
    ]
