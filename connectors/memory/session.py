"""One connection: its transaction, its locks, and the calls that may fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cdcd.model.table import Table
from connectors.memory.faults import ServerError, Strike
from connectors.memory.heap import Check, Heap
from connectors.memory.log import Changed, Commit, Defined, Record, Truncated, replay
from connectors.memory.order import Values

if TYPE_CHECKING:
    from connectors.memory.server import MemoryServer


class Session:
    """READ COMMITTED: a statement sees what is visible to all, and its own transaction's work. A transaction
    begins with the first statement. A session that was abandoned by its client lives on, locks and all, until
    it is ended."""

    def __init__(self, server: MemoryServer, name: str) -> None:
        self.server = server
        self.name = name
        self.committing: Commit | None = None
        self.abandoned = False
        self._records: list[Record] = []
        self._views: dict[str, tuple[int, Heap]] = {}
        self._cancelled = False

    # --- life ------------------------------------------------------------------------------------------------------

    @contextmanager
    def call(self, op: str) -> Iterator[Strike | str | None]:
        """One exchange with the server, to which something may happen."""
        with self.server.lock:
            what = self.server.arrive(self, op)
            yield what
            self.server.answer(self, what)

    def alive(self) -> None:
        """Raise what the client would see if it were not."""
        if self._cancelled:
            raise ServerError("cancelled")
        if self.abandoned or self not in self.server.sessions:
            raise ServerError("connection_lost", self.name)

    def cancel(self) -> None:
        """Any thread: what this session waits for, and all that it does from now on, raises "cancelled"."""
        with self.server.lock:
            self._cancelled = True
            self.server.changed.notify_all()

    def close(self) -> None:
        """Leave; a session whose client has lost it can not be reached any more."""
        with self.server.lock:
            if not self.abandoned:
                self.server.end(self)

    def forget(self) -> None:
        """Nothing is under way any more."""
        self.committing = None
        self._records = []
        self._views = {}

    @property
    def writing(self) -> bool:
        """Whether it has an open transaction that has written."""
        return bool(self._records) and self.committing is None

    def wait(self, done: Callable[[], bool], timeout: float | None = None) -> bool:
        """Under the server's lock: wait until `done`; whether it is."""
        return self.server.changed.wait_for(lambda: self._still() and done(), timeout)

    # --- statements ------------------------------------------------------------------------------------------------

    def insert(self, table: str, row: Values) -> None:
        with self.call("insert"):
            self._take((table,), exclusive=False)
            self._claim(table, row)
            heap = self._view(table)
            heap.admit(row)
            self._do(Changed(heap.table, None, row))

    def update(self, table: str, key: Values, change: Callable[[Values], Values]) -> bool:
        """Replace the row of that key; False when there is none."""
        with self.call("update"):
            old = self._lock_row(table, key, exclusive=True)
            if old is None:
                return False
            new = change(old)
            self._claim(table, new)
            heap = self._view(table)
            heap.admit(new, instead_of=old)
            self._do(Changed(heap.table, old, new))
            return True

    def delete(self, table: str, key: Values) -> bool:
        """Take the row of that key away, in a keyless table one of those equal to it; False when there is
        none."""
        with self.call("delete"):
            old = self._lock_row(table, key, exclusive=True)
            if old is not None:
                self._do(Changed(self._view(table).table, old, None))
            return old is not None

    def truncate(self, tables: Sequence[str]) -> None:
        with self.call("truncate"):
            for table in tables:
                self._take((table,), exclusive=True)
                self._view(table)
            self._do(Truncated(tuple(tables)))

    def define(self, table: Table, unique: tuple[tuple[str, ...], ...] = (), check: Check | None = None) -> None:
        """Make a table, or rewrite it with the rows it has, which must fit; in the transaction."""
        with self.call("define"):
            self._take((table.id,), exclusive=True)
            rows = tuple(self._view(table.id)) if table.id in self.server.heaps else ()
            self._do(Defined(table, unique, check, rows))

    def exists(self, table: str) -> bool:
        with self.call("select"):
            made = (record for record in self._records if isinstance(record, Defined))
            return table in self.server.heaps or any(record.table.id == table for record in made)

    def select(self, table: str) -> list[Values]:
        """All rows, as this transaction sees them; waits for no other."""
        with self.call("select"):
            return list(self._view(table))

    def lock(self, table: str, key: Values, share: bool = False) -> Values | None:
        """Lock a row until the transaction ends, FOR UPDATE or FOR SHARE, and return it as it is then."""
        with self.call("lock"):
            return self._lock_row(table, key, exclusive=not share)

    def hold(self, table: str) -> None:
        """Part of a call: let nobody truncate or rewrite the table until the transaction ends."""
        self._take((table,), exclusive=False)

    # --- the end of a transaction ----------------------------------------------------------------------------------

    def commit(self, sync: bool = True, visible: bool = True) -> int:
        """Returns the place in the log that must be flushed for this commit to survive a crash. Not `visible`:
        as while a commit waits for a standby: logged and flushed, and no other session sees it until
        `server.settle`."""
        with self.call("commit") as what:
            self.committing = self.server.log.append(self._records)
            end = self.committing.end
            if sync or not visible:
                self.server.log.flush()
            if visible and what is not Strike.LATE:
                self.server.show(self.committing)
                self.forget()
                self.server.locks.release(self)
            self.server.changed.notify_all()
            return end

    def rollback(self) -> None:
        with self.call("rollback"):
            self.forget()
            self.server.locks.release(self)

    # --- inside ----------------------------------------------------------------------------------------------------

    def _still(self) -> bool:
        self.alive()
        return True

    def _take(self, resource: tuple[object, ...], exclusive: bool) -> None:
        self.server.locks.take(self, resource, exclusive, self.server.patience, self.alive)

    def _claim(self, table: str, row: Values) -> None:
        """Lock what the row must have for itself: a second inserter of a key waits for the first to end."""
        for names, value in self._view(table).claims(row):
            self._take((table, names, value), exclusive=True)

    def _lock_row(self, table: str, key: Values, exclusive: bool) -> Values | None:
        self._take((table,), exclusive=False)
        heap = self._view(table)
        self._take((table, heap.table.key, heap.place(key)), exclusive)
        return self._view(table).find(key)

    def _view(self, table: str) -> Heap:
        """The table as this transaction sees it now."""
        visible = self.server.heaps.get(table)
        if not self._records:
            heap = visible
        elif table in self._views and self._views[table][0] == self.server.shown:
            return self._views[table][1]
        else:
            mine = {table: visible.copy()} if visible is not None else {}
            for record in self._records:
                replay(mine, record, only=table)
            heap = mine.get(table)
            if heap is not None:
                self._views[table] = (self.server.shown, heap)
        if heap is None:
            raise ServerError("no_such_table", table)
        return heap

    def _do(self, record: Record) -> None:
        self._records.append(record)
        for table, (shown, heap) in list(self._views.items()):
            mine = {table: heap}
            replay(mine, record, only=table)
            self._views[table] = (shown, mine[table])
