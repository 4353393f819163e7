"""The Sink contract over a memory server: rows, checkpoint and state move in one transaction."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from cdcd.contracts import Blocks, Claim, Finding, Request
from cdcd.errors import StateRefused, Transient, Unreachable
from cdcd.facts import SinkFacts
from cdcd.model.chunk import Chunk, State
from cdcd.model.group import Group
from cdcd.model.position import Checkpoint, Identity
from cdcd.model.schema import NotCarried, Statement
from cdcd.model.sequence import SequenceDone, SequenceValue
from cdcd.model.structure import Structure
from cdcd.model.table import Table
from cdcd.rows import RowForm
from connectors.memory import apply as changes
from connectors.memory import control, form
from connectors.memory.connections import Connections
from connectors.memory.control import Control
from connectors.memory.errors import ours
from connectors.memory.place import Place
from connectors.memory.server import MemoryServer
from connectors.memory.session import Session

Ticket = tuple[Session, int]


class MemorySink:
    """Applies row by row in source order: the plainest way that is right. `lazy`: commits are not waited for to
    be flushed; a crash takes rows and checkpoint back together. `policy`: what is done with tables that are
    there and hold rows."""

    facts = SinkFacts(folds=False, derives=True)

    def __init__(
        self,
        server: MemoryServer,
        name: str,
        lazy: bool = True,
        policy: Literal["refuse", "empty"] = "refuse",
    ) -> None:
        self._server = server
        self._pipeline = name
        self._lazy = lazy
        self._policy = policy
        self._control = Control(name)
        self._reset()

    def _reset(self) -> None:
        """What is known from a claim ends with its sessions."""
        self._connections = Connections(self._server, f"cdcd/{self._pipeline}/-")
        self._epoch = 0
        self._writer: Session | None = None
        self._side: Session | None = None
        self._expected: str | None = None
        self._open = False
        self._failed = False
        self._tables: dict[str, Table] = {}

    # --- who writes ------------------------------------------------------------------------------------------------

    def adopt(self, objects: Sequence[Statement]) -> tuple[list[Statement], list[NotCarried]]:
        return list(objects), []

    def statements(self, structure: Structure) -> tuple[list[Statement], list[NotCarried]]:
        return [], []

    def claim(self, owner: str, take_over: bool) -> Claim:
        self.close()
        self._connections = Connections(self._server, f"cdcd/{self._pipeline}/{owner}")
        session = self._connections.open("claim")
        with ours():
            self._end_older(session, owner, take_over)
            control.make(session)
            session.commit()
            epoch = self._control.raise_epoch(session, owner, take_over)
            row = self._control.stored(session)
            tables, chunks = self._control.tables(session), self._control.chunks(session)
            # Synchronous whatever apply does: a claim taken back by a crash would leave two owners of one epoch.
            session.commit()
            session.close()
        self._connections = Connections(self._server, f"cdcd/{self._pipeline}/{epoch}")
        self._epoch, self._expected, self._tables = epoch, row[1], tables
        return Claim(
            epoch=epoch,
            checkpoint=control.mapping(row[1]) if row[1] else None,
            identity=control.identity(row[2]),
            intent=control.mapping(row[3]),
            tables=tables,
            chunks=chunks,
            finished=row[4] is not None,
        )

    def _end_older(self, session: Session, owner: str, take_over: bool) -> None:
        """First end the sessions of older epochs, and claims that are under way: they may hold what this one
        has to wait for (T-PO-11). Not those of a new owner, by whom we are fenced (T-PO-12)."""
        epoch, holder = self._control.epoch(session) if session.exists("cdcd.epoch") else (0, None)
        if holder not in (None, owner) and not take_over:
            raise control.fenced(self._pipeline)
        with session.call("terminate"):
            for other in list(self._server.sessions):
                pipeline, _, rest = other.name.removeprefix("cdcd/").partition("/")
                who, _, purpose = rest.partition("/")
                older = who.isdigit() and int(who) <= epoch
                claiming = purpose == "claim" and (take_over or who == owner)
                if pipeline == self._pipeline and other is not session and (older or claiming):
                    self._server.end(other)

    @contextmanager
    def _all_or_nothing(self) -> Iterator[Session]:
        """The writer's transaction; any error rolls it back, with the pieces before."""
        if self._failed or not self._epoch:
            raise StateRefused("nothing is written before a claim, nor after an error", pipeline=self._pipeline)
        if self._writer is None:
            self._writer = self._connections.open("writer")
        try:
            with ours():
                if not self._open:
                    self._control.hold_checkpoint(self._writer, self._expected)
                    self._control.hold_epoch(self._writer, self._epoch)
                    self._open = True
                yield self._writer
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        self._failed = True
        writer, self._writer, self._open = self._writer, None, False
        if writer is not None:
            writer.close()

    @contextmanager
    def _of_its_own(self) -> Iterator[Session]:
        """A transaction of control rows: it cannot be had while the pieces of a source's transaction are open, as it
        would make them durable without a checkpoint."""
        if self._open:
            raise StateRefused("a transaction of the source is half applied", pipeline=self._pipeline)
        with self._all_or_nothing() as session:
            yield session
            self._commit(session, sync=True)

    def _commit(self, session: Session, sync: bool) -> int:
        self._open = False
        return session.commit(sync=sync)

    # --- before the stream -----------------------------------------------------------------------------------------

    def read_by(self) -> Collection[str]:
        return ()

    def check(self, tables: Sequence[Table], objects: Sequence[Statement] = ()) -> list[Finding]:
        with self._connections.asking("check") as session:
            filled = [table.id for table in tables if session.exists(table.id) and session.select(table.id)]
        if self._policy == "empty":
            return []
        return [Finding("target-not-empty", "error", f"{table} holds rows") for table in filled]

    def plan(self, tables: Sequence[Table], objects: Sequence[Statement]) -> list[Statement]:
        """A table is defined by a call; the plan has a name for it."""
        with self._connections.asking("plan") as session:
            new = [table for table in tables if not session.exists(table.id)]
        return [Statement("table", f"define {one.id}", ("table", one.schema, one.name), one.id) for one in new]

    def prepare(self, tables: Sequence[Table], objects: Sequence[Statement] = ()) -> None:
        with self._of_its_own() as session:
            for table in tables:
                self._prepare(session, table)

    def _prepare(self, session: Session, table: Table) -> None:
        if not session.exists(table.id):
            session.define(table)
        elif session.select(table.id):
            if self._policy == "refuse":
                raise StateRefused("the target's table holds rows", hint="empty it", table=table.id)
            session.truncate([table.id])

    def intend(self, identity: Identity, intent: Mapping[str, Any]) -> None:
        with self._of_its_own() as session:
            text = json.dumps(identity.to_json())
            self._control.store(session, identity=text, intent=json.dumps(dict(intent)))

    def start(self, checkpoint: Checkpoint, tables: Sequence[Table], chunks: Sequence[Chunk]) -> None:
        with self._of_its_own() as session:
            text = control.checkpoint_text(checkpoint)
            self._control.add(session, tables, chunks)
            self._control.store(session, checkpoint=text)
        self._expected = text
        self._know(tables)

    def join(self, tables: Sequence[Table], chunks: Sequence[Chunk], objects: Sequence[Statement] = ()) -> None:
        with self._of_its_own() as session:
            for table in tables:
                self._prepare(session, table)
            self._control.add(session, tables, chunks)
            self._control.store(session, finished=None)
        self._know(tables)

    def _know(self, tables: Sequence[Table]) -> None:
        self._tables |= {table.id: table for table in tables}

    def forms(self, table: Table) -> Sequence[RowForm]:
        return [form.form(table)]

    # --- the stream ------------------------------------------------------------------------------------------------

    def apply(self, group: Group, checkpoint: Checkpoint | None) -> Ticket | None:
        with self._all_or_nothing() as session:
            changes.apply(session, group)
            for chunk in group.unread:
                changes.empty(session, self._tables[chunk.table], chunk)
                self._control.set_chunk(session, chunk.with_state(State.UNREAD), before=State.IN)
            if checkpoint is None:
                return None
            text = control.checkpoint_text(checkpoint)
            self._control.store(session, checkpoint=text)
            ticket = (session, self._commit(session, sync=not self._lazy))
        self._expected = text
        return ticket

    def durable(self, ticket: Ticket) -> bool:
        session, end = ticket
        if session is not self._writer:
            raise Unreachable("the session that gave the ticket has ended", why="the server may have crashed since")
        with ours(), session.call("durable"):
            return self._server.log.flushed >= end

    def widen(self, table: Table) -> Sequence[str]:
        """Nothing here is as narrow as a list of labels."""
        return ()

    def finish(self, tables: Sequence[Table], objects: Sequence[Statement]) -> None:
        """There is nothing to build here; that it was reached is recorded."""
        with self._of_its_own() as session:
            self._control.store(session, finished="yes")

    def by_hand(self, objects: Sequence[Statement]) -> list[Statement]:
        return []

    def hand_over(self, objects: Sequence[Statement]) -> list[Statement]:
        return []

    def set_sequences(self, values: Sequence[SequenceValue]) -> list[SequenceDone]:
        with self._connections.asking("sequences") as session, session.call("sequences"):
            return [self._set_sequence(value) for value in values]

    def _set_sequence(self, source: SequenceValue) -> SequenceDone:
        here = self._server.sequences
        if (before := here.get(source.id)) is None or source.value is None:
            return SequenceDone(source, "missing" if before is None else "unreadable")
        here[source.id] = after = max(before, source.value)
        return SequenceDone(source, "set" if after > before else "kept", source.id, before, after)

    # --- loads -----------------------------------------------------------------------------------------------------

    def load(self, table: Table, chunk: Chunk, blocks: Blocks, place: Checkpoint) -> int:
        """Locks only what other loads can share, and its own record; so the others go on (T-PO-9)."""
        session = self._connections.open("load")
        try:
            with ours(table=table.id):
                self._control.hold_epoch(session, self._epoch)
                self._control.set_chunk(session, chunk.with_state(State.IN), before=State.UNREAD)
                if self._control.stored(session)[1] != control.checkpoint_text(place):
                    raise Transient("the stored checkpoint is not the snapshot's place", table=table.id)
                rows = self._copy_in(session, table, blocks)
                loaded = chunk.with_state(State.IN, rows, blocks.counts["bytes"])
                self._control.set_chunk(session, loaded, before=State.IN)
                session.commit(sync=not self._lazy)
                return rows
        finally:
            session.close()

    def _copy_in(self, session: Session, table: Table, blocks: Blocks) -> int:
        rows, rest = 0, b""
        for piece in blocks.data:
            *ended, rest = (rest + piece).split(form.TAIL)
            for row in ended:
                session.insert(table.id, form.values(form.split(row)))
            rows += len(ended)
        assert not rest, "the blocks end inside a row"
        return rows

    # --- beside the stream -----------------------------------------------------------------------------------------

    def _beside(self) -> Session:
        if self._side is None:
            self._side = self._connections.open("side")
        return self._side

    def beat(self) -> None:
        session = self._beside()
        with ours(), session.call("beat"):
            pass
        with ours():
            if self._control.epoch(session)[0] != self._epoch:
                raise control.fenced(self._pipeline)
            session.update("cdcd.seen", (self._pipeline,), lambda row: (row[0], str(int(row[1] or 0) + 1)))
            session.commit()

    def note(self, table: Table, again: bool) -> None:
        """No table of a memory server has partitions."""

    def seen(self) -> int | None:
        with self._connections.asking("seen") as session:
            rows = session.select("cdcd.seen") if session.exists("cdcd.seen") else []
        return next((int(row[1] or 0) for row in rows if row[0] == self._pipeline), None)

    def status(self) -> Mapping[str, Any] | None:
        """What `cdcd status` asks, from another process, claiming nothing (Connector.status)."""
        with Connections(self._server, f"cli/{self._pipeline}").asking("status") as session:
            if not session.exists("cdcd.checkpoint") or self._control.epoch(session)[0] == 0:
                return None
            _, checkpoint, _, intent, finished = self._control.stored(session)
            ids, chunks = self._control.tables(session), self._control.chunks(session)
        tables = [
            {
                "id": table,
                "chunks": sum(chunk.table == table for chunk in chunks),
                "chunks_in": sum(chunk.table == table and chunk.state is State.IN for chunk in chunks),
                "rows": sum(chunk.rows for chunk in chunks if chunk.table == table),
            }
            for table in ids
        ]
        place = control.mapping(checkpoint)["position"] if checkpoint else None
        return {
            "checkpoint": place and str(Place.from_json(place)),
            "finished": finished is not None,
            "seen": self.seen(),
            "intent": control.mapping(intent),
            "tables": tables,
        }

    def wish(self, command: str, argument: str) -> int:
        """What `cdcd reload` does, from another process: leave a request, claiming nothing."""
        with Connections(self._server, f"cli/{self._pipeline}").asking("wish") as session:
            number = 1 + max((int(row[0] or 0) for row in session.select("cdcd.requests")), default=0)
            session.insert("cdcd.requests", (str(number), self._pipeline, command, argument, None))
            session.commit()
        return number

    def requests(self) -> Sequence[Request]:
        session = self._beside()
        with ours(), session.call("requests"):
            rows = list(self._server.heaps["cdcd.requests"])
        mine = [row for row in rows if row[1] == self._pipeline and row[4] is None]
        found = [Request(int(row[0] or 0), row[2] or "", row[3] or "") for row in mine]
        return sorted(found, key=lambda request: request.id)

    def fulfilled(self, request: Request) -> None:
        session = self._beside()
        with ours():
            session.update("cdcd.requests", (str(request.id),), lambda row: (*row[:4], "yes"))
            session.commit()

    # --- the end ---------------------------------------------------------------------------------------------------

    def interrupt(self) -> None:
        self._connections.interrupt()

    def close(self) -> None:
        self._connections.close()
        self._reset()

    def drop(self) -> None:
        with self._connections.asking("drop") as session:
            if session.exists("cdcd.epoch"):
                self._control.forget(session)
                session.commit()
