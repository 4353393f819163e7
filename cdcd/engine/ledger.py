"""The writer's record of tables and chunks: what the control rows say, as long as no error came between."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from cdcd.cascade import below
from cdcd.contracts import Claim
from cdcd.engine.judge import by_table
from cdcd.errors import StateRefused
from cdcd.model.change import SchemaChange
from cdcd.model.chunk import Chunk, State
from cdcd.model.table import Table


class Ledger:
    """Tables by id, and each one's chunks ascending by number."""

    def __init__(self, tables: Mapping[str, Table], chunks: Iterable[Chunk]) -> None:
        self.tables: dict[str, Table] = dict(tables)
        self._chunks: dict[str, list[Chunk]] = by_table(chunks)

    def chunks(self, table: str | None = None) -> list[Chunk]:
        """Of one table, or of all."""
        if table is not None:
            return list(self._chunks.get(table, ()))
        return [chunk for its in self._chunks.values() for chunk in its]

    def by_table(self, tables: Iterable[str] | None = None) -> dict[str, Sequence[Chunk]]:
        """Chunks by table id, of these tables or of all."""
        return {table: list(self._chunks.get(table, ())) for table in (self.tables if tables is None else tables)}

    def blank(self, table: str) -> bool:
        """Whether nothing of it is in: its changes are nobody's, and at its load it is what the source has then."""
        its = self._chunks.get(table, ())
        return bool(its) and all(chunk.state is State.UNREAD for chunk in its)

    def followed(self, table: str) -> bool:
        """Whether its changes are to be read: something of it is in, or of a table of which rows change with its."""
        return not self.blank(table) or self.leads(table)

    def leads(self, table: str) -> bool:
        """Whether something is in of another table of which rows change with its."""
        return any(one != table and not self.blank(one) for one in below(self.tables, table))

    @property
    def unread(self) -> list[Chunk]:
        return [chunk for chunk in self.chunks() if chunk.state is State.UNREAD]

    def add(self, tables: Iterable[Table], chunks: Iterable[Chunk]) -> None:
        """Tables that joined."""
        self.tables |= {table.id: table for table in tables}
        self._chunks |= by_table(chunks)

    def change(self, change: SchemaChange) -> None:
        """A table is another now, or gone."""
        self.tables.pop(change.old.id, None)
        self._chunks.pop(change.old.id, None)
        if change.new is not None:
            self.add([change.new], change.chunks)

    def put(self, chunks: Iterable[Chunk]) -> None:
        """These chunks are now as given."""
        for chunk in chunks:
            self._chunks[chunk.table][chunk.number] = chunk


def refuse_damaged(claim: Claim, pipeline: str) -> None:
    """What is stored is one whole: of half of it nobody can say what is at the target (PO-07)."""
    if (why := _damage(claim)) is not None:
        raise StateRefused(
            "what is stored of this pipeline at the target is not whole",
            why=why,
            hint="restore the target, the schema cdcd included, from one backup; or `cdcd drop` and begin a new one",
            pipeline=pipeline,
        )


def _damage(claim: Claim) -> str | None:
    if claim.checkpoint is None:
        return "there are tables, and no checkpoint" if claim.tables or claim.chunks else None
    if not isinstance(claim.checkpoint, Mapping) or "position" not in claim.checkpoint:
        return "the checkpoint is none of ours"
    if claim.identity is None:
        return "there is a checkpoint, and not of which server"
    if not claim.tables:
        return "there is a checkpoint, and no tables"
    chunks = by_table(claim.chunks)
    for table in {**chunks, **claim.tables}:
        if table not in claim.tables:
            return f"there are chunks of {table}, and not the table"
        if not _covers(chunks.get(table, ())):
            return f"chunks of {table} are missing"
    return None


def _covers(chunks: Sequence[Chunk]) -> bool:
    """Whether these, ascending by number, are a table from end to end."""
    lows, highs = [chunk.low for chunk in chunks], [chunk.high for chunk in chunks]
    numbered = [chunk.number for chunk in chunks] == list(range(len(chunks)))
    return bool(chunks) and numbered and [*lows[1:], None] == highs and lows[0] is None
