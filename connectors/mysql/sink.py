"""The Sink contract over a MySQL or MariaDB server: what runs on which session."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cdcd.contracts import Blocks, Claim, Finding, Request, Ticket
from cdcd.errors import CdcdError, StateRefused, UsageError
from cdcd.facts import SinkFacts
from cdcd.log import get_logger
from cdcd.model.chunk import Chunk
from cdcd.model.group import Group
from cdcd.model.position import Checkpoint, Identity
from cdcd.model.schema import NotCarried, Statement
from cdcd.model.sequence import SequenceDone, SequenceValue
from cdcd.model.structure import Structure
from cdcd.model.table import Table
from cdcd.policy import STOP, Policy
from cdcd.rows import RowForm
from cdcd.skipped import Skips
from connectors.mysql import claim as claims
from connectors.mysql import control, side
from connectors.mysql.check_target import check_target
from connectors.mysql.cycle import readers
from connectors.mysql.ddl import PRODUCTS, make_tables, plan_tables, read_collations
from connectors.mysql.dialect import Dialect
from connectors.mysql.finish import build
from connectors.mysql.forms import target_forms
from connectors.mysql.intents import Intents, read_intent
from connectors.mysql.load import load_chunk
from connectors.mysql.missing import missing
from connectors.mysql.register import add_tables, store_checkpoint, store_intent
from connectors.mysql.sequences import set_sequences
from connectors.mysql.sessions import Session, Sessions
from connectors.mysql.skip import read_orders
from connectors.mysql.structure_make import make_statements
from connectors.mysql.writer import Writer

log = get_logger("mysql.sink")

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}")
"""Pipeline names that fit, unchanged, into the names of the server's locks (64 characters)."""


class MysqlSink:
    """`url` is asked at each connect. `home` is the source's own schema, whose tables the URL's database takes;
    `closely`: have the source tell its transactions apart, so that the one at fault can be named."""

    def __init__(
        self,
        url: Callable[[], str],
        name: str,
        *,
        target_tables: str = "create",
        home: str = "",
        refused: Policy = STOP,
        closely: bool = False,
    ) -> None:
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"'{name}' cannot be the name of a pipeline into MySQL or MariaDB",
                why="it names locks there: up to 40 letters, digits, and . _ -",
                hint="choose another name",
            )
        self._pipeline = name
        self._policy = target_tables
        self.facts = SinkFacts(
            lists_transactions=closely or not refused.stops,
            identifier_bytes=64,
            keeps_exceptions=True,
            derives=True,
            products=PRODUCTS,
        )
        self._refused = refused
        self._sessions = Sessions(url, home)
        self._epoch = 0
        self._writer: Writer | None = None
        self._loaders: list[Session] = []
        self._loaders_lock = threading.Lock()
        self._side: Session | None = None
        self._side_lock = threading.Lock()

    # --- who writes --------------------------------------------------------------------------------------------------

    def claim(self, owner: str, take_over: bool) -> Claim:
        with self._side_lock:
            if self._side is not None:  # opened for `seen`, under no epoch
                self._sessions.end(self._side)
                self._side = None
        session = self._sessions.open(autocommit=False)
        found, stored = claims.claim(session, self._pipeline, owner, take_over)
        self._epoch = found.epoch
        intents = Intents(session, self._sessions.brief, self._pipeline, found.epoch)
        intent = read_intent(session, self._pipeline)
        orders = read_orders(session, self._pipeline)
        session.run("COMMIT")
        if intent is not None and not intent.made:
            assert stored is not None
            log.warning("a change of tables was under way", tables=[change.old.id for change in intent.changes])
            intents.carry_out(intent)
            intent.done += len(intent.changes)
            intents.settle(intent, json.loads(stored))
            session.run("COMMIT")
            found, stored = claims.look(session, self._pipeline)
            session.run("COMMIT")
        begun = intent if intent is not None and intent.made else None
        self._writer = Writer(
            session, self._pipeline, found.epoch, stored, dict(found.tables), intents, self._refused, begun,
            Skips(orders),
        )  # fmt: skip
        return replace(found, lists_transactions=bool(orders))

    @property
    def _owner(self) -> Writer:
        if self._writer is None:
            raise StateRefused("nothing is written before a claim", pipeline=self._pipeline)
        return self._writer

    def _registered(self, autocommit: bool) -> Session:
        """A session that the next epoch will find."""
        session = self._sessions.open()
        if self._epoch:
            claims.register(session, self._pipeline, self._epoch)
        if not autocommit:
            session.run("SET autocommit = 0")
        return session

    # --- before the stream -------------------------------------------------------------------------------------------

    def check(self, tables: Sequence[Table], objects: Sequence[Statement] = ()) -> list[Finding]:
        with self._sessions.brief() as session:
            return check_target(session, tables, self._policy)

    def read_by(self) -> set[str]:
        with self._sessions.brief() as session:
            return readers(session)

    def adopt(self, objects: Sequence[Statement]) -> tuple[list[Statement], list[NotCarried]]:
        with self._sessions.brief() as session:
            dialect = Dialect(session.mariadb, read_collations(session), session.homes.of)
        return dialect.here(objects)

    def statements(self, structure: Structure) -> tuple[list[Statement], list[NotCarried]]:
        with self._sessions.brief() as session:
            return make_statements(session, structure)

    def plan(self, tables: Sequence[Table], objects: Sequence[Statement]) -> list[Statement]:
        with self._sessions.brief() as session:
            controls = [Statement("control", text, ("schema", "cdcd")) for text in control.plan(session)]
            carried = claims.read_tables(session, self._pipeline) if not controls else {}
            new = [table for table in tables if table.id not in carried]
            before = plan_tables(session, new, objects, self._policy)
            built = bool(carried) and not new and claims.finished(session, self._pipeline)
            later = [one for one in objects if one.stage == "cut-over" or (one.stage == "after" and not built)]
            made = {one.table for one in before if one.kind == "table"}
            return controls + before + missing(session, later, made)

    def prepare(self, tables: Sequence[Table], objects: Sequence[Statement] = ()) -> None:
        with self._owner.durably() as session:
            make_tables(session, tables, objects, self._policy)

    def intend(self, identity: Identity, intent: Mapping[str, Any]) -> None:
        with self._owner.durably() as session:
            store_intent(session, self._pipeline, identity, intent)

    def start(self, checkpoint: Checkpoint, tables: Sequence[Table], chunks: Sequence[Chunk]) -> None:
        with self._owner.durably() as session:
            store_checkpoint(session, self._pipeline, checkpoint)
            add_tables(session, self._pipeline, tables, chunks)
        self._owner.started(checkpoint)
        self._owner.carries(tables)

    def join(
        self, tables: Sequence[Table], chunks: Sequence[Chunk], objects: Sequence[Statement] = ()
    ) -> None:
        self.prepare(tables, objects)  # which commits
        with self._owner.durably() as session:
            add_tables(session, self._pipeline, tables, chunks)
        self._owner.carries(tables)

    def forms(self, table: Table) -> Sequence[RowForm]:
        return target_forms(table, self._owner.shape_for(table))

    # --- the stream --------------------------------------------------------------------------------------------------

    def apply(self, group: Group, checkpoint: Checkpoint | None) -> Ticket | None:
        return self._owner.apply(group, checkpoint)

    def durable(self, ticket: Ticket) -> bool:
        return self._owner.durable(ticket)

    def finish(self, tables: Sequence[Table], objects: Sequence[Statement]) -> None:
        build(self._owner, self._pipeline, tables, objects)

    def by_hand(self, objects: Sequence[Statement]) -> list[Statement]:
        return []

    def hand_over(self, objects: Sequence[Statement]) -> list[Statement]:
        return []

    def widen(self, table: Table) -> Sequence[str]:
        return ()

    def set_sequences(self, values: Sequence[SequenceValue]) -> list[SequenceDone]:
        with self._sessions.brief() as session:
            return set_sequences(session, values)

    # --- loads -------------------------------------------------------------------------------------------------------

    def load(self, table: Table, chunk: Chunk, blocks: Blocks, place: Checkpoint) -> int:
        session = self._loader()
        try:
            rows = load_chunk(session, self._pipeline, self._epoch, table, chunk, blocks, place)
        except BaseException:
            self._sessions.end(session)
            raise
        finally:
            close = getattr(blocks.data, "close", None)
            if close is not None:
                close()
        with self._loaders_lock:
            self._loaders.append(session)
        return rows

    def _loader(self) -> Session:
        """A session that no other loader uses now: thousands of small tables shall not log in thousands of times."""
        with self._loaders_lock:
            if self._loaders:
                return self._loaders.pop()
        return self._registered(autocommit=False)

    # --- beside the stream -------------------------------------------------------------------------------------------

    def _beside(self, act: Callable[[Session], Any]) -> Any:
        """On the session of its own; after an error the next call opens another."""
        with self._side_lock:
            if self._side is None:
                self._side = self._registered(autocommit=True)
            try:
                return act(self._side)
            except CdcdError:
                self._sessions.end(self._side)
                self._side = None
                raise

    def beat(self) -> None:
        self._beside(lambda session: side.beat(session, self._pipeline, self._epoch))

    def requests(self) -> Sequence[Request]:
        found: Sequence[Request] = self._beside(lambda session: side.requests(session, self._pipeline))
        return found

    def fulfilled(self, request: Request) -> None:
        self._beside(lambda session: side.fulfilled(session, request))

    def note(self, table: Table, again: bool) -> None:
        self._beside(lambda session: side.note(session, self._pipeline, table, again))

    def seen(self) -> int | None:
        counter: int | None = self._beside(lambda session: side.seen(session, self._pipeline))
        return counter

    # --- the end -----------------------------------------------------------------------------------------------------

    def interrupt(self) -> None:
        self._sessions.interrupt()

    def close(self) -> None:
        self._sessions.close()

    def drop(self) -> None:
        with self._sessions.brief() as session:
            side.forget(session, self._pipeline)
