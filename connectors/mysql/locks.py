"""How the tables of a snapshot are held still, for as long as it takes to begin it.

LOCK TABLES … READ waits for whoever has changed one and not committed, and needs no right beyond the tables' database
(T-MY-11). Where it cannot be had, FLUSH TABLES WITH READ LOCK keeps everybody from committing. What is prepared is in
the log, and its rows in no snapshot (T-MY-4): there must be none. MySQL's LOCK TABLES waits for it, as far as it is of
these tables; MariaDB's does not, and there everybody may ask for it. Where neither can be had: unlocked.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pymysql

from cdcd.contracts import Finding
from cdcd.errors import CdcdError, Stopped, Transient
from cdcd.log import get_logger
from cdcd.model.table import Table
from cdcd.wake import Wake
from connectors.mysql.ask import Asker, rows
from connectors.mysql.findings import finding
from connectors.mysql.login import Connection
from connectors.mysql.names import quote, quote_table
from connectors.mysql.server import Server
from connectors.mysql.transactions import OPEN, PREPARED, name_of, session
from connectors.mysql.unlocked import why_not

log = get_logger("mysql.locks")

TRIES = 3

LONG = 1
"""Seconds from which on a statement is one that MySQL's global lock would wait for, and everybody behind it."""

_TIMEOUT = 1205
_DENIED = (1044, 1045, 1227, 1401)

_RUNNING = f"""
SELECT ID, USER, HOST, COALESCE(DB, '') FROM information_schema.PROCESSLIST
WHERE ID <> CONNECTION_ID() AND COMMAND IN ('Query', 'Execute') AND TIME >= {LONG} ORDER BY TIME DESC"""

_GLOBAL = "FLUSH TABLES WITH READ LOCK"


@dataclass(frozen=True, slots=True)
class Barred:
    """Why a lock cannot be had; `denied`: for want of a right."""

    why: str
    denied: bool = False


def hold(locker: Connection, server: Server, tables: Sequence[Table], wake: Wake) -> CdcdError | None:
    """None: until UNLOCK TABLES nobody has an open change of these tables, or nobody commits one. Else why not: Stopped
    where no right to either is given; Transient where somebody stands in the way of both."""
    if not tables:
        return None
    own = _tried(locker, server, wake, _of_tables(tables))
    if own is None:
        return None
    whole = _may_flush(locker, server) or _tried(locker, server, wake, _GLOBAL)
    if whole is None:
        log.warning("the whole server is locked for a snapshot", why=own.why)
        return None
    denied = own.denied and whole.denied
    return (Stopped if denied else Transient)(
        "the tables could not be locked for a snapshot",
        why=f"LOCK TABLES: {own.why}. {_GLOBAL}: {whole.why}",
        hint=_grants(server, tables) if denied else _way_out(server, tables, own, whole),
    )


def _of_tables(tables: Sequence[Table]) -> str:
    return "LOCK TABLES " + ", ".join(f"{quote_table(table)} READ" for table in tables)


def _tried(locker: Connection, server: Server, wake: Wake, statement: str) -> Barred | None:
    """TRIES times, as others wait behind us meanwhile."""
    found = None
    for number in range(1, TRIES + 1):
        wake.check()
        began = time.monotonic()
        try:
            rows(locker, statement)
            if (found := _prepared(locker, server, statement)) is None:
                if time.monotonic() - began > 1:
                    log.info("tables locked", seconds=round(time.monotonic() - began, 1))
                return None
        except pymysql.err.MySQLError as error:
            found = _barred(error, _holders(locker))
        rows(locker, "UNLOCK TABLES")  # MySQL's FLUSH holds the lock although it has timed out
        if found.denied:
            break
        log.warning("the tables could not be locked for a snapshot", attempt=number, why=found.why)
    return found


def _barred(error: pymysql.err.MySQLError, holders: str) -> Barred:
    """What a statement failed with; anything but a time-out or a right that is missing is raised again."""
    if error.args[0] == _TIMEOUT:
        return Barred(f"whoever has changed one is open longer than we wait, so as not to hold others up: {holders}")
    if error.args[0] in _DENIED:
        return Barred(str(error.args[1]), denied=True)
    raise error


def _holders(locker: Connection) -> str:
    """Who may be in the way, the longest first."""
    try:
        found = [session(*row[:4]) for row in rows(locker, OPEN) if row[4]]
    except pymysql.err.MySQLError:
        return "a user with PROCESS sees whose it is"
    return ", ".join(found) or "XA RECOVER shows those that were prepared"


def _prepared(locker: Connection, server: Server, statement: str) -> Barred | None:
    if statement != _GLOBAL and not server.mariadb:
        return None
    names = ", ".join(map(name_of, rows(locker, PREPARED)))
    return Barred(f"prepared transactions, which XA COMMIT or XA ROLLBACK ends: {names}") if names else None


def _may_flush(locker: Connection, server: Server) -> Barred | None:
    """Whether the global lock may be tried. MySQL's waits for every statement, holds up all writers meanwhile, and when
    it has timed out the table that such a statement reads is held up until that has ended."""
    try:
        # Needs the same right, and touches nothing.
        rows(locker, "FLUSH NO_WRITE_TO_BINLOG TABLES `cdcd`.`no such table`")
        rows(locker, PREPARED)
        if not server.mariadb:
            rows(locker, "SELECT COUNT(*) FROM information_schema.INNODB_TRX")  # which needs PROCESS
    except pymysql.err.MySQLError as error:
        return _barred(error, "")
    if not server.mariadb and (running := rows(locker, _RUNNING)):
        return Barred(f"it would hold up everybody behind a statement that runs: {session(*running[0])}")
    return None


def _grants(server: Server, tables: Sequence[Table]) -> str:
    own = "; ".join(f"GRANT LOCK TABLES ON {quote(name)}.* TO …" for name in sorted({one.schema for one in tables}))
    return f"{own}; or, to lock the whole server for a moment, {_grant_global(server)}"


def _grant_global(server: Server) -> str:
    return f"GRANT {'RELOAD' if server.mariadb else 'FLUSH_TABLES, XA_RECOVER_ADMIN, PROCESS'} ON *.* TO …"


def _way_out(server: Server, tables: Sequence[Table], own: Barred, whole: Barred) -> str:
    ends = "wait for it, or end it: KILL with the session's number"
    if own.denied:
        return f"{ends}; {_grants(server, tables)}"
    return f"{ends}; or {_grant_global(server)}, to lock the whole server for a moment" if whole.denied else ends


def check_locks(asker: Asker, server: Server, tables: Sequence[Table]) -> Iterator[Finding]:
    """By trying, for a moment: roles and partial revokes show themselves only so."""
    if not tables:
        return
    try:
        with asker.connection() as connection:
            rows(connection, "SET SESSION lock_wait_timeout = 1")
            own = _once(connection, _of_tables(tables))
            rows(connection, "UNLOCK TABLES")
            rows(connection, "SET SESSION lock_wait_timeout = 2")
            whole = _may_flush(connection, server) if own is not None else None
            why = why_not(connection, server, tables) if whole is not None else ""
    except CdcdError:
        return  # a table that may not be read, or is gone, which is told of it alone
    named = ", ".join(table.id for table in tables)
    if own is None:
        return
    if whole is not None and not why:
        yield finding("MY-UNLOCKED", f"a snapshot of {named} is begun without a lock", f"{own.why}; {whole.why}",
                      _grants(server, tables))  # fmt: skip
    elif not own.denied:
        yield finding("MY-BUSY", f"no snapshot of {named} can be begun now", own.why, "wait for it, or end it: KILL …")
    elif whole is not None and whole.denied:
        yield finding("MY-LOCK", f"no snapshot of {named} can be begun", f"{own.why}; {whole.why}; {why}",
                      _grants(server, tables), of_load=True)  # fmt: skip
    else:
        yield finding("MY-GLOBAL-LOCK", f"the whole server is locked to begin a snapshot of {named}", own.why,
                      _grants(server, tables).partition("; or")[0])  # fmt: skip


def _once(connection: Connection, statement: str) -> Barred | None:
    try:
        rows(connection, statement)
    except pymysql.err.MySQLError as error:
        return _barred(error, _holders(connection))
    return None
