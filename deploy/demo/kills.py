"""SIGKILL at a chosen moment. The daemon is held still first, so that the server can say what is half done."""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg2.extensions

from deploy.demo.daemon import Daemon
from tests.servers import Database
from tests.servers.address import connect

LET_IN_FLIGHT = 0.02
"""What had left the daemon before it was held still arrives within this time."""


class MissedMoment(Exception):
    """The moment to kill at never came, so the demo would prove nothing."""


def in_the_copy(daemon: Daemon, target: Database, rows: int) -> str:
    """Kill while a COPY of this many rows or more stands open at the target; what it hit, in words."""

    def hit(session: psycopg2.extensions.connection) -> str:
        with session.cursor() as cursor:
            cursor.execute(
                "SELECT relid::regclass::text, tuples_processed FROM pg_stat_progress_copy"
                " WHERE command = 'COPY FROM' AND tuples_processed >= %s AND datname = current_database()"
                " ORDER BY 2 DESC",
                (rows,),
            )
            return " and ".join(f"{count:,} rows into {table}" for table, count in cursor.fetchall())

    return _kill_when(hit, daemon, target, "a COPY at the target")


def in_the_stream(daemon: Daemon, target: Database) -> str:
    """Kill while the daemon's transaction stands open at the target, with changes in it; what it hit, in words."""

    def hit(session: psycopg2.extensions.connection) -> str:
        with session.cursor() as cursor:
            cursor.execute(
                "SELECT backend_xid::text FROM pg_stat_activity"
                " WHERE usename = %s AND datname = current_database() AND backend_xid IS NOT NULL",
                (target.role,),
            )
            return " and ".join(f"transaction {row[0]} open" for row in cursor.fetchall())

    return _kill_when(hit, daemon, target, "an open transaction at the target")


def _kill_when(
    hit: Callable[[psycopg2.extensions.connection], str], daemon: Daemon, target: Database, what: str,
    limit: float = 30,
) -> str:
    session = connect(target.admin_url)
    end = time.monotonic() + limit
    try:
        while time.monotonic() < end:
            daemon.check()
            if not hit(session):
                time.sleep(0.002)
                continue
            daemon.pause()
            time.sleep(LET_IN_FLIGHT)
            if found := hit(session):
                daemon.kill()
                return found
            daemon.resume()
    finally:
        session.close()
    raise MissedMoment(f"no {what} was seen in {limit:g} s")
