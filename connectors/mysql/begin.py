"""How a snapshot is begun.

While one session holds a lock (locks.py) nobody has an open change of the tables: so the readers' snapshots that begin
then hold exactly what is committed, and the end of the log is their place (T-MY-11). Where no lock can be had: see
unlocked.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from cdcd.log import get_logger
from cdcd.model.table import Table
from cdcd.wake import Wake
from connectors.mysql.ask import rows
from connectors.mysql.catalogue import read_tables
from connectors.mysql.errors import translating
from connectors.mysql.locks import hold
from connectors.mysql.login import Connection, drop
from connectors.mysql.position import Place
from connectors.mysql.server import Server, read_head
from connectors.mysql.snapshot import BEGIN, Connect, MysqlSnapshot, identities
from connectors.mysql.unlocked import begin_without, why_not

log = get_logger("mysql.begin")

READERS = 4
"""Sessions that hold a snapshot: as many chunks are read side by side."""


def begin_snapshot(
    connect: Connect, server: Server, tables: Sequence[Table], wake: Wake, opened: list[Connection],
    read: dict[str, Place],
) -> MysqlSnapshot:  # fmt: skip
    """A snapshot of these tables, as far as they are there. Blocks behind whoever has changed one and not committed,
    as `hold` says. `opened`: the sessions, to be cut when somebody interrupts. `read`: see MysqlSnapshot."""
    try:
        locker = _open(connect, opened)
        readers = [_open(connect, opened) for _ in range(READERS)]
        high: Place | None = None
        with translating(wake):
            for reader in readers:
                rows(reader, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            there = _there(locker, server, tables)
            if (barred := hold(locker, server, there, wake)) is None:
                for reader in readers:
                    rows(reader, BEGIN)
                place, made = read_head(locker, server), identities(locker, there)
            else:
                if why := why_not(locker, server, there):
                    barred.why += f". Without a lock: {why}"
                    raise barred
                log.warning("a snapshot is begun without a lock", why=barred.why)
                place, high, made = begin_without(locker, server, there, readers, wake)
            shapes = {table.id: table for table in _there(locker, server, there)}
            rows(locker, "UNLOCK TABLES")  # those that are held
        opened.clear()
        drop(locker)
        return MysqlSnapshot(
            place, readers, made, connect, shapes, read, lambda connection: read_head(connection, server), high
        )
    except BaseException:
        for session in opened:
            drop(session)
        opened.clear()
        raise


def _open(connect: Connect, opened: list[Connection]) -> Connection:
    opened.append(connect())
    return opened[-1]


def _there(connection: Connection, server: Server, tables: Sequence[Table]) -> list[Table]:
    """Those that exist, as they are now."""
    found: list[Table] = []
    for schema in sorted({table.schema for table in tables}):
        found += read_tables(connection, server, schema, {table.id for table in tables if table.schema == schema})
    return found
