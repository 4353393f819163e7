"""What a server is and where its log stands: the differences between MySQL and MariaDB, in one place."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from cdcd.errors import OtherServer, SlotLost, Stopped
from cdcd.model.position import Identity
from cdcd.wake import Wake
from connectors.mysql.ask import Asker, rows
from connectors.mysql.errors import PURGED
from connectors.mysql.gtid import GtidSet
from connectors.mysql.login import Connection
from connectors.mysql.position import Domains, Gtids, Offset, Place

COMMITTING = 2.0
"""Seconds that a transaction may be in the middle of its commit."""

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Server:
    """`gtids`: its log has them (MariaDB's always). `sums`: binlog_checksum is not NONE. `uuid`: MariaDB has none, so
    its server_id stands there. `folds`: names of tables are kept in small letters, whatever statements write."""

    mariadb: bool
    version: tuple[int, int, int]
    uuid: str
    gtids: bool
    sums: bool
    folds: bool = False

    @property
    def product(self) -> str:
        return "mariadb" if self.mariadb else "mysql"

    @property
    def identity(self) -> Identity:
        return Identity(self.product, self.uuid, 1, "")


def version_of(text: str) -> tuple[int, int, int]:
    match = _VERSION.match(text)
    return (int(match[1]), int(match[2]), int(match[3])) if match else (0, 0, 0)


def read_server(connection: Connection) -> Server:
    """Asks a server what it is; Stopped where it is none that can be read."""
    ((text, sums, number, lower),) = rows(
        connection,
        "SELECT VERSION(), @@GLOBAL.binlog_checksum, @@GLOBAL.server_id, @@GLOBAL.lower_case_table_names",
    )
    version = version_of(text)
    mariadb = "mariadb" in text.lower()
    if version < ((10, 6, 0) if mariadb else (8, 0, 0)):
        raise Stopped(f"the server is {text}", why="cdcd reads MySQL from 8.0 and MariaDB from 10.6 on")
    uuid, gtids = str(number), True
    if not mariadb:
        ((uuid, mode),) = rows(connection, "SELECT @@GLOBAL.server_uuid, @@GLOBAL.gtid_mode")
        gtids = mode == "ON"
    return Server(mariadb, version, str(uuid), gtids, str(sums).upper() != "NONE", int(lower) == 1)


def read_head(connection: Connection, server: Server) -> Place:
    """The end of the log as of now, as far as it is committed."""
    if server.mariadb:
        ((text,),) = rows(connection, "SELECT @@GLOBAL.gtid_binlog_pos")
        return Domains.parse(text or "")
    if server.gtids:
        ((text,),) = rows(connection, "SELECT @@GLOBAL.gtid_executed")
        return Gtids(GtidSet.parse(text))
    status = "SHOW BINARY LOG STATUS" if server.version >= (8, 2, 0) else "SHOW MASTER STATUS"
    found = rows(connection, status)
    if not found:
        raise Stopped("the server keeps no binary log", hint="start it with --log-bin")
    return Offset(str(found[0][0]), int(found[0][1]))


def read_covering(connection: Connection, server: Server, wake: Wake) -> Place:
    """A place that covers all that was seen before this call. At MySQL a transaction shows a moment before its GTID is
    in gtid_executed, but not before it is in gtid_owned. One that stays there for long is part of the place."""
    if server.mariadb or not server.gtids:
        return read_head(connection, server)
    ((owned,),) = rows(connection, "SELECT @@GLOBAL.gtid_owned")
    pending = _owned(owned)
    until = time.monotonic() + COMMITTING
    while True:
        ((owned, executed),) = rows(connection, "SELECT @@GLOBAL.gtid_owned, @@GLOBAL.gtid_executed")
        place = GtidSet.parse(executed)
        still = pending - (pending - _owned(owned))
        if place.covers(still) or time.monotonic() > until:
            return Gtids(place | still)
        wake.sleep(0.005)


def _owned(text: str) -> GtidSet:
    """`UUID:5#17:6#18`, the numbers behind # being sessions."""
    return GtidSet.parse(re.sub(r"#\d+", "", text))


def verify_place(asker: Asker, server: Server, place: Place) -> GtidSet:
    """That nothing from the place on is lost, and that the server has been there; which GTIDs it has purged. Where
    MariaDB has lost something it says so when the dump begins; but of one whose log was begun anew it would wait in
    silence until there are as many."""
    if isinstance(place, Gtids):
        ((executed, purged),) = asker.ask("SELECT @@GLOBAL.gtid_executed, @@GLOBAL.gtid_purged")
        _verify_sets(place.set, GtidSet.parse(executed), GtidSet.parse(purged))
        return GtidSet.parse(purged)
    if isinstance(place, Offset):
        _verify_file(place, {str(name): int(size) for name, size, *_ in asker.ask("SHOW BINARY LOGS")})
    if isinstance(place, Domains):
        ((logged, replicated),) = asker.ask("SELECT @@GLOBAL.gtid_binlog_pos, @@GLOBAL.gtid_slave_pos")
        _verify_domains(place, Domains.parse(logged or ""), Domains.parse(replicated or ""))
    return GtidSet({})


def _verify_domains(stored: Domains, logged: Domains, replicated: Domains) -> None:
    """A replica that was made from a copy has nothing in its log of a domain in which nothing has happened since."""
    for domain, (server, number) in stored.domains.items():
        if domain not in logged.domains and replicated.holds(domain, number):
            continue
        if not logged.holds(domain, number):
            raise _behind(f"its log is not as far as {domain}-{server}-{number}, but at {logged}")


def _verify_sets(stored: GtidSet, executed: GtidSet, purged: GtidSet) -> None:
    if not executed.covers(stored):
        raise _behind(f"it lacks {stored - executed}")
    if not stored.covers(purged):
        raise lost(f"the server has purged {purged - stored}, which we have not read")


def _behind(lacks: str) -> OtherServer:
    return OtherServer(
        "the server has not executed all that the checkpoint holds",
        why=f"{lacks}: it was reset or restored, it is a replica that is behind, or it is another server",
        hint="find the right server, wait for the replica, or cdcd drop and load anew",
    )


def _verify_file(place: Offset, files: dict[str, int]) -> None:
    if place.file not in files:
        if any(Offset(name, 0).covers(Offset(place.file, 1)) for name in files):
            raise lost(f"the server has purged {place.file}")
        raise OtherServer(f"the server's log has no {place.file} yet", why="it was reset, or it is another server")
    if place.at > files[place.file]:
        raise OtherServer(f"{place.file} ends at {files[place.file]}, before {place}", why="the server was restored")


def lost(what: str) -> SlotLost:
    return SlotLost(
        what, why="logs are kept for binlog_expire_logs_seconds, and nothing holds them back for a reader", hint=PURGED
    )
