"""MySQL and MariaDB as a Source: the contract's methods, each handed to the file that does it.

There is no slot: nothing at the server waits for a reader, and nothing is made there. What must be kept is kept by
the server's retention, which `check` speaks of; that it was kept is verified before the stream is opened.
"""

from __future__ import annotations

import secrets
import threading
from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from cdcd.contracts import Finding, Reading, Watched
from cdcd.errors import CdcdError, OtherServer, StateRefused, Transient
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
from connectors.mysql.ask import Asker
from connectors.mysql.begin import begin_snapshot
from connectors.mysql.bounds import read_bounds
from connectors.mysql.catalogue import read_tables
from connectors.mysql.check import check_source, left_out
from connectors.mysql.collations import Collations, read_collations
from connectors.mysql.connect import connect, parse
from connectors.mysql.cores import cores
from connectors.mysql.cycle import writers
from connectors.mysql.definitions import Definitions
from connectors.mysql.dump import start_dump
from connectors.mysql.fields import Filling, choose
from connectors.mysql.follow import Follower
from connectors.mysql.login import Connection, cut, drop
from connectors.mysql.objects import read_not_carried, read_objects
from connectors.mysql.position import Domains, Gtids, Offset, Place, place_of
from connectors.mysql.sequences import read_sequences
from connectors.mysql.server import Server, read_head, read_server, verify_place
from connectors.mysql.snapshot import MysqlSnapshot, same_shape
from connectors.mysql.stream import Stream
from connectors.mysql.structure_read import read_structure
from connectors.mysql.taken_back import taken_back

log = get_logger("mysql.source")


class MysqlSource:
    """A database, or where the URL names none every database that is visible, read through the binlog."""

    def __init__(
        self,
        url: str | Callable[[], str],
        name: str,
        *,
        group_bytes: int = 4 << 20,
        list_transactions: bool = False,
        wants_old: bool = False,
        cascades: str = "",
        products: Sequence[str] = (),
        aside: bool = False,
    ) -> None:
        """`cascades`, `products`, `aside`: as in SourceOptions."""
        self.name = name
        self._url: Callable[[], str] = url if callable(url) else lambda: url
        self._group_bytes = group_bytes
        self._list_transactions = list_transactions
        self._wants_old = wants_old
        self._cascades = cascades
        self._products = products
        self._aside = aside and cores() > 1
        self._wake = Wake()
        # One for the writer's questions, one for those of any other thread.
        self._asker = Asker(self._url, self._wake)
        self._side_asker = Asker(self._url, self._wake)
        self._known: Server | None = None
        self._fillings: dict[str, Filling] = {}
        self._collations: Collations | None = None
        self._read: dict[str, Place] = {}
        self._follower: Follower | None = None
        self._acknowledged: Place | None = None
        self._lock = threading.Lock()
        self._opened: list[Connection] = []  # sessions of a snapshot that is being taken
        self._snapshots: list[MysqlSnapshot] = []

    # --- what is there --------------------------------------------------------------------------------------------

    @property
    def _server(self) -> Server:
        if self._known is None:
            with self._side_asker.connection() as connection:
                self._known = read_server(connection)
        return self._known

    def identity(self) -> Identity:
        return self._server.identity

    def written_by(self, tables: Sequence[Table]) -> Collection[str]:
        return writers(self._side_asker, tables)

    def tables(self, wanted: Sequence[str] | None = None) -> list[Table]:
        server = self._server
        with self._side_asker.connection() as connection:
            return read_tables(connection, server, parse(self._url()).database, wanted)

    def survey(self) -> tuple[list[Table], Place]:
        tables = self.tables()
        return tables, self.head()

    def position(self, data: Mapping[str, Any] | str) -> Place:
        return place_of(data, self._server.mariadb if isinstance(data, str) else False)

    def head(self) -> Place:
        server = self._server
        with self._side_asker.connection() as connection:
            return read_head(connection, server)

    def status(self) -> Mapping[str, Any]:
        server = self._server
        known = {"exists": True, "product": server.product, "server": server.uuid}
        return known | ({"confirmed": str(self._acknowledged)} if self._acknowledged is not None else {})

    # --- the stream -----------------------------------------------------------------------------------------------

    def open(
        self, checkpoint: Checkpoint, identity: Identity, forms: Mapping[str, Sequence[RowForm]]
    ) -> Identity:
        place = checkpoint.position
        if not isinstance(place, Gtids | Domains | Offset) or checkpoint.done:
            raise StateRefused("the checkpoint is not one of MySQL or MariaDB", position=place)
        self._end_stream()
        server = self._server
        self._verify_kind(server, place, identity)
        purged = verify_place(self._asker, server, place)
        self._fillings = {name: choose(its) for name, its in forms.items() if its}
        wire, again = start_dump(self._connect, self._wake, server, self.name, place, purged)
        stream = Stream(
            place, self._fillings, self._group_bytes, Definitions(server, self._all_collations, self._look, self._read),
            sums=server.sums, again=place.last if again else None, taken_back=taken_back(self.name),
            list_transactions=self._list_transactions, wants_old=self._wants_old,
            derives=self._cascades == "derive", aside=self._aside,
        )  # fmt: skip
        self._follower = Follower(wire, stream, self._wake)
        chosen = {name: filling.form.name for name, filling in self._fillings.items()}
        log.info("stream started", position=str(place), forms=chosen)
        return server.identity

    def _all_collations(self) -> Collations:
        if self._collations is None:
            self._collations = read_collations(self._side_asker, self._server)
        return self._collations

    def _look(self, id: str) -> Table | None:
        """The table as it is now."""
        with self._side_asker.connection() as connection:
            found = read_tables(connection, self._server, id.partition(".")[0], [id])
        return found[0] if found else None

    def _verify_kind(self, server: Server, place: Place, identity: Identity) -> None:
        if identity.product != server.product:
            raise OtherServer(
                f"the server is {server.product}, the checkpoint was made with {identity.product}",
                hint="find the right server, or cdcd drop and load anew",
            )
        kind = Domains if server.mariadb else Gtids if server.gtids else Offset
        if not isinstance(place, kind):
            raise StateRefused(
                "the checkpoint counts otherwise than the server does now",
                why="gtid_mode was changed since",
                hint="set it as it was, or cdcd drop and load anew",
                position=place,
            )
        if isinstance(place, Offset) and identity.system != server.uuid:
            raise OtherServer(
                "a place without GTIDs means nothing on another server",
                why=f"the checkpoint was made with {identity.system}, this is {server.uuid}",
                hint="find the right server, or cdcd drop and load anew",
            )

    def carry(self, forms: Mapping[str, Sequence[RowForm]]) -> None:
        if self._follower is None:
            raise CdcdError("carry before open: a bug in cdcd")
        self._fillings |= {name: choose(its) for name, its in forms.items() if its}
        for name in [name for name, its in forms.items() if not its]:
            self._fillings.pop(name, None)
        self._follower.stream.carry(self._fillings)

    def read(self, group: Group, stop: Place | None, timeout: float) -> Reading:
        assert self._follower is not None
        return self._follower.read(group, stop, timeout)

    def rest(self, timeout: float) -> None:
        assert self._follower is not None
        self._follower.rest(timeout)

    def acknowledge(self, position: Place) -> None:
        self._acknowledged = position

    # --- snapshots ------------------------------------------------------------------------------------------------

    def intent(self) -> Mapping[str, Any]:
        return {"nonce": secrets.token_hex(8)}

    def prepare(self, tables: Sequence[Table], intent: Mapping[str, Any], load: bool) -> MysqlSnapshot:
        if load:
            made = self._take(tables)
        else:
            made = MysqlSnapshot(self.head(), (), {}, self._connect)
            made.tables = {table.id: table for table in self.tables([table.id for table in tables])}
        for table in tables:
            if not same_shape(table, made.tables.get(table.id)):
                made.close()
                raise Transient("a table was altered while the copy was prepared", table=table.id)
        return made

    def snapshot(self, tables: Sequence[Table]) -> MysqlSnapshot:
        return self._take(tables)

    def _take(self, tables: Sequence[Table]) -> MysqlSnapshot:
        made = begin_snapshot(self._connect, self._server, tables, self._wake, self._opened, self._read)
        with self._lock:
            self._snapshots.append(made)
        if self._wake.is_set:
            made.interrupt()
        log.info("snapshot taken", place=str(made.position))
        return made

    def _connect(self) -> Connection:
        return connect(self._url())

    def bounds(self, table: Table, target_bytes: int) -> list[tuple[tuple[str, ...], Bound]]:
        return read_bounds(self._asker, table, target_bytes)

    def locate(
        self, table: Table, columns: tuple[str, ...], bounds: Sequence[Bound], form: RowForm, keys: Sequence[bytes]
    ) -> list[int]:
        """Bounds are of whole numbers, which every form writes in decimal, or packs."""
        edges = [int(bound[0]) for bound in bounds]
        between = form.layout.between
        if columns[0] in self._fillings[table.id].packs:
            size = 4 + int.from_bytes(keys[0][:4], "big") if keys else 0
            return [bisect_right(edges, int.from_bytes(key[4:size], "big", signed=True)) for key in keys]
        return [bisect_right(edges, int(key.partition(between)[0] if between else key)) for key in keys]

    # --- the rest -------------------------------------------------------------------------------------------------

    def publish(self, tables: Sequence[Table]) -> None:
        """The log holds all tables."""

    def objects(self, tables: Sequence[Table], trees: bool = False) -> list[Statement]:
        """Partitioned tables come with their partitions: their rows are the table's in the log."""
        with self._side_asker.connection() as connection:
            return read_objects(connection, tables)

    def structure(self, tables: Sequence[Table]) -> Structure:
        with self._side_asker.connection() as connection:
            return read_structure(connection, self._server, tables)

    def offer(self) -> str:
        return ""

    def needs(self, table: Table) -> list[Statement]:
        return []

    def not_carried(self, tables: Sequence[Table], trees: bool) -> list[NotCarried]:
        with self._side_asker.connection() as connection:
            return read_not_carried(connection, tables)

    def plan(self, tables: Sequence[Table], load: bool, leave: bool) -> tuple[list[str], list[str]]:
        """Nothing is made at the server."""
        return [], []

    def sequences(self, tables: Sequence[Table]) -> list[SequenceValue]:
        with self._side_asker.connection() as connection:
            return read_sequences(connection, self._server, tables)

    def check(self, tables: Sequence[Table]) -> list[Finding]:
        return check_source(self._asker, self._server, tables, self._cascades, self._products)

    def watch(self) -> Watched:
        return Watched()

    def left_out(self, named: Collection[str]) -> list[tuple[str, Finding]]:
        return left_out(self.tables(), named)

    def _end_stream(self) -> None:
        follower, self._follower = self._follower, None
        if follower is not None:
            follower.close()

    def interrupt(self) -> None:
        self._wake.set()
        with self._lock:
            for snapshot in self._snapshots:
                snapshot.interrupt()
            for session in list(self._opened):
                cut(session)
        for asker in (self._asker, self._side_asker):
            asker.interrupt()

    def close(self) -> None:
        self._end_stream()
        with self._lock:
            snapshots, self._snapshots = self._snapshots, []
        for snapshot in snapshots:
            snapshot.close()
        for session in self._opened:
            drop(session)
        for asker in (self._asker, self._side_asker):
            asker.close()

    def drop(self, intent: Mapping[str, Any] | None = None) -> None:
        """Nothing was made at the server."""
        self._end_stream()
