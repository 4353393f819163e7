"""Asking a server for its log: the session's variables, and the commands ("Replication Protocol" in both products'
references). The server is told who reads: SHOW REPLICAS shows the pipeline's name."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from uuid import NAMESPACE_URL, uuid5
from zlib import crc32

from cdcd.wake import Wake
from connectors.mysql.ask import rows
from connectors.mysql.gtid import GtidSet
from connectors.mysql.login import Connection
from connectors.mysql.position import Domains, Gtids, Offset, Place, parse_gtid
from connectors.mysql.server import Server
from connectors.mysql.wire import Wire

HEARTBEAT = 10
"""Seconds after which a server that has nothing to send says so."""

_ERROR = 0xFF
_REGISTER, _DUMP, _DUMP_GTID = 0x15, 0x12, 0x1E
_BEGIN, _FURTHEST = 4, 0xFFFFFFFF  # of places in a file
_ANNOTATE = 2  # MariaDB: what else it calls an event of its own is left out for us


def server_id(name: str) -> int:
    """A replica's number, derived from the pipeline: large, so that it meets none given by hand (MY-13)."""
    return 1 << 31 | crc32(name.encode()) >> 1


def start_dump(
    connect: Callable[[], Connection], wake: Wake, server: Server, name: str, place: Place, purged: GtidSet
) -> tuple[Wire, bool]:
    """Have the server send its log from the place on; the wire, and whether it begins with the last transaction
    before the place, which shows that its history is ours."""
    earlier: Place | None = None
    if isinstance(place, Offset):
        earlier = place.without_last()
    elif isinstance(place, Domains):
        earlier = place.without_last(server.uuid)
    if earlier is not None:
        wire, _ = _start(connect(), wake, server, name, earlier, purged)
        if wire.upcoming(60) != _ERROR:
            return wire, True
        wire.close()  # most likely it was purged: only this server knows, and there is nothing to be compared
    return _start(connect(), wake, server, name, place, purged)


def try_registering(connection: Connection) -> None:
    """Raises what the server says to a user who may not read the log. The session is a replica's until it ends."""
    wire = Wire(connection, Wake())
    wire.command(_register("check"))
    wire.packet(60)
    wire.release()


def _start(
    connection: Connection, wake: Wake, server: Server, name: str, place: Place, purged: GtidSet
) -> tuple[Wire, bool]:
    _set(connection, _variables(server, name, place))
    wire = Wire(connection, wake)
    try:
        wire.command(_register(name))
        wire.packet(60)
        if isinstance(place, Gtids):
            known, again = _without_last(place, purged)
            wire.command(_dump_gtid(name, known))
        else:
            again = False
            file, at = (place.file, place.at) if isinstance(place, Offset) else ("", _BEGIN)
            # Where it needs more than its four bytes, all of the file comes, of which what was passed is passed over.
            at = at if at <= _FURTHEST else _BEGIN
            wire.command(struct.pack("<BIHI", _DUMP, at, 0, server_id(name)) + file.encode())
    except BaseException:
        wire.close()
        raise
    return wire, again


def _variables(server: Server, name: str, place: Place) -> Mapping[str, str | int]:
    """What the dump reads from the session, by both products' names for it."""
    sums = "CRC32" if server.sums else "NONE"
    wanted: dict[str, str | int] = {"master_binlog_checksum": sums, "master_heartbeat_period": HEARTBEAT * 10**9}
    if server.mariadb:
        wanted |= {"mariadb_slave_capability": 4, "slave_gtid_strict_mode": 0}
        if isinstance(place, Domains):
            wanted["slave_connect_state"] = place.text
        return wanted
    uuid = str(uuid5(NAMESPACE_URL, f"cdcd:{name}"))
    return wanted | {
        "source_binlog_checksum": sums,
        "source_heartbeat_period": HEARTBEAT * 10**9,
        # A dump of the same name that still runs is ended by the server.
        "slave_uuid": uuid,
        "replica_uuid": uuid,
    }


def _set(connection: Connection, variables: Mapping[str, str | int]) -> None:
    names = ", ".join(f"@{name} = %s" for name in variables)
    rows(connection, f"SET {names}", *variables.values())


def _without_last(place: Gtids, purged: GtidSet) -> tuple[GtidSet, bool]:
    """The set, and if it can still be read, without its last transaction."""
    if place.last is None or not place.last.stamp:
        return place.set, False
    last = parse_gtid(place.last.gtid)
    if last not in place.set or last in purged:
        return place.set, False
    return place.set - GtidSet({last.origin: ((last.number, last.number),)}), True


def _register(name: str) -> bytes:
    host = f"cdcd/{name}".encode()[:60]
    return struct.pack("<BIB", _REGISTER, server_id(name), len(host)) + host + struct.pack("<BBHII", 0, 0, 0, 0, 0)


def _dump_gtid(name: str, known: GtidSet) -> bytes:
    data = known.encode()
    return struct.pack("<BHIIQI", _DUMP_GTID, 4, server_id(name), 0, 4, len(data)) + data
