"""Lines on a stream as a Sink: at least once, and no state but what memory holds."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, BinaryIO

from cdcd.contracts import Blocks, Claim, Finding, Request, Ticket
from cdcd.errors import UsageError
from cdcd.facts import SinkFacts
from cdcd.model.change import SchemaChange
from cdcd.model.chunk import Chunk, State
from cdcd.model.group import Group
from cdcd.model.position import Checkpoint, Identity
from cdcd.model.schema import NotCarried, Statement
from cdcd.model.sequence import SequenceDone, SequenceValue
from cdcd.model.structure import Structure
from cdcd.model.table import Table
from cdcd.rows import RowForm
from connectors.jsonlines.form import row_form
from connectors.jsonlines.lines import Lines, end_of_line
from connectors.jsonlines.outlet import Outlet, gathered

FACTS = SinkFacts(
    exactly_once=False, folds=False, wants_old=True, lists_transactions=True, keeps_state=False, light=True
)


class JsonLinesSink:
    """Writes one line per change to `stream`, each group at once.

    What was written cannot be taken back, so a group that is sent again is printed again: at least once. The checkpoint
    lives as long as this object, over which an engine may claim as often as it likes; another process goes on where
    the source's own record says (`checkpoint`, for a slot that is there already).
    """

    def __init__(
        self, stream: BinaryIO, checkpoint: Checkpoint | None = None, tables: Sequence[Table] = ()
    ) -> None:
        self._outlet = Outlet(stream)
        self._lines = Lines()
        self._forms: dict[str, RowForm] = {}
        self._epoch = 0
        self._identity: Identity | None = None
        self._intent: Mapping[str, Any] = {}
        self._checkpoint = checkpoint
        self._tables = {table.id: table for table in tables}
        self._chunks: dict[tuple[str, int], Chunk] = {}
        self._finished = checkpoint is not None

    @property
    def facts(self) -> SinkFacts:
        return FACTS

    def read_by(self) -> Collection[str]:
        return ()

    def check(self, tables: Sequence[Table], objects: Sequence[Statement] = ()) -> list[Finding]:
        """Every table can be printed."""
        return []

    def plan(self, tables: Sequence[Table], objects: Sequence[Statement]) -> list[Statement]:
        """Nothing is created."""
        return []

    # --- what a sink that keeps state would keep ------------------------------------------------------------------

    def adopt(self, objects: Sequence[Statement]) -> tuple[list[Statement], list[NotCarried]]:
        return list(objects), []

    def statements(self, structure: Structure) -> tuple[list[Statement], list[NotCarried]]:
        return [], []

    def claim(self, owner: str, take_over: bool) -> Claim:
        """Nobody else can write to our stream: there is nothing to fence."""
        self._epoch += 1
        return Claim(
            epoch=self._epoch,
            checkpoint=self._checkpoint.to_json() if self._checkpoint else None,
            identity=self._identity,
            intent=self._intent,
            tables=dict(self._tables),
            chunks=list(self._chunks.values()),
            finished=self._finished,
        )

    def prepare(self, tables: Sequence[Table], objects: Sequence[Statement] = ()) -> None:
        """Nothing is created."""

    def intend(self, identity: Identity, intent: Mapping[str, Any]) -> None:
        self._identity, self._intent = identity, intent

    def start(self, checkpoint: Checkpoint, tables: Sequence[Table], chunks: Sequence[Chunk]) -> None:
        self._checkpoint = checkpoint
        self.join(tables, chunks)

    def join(self, tables: Sequence[Table], chunks: Sequence[Chunk], objects: Sequence[Statement] = ()) -> None:
        self._tables.update((table.id, table) for table in tables)
        self._chunks.update((chunk.id, chunk) for chunk in chunks)
        self._finished = False

    def widen(self, table: Table) -> Sequence[str]:
        """Nothing here is as narrow as a list of labels."""
        return ()

    def finish(self, tables: Sequence[Table], objects: Sequence[Statement]) -> None:
        self._finished = True

    def by_hand(self, objects: Sequence[Statement]) -> list[Statement]:
        return []

    def hand_over(self, objects: Sequence[Statement]) -> list[Statement]:
        """Nobody writes into a stream of lines."""
        return []

    def set_sequences(self, values: Sequence[SequenceValue]) -> list[SequenceDone]:
        """A stream of lines has none, and nobody misses them."""
        return []

    # --- lines ----------------------------------------------------------------------------------------------------

    def forms(self, table: Table) -> Sequence[RowForm]:
        form = self._forms.get(table.id)
        if form is None or form.table != table:
            form = self._forms[table.id] = row_form(table)
        return [form]

    def apply(self, group: Group, checkpoint: Checkpoint | None) -> Ticket | None:
        """Written and flushed on return, pieces too."""
        self._outlet.write(gathered(self._lines.of(group)))
        for change in group.schema_changes:
            self._change(change)
        for chunk in group.unread:
            self._chunks[chunk.id] = chunk.with_state(State.UNREAD)
        if checkpoint is None:
            return None
        self._checkpoint = checkpoint
        return str(checkpoint.position)

    def _change(self, change: SchemaChange) -> None:
        """Lines of the new shape follow: nothing is to be altered."""
        old, new = change.old.id, change.new
        self._tables.pop(old, None)
        self._chunks = {id: chunk for id, chunk in self._chunks.items() if chunk.table != old}
        if new is not None:
            self._tables[new.id] = new
            self._chunks.update((chunk.id, chunk) for chunk in change.chunks)

    def durable(self, ticket: Ticket) -> bool:
        """Whoever reads the stream has it now; more cannot be said."""
        return True

    def load(self, table: Table, chunk: Chunk, blocks: Blocks, place: Checkpoint) -> int:
        """One line "r" per row. A piece of `blocks.data` is whole rows, each with a newline behind it: a row has none
        inside."""
        lines = self._lines.of_table(blocks.form)
        end = end_of_line(str(place.position))
        count = 0
        for piece in blocks.data:
            rows = piece.split(b"\n")
            if rows.pop():
                raise UsageError(f"{table.id}: a piece of a load ended inside a row")
            if rows:
                count += len(rows)
                self._outlet.write([lines.new(b"r", rows, end)])
        self._chunks[chunk.id] = chunk.with_state(State.IN, count, blocks.counts["bytes"])
        return count

    # --- the rest of the contract ---------------------------------------------------------------------------------

    def requests(self) -> Sequence[Request]:
        """Nobody can leave a wish."""
        return ()

    def fulfilled(self, request: Request) -> None:
        """There are no wishes."""

    def note(self, table: Table, again: bool) -> None:
        """Nothing that was printed can be read again; the engine has said what happened."""

    def seen(self) -> int | None:
        """Nobody watches us."""
        return None

    def beat(self) -> None:
        """Nobody watches us."""

    def interrupt(self) -> None:
        self._outlet.interrupt()

    def close(self) -> None:
        """The stream is its owner's."""

    def drop(self) -> None:
        """What was kept goes with this object."""
