"""The Sink contract over a PostgreSQL server: what runs on which session."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cdcd.contracts import Blocks, Claim, Finding, Request, Ticket
from cdcd.errors import CdcdError, StateRefused, UsageError
from cdcd.facts import SinkFacts
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
from connectors.postgres import claim as claims
from connectors.postgres import control, side
from connectors.postgres.check_target import carried_tables, check_target
from connectors.postgres.cycle import readers
from connectors.postgres.ddl import make_tables, plan_tables
from connectors.postgres.finish import build, hand_over, plan_hand_over, staged
from connectors.postgres.forms import target_forms
from connectors.postgres.labels import add_labels
from connectors.postgres.load import load_chunk
from connectors.postgres.missing import missing
from connectors.postgres.register import add_tables, store_checkpoint, store_intent
from connectors.postgres.sequences import set_sequences
from connectors.postgres.sessions import Session, Sessions
from connectors.postgres.shape import read_shape
from connectors.postgres.skip import read_orders
from connectors.postgres.standbys import HERE, STANDBYS, check_standbys
from connectors.postgres.structure_make import make_statements
from connectors.postgres.translate import all_here, as_here
from connectors.postgres.writer import SETTINGS, Writer

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}")
"""Pipeline names that fit, unchanged, into application_name (63 bytes, ASCII) between cdcd/ and the epoch."""

LAZY: Mapping[str, str] = {"synchronous_commit": "off"}
"""A commit is not waited for: a crash takes rows and checkpoint back together, and `durable` tells (T-PF-4)."""


class PostgresSink:
    """`url` is asked at each connect. `commit_sync`: wait at each commit until it is durable. `replicated`: durable is
    only what a standby has flushed too. `closely`: have the source tell its transactions apart, so that the one at
    fault can be named."""

    def __init__(
        self,
        url: Callable[[], str],
        name: str,
        *,
        target_tables: str = "create",
        commit_sync: bool = False,
        replicated: bool = False,
        refused: Policy = STOP,
        closely: bool = False,
    ) -> None:
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"'{name}' cannot be the name of a pipeline into PostgreSQL",
                why="it names the sessions there: up to 40 letters, digits, and . _ -",
                hint="choose another name",
            )
        self._url = url
        self._pipeline = name
        self._policy = target_tables
        self._replicated = replicated
        self._refused = refused
        lists = closely or not refused.stops
        self.facts = SinkFacts(lists_transactions=lists, keeps_exceptions=True, derives=True, products=("postgresql",))
        self._settings = {} if commit_sync else LAZY
        self._sessions = Sessions(url, f"cdcd/{name}")
        self._epoch = 0
        self._writer: Writer | None = None
        self._loaders: list[Session] = []
        self._loaders_lock = threading.Lock()
        self._side: Session | None = None
        self._side_lock = threading.Lock()

    # --- who writes --------------------------------------------------------------------------------------------------

    def claim(self, owner: str, take_over: bool) -> Claim:
        if self._side is not None:  # opened for `seen`, under a name without an epoch
            self._sessions.end(self._side)
            self._side = None
        session = self._sessions.open({**SETTINGS, **self._settings}, writes=True)
        found = claims.claim(session, self._pipeline, owner, take_over)
        self._epoch = found.epoch
        self._sessions.name = f"cdcd/{self._pipeline}/{found.epoch}"
        replica = self._sessions.may_replicate is True
        orders = read_orders(session, self._pipeline)
        self._writer = Writer(
            session, self._pipeline, found.epoch, found.checkpoint, dict(found.tables), replica, self._refused,
            flushed=STANDBYS if self._replicated else HERE, skips=Skips(orders),
        )  # fmt: skip
        return replace(found, lists_transactions=bool(orders))

    @property
    def _owner(self) -> Writer:
        if self._writer is None:
            raise StateRefused("nothing is written before a claim", pipeline=self._pipeline)
        return self._writer

    # --- before the stream -------------------------------------------------------------------------------------------

    def check(self, tables: Sequence[Table], objects: Sequence[Statement] = ()) -> list[Finding]:
        with self._sessions.brief() as session:
            replica = self._sessions.try_replica(session)
            here = all_here(tables)
            findings = check_target(session, self._url(), self._pipeline, here, objects, self._policy, replica)
            return findings + (check_standbys(session) if self._replicated else [])

    def read_by(self) -> set[str]:
        with self._sessions.brief() as session:
            return readers(session)

    def adopt(self, objects: Sequence[Statement]) -> tuple[list[Statement], list[NotCarried]]:
        return list(objects), []

    def statements(self, structure: Structure) -> tuple[list[Statement], list[NotCarried]]:
        return make_statements(structure)

    def plan(self, tables: Sequence[Table], objects: Sequence[Statement]) -> list[Statement]:
        with self._sessions.brief() as session:
            controls = [Statement("control", text, ("schema", "cdcd")) for text in control.plan(session)]
            objects = staged(session, objects, self._sessions.try_replica(session))
            carried = carried_tables(session, self._pipeline)
            new = [table for table in all_here(tables) if table.id not in carried]
            before = plan_tables(session, new, [one for one in objects if one.table not in carried], self._policy)
            made = {one.table for one in before if one.kind == "table"}
            built = bool(carried) and not new and claims.finished(session, self._pipeline)
            later = [one for one in objects if one.stage == "cut-over" or (one.stage == "after" and not built)]
            later = [one for stage in ("after", "cut-over") for one in later if one.stage == stage]
            return controls + before + missing(session, later, made)

    def prepare(self, tables: Sequence[Table], objects: Sequence[Statement] = ()) -> None:
        with self._owner.durably() as session:
            make_tables(session, all_here(tables), objects, self._policy)

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
        with self._owner.durably() as session:
            make_tables(session, all_here(tables), objects, self._policy)
            add_tables(session, self._pipeline, tables, chunks)
        self._owner.carries(tables)

    def forms(self, table: Table) -> Sequence[RowForm]:
        session = self._owner.session
        return target_forms(session, table, read_shape(session, table))

    # --- the stream --------------------------------------------------------------------------------------------------

    def apply(self, group: Group, checkpoint: Checkpoint | None) -> Ticket | None:
        return self._owner.apply(group, checkpoint)

    def durable(self, ticket: Ticket) -> bool:
        return self._owner.durable(ticket)

    def finish(self, tables: Sequence[Table], objects: Sequence[Statement]) -> None:
        build(self._owner, self._pipeline, all_here(tables), objects)

    def by_hand(self, objects: Sequence[Statement]) -> list[Statement]:
        with self._sessions.brief() as session:
            return plan_hand_over(session, objects)[1]

    def hand_over(self, objects: Sequence[Statement]) -> list[Statement]:
        with self._sessions.brief() as session:
            return hand_over(session, objects)

    def widen(self, table: Table) -> Sequence[str]:
        with self._sessions.brief() as session:
            return add_labels(session, as_here(table))

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
        return self._sessions.open(self._settings, writes=True)

    # --- beside the stream -------------------------------------------------------------------------------------------

    def _beside(self, act: Callable[[Session], Any]) -> Any:
        """On the session of its own; after an error the next call opens another."""
        with self._side_lock:
            if self._side is None:
                self._side = self._sessions.open(LAZY)
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
