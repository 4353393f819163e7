"""PostgreSQL as a Source: the contract's methods, each handed to the file that does it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from cdcd.contracts import Finding, Reading, Snapshot
from cdcd.errors import CdcdError, StateRefused
from cdcd.model.chunk import Bound
from cdcd.model.group import Group
from cdcd.model.position import Checkpoint, Identity
from cdcd.model.table import Table
from cdcd.rows import RowForm
from connectors.postgres.ask import Asker
from connectors.postgres.catalogue import read_tables
from connectors.postgres.follow import Follower
from connectors.postgres.position import Lsn
from connectors.postgres.publication import drop_publication, publish_tables
from connectors.postgres.replication import Session
from connectors.postgres.server import flushed, read_identity, verify_server
from connectors.postgres.slot import drop_slot, free_slot, read_slot, start_statement, verify_slot
from connectors.postgres.stream import Stream
from connectors.postgres.tuples import TupleCode
from connectors.postgres.types_wire import choose, fill, wire_types
from connectors.postgres.wire import Wake


class PostgresSource:
    """A database read through logical replication. `publication`, `slot`: given by hand, and then left as they are.

    `temporary`: the slot lives as long as this object (for tail). `binary`: ask for binary values where all tables
    allow it.
    """

    def __init__(
        self,
        url: str,
        name: str,
        *,
        publication: str | None = None,
        slot: str | None = None,
        temporary: bool = False,
        binary: bool = True,
        group_bytes: int = 4 << 20,
        list_transactions: bool = False,
        wants_old: bool = False,
        status_seconds: float = 10.0,
    ) -> None:
        self.name = name
        self.slot = slot or f"cdcd_{name}"
        self.publication = publication or f"cdcd_{name}"
        self._own_publication = publication is None
        self._own_slot = slot is None
        self._url = url
        self._temporary = temporary
        self._binary_wanted = binary
        self._group_bytes = group_bytes
        self._list_transactions = list_transactions
        self._wants_old = wants_old
        self._status_seconds = status_seconds
        self._wake = Wake()
        self._app = f"cdcd/{name}"
        # One for the writer's questions, one for the reader's, one for those of any other thread.
        self._asker = Asker(url, f"{self._app}/ask", self._wake)
        self._reader_asker = Asker(url, f"{self._app}/locate", self._wake)
        self._side_asker = Asker(url, f"{self._app}/side", self._wake)
        self._forms: dict[str, Sequence[RowForm]] = {}
        self._codes: dict[str, TupleCode] = {}
        self._binary = False
        self._follower: Follower | None = None
        self._session: Session | None = None  # the one that holds a temporary slot
        self._lock = threading.Lock()

    # --- what is there --------------------------------------------------------------------------------------------

    def identity(self) -> Identity:
        return read_identity(self._asker)

    def tables(self, wanted: Sequence[str] | None = None) -> list[Table]:
        with self._side_asker.connection() as connection:
            return read_tables(connection, wanted)

    def position(self, data: Mapping[str, Any] | str) -> Lsn:
        return Lsn.of(data)

    def head(self) -> Lsn:
        return Lsn(flushed(self._side_asker))

    def status(self) -> Mapping[str, Any]:
        slot = read_slot(self._side_asker, self.slot)
        return {"slot": self.slot, "publication": self.publication, **(slot or {"missing": True})}

    # --- the stream -----------------------------------------------------------------------------------------------

    def open(
        self, checkpoint: Checkpoint, identity: Identity, forms: Mapping[str, Sequence[RowForm]]
    ) -> None:
        place = checkpoint.position
        if not isinstance(place, Lsn) or checkpoint.done:
            raise StateRefused("the checkpoint is not one of a PostgreSQL source", position=place)
        self._end_stream()
        self._forms = dict(forms)
        session = self._session or self._connect()
        try:
            verify_server(self._asker, session, identity, place.lsn)
            if not self._temporary:
                verify_slot(self._asker, self.slot, identity.database, place.lsn)
            self._binary, self._codes = self._compile(self._forms, session.version)
            self._start(session, place.lsn)
        except BaseException:
            if session is not self._session:
                session.close()
            raise

    def carry(self, forms: Mapping[str, Sequence[RowForm]]) -> None:
        if self._follower is None:
            raise CdcdError("carry before open: a bug in cdcd")
        self._forms.update(forms)
        stream = self._follower.stream
        binary, codes = self._compile(self._forms, self._version)
        if binary != self._binary:
            # The whole stream changes its form: a new one from the same place; what is sent again is skipped.
            self._binary, self._codes = binary, codes
            place, confirmed = stream.place, self._follower.confirmed
            self._end_stream()
            self._start(self._connect(), place)
            self._follower.confirmed = confirmed
            return
        added = {name: code for name, code in codes.items() if name in forms}
        self._codes.update(added)
        stream.carry(added)

    def _compile(
        self, forms: Mapping[str, Sequence[RowForm]], version: int
    ) -> tuple[bool, dict[str, TupleCode]]:
        """Whether the stream is binary, and the functions of the tables: binary only if every first form allows it."""
        major = version // 10000
        oids = {column.type_id for its in forms.values() for form in its for column in form.table.carried}
        with self._asker.connection() as connection:
            types = wire_types(connection, oids)
        binary = self._binary_wanted and major >= 14
        binary = binary and all(its and fill(its[0], types, True, major) for its in forms.values())
        codes = {}
        for name, its in forms.items():
            filling = choose(its, types, [binary], major)
            codes[name] = TupleCode(filling, types, self._wants_old)
        return binary, codes

    def _start(self, session: Session, place: int) -> None:
        if not self._temporary:
            free_slot(self._asker, self.slot, self._app, self._wake)
        self._version = session.version
        stream = Stream(place, self._codes, self._format_type, self._group_bytes, self._list_transactions)
        statement = start_statement(
            self.slot, place, self.publication, binary=self._binary, version=session.version
        )
        self._follower = Follower(session, statement, stream, self._wake, self._status_seconds)

    def _format_type(self, oid: int, typmod: int) -> str:
        ((text,),) = self._reader_asker.ask("SELECT format_type(%s, %s)", oid, typmod)
        return str(text)

    def read(self, group: Group, stop: Lsn | None, timeout: float) -> Reading:
        assert self._follower is not None
        return self._follower.read(group, stop.lsn if stop is not None else None, timeout)

    def rest(self, timeout: float) -> None:
        assert self._follower is not None
        self._follower.rest(timeout)

    def acknowledge(self, position: Lsn) -> None:
        if self._follower is not None:
            self._follower.confirmed = max(self._follower.confirmed, position.lsn)

    # --- the end --------------------------------------------------------------------------------------------------

    def _connect(self) -> Session:
        return Session(self._url, self._app, self._wake)

    def _end_stream(self) -> None:
        follower, self._follower = self._follower, None
        if follower is not None:
            follower.close()

    def interrupt(self) -> None:
        self._wake.set()
        for asker in (self._asker, self._reader_asker, self._side_asker):
            asker.interrupt()

    def close(self) -> None:
        self._end_stream()
        if self._session is not None:
            self._session.close()
            self._session = None
        for asker in (self._asker, self._reader_asker, self._side_asker):
            asker.close()

    def publish(self, tables: Sequence[Table]) -> None:
        if self._own_publication:
            publish_tables(self._side_asker, self.publication, tables)

    def drop(self) -> None:
        self._end_stream()
        if self._own_slot:
            drop_slot(self._asker, self.slot, self._app, self._wake)
        if self._own_publication:
            drop_publication(self._asker, self.publication)

    # --- not yet --------------------------------------------------------------------------------------------------

    def check(self, tables: Sequence[Table]) -> list[Finding]:
        raise NotImplementedError

    def intent(self) -> Mapping[str, Any]:
        raise NotImplementedError

    def prepare(self, tables: Sequence[Table], intent: Mapping[str, Any], load: bool) -> Snapshot:
        raise NotImplementedError

    def snapshot(self) -> Snapshot:
        raise NotImplementedError

    def bounds(self, table: Table, target_bytes: int) -> list[tuple[tuple[str, ...], Bound]]:
        raise NotImplementedError

    def objects(self, tables: Sequence[Table]) -> list[str]:
        raise NotImplementedError

    def locate(
        self, table: Table, columns: tuple[str, ...], bounds: Sequence[Bound], form: RowForm, keys: Sequence[bytes]
    ) -> list[int]:
        raise NotImplementedError
