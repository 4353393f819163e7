"""Which changes belong to the target: those whose chunk is in.

The invariant behind it: at every moment the target is the source at the checkpoint, restricted to the chunks that are
in, and an unread chunk has no rows there. So a change is dropped where its chunk is not in, and an update is judged
twice, by its old and by its new key (T-PG-8). Only the reader calls this; states change only while the stream stands,
but for a chunk that the judge itself sends back to unread.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from cdcd.cascade import below
from cdcd.model.chunk import Bound, Chunk, State
from cdcd.model.group import DELETE, INSERT, MOVE, Cascade, Group, Rows, TableLog, Truncate
from cdcd.model.position import Window
from cdcd.model.table import Table
from cdcd.rows import RowForm

Locate = Callable[[Table, tuple[str, ...], Sequence[Bound], RowForm, Sequence[bytes]], list[int]]


class Judge:
    """The reader's view of the chunks. `locate` is Source.locate; `window` as in Checkpoint."""

    def __init__(
        self, locate: Locate, chunks: Mapping[str, Sequence[Chunk]], window: Window | None = None
    ) -> None:
        self.window = window
        self._locate = locate
        self._chunks: dict[str, list[Chunk]] = {}
        self._partial: set[str] = set()  # tables with a chunk that is not in
        for table, its in chunks.items():
            self.set(table, its)

    def set(self, table: str, chunks: Sequence[Chunk]) -> None:
        """The table's chunks, ascending by number, as they are from now on."""
        self._chunks[table] = list(chunks)
        if all(chunk.state is State.IN for chunk in chunks):
            self._partial.discard(table)
        else:
            self._partial.add(table)

    def carries(self, table: str) -> bool:
        return table in self._chunks

    def forget(self, table: str) -> None:
        """The table is not carried any more, or not under this name."""
        self._chunks.pop(table, None)
        self._partial.discard(table)

    def empty(self, table: str, group: Group) -> None:
        """Send all of a table's chunks that are in back to unread, in this group (a reload)."""
        chunks = self._chunks[table]
        group.unread.extend(chunk for chunk in chunks if chunk.state is State.IN)
        self.set(table, [chunk.with_state(State.UNREAD) for chunk in chunks])

    def restrict(self, group: Group) -> None:
        """Drop from the group what its target does not hold. Costs nothing once everything is in."""
        if self.window is not None:
            self._unsettle(group, self.window)
        if not self._partial:
            return
        dropped: list[int] = []  # places among the group's changes, ascending
        before = 0
        for step in group.steps:
            if isinstance(step, Rows):
                count = len(step.order)
                self._restrict_rows(step, group, before, dropped)
                before += count
            elif isinstance(step, Truncate):
                before += 1
            elif isinstance(step, Cascade):
                self._follow(step, group)
        group.steps = [step for step in group.steps if not isinstance(step, Rows) or step.order]
        group.dropped += len(dropped)
        for transaction in group.transactions:
            transaction.at -= bisect_left(dropped, transaction.at)

    def _unsettle(self, group: Group, window: Window) -> None:
        """Until the window is passed. A row that moves there and comes without some of its cells may have been read
        where it went: whose cells those are nobody can tell (T-MY-9)."""
        group.unsettled = window.tables
        for step in group.steps:
            for id, one in step.logs.items() if isinstance(step, Rows) else ():
                rows = zip(one.ops, one.rows, strict=True)
                if id in window.tables and any(op == MOVE and not isinstance(row[1], bytes) for op, row in rows):
                    self.empty(id, group)
        if group.position is not None and group.position.covers(window.high):
            self.window = None

    def _follow(self, step: Cascade, group: Group) -> None:
        """What foreign keys did is derived from rows of the target: where some are not there by which it would go on,
        and where rows may have come from a chunk to another, what is below is read anew."""
        family = {table.id: table for table in step.family}
        for id in family.keys() & self._partial:
            unsure = set(below(family, id))
            bounded = {*self._chunks[id][0].columns}
            if any(one.on_update == "cascade" and bounded & {*one.columns} for one in family[id].references):
                unsure.add(id)
            for table in unsure:
                self.empty(table, group)

    def _restrict_rows(self, rows: Rows, group: Group, before: int, dropped: list[int]) -> None:
        kept: dict[int, Iterator[int]] = {}
        for table in self._partial:
            log, chunks = rows.logs.get(table), self._chunks[table]
            if log is None:
                continue
            if all(chunk.state is not State.IN for chunk in chunks):
                keep = bytearray(len(log))
                del rows.logs[table]
            else:
                keep = self._restrict_log(log, chunks, group)
            kept[id(log)] = iter(keep)
        if not kept:
            return
        order = []
        for place, log in enumerate(rows.order, before):
            flags = kept.get(id(log))
            if flags is None or next(flags):
                order.append(log)
            else:
                dropped.append(place)
        rows.order = order

    def _restrict_log(self, log: TableLog, chunks: list[Chunk], group: Group) -> bytearray:
        """Rewrite the log to what is in; returns 1 for each old entry that stays."""
        old_at = self._numbers(log, chunks, log.keys)
        moves = [index for index, op in enumerate(log.ops) if op == MOVE]
        new_at = dict(
            zip(moves, self._numbers(log, chunks, [log.rows[index][0] for index in moves]), strict=True)
        )
        keep = bytearray(len(log))
        ops, keys, new_rows, olds = bytearray(), [], [], []
        for index, op in enumerate(log.ops):
            key, row = log.keys[index], log.rows[index]
            inside = chunks[old_at[index]].state is State.IN
            if op == MOVE:
                landing = chunks[new_at[index]]
                if not inside and landing.state is State.IN:
                    if not isinstance(row[1], bytes):
                        # Cells of this row are nowhere to be had: the chunk is read anew with a later snapshot.
                        group.unread.append(landing)
                        chunks[new_at[index]] = landing.with_state(State.UNREAD)
                        continue
                    op, (key, row), inside = INSERT, row, True
                elif inside and landing.state is not State.IN:
                    op, row = DELETE, None
            if inside:
                keep[index] = 1
                ops.append(op)
                keys.append(key)
                new_rows.append(row)
                if log.olds:
                    olds.append(log.olds[index])
        log.ops, log.keys, log.rows, log.olds = ops, keys, new_rows, olds
        return keep

    def _numbers(self, log: TableLog, chunks: Sequence[Chunk], keys: Sequence[bytes]) -> list[int]:
        if not keys:
            return []
        bounds = [chunk.high for chunk in chunks[:-1] if chunk.high is not None]
        return self._locate(log.table, chunks[0].columns, bounds, log.form, keys)


def by_table(chunks: Iterable[Chunk]) -> dict[str, list[Chunk]]:
    """Chunks by table id, ascending by number."""
    tables: dict[str, list[Chunk]] = {}
    for chunk in sorted(chunks, key=lambda chunk: chunk.number):
        tables.setdefault(chunk.table, []).append(chunk)
    return tables
