"""PostgreSQL as a Source: the contract's methods, each handed to the file that does it."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from weakref import WeakSet

from cdcd.contracts import Finding, Reading, Watched
from cdcd.errors import CdcdError, StateRefused, Transient, UsageError
from cdcd.log import get_logger
from cdcd.model.chunk import Bound
from cdcd.model.group import Group
from cdcd.model.position import Checkpoint, Identity
from cdcd.model.schema import NotCarried, Statement
from cdcd.model.sequence import SequenceValue
from cdcd.model.structure import Structure
from cdcd.model.table import Table
from cdcd.rows import RowForm
from cdcd.wake import Wake
from connectors.postgres.announce import Announcer, offer
from connectors.postgres.ask import Asker
from connectors.postgres.catalogue import read_tables
from connectors.postgres.check import Asked, check_source
from connectors.postgres.check_failover import check_failover
from connectors.postgres.check_publication import broken
from connectors.postgres.check_tables import left_out
from connectors.postgres.cycle import writers
from connectors.postgres.export import Exported, create_slot, import_snapshot, wait_settled
from connectors.postgres.follow import Follower
from connectors.postgres.held import held_back
from connectors.postgres.locate import Locator
from connectors.postgres.names import quote_literal
from connectors.postgres.objects import read_needs
from connectors.postgres.order import read_bounds
from connectors.postgres.parts import EVERYTHING, Parts, check_parts
from connectors.postgres.position import Lsn, parse_lsn
from connectors.postgres.publication import (
    drop_publication,
    drop_statement,
    exists,
    plan_publication,
    publish_tables,
)
from connectors.postgres.replication import Session
from connectors.postgres.schema_look import Look, running
from connectors.postgres.sequences import read_sequences
from connectors.postgres.server import flushed, next_xid, read_identity, verify_server, written
from connectors.postgres.slot import (
    create_statement,
    drop_slot,
    failover_statement,
    free_slot,
    read_slot,
    start_statement,
    starting,
    verify_slot,
)
from connectors.postgres.snapshot import PostgresSnapshot
from connectors.postgres.stream import Stream
from connectors.postgres.structure_read import read_structure
from connectors.postgres.surroundings import Dump, Surroundings
from connectors.postgres.tuples import TupleCode
from connectors.postgres.types_wire import choose, fill, wire_types
from connectors.postgres.watch import PublicationWatch

log = get_logger("postgres.source")

class PostgresSource:
    """A database read through logical replication. `publication`, `slot`: given by hand, and then left as they are.

    `temporary`: the slot lives as long as this object (for tail). `failover`: standbys keep it too. `binary`: ask for
    binary values where all tables allow it. `partitions`: "root", or "leaves": each partition is a table of its own.
    `log_disk`: see Asked. `parts`: what a load copies. `objects`: "tables", or "all" that is around them, by pg_dump.
    `loose`: rows go to no table that would have to be altered.
    """

    def __init__(
        self,
        url: str | Callable[[], str],
        name: str,
        *,
        publication: str | None = None,
        slot: str | None = None,
        temporary: bool = False,
        failover: bool = False,
        parts: Parts = EVERYTHING,
        binary: bool = True,
        group_bytes: int = 4 << 20,
        list_transactions: bool = False,
        wants_old: bool = False,
        loose: bool = False,
        status_seconds: float = 10.0,
        partitions: str = "root",
        log_disk: int | None = None,
        objects: str = "tables",
    ) -> None:
        self.name = name
        self.slot = slot or f"cdcd_{name}"
        self.publication = publication or f"cdcd_{name}"
        self._own_publication = publication is None
        self._own_slot = slot is None
        self._by_root = partitions == "root"
        self._log_disk = log_disk
        self._everything = objects == "all"
        self._url: Callable[[], str] = url if callable(url) else lambda: url
        self._temporary = temporary
        self._failover = failover
        self._parts = parts
        self._binary_wanted = binary
        self._group_bytes = group_bytes
        self._list_transactions = list_transactions
        self._wants_old = wants_old
        self._loose = loose
        self._status_seconds = status_seconds
        self._wake = Wake()
        self._app = f"cdcd/{name}"
        # One for the writer's questions, one for the reader's, one for those of any other thread.
        self._asker = Asker(self._url, f"{self._app}/ask", self._wake)
        self._reader_asker = Asker(self._url, f"{self._app}/locate", self._wake)
        self._side_asker = Asker(self._url, f"{self._app}/side", self._wake)
        self._forms: dict[str, Sequence[RowForm]] = {}
        self._codes: dict[str, TupleCode] = {}
        self._binary = False
        self._version = 0
        self._follower: Follower | None = None
        self._look: Look | None = None
        self._session: Session | None = None  # the one that holds a temporary slot
        self._comparer: Session | None = None
        self._lock = threading.Lock()
        self._snapshots: WeakSet[Wake] = WeakSet()
        self._publication_watch = PublicationWatch(self._side_asker, self.publication, self._by_root)
        self._locators: dict[str, Locator] = {}
        dump = Dump(self._url, f"{self._app}/dump", self._wake) if self._everything else None
        self._surroundings = Surroundings(self._side_asker, dump)

    # --- what is there --------------------------------------------------------------------------------------------

    def written_by(self, tables: Sequence[Table]) -> set[str]:
        return writers(self._asker, tables)

    def identity(self) -> Identity:
        return read_identity(self._asker)

    def tables(self, wanted: Sequence[str] | None = None) -> list[Table]:
        with self._side_asker.connection() as connection:
            return read_tables(connection, wanted, not self._by_root)

    def survey(self) -> tuple[list[Table], Lsn] | None:
        if self._look is not None and self._look.told and running(self._side_asker, self._look.told):
            return None
        # What is visible was written, if not flushed: so the place is read after, and of what is written.
        tables = self.tables()
        return tables, Lsn(written(self._side_asker))

    def position(self, data: Mapping[str, Any] | str) -> Lsn:
        return Lsn.of(data)

    def head(self) -> Lsn:
        return Lsn(flushed(self._side_asker))

    def status(self) -> Mapping[str, Any]:
        known: dict[str, Any] = {"slot": self.slot, "publication": self.publication, "exists": False}
        if (slot := read_slot(self._side_asker, self.slot)) is not None:
            known |= {
                "exists": True,
                "active": slot["active"],
                "confirmed": slot["confirmed_flush_lsn"],
                "held_bytes": slot["held_back"],
                "wal_status": slot.get("wal_status"),
                "catalog_age": slot.get("catalog_age"),
                "invalidation_reason": slot.get("invalidation_reason"),
            }
        return known

    # --- the stream -----------------------------------------------------------------------------------------------

    def open(
        self, checkpoint: Checkpoint, identity: Identity, forms: Mapping[str, Sequence[RowForm]]
    ) -> Identity:
        place = checkpoint.position
        if not isinstance(place, Lsn) or checkpoint.done:
            raise StateRefused("the checkpoint is not one of a PostgreSQL source", position=place)
        self._end_stream()
        self._forms = dict(forms)
        session = self._session or self._connect()
        try:
            now = verify_server(self._asker, session, identity, place.lsn)
            if not self._temporary:
                found = verify_slot(self._asker, self.slot, identity.database, place.lsn)
                if self._failover and not found.get("failover"):
                    free_slot(self._asker, self.slot, self._app, self._wake)
                    session.run(failover_statement(self.slot, session.version))
            # A stream that begins without tables is text, which takes any that join.
            wanted = self._binary_wanted and bool(forms) and session.version >= 140000
            self._publication_watch.begin([its[0].table for its in forms.values() if its])
            self._binary, self._codes = self._compile(self._forms, session.version, wanted and self._stays_binary())
            self._start(session, place.lsn)
            return now
        except BaseException:
            if session is not self._session:
                session.close()
            raise

    def carry(self, forms: Mapping[str, Sequence[RowForm]]) -> None:
        if self._follower is None:
            raise CdcdError("carry before open: a bug in cdcd")
        stream = self._follower.stream
        # A stream without tables is text, which takes any: the first that come may make it binary.
        first = not self._forms and not stream.inside and self._binary_wanted and self._version >= 140000
        for name in forms:
            self._forms.pop(name, None)
            self._codes.pop(name, None)
        added = {name: its for name, its in forms.items() if its}
        self._forms.update(added)
        binary, codes = self._compile(added, self._version, self._binary or (first and bool(added)))
        if binary == self._binary:
            self._codes.update(codes)
            stream.carry({name: codes.get(name) for name in forms})
            return
        if stream.inside:
            raise Transient(
                "the stream has to be read as text from its last commit on",
                why=f"a column of {', '.join(added)} has no binary form that both ends share",
            )
        # The whole stream becomes the other: a new one from the same place; what is sent again is skipped.
        self._binary, self._codes = self._compile(self._forms, self._version, binary)
        place, confirmed = stream.place, self._follower.confirmed
        self._end_stream()
        self._start(self._connect(), place)
        self._follower.confirmed = confirmed

    def _compile(
        self, forms: Mapping[str, Sequence[RowForm]], version: int, binary: bool
    ) -> tuple[bool, dict[str, TupleCode]]:
        """Whether the stream is binary, and the tables' functions: binary only if every first form allows it."""
        major = version // 10000
        oids = {column.type_id for its in forms.values() for form in its for column in form.table.carried}
        with self._asker.connection() as connection:
            types = wire_types(connection, oids)
        binary = binary and all(its and fill(its[0], types, True, major) for its in forms.values())
        codes = {}
        for name, its in forms.items():
            filling = choose(its, types, [binary], major)
            codes[name] = TupleCode(filling, types, self._wants_old)
        return binary, codes

    def _stays_binary(self) -> bool:
        """Whether the tables as they are now have binary forms too: their changes may be further on in the stream."""
        with self._asker.connection() as connection:
            now = read_tables(connection, oids=[its[0].table.oid for its in self._forms.values() if its])
            types = wire_types(connection, {column.type_id for table in now for column in table.carried})
        return all(type.binary(0) for type in types.values())

    def _start(self, session: Session, place: int) -> None:
        if not self._temporary:
            free_slot(self._asker, self.slot, self._app, self._wake)
        self._version = session.version
        near = next_xid(self._asker) if self._list_transactions else 0
        announcer = Announcer(self._reader_asker, self.slot, session.version)
        self._look = look = Look(self._reader_asker, self._loose, announcer)
        told = look.announced if announcer.since else None
        stream = Stream(place, self._codes, look, self._group_bytes, self._list_transactions, near, told)
        statement = start_statement(
            self.slot, place, self.publication, binary=self._binary, version=session.version, messages=bool(told)
        )
        with starting(self.slot):
            self._follower = Follower(session, statement, stream, self._wake, self._status_seconds)
        tables = {name: code.form.name for name, code in self._codes.items()}
        log.info("stream started", slot=self.slot, position=str(Lsn(place)), binary=self._binary, forms=tables)

    def read(self, group: Group, stop: Lsn | None, timeout: float) -> Reading:
        assert self._follower is not None
        return self._follower.read(group, stop.lsn if stop is not None else None, timeout)

    def rest(self, timeout: float) -> None:
        assert self._follower is not None
        self._follower.rest(timeout)

    def acknowledge(self, position: Lsn) -> None:
        if self._follower is not None:
            self._follower.confirmed = max(self._follower.confirmed, position.lsn)

    # --- slot and snapshots ---------------------------------------------------------------------------------------

    def intent(self) -> Mapping[str, Any]:
        """`found`, `given`: slot and publication that are not ours to drop, whoever asks later."""
        return {
            "slot": self.slot,
            "found": read_slot(self._asker, self.slot) is not None,
            "publication": self.publication,
            "given": not self._own_publication,
            "nonce": secrets.token_hex(8),
        }

    def prepare(self, tables: Sequence[Table], intent: Mapping[str, Any], load: bool) -> PostgresSnapshot:
        by_hand = bool(intent.get("found")) and not self._own_slot and not self._temporary
        if self._own_publication:
            if by_hand:
                raise UsageError(
                    "a slot that is there already, without the publication that it was made for",
                    why="changes are decoded with the catalogue of their own time: to a slot that is older than its "
                    "publication they are lost, or an error",
                    hint="make the publication, then the slot, and give both: --publication … --slot …",
                    slot=self.slot,
                )
            publish_tables(self._asker, self.publication, tables)
        elif not exists(self._asker, self.publication):
            raise UsageError("the publication does not exist", publication=self.publication)
        if by_hand:
            return self._standing()
        if not self._temporary and read_slot(self._asker, self.slot) is not None:
            self._drop_unstarted(intent)
        session = self._connect()
        try:
            made = create_slot(
                session, self._asker, self.slot, temporary=self._temporary, export=load, failover=self._failover
            )
        except BaseException:
            session.close()
            raise
        log.info("slot created", slot=self.slot, place=str(Lsn(made.place)), temporary=self._temporary)
        keeper: Session | None = session
        if self._temporary:
            self._session, keeper = session, None  # the slot is this session's, and is read by it
        elif not load:
            session.close()
            keeper = None
        return self._snapshot_of(made, keeper)

    def _drop_unstarted(self, intent: Mapping[str, Any]) -> None:
        """A slot is there. Ours, if an earlier run stored that it was about to make it: nothing was started with it."""
        if not intent.get("stored") or intent.get("found"):
            raise StateRefused(
                "a replication slot of this name exists, and this pipeline never started",
                why="another pipeline of the same name reads this source for another target, or the slot is left over "
                "from one whose target is gone",
                hint=f"give this pipeline another name, or drop the slot: "
                f"SELECT pg_drop_replication_slot('{self.slot}')",
                slot=self.slot,
            )
        log.info("slot of an unfinished start dropped", slot=self.slot)
        drop_slot(self._asker, self.slot, self._app, self._wake)

    def _standing(self) -> PostgresSnapshot:
        """The place of a slot made by hand: whatever was exported when it was made is not ours to read."""
        slot = read_slot(self._asker, self.slot)
        place = parse_lsn(slot["confirmed_flush_lsn"] or "0/0") if slot is not None else 0
        verify_slot(self._asker, self.slot, self.identity().database, place)
        log.info("slot found", slot=self.slot, place=str(Lsn(place)))
        return self._snapshot_of(Exported(place, None), None)

    def snapshot(self, tables: Sequence[Table]) -> PostgresSnapshot:
        session = self._connect("snapshot")
        name = f"{self.slot[:46]}_{secrets.token_hex(6)}"
        try:
            return self._snapshot_of(create_slot(session, self._side_asker, name, temporary=True, export=True), session)
        except BaseException:
            session.close()
            raise

    def _snapshot_of(self, made: Exported, keeper: Session | None) -> PostgresSnapshot:
        wake = Wake()
        with self._lock:
            self._snapshots.add(wake)
        if made.snapshot is not None:
            importer = Session(self._url(), f"{self._app}/snapshot", self._wake, replication=False)
            try:
                wait_settled(self._side_asker, import_snapshot(importer, made.snapshot), self._wake)
            except BaseException:
                if keeper is not None:
                    keeper.close()
                raise
            finally:
                importer.close()

        def connect(wake: Wake) -> Session:
            return Session(self._url(), f"{self._app}/load", wake, replication=False)

        return PostgresSnapshot(made.place, made.snapshot, keeper, connect, self._side_asker, wake, self._parts)

    # --- the key's order ------------------------------------------------------------------------------------------

    def bounds(self, table: Table, target_bytes: int) -> list[tuple[tuple[str, ...], Bound]]:
        return read_bounds(self._asker, table, target_bytes)

    def locate(
        self, table: Table, columns: tuple[str, ...], bounds: Sequence[Bound], form: RowForm, keys: Sequence[bytes]
    ) -> list[int]:
        if table.id not in self._locators or not self._locators[table.id].serves(columns, bounds, form):
            asker = self._reader_asker
            self._locators[table.id] = Locator(asker, self._order_session, table, columns, bounds, form)
        return self._locators[table.id].locate(keys)

    def _order_session(self) -> Session:
        """The reader's own, for comparisons with binary parameters, which psycopg2 cannot send."""
        if self._comparer is None:
            self._comparer = Session(self._url(), f"{self._app}/locate", self._wake, replication=False)
        return self._comparer

    def objects(self, tables: Sequence[Table], trees: bool = False) -> list[Statement]:
        return self._surroundings.objects(tables, trees)

    def structure(self, tables: Sequence[Table]) -> Structure:
        return read_structure(self._side_asker, tables)

    def needs(self, table: Table) -> list[Statement]:
        return read_needs(self._side_asker, table)

    def not_carried(self, tables: Sequence[Table], trees: bool) -> list[NotCarried]:
        return self._surroundings.not_carried(tables, trees)

    def plan(self, tables: Sequence[Table], load: bool, leave: bool) -> tuple[list[str], list[str]]:
        make = plan_publication(self._side_asker, self.publication, tables) if self._own_publication else []
        drop = []
        if read_slot(self._side_asker, self.slot) is None:
            with self._side_asker.connection() as connection:
                version = connection.server_version
            kind = {"temporary": self._temporary, "export": load, "failover": self._failover}
            make.append(create_statement(self.slot, version, **kind))
            drop.append(f"SELECT pg_drop_replication_slot({quote_literal(self.slot)})")
        if self._own_publication:
            drop.append(drop_statement(self.publication))
        return make, drop if leave else []

    def offer(self) -> str:
        return offer(self._side_asker, self.slot)

    def sequences(self, tables: Sequence[Table]) -> list[SequenceValue]:
        return read_sequences(self._side_asker, tables, self._everything)

    def check(self, tables: Sequence[Table]) -> list[Finding]:
        asked = Asked(
            self._url(), self._app, self.publication, self._own_publication, self.slot, self._by_root, self._log_disk
        )
        findings = check_source(self._asker, self._wake, asked, tables)
        findings += check_parts(self._asker, tables, self._parts)
        return findings + (check_failover(self._asker) if self._failover else [])

    def watch(self) -> Watched:
        slot = read_slot(self._side_asker, self.slot)
        findings = [*self._publication_watch.look(), *broken(self._side_asker, self.publication)]
        findings += held_back(self._side_asker, slot, self._log_disk)
        held = None if slot is None else slot["held_back"]
        return Watched(findings, held, *self._publication_watch.leaves())

    def left_out(self, named: Collection[str]) -> list[tuple[str, Finding]]:
        return left_out(self._asker, self._by_root, named)

    # --- the end --------------------------------------------------------------------------------------------------

    def _connect(self, purpose: str = "") -> Session:
        name = f"{self._app}/{purpose}" if purpose else self._app
        return Session(self._url(), name, self._wake, replication=True)

    def _end_stream(self) -> None:
        follower, self._follower = self._follower, None
        if follower is not None:
            follower.close()

    def interrupt(self) -> None:
        self._wake.set()
        with self._lock:
            for wake in self._snapshots:
                wake.set()
        for asker in (self._asker, self._reader_asker, self._side_asker):
            asker.interrupt()

    def close(self) -> None:
        self._end_stream()
        for session in (self._session, self._comparer):
            if session is not None:
                session.close()
        self._session = self._comparer = None
        for asker in (self._asker, self._reader_asker, self._side_asker):
            asker.close()

    def publish(self, tables: Sequence[Table]) -> None:
        with self._publication_watch.changed(tables):
            if self._own_publication:
                publish_tables(self._side_asker, self.publication, tables)

    def drop(self, intent: Mapping[str, Any] | None = None) -> None:
        self._end_stream()
        made = intent or {"found": not self._own_slot}
        if not made.get("found"):
            drop_slot(self._asker, made.get("slot", self.slot), self._app, self._wake)
        if not made.get("given", not self._own_publication):
            drop_publication(self._asker, made.get("publication", self.publication))

