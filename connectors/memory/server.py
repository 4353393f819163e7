"""The server: its log, its tables as others see them, its sessions and slots, its crash."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cdcd.model.table import Table
from connectors.memory.faults import Faults, ServerError, Strike
from connectors.memory.heap import Check, Heap
from connectors.memory.locks import Locks
from connectors.memory.log import Commit, Defined, Log, Published, replay
from connectors.memory.order import Values
from connectors.memory.session import Session


@dataclass(slots=True)
class Slot:
    """Holds the log for a reader from `confirmed` on. `lost` says why it can not be read any more."""

    name: str
    confirmed: int
    reader: Session | None = None
    lost: str = ""


class MemoryServer:
    """Everything happens under one lock. A commit is logged first and visible later: at once, unless a test
    holds it back.

    `flush_every`: the log is flushed at every n-th call besides at synchronous commits; 0: only at those.
    """

    def __init__(self, system: str = "memory-1", faults: Faults | None = None, flush_every: int = 1) -> None:
        self.system = system
        self.timeline = 1
        self.faults = faults or Faults()
        self.flush_every = flush_every
        self.patience = 1.0
        """Seconds that a session waits for a lock."""
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.log = Log()
        self.heaps: dict[str, Heap] = {}
        self.slots: dict[str, Slot] = {}
        self.sequences: dict[str, int] = {}
        """The last value given out, by `schema.name`; ascending."""
        self.sessions: list[Session] = []
        self.locks = Locks(self.changed)
        self.shown = 0
        """How often what everybody sees has changed."""
        self.watcher: Callable[[], None] | None = None
        """Called after each change of what everybody sees, under the lock."""
        self._calls = itertools.count(1)

    # --- for tests: a client that nothing happens to ---------------------------------------------------------------

    def create(
        self, table: Table, unique: Sequence[tuple[str, ...]] = (), check: Check | None = None
    ) -> None:
        """Make a table, or replace its definition and rewrite its rows, which must fit."""
        with self.lock:
            heap = self.heaps.get(table.id)
            rows = tuple(heap) if heap is not None else ()
            self._log([Defined(table, tuple(unique), check, rows)])

    def publish(self, name: str, tables: Sequence[Table]) -> None:
        """The publication holds exactly these tables from now on."""
        with self.lock:
            self._log([Published(name, frozenset(table.id for table in tables))])

    def rows(self, table: str) -> list[Values]:
        """What everybody sees of a table, in no session, sorted."""
        with self.lock:
            return sorted(self.heaps[table], key=str) if table in self.heaps else []

    def rows_at(self, table: str, at: int) -> list[Values]:
        """What a table holds at a place in the log."""
        with self.lock:
            heaps = self.log.heaps(at)
            return sorted(heaps[table], key=str) if table in heaps else []

    def _log(self, records: Sequence[Defined | Published]) -> None:
        commit = self.log.append(records)
        self.log.flush()
        self.show(commit)

    # --- sessions --------------------------------------------------------------------------------------------------

    def connect(self, name: str) -> Session:
        """A session under that application name."""
        with self.lock:
            session = Session(self, name)
            self.sessions.append(session)
            with session.call("connect"):
                pass
            return session

    def arrive(self, session: Session, op: str) -> Strike | str | None:
        """A call has come; what must happen before it is carried out happens here."""
        session.alive()
        what = self.faults.due(op, session.name)
        if self.flush_every and next(self._calls) % self.flush_every == 0:
            self.log.flush()
        if what is Strike.CRASH:
            self.crash()
        elif what is Strike.CUT:
            self.end(session)
        elif isinstance(what, str):
            raise ServerError(what, f"at {op}")
        session.alive()
        return what

    def answer(self, session: Session, what: Strike | str | None) -> None:
        """The call is carried out; its answer may be lost."""
        if what is Strike.LOST:
            self.end(session)
        elif what is Strike.LATE:
            session.abandoned = True
        session.alive()

    def end(self, session: Session) -> None:
        """End a session: what it has not committed is rolled back, a commit that is under way becomes
        visible."""
        with self.lock:
            if session not in self.sessions:
                return
            self.sessions.remove(session)
            if session.committing is not None:
                self.show(session.committing)
            session.forget()
            for slot in self.slots.values():
                if slot.reader is session:
                    slot.reader = None
            self.locks.release(session)

    def show(self, commit: Commit) -> None:
        """A logged commit becomes visible."""
        self.shown += 1
        for record in commit.records:
            replay(self.heaps, record)
        if self.watcher is not None:
            self.watcher()
        self.changed.notify_all()

    def settle(self) -> None:
        """Commits that are under way become visible."""
        with self.lock:
            for session in list(self.sessions):
                if session.committing is not None:
                    self.show(session.committing)
                    session.forget()
                    self.locks.release(session)

    def crash(self) -> None:
        """Stop at once and start again: the log as far as it was flushed is all that is left."""
        with self.lock:
            for session in self.sessions:
                session.forget()
                self.locks.release(session)
            self.sessions.clear()
            for slot in self.slots.values():
                slot.reader = None
            self.log.crash()
            self.heaps = self.log.heaps(self.log.end)
            self.shown += 1
            if self.watcher is not None:
                self.watcher()
            self.changed.notify_all()
