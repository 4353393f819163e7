"""A snapshot without a lock: where one can be begun so, and what its place is.

MariaDB: a session knows the place of its own snapshot, exactly, and no other's: so there is one reader (T-MY-22).
MySQL: what was committed before the first reader began (`low`) is in every snapshot, what lies beyond all that was seen
after the last one began (`high`) is in none. What lies between is in some of them, and the target makes it so, row by
row, until `high` is passed (T-MY-1, T-MY-8): only of tables in which one key names whole rows (T-MY-9, T-MY-10).
"""

from __future__ import annotations

from collections.abc import Sequence

import pymysql

from cdcd.errors import Transient
from cdcd.log import get_logger
from cdcd.model.table import Table
from cdcd.wake import Wake
from connectors.mysql.ask import rows
from connectors.mysql.login import Connection, drop
from connectors.mysql.position import Domains, Place
from connectors.mysql.server import Server, read_covering, read_head
from connectors.mysql.snapshot import BEGIN, Identity, identities
from connectors.mysql.track import covers
from connectors.mysql.transactions import PREPARED, name_of

log = get_logger("mysql.unlocked")

_OWN_PLACE = "SHOW STATUS WHERE Variable_name IN ('Binlog_snapshot_file', 'Binlog_snapshot_position')"


def why_not(connection: Connection, server: Server, tables: Sequence[Table]) -> str:
    """Why no snapshot of these tables, as they are now, can be begun without a lock; "": it can."""
    if names := _prepared(connection):
        return f"prepared transactions are in the log, and their rows in no snapshot: {names}"
    if server.mariadb:
        return ""
    if not server.gtids:
        return "the log has no GTIDs"
    ((order, image, values),) = rows(
        connection, "SELECT @@GLOBAL.binlog_order_commits, @@GLOBAL.binlog_row_image, @@GLOBAL.binlog_row_value_options"
    )
    if not order:
        return "binlog_order_commits is off, so that what is committed is no beginning of the log"
    if image != "FULL" or values:
        return "rows are not whole in the log (binlog_row_image, binlog_row_value_options)"
    for table in tables:
        if not table.key:
            return f"{table.id} has no key"
        if table.unique:
            return f"{table.id} has another unique index than its key"
        if any(reference.acts for reference in table.references):
            return f"foreign keys change rows of {table.id}"
    return ""


def _prepared(connection: Connection) -> str:
    try:
        return ", ".join(map(name_of, rows(connection, PREPARED)))
    except pymysql.err.MySQLError:
        return ""  # who may not ask meets them in the log, where they are a stop


def begin_without(
    asker: Connection, server: Server, tables: Sequence[Table], readers: list[Connection], wake: Wake
) -> tuple[Place, Place | None, dict[str, Identity]]:
    """Its place, Snapshot.high, and what the tables are. Takes readers away that hold none."""
    before = identities(asker, tables)
    place: Place
    high: Place | None = None
    if server.mariadb:
        for reader in readers[1:]:
            drop(reader)
        del readers[1:]
        rows(readers[0], BEGIN)
        place = _own_place(asker, readers[0])
    else:
        place = read_head(asker, server)
        for reader in readers:
            rows(reader, BEGIN)
        high = read_covering(asker, server, wake)
        if not covers(read_head(asker, server), high):
            raise Transient(
                "a transaction has been in the middle of its commit for seconds",
                why="nobody can tell whether a snapshot holds it, nor whether it will ever be in the log",
                position=str(high),
            )
        log.info("what was committed between two places may be read, or not", low=str(place), high=str(high))
    now = identities(asker, tables)
    for table in tables:
        if now[table.id] != before[table.id]:
            raise Transient("a table was altered while its snapshot was begun", table=table.id)
    return place, high, before


def _own_place(asker: Connection, reader: Connection) -> Domains:
    own = {str(name).lower(): value for name, value in rows(reader, _OWN_PLACE)}
    file, at = str(own["binlog_snapshot_file"]), int(own["binlog_snapshot_position"])
    ((text,),) = rows(asker, "SELECT BINLOG_GTID_POS(%s, %s)", file, at)
    if text is None:
        raise Transient("the place of a snapshot cannot be told", why=f"the log does not begin before {file}:{at}")
    return Domains.parse(text)
