"""Which server this is, and whether a stored checkpoint can belong to it (T-PG: never go on at another history)."""

from __future__ import annotations

from cdcd.errors import OtherServer, Transient
from cdcd.model.position import Identity
from connectors.postgres.ask import Asker
from connectors.postgres.position import format_lsn, parse_lsn
from connectors.postgres.replication import Session

PRODUCT = "postgresql"

# The timeline of the WAL that is written now; pg_control's is that of the last checkpoint.
_IDENTITY = """
SELECT pg_is_in_recovery(), s.system_identifier::text,
       CASE WHEN pg_is_in_recovery() THEN (SELECT timeline_id FROM pg_control_checkpoint())
            ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int END,
       (SELECT oid::text FROM pg_database WHERE datname = current_database())
FROM pg_control_system() s
"""


def read_identity(asker: Asker) -> Identity:
    return _identity(asker)[1]


def _identity(asker: Asker) -> tuple[bool, Identity]:
    """Whether it is a standby, and which server."""
    ((standby, *known),) = asker.ask(_IDENTITY)
    return standby, Identity(PRODUCT, *known)


def written(asker: Asker) -> int:
    """The end of the server's log, flushed or not."""
    ((lsn,),) = asker.ask("SELECT pg_current_wal_insert_lsn()::text")
    return parse_lsn(lsn)


def flushed(asker: Asker) -> int:
    """The end of what the server has flushed to its log (a standby: replayed)."""
    ((lsn,),) = asker.ask(
        "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()"
        " ELSE pg_current_wal_flush_lsn() END::text"
    )
    return parse_lsn(lsn)


def next_xid(asker: Asker) -> int:
    """A transaction id of now, with all its 64 bits."""
    ((xid,),) = asker.ask("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")
    return int(xid)


def verify_server(asker: Asker, session: Session, stored: Identity, checkpoint: int) -> Identity:
    """Which server it is now, perhaps on a later timeline; OtherServer unless everything up to `checkpoint` is part of
    its own history. Transient while it is a standby, which may be promoted any moment."""
    standby, found = _identity(asker)
    where = {"server": session.where, "position": format_lsn(checkpoint)}
    if standby:
        raise Transient("the source is a standby", hint="promote it, or point the URL at the primary", **where)
    if (found.product, found.system) != (stored.product, stored.system):
        raise OtherServer(
            "the source is not the server the checkpoint was made with",
            why=f"its system identifier is {found.system}, and was {stored.system}",
            hint="point the URL at the server it was, or begin a new pipeline under another name",
            **where,
        )
    if found.database != stored.database:
        raise OtherServer(
            "the source is another database of the same server",
            why=f"its OID is {found.database}, and was {stored.database}: another name, or dropped and made again",
            hint="point the URL at the database it was, or begin a new pipeline under another name",
            **where,
        )
    # In the middle of a fail-over two connections may lead to two servers.
    ((_, timeline, *_),) = session.run("IDENTIFY_SYSTEM")
    if timeline != str(found.timeline):
        raise Transient("two connections to the source reached two servers", hint="end the old primary", **where)
    if found.timeline != stored.timeline:
        _verify_history(session, stored.timeline, found.timeline, checkpoint, where)
    if (end := flushed(asker)) < checkpoint:
        raise OtherServer(
            "the source went back in time",
            why=f"its log ends at {format_lsn(end)}, before what the target holds: restored from a backup, or "
            "a standby was promoted that had not received everything",
            hint="the target holds changes that the source lost: compare (cdcd validate), then begin anew",
            **where,
        )
    return found


def _verify_history(session: Session, old: int, new: int, checkpoint: int, where: dict[str, str]) -> None:
    """A promoted standby goes on with us if the old timeline was left at or after the checkpoint."""
    left = None
    if new > old:
        ((_, content),) = session.run(f"TIMELINE_HISTORY {new}")
        for line in (content or "").splitlines():
            words = line.split()
            if len(words) >= 2 and words[0] == str(old):
                left = parse_lsn(words[1])
    if left is not None and left >= checkpoint:
        return
    if left is None:
        why = f"its timeline is {new}, which did not come from timeline {old}"
    else:
        why = f"timeline {old} was left at {format_lsn(left)}, before what the target holds"
    raise OtherServer(
        "the source has another history than the checkpoint",
        why=why + ": a promoted standby or a restored backup without the last changes",
        hint="the target may hold changes that the source lost: compare (cdcd validate), then begin anew",
        **where,
    )
