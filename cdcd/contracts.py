"""The contracts Source and Sink, what passes between them, and Comparable. This prose is the design.

Everything here is synchronous. Threads belong to the engine: the *reader* thread calls Source.read, the *writer* thread
(the task's own) calls the Sink, *loader* threads call Snapshot.read and Sink.load, one *snapshot* thread at a time
calls Source.snapshot. `interrupt`, `acknowledge` and `head` may be called from any thread. A method not otherwise
marked is called by the writer while no reader runs.

Reconnecting, back-off, batching, metrics and shutdown are written once, in the engine: a retry loop in a connector is a
bug. Connectors raise the errors of cdcd.errors only (each maps its driver's errors in one table). After any error
the engine closes both ends, claims again, and opens the source at what the sink says, never at what memory holds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from cdcd.facts import SinkFacts
from cdcd.model.chunk import Bound, Chunk
from cdcd.model.digest import Digest, Entry, Found, Key, Layout, Shares, Span, Standing
from cdcd.model.group import Group
from cdcd.model.position import Checkpoint, Identity, Position
from cdcd.model.schema import NotCarried, Statement
from cdcd.model.sequence import SequenceDone, SequenceValue
from cdcd.model.structure import Structure
from cdcd.model.table import Table
from cdcd.rows import RowForm


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a check: `level` "error" or "warning", a stable `id`, what was seen, and the statement that
    mends it. `of_load`: it is in the way of a load only."""

    id: str
    level: str
    message: str
    evidence: str = ""
    mend: str = ""
    of_load: bool = False


@dataclass(frozen=True, slots=True)
class Watched:
    """What `Source.watch` saw. `held_bytes`: of the log, kept for this pipeline; None: nothing tells. `stale`: tables
    of which rows came or went without a message, as they are now; `grown`: those with other `leaves` but no such rows.
    """

    findings: Sequence[Finding] = ()
    held_bytes: int | None = None
    stale: Sequence[Table] = ()
    grown: Sequence[Table] = ()


class Reading(Enum):
    """What Source.read came back for."""

    MORE = "more"  # the group's bound was reached, or a wish to hand over: more may be at hand at once
    IDLE = "idle"  # nothing is at hand now; the group may still hold changes
    STOP = "stop"  # everything before `stop` was read, and nothing at or beyond it
    ALTERED = "altered"  # the group ends with schema changes: nothing more is read before `carry` has taken them up


@dataclass(frozen=True, slots=True)
class Claim:
    """What `Sink.claim` found; the only way to learn a position.

    `checkpoint` is the raw JSON of Checkpoint (the source turns it into a Position), None: nothing was ever started.
    `intent` is what `Sink.intend` stored ({} when none): a slot may exist under that name although no checkpoint does.
    `finished`: tables are consistent, keys and indexes built. `lists_transactions`: there is an order to pass one over,
    so the source is to tell them apart, whatever the sink's facts say otherwise.
    """

    epoch: int
    checkpoint: Mapping[str, Any] | None
    identity: Identity | None
    intent: Mapping[str, Any]
    tables: Mapping[str, Table]
    chunks: Sequence[Chunk]
    finished: bool
    lists_transactions: bool = False


@dataclass(frozen=True, slots=True)
class Blocks:
    """A chunk's rows as the source reads them: `form` is the one it chose, `data` yields pieces of a whole stream of
    rows in that form's bulk encoding (PostgreSQL: COPY data, header and trailer included; pieces need not end at a
    row's end). `counts` is kept up to date by the iterator: {"rows": n, "bytes": n}."""

    form: RowForm
    data: Iterator[bytes]
    counts: dict[str, int] = field(default_factory=lambda: {"rows": 0, "bytes": 0})


class Snapshot(Protocol):
    """A fixed state of the source. `position` is its place L in the log: it holds exactly the transactions whose
    `final_lsn` < L. It lives until closed or lost; a lost one raises SnapshotLost from `read`."""

    @property
    def position(self) -> Position: ...

    @property
    def high(self) -> Position | None:
        """Where no lock could be had: nothing that `read` gives is from beyond this place, but some of it may be from
        beyond `position`, row by row. Only of tables in which whole rows are named by one key. None: it is exact."""
        ...

    @property
    def readable(self) -> bool:
        """False: it is a place only, and what is unread waits for another snapshot."""
        ...

    def read(self, table: Table, chunk: Chunk, forms: Sequence[RowForm]) -> Blocks:
        """Loader threads, side by side. Each call uses a connection of its own, ended when `data` is exhausted or
        closed. Raises SnapshotLost where the table was rewritten, truncated or altered after L (T-PG-6)."""
        ...

    def interrupt(self) -> None:
        """Any thread: all reads end soon with Interrupted."""
        ...

    def close(self) -> None: ...


class Source(Protocol):
    """A database that is read."""

    def check(self, tables: Sequence[Table]) -> list[Finding]:
        """Everything that would go wrong, before anything is started. Changes nothing."""
        ...

    def left_out(self, named: Collection[str]) -> list[tuple[str, Finding]]:
        """What looks like a table and cannot be carried, by its id, each with the warning that says why. `named`: ids
        that somebody asked for by their whole name, where there are things that nobody else expects to be carried."""
        ...

    def identity(self) -> Identity: ...

    def written_by(self, tables: Sequence[Table]) -> Collection[str]:
        """Pipelines that write to these tables here now: this database is a target too (TG-05)."""
        ...

    def tables(self, wanted: Sequence[str] | None = None) -> list[Table]:
        """All tables that may be carried (partitioned ones as their root), as the catalogue says now, by any thread.
        `wanted`: ids to look up only. Catalogue order is by id."""
        ...

    def survey(self) -> tuple[list[Table], Position] | None:
        """Any thread. All tables as `tables` gives them, and a place in the log before which all was written that made
        them so. None: they do not show yet what the stream has told last."""
        ...

    def intent(self) -> Mapping[str, Any]:
        """What prepare() is about to create at the source (slot and publication names, a nonce), as JSON. Nothing is
        created. `found`: where the stream begins was there before, made by somebody else."""
        ...

    def prepare(self, tables: Sequence[Table], intent: Mapping[str, Any], load: bool) -> Snapshot:
        """Make what is missing at the source (publication first, then slot) and return the snapshot at the slot's place
        (load False: the place only; its `read` must not be called). A slot of that name is there already: one that an
        earlier run stored the intent of (`stored`) is dropped and made anew, as nothing was started with it; one
        that was `found` is begun at where it stands if it was given by hand, and has no snapshot to read; else
        StateRefused. Blocks behind open writing transactions (T-PG-13): logs who blocks; ended by `interrupt`."""
        ...

    def publish(self, tables: Sequence[Table]) -> None:
        """Any thread. Have the stream carry exactly these tables from now on (a publication given by hand is left
        alone)."""
        ...

    def position(self, data: Mapping[str, Any] | str) -> Position:
        """The Position that `Position.to_json` gave, or that a person wrote in the printable form (UsageError where
        it is none)."""
        ...

    def open(self, checkpoint: Checkpoint, identity: Identity, forms: Mapping[str, Sequence[RowForm]]) -> Identity:
        """Start the stream at the checkpoint, for the tables (by id) in `forms`, each with the forms the sink
        offers, best first; what is chosen is logged. Verifies first that the server is `identity` and that nothing
        from the checkpoint on is lost: raises OtherServer, SlotLost, SlotInUse, StateRefused. Returns which server it
        is now: `identity`, or a later timeline of it in whose history the checkpoint is (a standby was promoted)."""
        ...

    def carry(self, forms: Mapping[str, Sequence[RowForm]]) -> None:
        """Reader thread, between two transactions or after ALTERED: these tables from now on, in these forms; one with
        no forms is not read any more."""
        ...

    def read(self, group: Group, stop: Position | None, timeout: float) -> Reading:
        """Reader thread. Append changes to `group` until its `bytes` reach the bound given to the connector, nothing
        more is at hand for `timeout` seconds (a group that holds changes does not wait at all), or the next
        transaction is not covered by `stop`. Always sets `group.position`: the place before which everything is read
        when it ends between two transactions (also when nothing new came), None when it ends inside one.
        A table not carried is skipped. Where the sink derives, a Cascade stands behind what changed rows unseen.
        Before the first change of a carried table that no longer has the shape
        we know the group ends with SchemaChanges (ALTERED), inside a transaction too; a source that cannot tell what
        changed raises SchemaChanged. Never waits longer than `timeout`; answers the server's keepalives by itself."""
        ...

    def rest(self, timeout: float) -> None:
        """Reader thread: read nothing, but go on answering the server for `timeout` seconds (the stream stands)."""
        ...

    def acknowledge(self, position: Position) -> None:
        """Any thread; only notes. Everything up to here is durable at the target; the reader tells the server in
        time."""
        ...

    def head(self) -> Position:
        """Any thread: the end of what the source has flushed to its log now."""
        ...

    def watch(self) -> Watched:
        """Side thread, every minute from `open` on, and once by the writer, before the stream is read: what no message
        of the stream tells. Log held back; a stream that others told to leave out what we carry (an error: changes are
        missing); tables whose partitions are not those of `Table.leaves`, each told once."""
        ...

    def snapshot(self, tables: Sequence[Table]) -> Snapshot:
        """Snapshot thread. A new state of all these tables, at a place the log defines. Blocks as `prepare`."""
        ...

    def bounds(self, table: Table, target_bytes: int) -> list[tuple[tuple[str, ...], Bound]]:
        """The inner bounds that cut `table` into chunks of about that size, ascending in the source's own order,
        each with the key columns it speaks of; empty: one chunk (keyless, small, or of no usable order)."""
        ...

    def objects(self, tables: Sequence[Table], trees: bool = False) -> list[Statement]:
        """Any thread. The statements that make the tables and what they need, in its product's language and in an order
        that works. `trees`: partitioned tables with their partitions; else as plain ones."""
        ...

    def structure(self, tables: Sequence[Table]) -> Structure:
        """Any thread. The same for a sink that does not know this language, as far as it can be told in none; and what
        of the tables and around them cannot."""
        ...

    def offer(self) -> str:
        """Any thread. A script in the source's own language, for a person with the right to run it, by which the source
        would tell of schema changes in the stream itself; "": it does so already, or cannot."""
        ...

    def needs(self, table: Table) -> list[Statement]:
        """Any thread. Of `objects`, what the columns of this table need as it is now, whatever it is called: types,
        sequences."""
        ...

    def not_carried(self, tables: Sequence[Table], trees: bool) -> list[NotCarried]:
        """Any thread. What is at the source, around these tables, and comes with none of `objects`."""
        ...

    def plan(self, tables: Sequence[Table], load: bool, leave: bool) -> tuple[list[str], list[str]]:
        """The statements by which `prepare` would make what is missing at the source, in their order; and, where the
        run is to `leave` when the copy is made, those by which `drop` then takes it away. Changes nothing."""
        ...

    def sequences(self, tables: Sequence[Table]) -> list[SequenceValue]:
        """Any thread. Where the sequences stand now that the tables' columns own or take their defaults from."""
        ...

    def locate(
        self, table: Table, columns: tuple[str, ...], bounds: Sequence[Bound], form: RowForm, keys: Sequence[bytes]
    ) -> list[int]:
        """Reader thread. For each key (bytes as in TableLog.keys) the number of bounds that are <= it, in the
        source's own order. Asks the server where Python cannot reproduce that order (T-PG-11)."""
        ...

    def status(self) -> Mapping[str, Any]:
        """What is at the source for this pipeline now: slot, its positions, bytes of log held back. Own connection,
        any thread."""
        ...

    def interrupt(self) -> None:
        """Any thread: whatever call is blocked raises Interrupted soon. Not undone: the source is closed next."""
        ...

    def close(self) -> None:
        """End all connections; what was made at the source stays."""
        ...

    def drop(self, intent: Mapping[str, Any] | None = None) -> None:
        """Remove what `prepare` made at the source by that intent, and nothing that was there before or was given by
        hand. None: nothing is known of an intent; what bears the pipeline's own names is ours."""
        ...


Ticket = Any
"""What apply returns, to ask later whether it is durable; opaque, and void with the session that gave it (T-PO-13)."""


@dataclass(frozen=True, slots=True)
class Request:
    """A wish left in the control tables for the daemon: "reload" (of the table with the id `argument`), "cutover"
    (until it is withdrawn, store every place at once)."""

    id: int
    command: str
    argument: str


class Sink(Protocol):
    """Where changes are applied. State lives where the data lives and moves in the same transaction."""

    @property
    def facts(self) -> SinkFacts: ...

    def check(self, tables: Sequence[Table], objects: Sequence[Statement] = ()) -> list[Finding]:
        """Everything that would go wrong at this end. Changes nothing."""
        ...

    def read_by(self) -> Collection[str]:
        """Pipelines that read this database now: it is a source too."""
        ...

    def plan(self, tables: Sequence[Table], objects: Sequence[Statement]) -> list[Statement]:
        """The statements that `claim`, `prepare`, `finish` and `hand_over` would run, were they called now, in their
        order: what makes things, not what writes into them. Changes and locks nothing; unclaimed."""
        ...

    def adopt(self, objects: Sequence[Statement]) -> tuple[list[Statement], list[NotCarried]]:
        """Any thread. The statements of a source of one of `facts.products` as this server takes them, and what of them
        it does not; every other method is given those of here alone."""
        ...

    def statements(self, structure: Structure) -> tuple[list[Statement], list[NotCarried]]:
        """Any thread. The statements that make here what a source of another product tells, in its own language and in
        an order that works; and what of it cannot be had here. Of these alone, whatever is here already."""
        ...

    def claim(self, owner: str, take_over: bool) -> Claim:
        """Become the only writer of this pipeline. First ends the sessions of older epochs, then raises the epoch,
        which waits for a commit still in flight, so that the checkpoint returned is the truth (T-PO-1, T-PO-11).
        `take_over` False (any but the process's first): only from ourselves; else Fenced. Makes or migrates the
        control tables; newer than ours: StateRefused. Requests are ended sessions' too."""
        ...

    def prepare(self, tables: Sequence[Table], objects: Sequence[Statement] = ()) -> None:
        """Create what is missing or empty it, by the `target_tables` policy: the statements of stage "before", or,
        without them, tables and keys from the model. Idempotent until `start`."""
        ...

    def intend(self, identity: Identity, intent: Mapping[str, Any]) -> None:
        """Store, durably, which server the source is and what is about to be made there (T-PG-14); again when it has
        failed over to another timeline."""
        ...

    def start(self, checkpoint: Checkpoint, tables: Sequence[Table], chunks: Sequence[Chunk]) -> None:
        """The first checkpoint, with tables and chunks: one durable transaction."""
        ...

    def join(self, tables: Sequence[Table], chunks: Sequence[Chunk], objects: Sequence[Statement] = ()) -> None:
        """More tables, all of whose chunks are unread; one durable transaction of its own (creates them as `prepare`
        does)."""
        ...

    def forms(self, table: Table) -> Sequence[RowForm]:
        """The forms in which rows of `table` are taken, best first. Only the writer's thread asks (T-SC-5)."""
        ...

    def apply(self, group: Group, checkpoint: Checkpoint | None) -> Ticket | None:
        """Make the group's changes and the checkpoint durable together, or nothing. First locks the checkpoint row
        (compared with the one expected) and the epoch row FOR SHARE. None as checkpoint: a piece; the transaction
        stays open and there is no ticket. Strict counts; Conflict or PoisonRow name table, key, position. A
        SchemaChange alters the target's table by its policy, takes its rows away where it is to be loaded again, and
        stores table and chunks as they are from then on; SchemaChanged where that cannot be. Any error rolls
        everything back, open pieces too."""
        ...

    def durable(self, ticket: Ticket) -> bool:
        """Whether what this ticket was given for survives a crash of the target. Asked on the session that gave it."""
        ...

    def load(self, table: Table, chunk: Chunk, blocks: Blocks, place: Checkpoint) -> int:
        """Loader threads, side by side, each on a connection of its own. Write a chunk with its record (state in) in
        one transaction, having checked that the stored checkpoint is `place` and the epoch ours. Returns rows
        written."""
        ...

    def finish(self, tables: Sequence[Table], objects: Sequence[Statement]) -> None:
        """The target is consistent: make those of stage "after" that are missing here, and record that it was done.
        Idempotent."""
        ...

    def by_hand(self, objects: Sequence[Statement]) -> list[Statement]:
        """What of stage "cut-over" is missing and this role may not make. Unclaimed, changes nothing."""
        ...

    def hand_over(self, objects: Sequence[Statement]) -> list[Statement]:
        """Unclaimed. The application writes here from now on: make those of stage "cut-over" that are missing and that
        this role may make, all or none; which they were. Idempotent. Waits seconds at most for locks: Transient."""
        ...

    def widen(self, table: Table) -> Sequence[str]:
        """After a PoisonRow, on a session of its own: let the types of its columns hold what those of `table`, as the
        source has it now, can hold more, where that touches no row (labels of enums). What was done; empty: nothing."""
        ...

    def set_sequences(self, values: Sequence[SequenceValue]) -> list[SequenceDone]:
        """Any thread, on a session of its own, claimed or not. Set the sequences here to where the source's stand, one
        result for each; never backwards, and atomically against whoever takes values here meanwhile. Raises for none
        of them: what could not be set is said."""
        ...

    def requests(self) -> Sequence[Request]:
        """Side thread, on the connection of `beat`: wishes not yet done."""
        ...

    def fulfilled(self, request: Request) -> None:
        """Side thread: the request was carried out."""
        ...

    def note(self, table: Table, again: bool) -> None:
        """As `beat`: store the table's `leaves`; `again`: and with them the wish to read it again, both or none."""
        ...

    def seen(self) -> int | None:
        """Before claim, for a standby: the counter that the owner's `beat` raises; None: nobody ever claimed."""
        ...

    def beat(self) -> None:
        """Side thread, every 5 s, on a connection of its own: raise the `seen` counter; also checks that our epoch
        still stands (Fenced)."""
        ...

    def interrupt(self) -> None:
        """Any thread: whatever is blocked, COPY included, ends soon with Interrupted."""
        ...

    def close(self) -> None:
        """Roll back what is open and end all connections."""
        ...

    def drop(self) -> None:
        """Forget this pipeline: its control rows. Data stays."""
        ...


class Comparable(Protocol):
    """One end of a comparison, read only; sessions of its own, each query in a transaction of its own.

    Rows stay where they are: the server makes the digests, of the texts of `table.carried` by name, in the table's
    order. An end whose product writes a value in another way cannot offer a hash of the same name; cdcd.model.canonical
    has the one for ends of two products. A `table` with an empty `key` is taken as keyless, whatever it is at this end.
    One thread at a time; `interrupt` any.
    """

    def hashes(self) -> Sequence[str]:
        """The names of the hashes this end can make, best first: one name, one text → the same number everywhere."""

    def choose(self, hash: str) -> None:
        """Digests are made with this one from now on; called before any that follow."""

    def layout(self, table: Table) -> Layout | None:
        """The table as it is here; None: there is none."""

    def step(self, table: Table, span: Span, rows: int) -> Key | None:
        """The key that `rows` rows of the span stand before, in the key's order; None: it has no more than that. Asked
        only where Layout.order has a name, as are digests of a span with bounds."""

    def digest(self, table: Table, span: Span) -> Digest:
        """Of all rows of the span."""

    def digests(self, table: Table, span: Span, of: int) -> Mapping[int, Digest]:
        """The span's digest cut into `of` shares (Shares); a share that is not in the answer has no rows."""

    def entries(self, table: Table, span: Span, shares: Shares) -> Iterator[Entry]:
        """The keys of these shares of the span, sorted by their hashes; streamed. Other calls may be made meanwhile."""

    def look(self, table: Table, keys: Sequence[Key]) -> Mapping[Key, Found]:
        """What is under these keys now; a key that is not in the answer has no rows."""

    def texts(self, table: Table, keys: Sequence[Key], length: int) -> Mapping[Key, Sequence[str | None]]:
        """The values of the carried columns, of one row for each key, cut to `length` characters."""

    def head(self) -> Position:
        """At a source: a place that covers all that any read before this call has seen."""

    def position(self, data: Mapping[str, Any] | str) -> Position:
        """At a source: the Position that `Standing` gives in another form."""

    def standing(self) -> Standing | None:
        """At a target: what the control rows say of the pipeline now; None: they say nothing."""

    def interrupt(self) -> None:
        """Any thread: whatever is blocked ends soon with Interrupted."""

    def close(self) -> None: ...
