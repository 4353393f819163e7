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


BEGUN = 5_000
"""Rows of a COPY that make it worth killing, when a third of the table is in."""
FAR = 300_000
"""Rows that make it so before: few big chunks may be written side by side and end together."""


def in_the_copy(daemon: Daemon, target: Database, table: str) -> str:
    """Kill while a chunk of `table` stands half written in a COPY that is open at the target, if possible after a
    third of the others is in for good; what it hit, in words."""

    def hit(session: psycopg2.extensions.connection) -> str:
        with session.cursor() as cursor:
            cursor.execute(
                "SELECT tuples_processed FROM pg_stat_progress_copy WHERE datname = current_database()"
                " AND command = 'COPY FROM' AND relid = to_regclass(%s) AND tuples_processed >= %s",
                (table, BEGUN),
            )
            copies = [row[0] for row in cursor.fetchall()]
            if not copies:
                return ""
            cursor.execute(
                "SELECT count(*) FILTER (WHERE state = 'in'), count(*) FROM cdcd.chunks WHERE table_id = %s",
                (f"public.{table}",),
            )
            done, chunks = cursor.fetchall()[0]
            if 3 * done < chunks and max(copies) < FAR:
                return ""
            return f"COPY open with {sum(copies):,} rows of {table}, {done} of its {chunks} chunks in"

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
            return " and ".join(f"transaction {row[0]} open at the target" for row in cursor.fetchall())

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
    raise MissedMoment(f"{what} was not seen in {limit:g} s")
