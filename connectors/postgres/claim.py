"""Becoming the only writer of a pipeline: the one way to learn a checkpoint.

First the sessions of older epochs are ended, again each second while one of them holds us up; then the epoch is
raised, which waits for a commit in flight; then everything is read, in that same transaction (T-PO-1, T-PO-11).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cdcd.contracts import Claim
from cdcd.errors import CdcdError, Transient
from cdcd.log import get_logger
from cdcd.model.chunk import Chunk, State
from cdcd.model.position import Identity
from cdcd.model.table import Table
from cdcd.refused import as_written, fenced
from connectors.postgres import control
from connectors.postgres.sessions import Session

log = get_logger("postgres.claim")


_LOCK_NOT_AVAILABLE = "55P03"

# A claim that is stopped in its tracks must not hold up the next one: the server ends it.
_BEGIN = "BEGIN; SET LOCAL lock_timeout = '1s'; SET LOCAL synchronous_commit = on"
_IDLE = "SET idle_in_transaction_session_timeout = '10s'"
_NOT_IDLE = "SET idle_in_transaction_session_timeout = 0"

_TAKE = """
INSERT INTO cdcd.epochs AS e (pipeline, epoch, owner, backends)
VALUES (%(pipeline)s, 1, %(owner)s, ARRAY[pg_backend_pid()])
ON CONFLICT (pipeline) DO UPDATE
SET epoch = e.epoch + 1, owner = excluded.owner, backends = excluded.backends, claimed = now()
RETURNING epoch, source, intent, finished
"""

_KEEP = """
UPDATE cdcd.epochs SET epoch = epoch + 1, backends = ARRAY[pg_backend_pid()], claimed = now()
WHERE pipeline = %(pipeline)s AND owner = %(owner)s
RETURNING epoch, source, intent, finished
"""

_SESSIONS = """
SELECT pid, application_name FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND starts_with(application_name, %s)
"""

# The name is compared again, as the number may have gone to another process meanwhile.
_END = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = %s AND datname = current_database() AND application_name = %s
"""


@dataclass(frozen=True, slots=True)
class _Holder:
    epoch: int
    owner: str


def claim(session: Session, pipeline: str, owner: str, take_over: bool) -> Claim:
    """On a session named `cdcd/PIPELINE`, which leaves as `cdcd/PIPELINE/EPOCH`."""
    control.make(session)
    session.run(_IDLE)
    blocked: CdcdError | None = None
    while True:
        _end_older(session, pipeline, owner, take_over, blocked)
        try:
            session.run(_BEGIN)
            found = _raise_and_read(session, pipeline, owner, take_over)
            session.run("COMMIT")
        except Transient as error:
            if error.where.get("sqlstate") != _LOCK_NOT_AVAILABLE:
                raise
            session.run("ROLLBACK")
            blocked = error
            log.warning("waiting for an older session to end", why=error.what)
            continue
        session.run(_NOT_IDLE)
        log.info("claimed", epoch=found.epoch)
        return found


def _end_older(
    session: Session, pipeline: str, owner: str, take_over: bool, blocked: CdcdError | None
) -> None:
    """End the sessions of epochs up to the stored one. Not of a later one: by that we are fenced (T-PO-12)."""
    holder = _holder(session, pipeline)
    if not take_over and (holder is None or holder.owner != owner):
        raise fenced(pipeline)
    if holder is None:
        return
    prefix = f"cdcd/{pipeline}/"
    for pid, name in session.rows(_SESSIONS, (prefix,)):
        epoch = name[len(prefix) :]
        if not epoch.isdecimal() or int(epoch) > holder.epoch:
            continue
        try:
            session.rows(_END, (pid, name))
        except CdcdError as error:
            if error.where.get("sqlstate") != "42501":
                raise
            if blocked is not None:
                error.where["session"] = f"{name}, process {pid}"
                error.hint = "grant pg_signal_backend, or run as the role that opened that session"
                raise error from None
            # It may end by itself: only a session that holds us up is in the way.
            log.warning("an older session cannot be ended", session=name, pid=pid, why=error.what)


def _holder(session: Session, pipeline: str) -> _Holder | None:
    row = session.row("SELECT epoch, owner FROM cdcd.epochs WHERE pipeline = %s", (pipeline,))
    return _Holder(*row) if row else None


def _raise_and_read(session: Session, pipeline: str, owner: str, take_over: bool) -> Claim:
    row = session.row(_TAKE if take_over else _KEEP, {"pipeline": pipeline, "owner": owner})
    if row is None:
        raise fenced(pipeline)
    epoch, source, intent, finished = row
    # Named before the commit, so that no moment is left in which the next claim would not find this session.
    session.run("SELECT set_config('application_name', %s, false)", (f"cdcd/{pipeline}/{epoch}",))
    session.run("INSERT INTO cdcd.seen (pipeline) VALUES (%s) ON CONFLICT DO NOTHING", (pipeline,))
    stored = session.row(
        "SELECT checkpoint FROM cdcd.checkpoints WHERE pipeline = %s AND scope = ''", (pipeline,)
    )
    return Claim(
        epoch=epoch,
        checkpoint=stored[0] if stored else None,
        identity=as_written("epochs", lambda: None if source is None else Identity.from_json(source)),
        intent=as_written("epochs", lambda: {**intent}),
        tables=read_tables(session, pipeline),
        chunks=read_chunks(session, pipeline),
        finished=finished,
    )


def finished(session: Session, pipeline: str) -> bool:
    """Whether all that comes after the data was built. The control tables are there."""
    return session.row("SELECT FROM cdcd.epochs WHERE pipeline = %s AND finished", (pipeline,)) is not None


def read_tables(session: Session, pipeline: str) -> dict[str, Table]:
    rows = session.rows(
        'SELECT definition FROM cdcd.tables WHERE pipeline = %s ORDER BY table_id COLLATE "C"', (pipeline,)
    )
    tables = as_written("tables", lambda: [Table.from_json(definition) for (definition,) in rows])
    return {table.id: table for table in tables}


_CHUNKS = """
SELECT table_id, number, low, high, columns, state, rows, bytes FROM cdcd.chunks
WHERE pipeline = %s ORDER BY table_id COLLATE "C", number
"""


def read_chunks(session: Session, pipeline: str) -> list[Chunk]:
    rows = session.rows(_CHUNKS, (pipeline,))
    return as_written("chunks", lambda: [_chunk(*row) for row in rows])


def _chunk(
    table: str, number: int, low: Any, high: Any, columns: list[str], state: str, rows: int, size: int
) -> Chunk:
    return Chunk(
        table, number, None if low is None else tuple(low), None if high is None else tuple(high),
        tuple(columns), State(state), rows, size,
    )  # fmt: skip
