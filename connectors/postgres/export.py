"""Making a slot that exports its snapshot, and waiting for it in the open: who blocks, and when it may be read
("Creating a replication slot exports a snapshot", T-PG-1, T-PG-12, T-PG-13, T-PG-20)."""

from __future__ import annotations

import time
from dataclasses import dataclass

from cdcd.errors import CdcdError, SnapshotLost
from cdcd.log import get_logger
from cdcd.wake import Wake
from connectors.postgres.ask import Asker
from connectors.postgres.names import quote_literal
from connectors.postgres.position import parse_lsn
from connectors.postgres.replication import Session
from connectors.postgres.slot import create_statement

log = get_logger("postgres.slot")

BLOCKED_AFTER = 2.0
"""Seconds between two looks at who blocks."""

PATIENCE = 1.0
"""Seconds for a commit between its log record and the commit log; it takes microseconds."""

_BLOCKERS = """
SELECT a.pid, a.application_name, a.datname, a.state, extract(epoch FROM now() - a.xact_start)::int8,
       left(a.query, 100), a.query_start::text
FROM unnest(pg_blocking_pids(%s)) b (pid) JOIN pg_stat_activity a ON a.pid = b.pid
"""

# $x is the importing session's pg_current_snapshot(). See T-PG-20: both conditions are needed.
_SETTLED = """
SELECT pg_snapshot_xmax(n) >= pg_snapshot_xmax(x)
       AND NOT EXISTS (SELECT FROM pg_snapshot_xip(n) i WHERE pg_visible_in_snapshot(i, x))
FROM (SELECT pg_current_snapshot() AS n, %s::pg_snapshot AS x) s
"""

# Transactions that the snapshot sees and that have not ended, by whether they wait for a synchronous standby:
# those are in the commit log already. xids of backends have 32 bits and are widened by the snapshot's epoch.
_WAITING = """
SELECT count(*) FILTER (WHERE wait_event = 'SyncRep'), count(*) FILTER (WHERE wait_event IS DISTINCT FROM 'SyncRep')
FROM pg_stat_activity, (SELECT %s::pg_snapshot AS x) s,
     LATERAL (SELECT (pg_snapshot_xmax(x)::text::numeric - pg_snapshot_xmax(x)::text::numeric %% 4294967296
                      + backend_xid::text::numeric)::text::xid8 AS xid) w
WHERE backend_xid IS NOT NULL AND pg_visible_in_snapshot(w.xid, x)
"""


@dataclass(frozen=True, slots=True)
class Exported:
    """A slot's place, and the name under which its snapshot can be imported (None: not exported)."""

    place: int
    snapshot: str | None


def create_slot(
    session: Session, asker: Asker, name: str, *, temporary: bool, export: bool, failover: bool = False
) -> Exported:
    """Create the slot on `session`, which must then stay idle as long as the snapshot is wanted. Waits for every
    writing transaction that is open, on all databases; a wait that is interrupted leaves nothing."""
    try:
        wanted = create_statement(name, session.version, temporary=temporary, export=export, failover=failover)
        session.send(wanted)
        while not session.poll(BLOCKED_AFTER):
            _tell_blockers(session, asker, name)
        ((_, place, snapshot, _),) = session.answer()
    except BaseException:
        # A walsender asleep in a lock wait does not notice that we left, and would finish the slot.
        session.cancel()
        raise
    return Exported(parse_lsn(place or ""), snapshot)


def _tell_blockers(session: Session, asker: Asker, name: str) -> None:
    try:
        rows = asker.ask(_BLOCKERS, session.pid)
    except CdcdError as error:
        log.warning("waiting for the slot; who blocks cannot be seen", slot=name, error=error.what)
        return
    for pid, application, database, state, age, query, started in rows:
        log.warning(
            "waiting for an open transaction before the slot can begin",
            slot=name, pid=pid, application=application, database=database, state=state,
            open_seconds=age, query=query, query_started=started,
        )  # fmt: skip


def import_snapshot(session: Session, name: str) -> str:
    """Begin a transaction that reads under an exported snapshot, before anything else; its pg_current_snapshot()."""
    session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        session.run(f"SET TRANSACTION SNAPSHOT {quote_literal(name)}")
    except CdcdError as error:
        if error.where.get("sqlstate") in ("22023", "42704"):
            raise SnapshotLost(
                "the exported snapshot is gone", why="the connection that made its slot ended", snapshot=name
            ) from error
        raise
    ((snapshot,),) = session.run("SELECT pg_current_snapshot()")
    return readable(snapshot or "")


def readable(snapshot: str) -> str:
    """The snapshot as text that pg_snapshot's input takes. A slot's snapshot may have xmin > xmax, as its xmax moves
    with the commits seen and its xmin with what runs; below xmin everything is seen, so xmax is then the same."""
    xmin, xmax, running = snapshot.split(":")
    return f"{xmin}:{max(int(xmin), int(xmax))}:{running}"


def wait_settled(asker: Asker, snapshot: str, wake: Wake) -> None:
    """Wait until nothing that the snapshot sees can still be committing: read earlier, such a row would be taken for
    aborted, and the mark of that would stay at the source (T-PG-20)."""
    deadline = time.monotonic() + PATIENCE
    while not asker.ask(_SETTLED, snapshot)[0][0]:
        if time.monotonic() > deadline:
            ((in_log, others),) = asker.ask(_WAITING, snapshot)
            if in_log and not others:
                return
            raise SnapshotLost(
                "a transaction that the snapshot sees has not ended yet",
                why="a commit hangs at the source, perhaps for want of a synchronous standby",
                snapshot=snapshot,
            )
        wake.sleep(0.005)
