"""What a session may ask about the log: slots, the stream from a slot, and snapshots at a slot's place."""

from __future__ import annotations

from dataclasses import dataclass

from connectors.memory.faults import ServerError
from connectors.memory.heap import Heap
from connectors.memory.log import Commit
from connectors.memory.order import Values
from connectors.memory.server import Slot
from connectors.memory.session import Session


@dataclass(frozen=True, slots=True)
class Export:
    """A state of all tables, and its place: what is committed before it in the log's order, not in the order of
    visibility. Lives as long as the session that made it."""

    at: int
    heaps: dict[str, Heap]
    holder: Session

    def rows(self, table: str) -> list[Values]:
        """What a read under this snapshot finds: nothing, and no error, where the table was rewritten or
        truncated since (T-PG-6)."""
        then, now = self.heaps[table], self.holder.server.heaps[table]
        return list(then) if then.node == now.node else []


def export(session: Session, slot: str | None = None) -> Export:
    """Make a slot, or one for this purpose only, and the snapshot at its place. Waits for the writers that are
    open, as they may have written before what the slot will deliver begins (T-PG-13)."""
    server = session.server
    with session.call("create_slot"):
        if slot is not None and slot in server.slots:
            raise ServerError("slot_exists", slot)
        writers = [other for other in server.sessions if other.writing and other is not session]
        session.wait(lambda: not any(writer.writing and writer in server.sessions for writer in writers))
        server.log.flush()
        at = server.log.end
        if slot is not None:
            server.slots[slot] = Slot(slot, at)
        return Export(at, server.log.heaps(at), session)


def start(session: Session, slot: str) -> Slot:
    """Become the slot's reader."""
    with session.call("start"):
        found = session.server.slots.get(slot)
        if found is None:
            raise ServerError("no_such_slot", slot)
        if found.lost:
            raise ServerError("slot_lost", found.lost)
        if found.reader is not None:
            raise ServerError("slot_active", found.reader.name)
        found.reader = session
        return found


def fetch(session: Session, at: int, timeout: float) -> tuple[Commit | None, int]:
    """The next flushed commit whose record begins at `at` or later, waited for as long as that; and how far the
    log is flushed, which is a keepalive's place when there is no commit."""
    server = session.server
    with session.call("poll"):
        session.wait(lambda: next(server.log.since(at), None) is not None, timeout)
        commit = next(server.log.since(at), None)
        flushed = server.log.flushed
    if commit is not None:
        with session.call("fetch"):
            pass
    return commit, flushed


def confirm(session: Session, slot: Slot, at: int) -> None:
    """The reader will not ask for anything before `at` again."""
    with session.call("confirm"):
        slot.confirmed = max(slot.confirmed, at)


def drop(session: Session, slot: str) -> None:
    """Remove a slot, which nobody may be reading."""
    with session.call("drop_slot"):
        found = session.server.slots.get(slot)
        if found is not None and found.reader is not None:
            raise ServerError("slot_active", found.reader.name)
        session.server.slots.pop(slot, None)


def head(session: Session) -> int:
    """How far the log is flushed."""
    with session.call("head"):
        return session.server.log.flushed
