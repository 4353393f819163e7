"""A fixed state of the source and the reading of chunks from it, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from cdcd.contracts import Blocks
from cdcd.errors import SnapshotLost
from cdcd.model.chunk import Chunk
from cdcd.model.table import Table
from cdcd.rows import RowForm
from connectors.memory.encode import Encoder, choose, same_shape
from connectors.memory.errors import ours
from connectors.memory.order import Values, picker, ranker
from connectors.memory.place import Place
from connectors.memory.replication import Export
from connectors.memory.session import Session

PIECE = 50
"""Bytes of a block. Small and odd: pieces need not end where a row ends."""


class MemorySnapshot:
    """Lives as long as the session that exported it; `connect` gives a reader its own."""

    high = None

    def __init__(self, export: Export, connect: Callable[[str], Session]) -> None:
        self._export = export
        self._connect = connect
        self._sessions: list[Session] = []

    @property
    def position(self) -> Place:
        return Place(self._export.at)

    @property
    def readable(self) -> bool:
        return True

    def read(self, table: Table, chunk: Chunk, forms: Sequence[RowForm]) -> Blocks:
        """The rows of the chunk; connects at once, reads as `data` is consumed."""
        form = choose(forms)
        with ours(table=table.id):
            session = self._connect("load")
            self._sessions.append(session)
            with session.call("import"):
                self._verify(session, table)
        counts = {"rows": 0, "bytes": 0}
        return Blocks(form, self._pieces(session, self._rows(table, chunk), Encoder(form), counts), counts)

    def _verify(self, session: Session, table: Table) -> None:
        """The lock waits for whoever is rewriting the table; then what it is now is compared with what it was
        (T-PG-6)."""
        if self._export.holder not in session.server.sessions:
            raise SnapshotLost("the snapshot has gone", why="the session that exported it has ended", table=table.id)
        session.hold(table.id)
        then, now = self._export.heaps.get(table.id), session.server.heaps.get(table.id)
        same = then is not None and now is not None and then.node == now.node and same_shape(then.table, now.table)
        if not same:
            raise SnapshotLost("the table changed under the snapshot", why="rewritten or truncated", table=table.id)

    def _rows(self, table: Table, chunk: Chunk) -> list[Values]:
        rows = self._export.rows(table.id)
        if not table.key:
            return rows
        pick, rank = picker(table, table.key), ranker(table, table.key)
        rows.sort(key=lambda row: rank(pick(row)))
        if chunk.whole:
            return rows
        pick, rank = picker(table, chunk.columns), ranker(table, chunk.columns)
        return [
            row
            for row in rows
            if (chunk.low is None or rank(pick(row)) >= rank(chunk.low))
            and (chunk.high is None or rank(pick(row)) < rank(chunk.high))
        ]

    def _pieces(
        self, session: Session, rows: list[Values], encoder: Encoder, counts: dict[str, int]
    ) -> Iterator[bytes]:
        try:
            data = b""
            for row in rows:
                data += encoder.whole(row)
                counts["rows"] += 1
                while len(data) >= PIECE:
                    with ours(), session.call("copy_out"):
                        piece, data = data[:PIECE], data[PIECE:]
                    counts["bytes"] += len(piece)
                    yield piece
            counts["bytes"] += len(data)
            if data:
                yield data
        finally:
            session.close()

    def interrupt(self) -> None:
        for session in self._sessions:
            session.cancel()

    def close(self) -> None:
        for session in [*self._sessions, self._export.holder]:
            session.close()
