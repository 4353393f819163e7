"""What must hold at every moment, computed by the servers' own logs and not by the code that copies.

The target is the source at the checkpoint, restricted to the chunks that are in, and an unread chunk has no
rows there. The source was never told of more than what a crash of the target would leave.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

from cdcd.model.chunk import Chunk, State
from cdcd.model.table import Table
from connectors.memory import MemoryServer
from connectors.memory.control import chunk_of
from connectors.memory.heap import Heap
from connectors.memory.order import Values, picker, ranker


def violations(source: MemoryServer, target: MemoryServer, pipeline: str) -> list[str]:
    """Sentences; none: all is well."""
    with source.lock, target.lock:
        return [*_differences(source, target, pipeline), *_acknowledged(source, target, pipeline)]


def _differences(source: MemoryServer, target: MemoryServer, pipeline: str) -> Iterator[str]:
    at = _checkpoint(target.heaps, pipeline)
    if at is None:
        return
    there = source.log.heaps(at)
    for name, (table, chunks) in _carried(target.heaps, pipeline).items():
        expected = Counter(row for row in there.get(name, ()) if _is_in(table, chunks, row))
        found = Counter(target.heaps[name])
        if found != expected:
            yield f"{name} at {at}: lost {dict(expected - found)}, too many {dict(found - expected)}"


def _acknowledged(source: MemoryServer, target: MemoryServer, pipeline: str) -> Iterator[str]:
    slot = source.slots.get(f"cdcd_{pipeline}")
    durable = _checkpoint(target.log.heaps(target.log.flushed), pipeline)
    if slot is not None and durable is not None and slot.confirmed > durable:
        yield f"the source was told {slot.confirmed}, durable at the target is {durable}"


def _checkpoint(heaps: dict[str, Heap], pipeline: str) -> int | None:
    for row in heaps.get("cdcd.checkpoint", ()):
        if row[0] == pipeline and row[1]:
            return int(json.loads(row[1])["position"]["at"])
    return None


def _carried(heaps: dict[str, Heap], pipeline: str) -> dict[str, tuple[Table, list[Chunk]]]:
    chunks = [chunk_of(row) for row in heaps["cdcd.chunks"] if row[0] == pipeline]
    tables = [Table.from_json(json.loads(row[2] or "")) for row in heaps["cdcd.tables"] if row[0] == pipeline]
    return {table.id: (table, [chunk for chunk in chunks if chunk.table == table.id]) for table in tables}


def _is_in(table: Table, chunks: list[Chunk], row: Values) -> bool:
    for chunk in chunks:
        if chunk.whole:
            return chunk.state is State.IN
        rank = ranker(table, chunk.columns)
        at = rank(picker(table, chunk.columns)(row))
        if (chunk.low is None or at >= rank(chunk.low)) and (chunk.high is None or at < rank(chunk.high)):
            return chunk.state is State.IN
    return False
