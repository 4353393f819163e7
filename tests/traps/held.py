"""A source and a sink without an engine: groups as the source makes them, applied when the test says so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from cdcd.contracts import Snapshot, Source
from cdcd.model.chunk import Chunk, State
from cdcd.model.group import Group
from cdcd.model.position import Checkpoint
from connectors.postgres.sink import PostgresSink
from tests.contract.reading import read
from tests.servers.database import Database


class Held:
    """A started pipeline. `chunks`: of tables that are to be loaded, from `snapshot`; all others are in."""

    def __init__(self, source: Source, sink: PostgresSink, tables: Sequence[str], chunks: Sequence[Chunk]) -> None:
        self.source = source
        self.sink = sink
        sink.claim("the test", True)
        self.tables = {table.id: table for table in source.tables(tables)}
        sink.prepare(list(self.tables.values()))
        intent = source.intent()
        sink.intend(source.identity(), intent)
        self.snapshot: Snapshot = source.prepare(list(self.tables.values()), intent, load=bool(chunks))
        self.checkpoint = Checkpoint(self.snapshot.position)
        unread = {chunk.table for chunk in chunks}
        whole = [Chunk(name, 0, state=State.IN) for name in self.tables if name not in unread]
        sink.start(self.checkpoint, list(self.tables.values()), [*whole, *chunks])
        forms = {name: sink.forms(table) for name, table in self.tables.items()}
        source.open(self.checkpoint, source.identity(), forms)

    def group(self) -> Group:
        """What there is to read, as one group; none of it is applied."""
        groups, _ = read(self.source)
        (changes,) = [group for group in groups if not group.empty]
        changes.position = groups[-1].position
        return changes

    def apply(self, group: Group, piece: bool = False) -> Any:
        """The ticket. `piece`: as the first part of a transaction, which stays open."""
        if piece:
            return self.sink.apply(group, None)
        assert group.position is not None
        return self.sink.apply(group, Checkpoint(group.position))


@contextmanager
def held(source: Source, target: Database, *tables: str, chunks: Sequence[Chunk] = ()) -> Iterator[Held]:
    with closing(PostgresSink(lambda: target.url, target.name)) as sink:
        pipeline = Held(source, sink, tables, chunks)
        try:
            yield pipeline
        finally:
            pipeline.snapshot.close()
