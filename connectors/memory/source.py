"""The Source contract over a memory server: slot, publication, stream, snapshots."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from cdcd.contracts import Finding, Reading, Watched
from cdcd.errors import OtherServer, SlotLost, StateRefused
from cdcd.model.chunk import Bound
from cdcd.model.group import Group, Transaction
from cdcd.model.position import Checkpoint, Identity, Position
from cdcd.model.schema import NotCarried, Statement
from cdcd.model.sequence import SequenceValue
from cdcd.model.structure import Structure
from cdcd.model.table import Table
from cdcd.rows import RowForm
from connectors.memory import replication
from connectors.memory.connections import Connections
from connectors.memory.decode import Decoder
from connectors.memory.encode import Encoder, choose
from connectors.memory.errors import ours
from connectors.memory.log import Commit, Record
from connectors.memory.order import picker, ranker
from connectors.memory.place import Place
from connectors.memory.server import MemoryServer, Slot
from connectors.memory.session import Session
from connectors.memory.snapshot import MemorySnapshot


class MemorySource:
    """Reads the slot and publication `cdcd_NAME`. `bound`: bytes of a group. `lists`: Group.transactions are
    wanted."""

    def __init__(
        self, server: MemoryServer, name: str, bound: int = 1 << 16, old_rows: bool = False, lists: bool = False
    ) -> None:
        self._server = server
        self._slot_name = f"cdcd_{name}"
        self._connections = Connections(server, f"cdcd/{name}")
        self._bound = bound
        self._lists = lists
        self._old_rows = old_rows
        self._reset()

    def _reset(self) -> None:
        self._stream: Session | None = None
        self._slot: Slot | None = None
        self._decoder = Decoder(self._old_rows)
        self._cursor = 0
        self._noted = 0
        self._half: tuple[Commit, list[Record]] | None = None

    # --- what is there, and what is made ---------------------------------------------------------------------------

    def check(self, tables: Sequence[Table]) -> list[Finding]:
        there = {table.id for table in self.tables()}
        return [
            Finding("table-missing", "error", f"{table.id} is not there")
            for table in tables
            if table.id not in there
        ]

    def watch(self) -> Watched:
        return Watched()

    def left_out(self, named: Collection[str]) -> list[tuple[str, Finding]]:
        return []

    def written_by(self, tables: Sequence[Table]) -> Collection[str]:
        return ()

    def identity(self) -> Identity:
        return Identity("memory", self._server.system, self._server.timeline, "memory")

    def tables(self, wanted: Sequence[str] | None = None) -> list[Table]:
        with self._connections.asking("catalogue") as session, session.call("catalogue"):
            heaps = sorted(self._server.heaps.items())
        return [heap.table for name, heap in heaps if wanted is None or name in wanted]

    def survey(self) -> tuple[list[Table], Position]:
        tables = self.tables()
        return tables, self.head()

    def intent(self) -> Mapping[str, Any]:
        """Tells too whether a slot of that name was there before: if so it is not ours to drop, whoever asks
        later."""
        found = self._slot_name in self._server.slots
        return {"slot": self._slot_name, "nonce": secrets.token_hex(8), "found": found}

    def prepare(self, tables: Sequence[Table], intent: Mapping[str, Any], load: bool) -> MemorySnapshot:
        self.publish(tables)
        session = self._connections.open("snapshot")
        with ours(slot=self._slot_name):
            if intent.get("stored") and not intent["found"]:
                replication.drop(session, self._slot_name)
            return MemorySnapshot(replication.export(session, self._slot_name), self._connections.open)

    def publish(self, tables: Sequence[Table]) -> None:
        with self._connections.asking("publish") as session, session.call("publish"):
            self._server.publish(self._slot_name, tables)

    def snapshot(self, tables: Sequence[Table]) -> MemorySnapshot:
        session = self._connections.open("snapshot")
        with ours():
            return MemorySnapshot(replication.export(session), self._connections.open)

    # --- the stream ------------------------------------------------------------------------------------------------

    def position(self, data: Mapping[str, Any] | str) -> Place:
        return Place.of(data) if isinstance(data, str) else Place.from_json(data)

    def open(self, checkpoint: Checkpoint, identity: Identity, forms: Mapping[str, Sequence[RowForm]]) -> Identity:
        """Who opens has won the claim: sessions of this pipeline that still read the slot are ended, strangers
        are not."""
        self._verify(checkpoint, identity)
        self._reset()
        session = self._connections.open("stream")
        with ours(slot=self._slot_name):
            with session.call("terminate"):
                self._end_older(session)
            slot = replication.start(session, self._slot_name)
        place = _place(checkpoint.position)
        if slot.confirmed > place.at:
            session.close()
            raise SlotLost(
                "the slot has moved past the checkpoint",
                why=f"it was told that {Place(slot.confirmed)} is durable at the target, which holds {place} only",
                hint="changes are missing: `cdcd drop`, then load anew",
            )
        self._stream, self._slot, self._cursor = session, slot, place.at
        self.carry(forms)
        return identity

    def _verify(self, checkpoint: Checkpoint, identity: Identity) -> None:
        found = self.identity()
        if found != identity:
            raise OtherServer(f"the source is {found.system}, the checkpoint was made with {identity.system}")
        head = self.head()
        if not head.covers(_place(checkpoint.position)):
            raise OtherServer("the source went back in time", why=f"its log ends at {head}")

    def _end_older(self, mine: Session) -> None:
        found = self._server.slots.get(self._slot_name)
        reader = found.reader if found else None
        if reader is not None and reader is not mine and reader.name.startswith(f"{self._connections.name}/"):
            self._server.end(reader)

    def carry(self, forms: Mapping[str, Sequence[RowForm]]) -> None:
        for table, offered in forms.items():
            self._decoder.encoders.pop(table, None)
            if not offered:
                continue
            self._decoder.encoders[table] = Encoder(choose(offered))

    def read(self, group: Group, stop: Position | None, timeout: float) -> Reading:
        limit = None if stop is None else _place(stop).at
        while group.bytes < self._bound:
            if self._half is None and (reading := self._begin(group, limit, timeout)) is not None:
                return reading
            self._go_on(group)
        return Reading.MORE

    def _begin(self, group: Group, limit: int | None, timeout: float) -> Reading | None:
        """Begin the next transaction, unless it is not covered by the limit: one that begins at it is not."""
        assert self._stream is not None
        with ours():
            commit, flushed = replication.fetch(self._stream, self._cursor, timeout if group.empty else 0)
        self._tell()
        if limit is not None and (flushed >= limit if commit is None else commit.at >= limit):
            self._cursor = max(self._cursor, limit)
            group.position = Place(self._cursor)
            return Reading.STOP
        if commit is None:
            self._cursor = flushed
            group.position = Place(flushed)
            return Reading.IDLE
        self._half = (commit, list(commit.records))
        group.position = None
        if self._lists:
            # A transaction's position is where it ends, as a checkpoint after it would say.
            name = str(commit.number)
            group.transactions.append(Transaction(group.changes, name, Place(commit.end), commit.time))
        return None

    def _go_on(self, group: Group) -> None:
        """Read on in the transaction that is begun, to its end or to the bound."""
        assert self._half is not None
        commit, records = self._half
        published = self._server.log.published(self._slot_name, commit.at)
        while records and group.bytes < self._bound:
            self._decoder.decode(records.pop(0), published, group)
        if not records:
            self._half = None
            self._cursor = commit.end
            group.position = Place(commit.end)
            group.commit_time = commit.time
            group.txs += 1

    def rest(self, timeout: float) -> None:
        assert self._stream is not None
        self._tell()
        with ours(), self._stream.call("poll"):
            self._stream.wait(lambda: False, timeout)

    def acknowledge(self, position: Position) -> None:
        self._noted = max(self._noted, _place(position).at)

    def _tell(self) -> None:
        assert self._stream is not None and self._slot is not None
        if self._noted > self._slot.confirmed:
            with ours():
                replication.confirm(self._stream, self._slot, self._noted)

    def head(self) -> Place:
        with self._connections.asking("head") as session:
            return Place(replication.head(session))

    # --- chunks ----------------------------------------------------------------------------------------------------

    def bounds(self, table: Table, target_bytes: int) -> list[tuple[tuple[str, ...], Bound]]:
        with self._connections.asking("bounds") as session:
            rows = session.select(table.id)
        if not table.key:
            return []
        pick, rank = picker(table, table.key), ranker(table, table.key)
        found, size = [], 0
        for row in sorted(rows, key=lambda row: rank(pick(row))):
            if size >= target_bytes:
                found.append((table.key, tuple(value or "" for value in pick(row))))
                size = 0
            size += sum(len(value or "") for value in row)
        return found

    def objects(self, tables: Sequence[Table], trees: bool = False) -> list[Statement]:
        return []

    def structure(self, tables: Sequence[Table]) -> Structure:
        return Structure(tuple(tables))

    def offer(self) -> str:
        return ""

    def needs(self, table: Table) -> list[Statement]:
        return []

    def not_carried(self, tables: Sequence[Table], trees: bool) -> list[NotCarried]:
        return []

    def plan(self, tables: Sequence[Table], load: bool, leave: bool) -> tuple[list[str], list[str]]:
        drop = [f"drop slot {self._slot_name}"] if leave else []
        return [f"publish {self._slot_name}", f"make slot {self._slot_name}"], drop

    def sequences(self, tables: Sequence[Table]) -> list[SequenceValue]:
        """No table says which it uses: all of them."""
        with self._connections.asking("sequences") as session, session.call("sequences"):
            found = sorted(self._server.sequences.items())
        places = [(*id.partition("."), value) for id, value in found]
        return [SequenceValue(schema, name, value) for schema, _, name, value in places]

    def locate(
        self, table: Table, columns: tuple[str, ...], bounds: Sequence[Bound], form: RowForm, keys: Sequence[bytes]
    ) -> list[int]:
        """Key bytes are in the sink's form, which need not be readable; the values they were made of are
        remembered."""
        pick, rank = picker(table, columns), ranker(table, columns)
        edges = [rank(bound) for bound in bounds]
        rows = (self._decoder.keys[table.id, key] for key in keys)
        return [sum(edge <= rank(pick(row)) for edge in edges) for row in rows]

    # --- the end ---------------------------------------------------------------------------------------------------

    def status(self) -> Mapping[str, Any]:
        with self._connections.asking("status") as session, session.call("status"):
            slot, flushed = self._server.slots.get(self._slot_name), self._server.log.flushed
        if slot is None:
            return {"slot": self._slot_name, "exists": False}
        held = flushed - slot.confirmed
        return {"slot": slot.name, "exists": True, "confirmed": str(Place(slot.confirmed)), "held_bytes": held}

    def interrupt(self) -> None:
        self._connections.interrupt()

    def close(self) -> None:
        self._connections.close()
        self._reset()

    def drop(self, intent: Mapping[str, Any] | None = None) -> None:
        self.publish([])
        if intent and intent["found"]:
            return
        with self._connections.asking("drop") as session:
            with session.call("terminate"):
                self._end_older(session)
            replication.drop(session, self._slot_name)


def _place(position: Position) -> Place:
    if not isinstance(position, Place):
        raise StateRefused(f"{position} is not a place in a memory server's log")
    return position

