"""One attempt at a pipeline: from claim to the first error. What memory holds is forgotten with it.

The writer's thread runs here. It applies what the reader hands over, and between two groups takes one step of
everything else: tickets, snapshots, joins, wishes. Nothing here waits longer than a tick but calls to the two ends.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from cdcd.cascade import below
from cdcd.contracts import Claim, Request, Sink, Snapshot, Source, Ticket
from cdcd.engine.begin import begin
from cdcd.engine.evolve import Evolve, compare
from cdcd.engine.handover import Parcel
from cdcd.engine.join import Join
from cdcd.engine.judge import Judge
from cdcd.engine.lag import Lag
from cdcd.engine.ledger import Ledger, refuse_damaged
from cdcd.engine.load import Load
from cdcd.engine.objects import objects
from cdcd.engine.options import Options, Outcome
from cdcd.engine.preview import hand_over
from cdcd.engine.reader import Reader
from cdcd.engine.seek import Seek
from cdcd.engine.sequences import carry_sequences
from cdcd.engine.side import Side
from cdcd.errors import PoisonRow, StateRefused, Transient
from cdcd.log import get_logger
from cdcd.model.chunk import State
from cdcd.model.group import Group
from cdcd.model.position import Checkpoint, Position
from cdcd.progress import Progress

log = get_logger("engine.attempt")
TICK = 0.1
FAR = 1 << 20
"""Bytes of log; further behind than this, larger groups are worth more than a few milliseconds."""

ASK_AGAIN = 0.05
"""Seconds between two questions for what is durable, while there is work."""

STANDSTILL = 5.0
"""Seconds of a load, at least, in which chunks are begun while tables that are in wait for the stream."""


class Attempt:
    """`run` returns when the run's end is reached or `stopping` is set, and raises on any error. `flowing` is true
    once a position or a chunk became durable, so that the next attempt begins its back-off anew; `made`, once changes
    or a chunk were written."""

    def __init__(
        self, options: Options, source: Source, sink: Sink, progress: Progress, stopping: threading.Event
    ) -> None:
        self.flowing = self.made = False
        self.claimed = False
        self._options = options
        self._source = source
        self._sink = sink
        self._progress = progress
        self._stopping = stopping
        self._lag = Lag()
        self._side = Side(source, sink, options, progress, self._lag)
        self._ledger = Ledger({}, ())
        self._finished = False
        self._tickets: deque[tuple[Ticket, Position]] = deque()
        self._asked = 0.0
        self._until: Position | None = None
        self._durable: Position | None = None
        self._granted: dict[int, Request] = {}
        self._intent: Mapping[str, Any] = {}
        self._outgrown: set[str] = set()  # tables that a snapshot held in another shape than ours
        self._inside = False  # whether the last group applied was a piece of a transaction
        self._stored: Checkpoint

    def run(self, owner: str, take_over: bool) -> Outcome:
        """`take_over`: this process's first claim may end another's."""
        if self._options.until not in (None, "caught-up"):
            self._source.position(self._options.until)  # a mistake in it is told before anything is made
        self._progress.phase = "claiming"
        claim = self._sink.claim(owner, take_over)
        self.claimed = True
        if claim.lists_transactions and not self._sink.facts.lists_transactions:
            raise StateRefused("a transaction is to be passed over", why="the source does not tell them", change="skip")
        self._side.start()
        try:
            return self._run(claim)
        finally:
            self._side.close()

    def _run(self, claim: Claim) -> Outcome:
        snapshot, self._stored = self._start(claim)
        if snapshot is not None:
            self._load(snapshot)
        self._refuse_partial()
        self._finish_if_consistent()
        if self._options.load == "only" and self._consistent:
            return self._leave()
        return self._stream(claim)

    # --- where it stands ----------------------------------------------------------------------------------------

    def _start(self, claim: Claim) -> tuple[Snapshot | None, Checkpoint]:
        self._finished, self._intent = claim.finished, claim.intent
        if self._sink.facts.keeps_state:
            refuse_damaged(claim, self._options.name)
        if claim.checkpoint is None:
            self._progress.phase = "checking"
            snapshot, checkpoint, tables, chunks, self._intent = begin(self._source, self._sink, claim, self._options)
            self._ledger = Ledger({table.id: table for table in tables}, chunks)
        else:
            snapshot = None
            self._ledger = Ledger(claim.tables, claim.chunks)
            self._refuse_narrowing()
            checkpoint = Checkpoint.from_json(claim.checkpoint, self._source.position)
            log.info("going on", position=str(checkpoint.position), unread=len(self._ledger.unread))
        self._progress.tables = len(self._ledger.tables)
        self._note_chunks()
        self._settled(checkpoint.position)
        if snapshot is not None and (self._options.load == "skip" or not snapshot.readable):
            snapshot.close()  # only its place was wanted, or is all there is
            snapshot = None
        return snapshot, checkpoint

    def _refuse_narrowing(self) -> None:
        lost = [table for table in self._ledger.tables if not self._options.selection.matches(table)]
        if lost:
            raise StateRefused(
                f"{', '.join(lost)}: carried by this pipeline before, and not selected any more",
                why="a table that is left out misses changes, and could only come back by being loaded again",
                hint="select it again, or `cdcd drop` this pipeline and start a new one",
                pipeline=self._options.name,
            )

    def _refuse_partial(self) -> None:
        """A copy of some rows, or of other values, is made whole under one snapshot: changes would not fit to it."""
        partial = self._options.partial or self._intent.get("partial")
        if partial and (self._ledger.unread or self._stored.window is not None or self._options.load != "only"):
            raise StateRefused(
                "a copy by where or mask was broken off, and cannot be gone on with",
                why="its snapshot is gone; changes since then may be of rows that the copy left out",
                hint="cdcd drop this pipeline, then run again with --target-tables truncate",
                pipeline=self._options.name,
            )

    @property
    def _consistent(self) -> bool:
        return not self._ledger.unread and self._finished

    def _note_chunks(self) -> None:
        chunks = self._ledger.chunks()
        self._progress.chunks_total = len(chunks)
        self._progress.chunks_in = sum(chunk.state is State.IN for chunk in chunks)
        unread = {chunk.table for chunk in self._ledger.unread}
        left = sum(table.bytes for table in self._ledger.tables.values() if table.id in unread)
        self._progress.load_total_bytes = self._progress.load_bytes + left
        self._progress.consistent = self._consistent

    def _finish_if_consistent(self) -> None:
        """The last chunk is in, and the window of its snapshot passed: keys between tables and secondary indexes are
        built, sequences set. Once the tables are what the source has: an index of now may want a column that is still
        on its way."""
        if self._ledger.unread or self._finished or self._stored.window is not None:
            return
        known = self._ledger.tables
        altered = {change.old.id for change in compare(
            known.values(), self._source.tables(), self._options.on_schema_change
        )}  # fmt: skip
        if altered and self._options.table_poll:
            log.debug("tables that were altered are waited for", tables=sorted(altered))
            return
        tables = [table for table in known.values() if table.id not in altered]
        loads = self._options.load != "skip"
        made = objects(self._source, self._sink, tables, self._options.trees) if loads else []
        carry_sequences(self._source, self._sink, tables)  # before `finished` is stored: a crash does not skip it
        self._sink.finish(tables, made)
        self._finished = True
        self._progress.consistent = True
        log.info("consistent", tables=len(tables))

    def _leave(self) -> Outcome:
        """A finished copy is its users': nothing is left behind, no slot, no control rows."""
        hand_over(self._source, self._sink, list(self._ledger.tables.values()), self._options.trees)
        self._source.drop(self._intent)
        self._sink.drop()
        return Outcome.CONSISTENT

    # --- load ---------------------------------------------------------------------------------------------------

    def _load(self, snapshot: Snapshot, within: float = math.inf) -> None:
        """The stream stands at the snapshot's place, which is stored. Read what is given to it, as far as it is begun
        `within` so many seconds, and write it."""
        self._progress.phase = "loading"
        given = self._ledger.unread
        if self._options.chunks_per_snapshot:
            given = given[: self._options.chunks_per_snapshot]
        forms = {table: self._sink.forms(self._ledger.tables[table]) for table in {chunk.table for chunk in given}}
        load = Load(snapshot, self._sink, self._ledger.tables, forms, self._progress, self._stored)
        try:
            loaded = load.run(given, self._options.loaders, self._stopping, within)
        except PoisonRow as error:
            self._widen(error)
            raise
        finally:
            snapshot.close()
        self.flowing, self.made = self.flowing or bool(loaded), self.made or bool(loaded)
        self._outgrown = load.outgrown
        self._ledger.put(loaded)
        self._note_chunks()
        rows, place = sum(chunk.rows for chunk in loaded), str(self._stored.position)
        log.info("chunks are in", chunks=len(loaded), rows=rows, place=place)

    # --- stream -------------------------------------------------------------------------------------------------

    def _stream(self, claim: Claim) -> Outcome:
        ledger, source, place = self._ledger, self._source, self._stored.position
        identity = claim.identity or source.identity()
        if any(all(c.state is State.UNREAD for c in its) for its in ledger.by_table().values()):
            # A crash may have come between a table's control rows and its publication (see join).
            source.publish(list(ledger.tables.values()))
        if self._options.on_schema_change == "stop":
            self._reload_first()
        forms = {id: self._sink.forms(table) for id, table in ledger.tables.items() if ledger.followed(id)}
        if (now := source.open(self._stored, identity, forms)) != identity:
            self._read_again_after(source)
            # Another timeline, in whose history the checkpoint is; later ones will be in that only (PG-04).
            self._sink.intend(now, self._intent)
            log.warning("the source has failed over", timeline=now.timeline, position=str(place))
        judge = Judge(source.locate, ledger.by_table(), self._stored.window)
        reader = Reader(source, judge, place, self._options)
        seek = Seek(source, reader)
        join = Join(source, self._sink, reader, ledger, self._options)
        self._evolve = Evolve(source, self._sink, ledger, self._options)
        self._set_until(reader)
        if ledger.unread:
            reader.until = source.head()  # how far behind we are is known once this is reached
        # What changed unseen while nobody looked is read again before the stream comes to it.
        self._side.watch()
        self._side.wishes()
        self._grant_wishes(reader)
        reader.start()
        self._progress.threads["reader"] = reader.thread
        self._progress.phase = "catching up"
        outcome = None
        try:
            while outcome is None:
                outcome = self._turn(reader, seek, join)
        finally:
            self._progress.threads.pop("reader", None)
            if outcome is None or seek.busy:
                source.interrupt()
            reader.close()
            seek.close()
        if outcome is Outcome.CAUGHT_UP:
            carry_sequences(source, self._sink, list(ledger.tables.values()))
        return self._leave() if outcome is Outcome.CONSISTENT else outcome

    def _turn(self, reader: Reader, seek: Seek, join: Join) -> Outcome | None:
        """One parcel, if there is one, and one step of everything else."""
        if self._side.failure is not None:
            raise self._side.failure
        if self._stopping.is_set():
            return Outcome.STOPPED
        parcel = reader.handover.get(TICK)
        if parcel is not None:
            self._apply(parcel, reader, seek.high if parcel.stopped else None)
            if parcel.stopped:
                self._load_here(parcel, reader, seek)
        self._settle(busy=parcel is not None)
        reader.behind = self._lag.bytes > FAR
        # Until it is known that we have caught up, too: an idle source would keep us from knowing it for long.
        reader.prompt = (
            not self._lag.known
            or self._stored.window is not None
            or any(request.command == "cutover" for request in self._side.requests)
        )
        seek.step()
        if self._inside:
            return None  # the target's transaction is open: nothing else is written
        if not seek.busy:
            # A snapshot that is under way knows nothing of what joins, or is emptied, only now.
            self._side.told = self._evolve.count
            self._evolve.step(self._side.survey, reader)
            if joined := join.step(self._side.survey, self._stored.position, self._evolve.count):
                self._read_again_below({table.id for table in joined}, reader)
                self._note_chunks()
                self._finished = False
            self._grant_wishes(reader)
        if self._ledger.unread and not seek.busy and not join.busy and not self._evolve.busy and self._close_behind:
            seek.ask(list(self._ledger.tables.values()))
        return self._end()

    def _read_again_below(self, joined: Collection[str], reader: Reader) -> None:
        """Rows that refer to a table which joins only now may have changed with its, and nobody saw it."""
        for table in {one for id in joined for one in below(self._ledger.tables, id)} - set(joined):
            if not self._ledger.blank(table):
                log.warning("rows changed with those of a table that joins: they are read again", table=table)
                reader.unread(table, self._ledger.leads(table))

    def _apply(self, parcel: Parcel, reader: Reader, high: Position | None) -> None:
        """`high`: of the snapshot whose place this is."""
        group = parcel.group
        changed = bool(group.schema_changes)
        if changed:
            self._evolve.resolve(group)
        checkpoint = None
        if group.position is not None:
            checkpoint = self._stored.moved(group.position)
            if high is not None:
                checkpoint = checkpoint.opened(high, {one.table for one in self._ledger.unread})
        try:
            ticket = self._sink.apply(group, checkpoint)
        except PoisonRow as error:
            self._widen(error)
            raise
        self._inside = checkpoint is None
        self._stored = checkpoint or self._stored
        self.made = self.made or (group.changes > 0 and not self._inside)
        if changed:
            changes = group.schema_changes
            reader.altered(changes, self._evolve.made(changes))
            self._finished = self._finished and not any(change.reload for change in changes)
            self._note_chunks()
        if group.position is not None:
            self._tickets.append((ticket, group.position))
            self._progress.position = str(group.position)
        if group.unread:
            self._ledger.put([chunk.with_state(State.UNREAD) for chunk in group.unread])
            self._finished = False
            self._note_chunks()
            emptied = {chunk.table for chunk in group.unread}
            for request in self._granted.values():
                if request.argument in emptied:
                    self._side.fulfilled(request)
        progress = self._progress
        progress.changes += group.changes - group.dropped
        progress.dropped += group.dropped
        progress.groups += 1
        progress.transactions += group.txs

    def _widen(self, error: PoisonRow) -> None:
        """A value may be new to the target only: where its type can be taught, the row is worth another try."""
        tables = self._source.tables([str(error.where["table"])]) if error.where.get("table") else []
        for table in tables:
            if done := self._sink.widen(table):
                log.warning("the target's types were widened", table=table.id, done=list(done))
                raise Transient("a value was new to the target", why=error.what, table=table.id) from error

    def _load_here(self, parcel: Parcel, reader: Reader, seek: Seek) -> None:
        assert parcel.group.position is not None
        phase, position = self._progress.phase, parcel.group.position
        tables = set(self._ledger.tables)
        blank = {table for table in tables if self._ledger.blank(table)}
        looked_at = blank | self._outgrown
        snapshot = seek.take()
        if self._bring_up(looked_at, position):
            snapshot.close()  # it is older than the publication of a table that it would be read for
        else:
            # Who follows a table that is in does not wait for the others: no longer than this snapshot was waited for.
            waiting = any(all(c.state is State.IN for c in its) for its in self._ledger.by_table().values())
            self._load(snapshot, max(STANDSTILL, seek.took) if waiting else math.inf)
            self._finish_if_consistent()
            self._set_until(reader)
        self._progress.phase = phase
        now = self._ledger.tables
        read = {id: table for id, table in now.items() if id in looked_at or id not in tables}
        forms = {id: self._sink.forms(table) if self._ledger.followed(id) else () for id, table in read.items()}
        reader.go_on(self._ledger.by_table(), forms, tables - now.keys(), self._stored.window)

    def _bring_up(self, tables: set[str], position: Position) -> bool:
        """Before they are read: what has no shape of its own yet, or one that the source has left. Whether the
        publication changed."""
        group = self._evolve.refresh(tables, position)
        if group is None:
            return False
        self._tickets.append((self._sink.apply(group, self._stored), position))
        self._evolve.made(group.schema_changes)
        self._note_chunks()
        return self._evolve.published(group.schema_changes)

    def _reload_first(self) -> None:
        """Wishes to reload that were left while we stood still: the table may be what we stood still for."""
        for request in self._sink.requests():
            if any(chunk.state is State.IN for chunk in self._ledger.chunks(request.argument)):
                log.info("reloading", table=request.argument)
                self._granted[request.id] = request
                self._empty([request.argument])
                self._side.fulfilled(request)
        self._note_chunks()

    def _read_again_after(self, source: Source) -> None:
        """Another server than the one at which a window was open: what was read there in the end may never have come
        here."""
        if self._stored.window is not None:
            tables = sorted(self._stored.window.tables & self._ledger.tables.keys())
            log.warning("tables were read by no place of the log: they are read again", tables=tables)
            self._stored = replace(self._stored, window=None)
            self._empty(tables)
            source.carry({id: () for id in tables if not self._ledger.leads(id)})
            self._note_chunks()

    def _empty(self, tables: Collection[str]) -> None:
        """Before the stream is read: send their chunks back to unread."""
        group = Group()
        group.position = self._stored.position
        group.unread = [c for table in tables for c in self._ledger.chunks(table) if c.state is State.IN]
        self._tickets.append((self._sink.apply(group, self._stored), group.position))
        self._ledger.put([chunk.with_state(State.UNREAD) for chunk in group.unread])
        self._finished = False

    def _settle(self, busy: bool) -> None:
        """Acknowledge what has become durable. Asking may cost a round trip: now and then while there is work, and for
        the newest ticket while there is none."""
        now = time.monotonic()
        if busy and now - self._asked < ASK_AGAIN:
            return
        self._asked = now
        if self._tickets and not busy and self._sink.durable(self._tickets[-1][0]):
            position = self._tickets[-1][1]
            self._tickets.clear()
            self._acknowledge(position)
        while self._tickets and self._sink.durable(self._tickets[0][0]):
            self._acknowledge(self._tickets.popleft()[1])
        if self._durable is not None:
            self._settled(self._durable)  # the source's head is known better by now, if nothing else

    def _acknowledge(self, position: Position) -> None:
        self._source.acknowledge(position)
        self._settled(position)
        self.flowing = True
        self._progress.last_error = ""

    def _settled(self, position: Position) -> None:
        self._durable = position
        self._lag.at(position)
        self._progress.durable_position = str(position)
        self._progress.lag_bytes, self._progress.lag_seconds = self._lag.bytes, self._lag.seconds
        if self._lag.known:
            self._progress.unknown_since = None
        if self._progress.phase == "catching up" and self._lag.known and not self._lag.bytes:
            self._progress.phase = "streaming"

    @property
    def _close_behind(self) -> bool:
        return self._lag.known and self._lag.seconds < self._options.lag_bound

    def _set_until(self, reader: Reader) -> None:
        """Read once, when the load has ended."""
        if self._options.until is None or self._until is not None or self._ledger.unread:
            return
        caught_up = self._options.until == "caught-up"
        self._until = reader.until = (
            self._source.head() if caught_up else self._source.position(self._options.until)
        )

    def _end(self) -> Outcome | None:
        if self._ledger.unread or not self._finished:
            self._finish_if_consistent()
            return None
        if self._options.load == "only":
            return Outcome.CONSISTENT
        if self._until is not None and self._durable is not None and self._durable.covers(self._until):
            return Outcome.CAUGHT_UP
        return None

    def _grant_wishes(self, reader: Reader) -> None:
        """`reload TABLE`, left in the control rows."""
        for request in self._side.requests:
            if request.id in self._granted or request.command != "reload":
                continue
            self._granted[request.id] = request
            chunks = self._ledger.chunks(request.argument)
            if not chunks:
                log.error("reload asked for a table that is not carried", table=request.argument)
            if all(chunk.state is State.UNREAD for chunk in chunks):
                self._side.fulfilled(request)
                continue
            log.info("reloading", table=request.argument, chunks=len(chunks))
            reader.unread(request.argument, self._ledger.leads(request.argument))
