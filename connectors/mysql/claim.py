"""Becoming the only writer of a pipeline: the one way to learn a checkpoint.

Each session of an epoch holds a lock of the server's (GET_LOCK) by a name that is in cdcd.sessions: who holds it is
ended, which no privilege is needed for, and no session of somebody else's that got its number after a restart. The
writer's own lock is the pipeline's: it is free when all that the older writer began is over, DDL too (T-MT-6). Then the
epoch is raised, which waits for a commit in flight, and everything is read in that same transaction (T-PO-1, T-PO-11).
"""

from __future__ import annotations

import json
import secrets
from typing import Any

from cdcd.contracts import Claim
from cdcd.errors import CdcdError, Transient
from cdcd.log import get_logger
from cdcd.model.chunk import Chunk, State
from cdcd.model.position import Identity
from cdcd.model.table import Table
from cdcd.refused import as_written, fenced
from connectors.mysql import control
from connectors.mysql.sessions import Session

log = get_logger("mysql.claim")

_LOCK_WAIT, _NO_SUCH_THREAD, _NOT_OWNER = 1205, 1094, 1095

_REGISTER = "INSERT INTO cdcd.sessions (pipeline, held, epoch, connection, server) VALUES (%s, %s, %s, %s, {server})"


def to_text(data: Any) -> str:
    """JSON as it is stored: one text for one value."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def register(session: Session, pipeline: str, epoch: int, held: str = "") -> None:
    """Let the next epoch find this session. In autocommit; `held`: the lock that it has already."""
    if not held:
        held = f"cdcd/{secrets.token_hex(16)}"
        session.rows("SELECT GET_LOCK(%s, 0)", held)
    server = "@@GLOBAL.server_id" if session.mariadb else "@@GLOBAL.server_uuid"
    session.run(_REGISTER.format(server=server), pipeline, held, epoch, session.number)


def claim(session: Session, pipeline: str, owner: str, take_over: bool) -> tuple[Claim, str | None]:
    """On a session without autocommit, that is registered then; and the checkpoint's text, as it is stored."""
    control.make(session)
    session.run("SET SESSION innodb_lock_wait_timeout = 1")
    blocked = False
    while True:
        _end_older(session, pipeline, owner, take_over, blocked)
        blocked = True
        if session.row("SELECT GET_LOCK(%s, 1)", lock_of(pipeline)) != (1,):
            log.warning("waiting for an older session to end", why="it holds the pipeline's lock")
            continue
        try:
            found = _raise_and_read(session, pipeline, owner, take_over)
            session.run("COMMIT")
        except Transient as error:
            if error.where.get("errno") != _LOCK_WAIT:
                raise
            session.begin_anew()
            log.warning("waiting for an older session to end", why=error.what)
            continue
        session.run("SET SESSION innodb_lock_wait_timeout = 20")
        log.info("claimed", epoch=found[0].epoch)
        return found


def lock_of(pipeline: str) -> str:
    """Names of locks are the server's, whatever the case of their letters; pipelines of one name in two cases share
    one, and wait for each other."""
    return f"cdcd/pipeline/{pipeline}"


def _end_older(session: Session, pipeline: str, owner: str, take_over: bool, blocked: bool) -> None:
    """End the sessions of epochs up to the stored one. Not of a later one: by that we are fenced (T-PO-12)."""
    holder = session.row("SELECT epoch, owner FROM cdcd.epochs WHERE pipeline = %s", pipeline)
    if not take_over and (holder is None or holder[1] != owner):
        raise fenced(pipeline)
    newest = holder[0] if holder is not None else 1 << 62  # a pipeline that was dropped has no epoch, but sessions
    text = "SELECT held FROM cdcd.sessions WHERE pipeline = %s AND epoch <= %s"
    held = session.rows(text, pipeline, newest)
    session.run("COMMIT")  # the next look is to see what is there then
    for (name,) in held:
        number = session.rows("SELECT IS_USED_LOCK(%s)", name)[0][0]
        if number is None or number == session.number:
            continue
        try:
            session.run(f"KILL {int(number)}")
        except CdcdError as error:
            if error.where.get("errno") == _NO_SUCH_THREAD:
                continue
            if error.where.get("errno") != _NOT_OWNER:
                raise
            if blocked:
                error.where["session"] = number
                error.hint = "grant CONNECTION_ADMIN (MariaDB: CONNECTION ADMIN), or run as the user of that session"
                raise error from None
            # It may end by itself: only a session that holds us up is in the way.
            log.warning("an older session cannot be ended", session=number, why=error.what)


def _raise_and_read(
    session: Session, pipeline: str, owner: str, take_over: bool
) -> tuple[Claim, str | None]:
    if take_over:
        session.run(
            "INSERT INTO cdcd.epochs (pipeline, epoch, owner, intent) VALUES (%s, 1, %s, '{}')"
            " ON DUPLICATE KEY UPDATE epoch = epoch + 1, owner = VALUES(owner), claimed = CURRENT_TIMESTAMP(6)",
            pipeline, owner,
        )  # fmt: skip
    elif not session.run(
        "UPDATE cdcd.epochs SET epoch = epoch + 1, claimed = CURRENT_TIMESTAMP(6) WHERE pipeline = %s AND owner = %s",
        pipeline, owner,
    ):  # fmt: skip
        raise fenced(pipeline)
    ((epoch,),) = session.rows("SELECT epoch FROM cdcd.epochs WHERE pipeline = %s", pipeline)
    # In the transaction of the epoch, so that no moment is left in which the next claim would not find this session.
    session.run("DELETE FROM cdcd.sessions WHERE pipeline = %s", pipeline)
    register(session, pipeline, epoch, lock_of(pipeline))
    session.run("INSERT INTO cdcd.seen (pipeline) VALUES (%s) ON DUPLICATE KEY UPDATE pipeline = pipeline", pipeline)
    return look(session, pipeline)


def look(session: Session, pipeline: str) -> tuple[Claim, str | None]:
    """What is stored, for its owner; and the checkpoint's text."""
    epoch, source, intent, finished = session.rows(
        "SELECT epoch, source, intent, finished FROM cdcd.epochs WHERE pipeline = %s", pipeline
    )[0]
    stored = session.row("SELECT checkpoint FROM cdcd.checkpoints WHERE pipeline = %s AND scope = ''", pipeline)
    found = Claim(
        epoch=epoch,
        checkpoint=as_written("checkpoints", lambda: {**json.loads(stored[0])} if stored else None),
        identity=as_written("epochs", lambda: Identity.from_json(json.loads(source)) if source else None),
        intent=as_written("epochs", lambda: {**json.loads(intent)}),
        tables=read_tables(session, pipeline),
        chunks=read_chunks(session, pipeline),
        finished=bool(finished),
    )
    return found, stored[0] if stored else None


def finished(session: Session, pipeline: str) -> bool:
    """Whether all that comes after the data was built. The control tables are there."""
    return session.row("SELECT 1 FROM cdcd.epochs WHERE pipeline = %s AND finished", pipeline) is not None


def read_tables(session: Session, pipeline: str) -> dict[str, Table]:
    rows = session.rows("SELECT definition FROM cdcd.tables WHERE pipeline = %s ORDER BY table_id", pipeline)
    tables = as_written("tables", lambda: [Table.from_json(json.loads(definition)) for (definition,) in rows])
    return {table.id: table for table in tables}


_CHUNKS = """
SELECT table_id, number, place, state, `rows`, bytes FROM cdcd.chunks WHERE pipeline = %s ORDER BY table_id, number
"""


def read_chunks(session: Session, pipeline: str) -> list[Chunk]:
    rows = session.rows(_CHUNKS, pipeline)
    return as_written("chunks", lambda: [_chunk(*row) for row in rows])


def _chunk(table: str, number: int, place: str, state: str, rows: int, size: int) -> Chunk:
    at = json.loads(place)
    low, high = (None if bound is None else tuple(bound) for bound in (at["low"], at["high"]))
    return Chunk(table, number, low, high, tuple(at["columns"]), State(state), rows, size)
