"""What is durable at the server: at COMMIT, where it flushes then; else what its log was flushed up to (T-MT-15)."""

from __future__ import annotations

import time
from dataclasses import dataclass

from cdcd.errors import Transient, Unreachable
from connectors.mysql.sessions import Session

_SETTINGS = "SELECT @@GLOBAL.innodb_flush_log_at_trx_commit = 1 AND (@@GLOBAL.sync_binlog = 1 OR NOT @@GLOBAL.log_bin)"

_PLACES = {True: ("Innodb_lsn_current", "Innodb_lsn_flushed"),
           False: ("Innodb_redo_log_current_lsn", "Innodb_redo_log_flushed_to_disk_lsn")}  # fmt: skip
"""Status variables: where the log ends, and up to where it is flushed. MySQL has them from 8.0.30 on."""

AFTER = _SETTINGS
"""Sent with each COMMIT: the settings may be changed at any time."""

FLUSHED = 10.0
"""Seconds; InnoDB flushes each second where it does not at each commit."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """`number` counts the commits of the session that gave it; `at_once`: the server had flushed when it answered."""

    session: Session
    number: int
    at_once: bool


class Durable:
    """Of one session's commits. Rows are durable when the server's log is flushed up to a place that it had reached
    after their COMMIT was answered; the binary log plays no part in that, as a server that lost its end goes by the
    engine's log."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._given = 0
        self._durable = 0
        self._marks: list[tuple[int, int]] = []  # (commit, a place in the log that is behind it), both ascending

    def ticket(self, at_once: bool) -> Ticket:
        self._given += 1
        return Ticket(self._session, self._given, at_once)

    def holds(self, ticket: Ticket) -> bool:
        if ticket.session is not self._session:
            raise Unreachable("the session that gave the ticket has ended", why="the server may have crashed since")
        if ticket.at_once or ticket.number <= self._durable:
            return True
        current, flushed = read_places(self._session)
        if not self._marks or self._marks[-1][0] < self._given:
            self._marks.append((self._given, current))
        while self._marks and self._marks[0][1] <= flushed:
            self._durable = self._marks.pop(0)[0]
        return ticket.number <= self._durable


def read_places(session: Session) -> tuple[int, int]:
    """(end of the log, flushed up to); (1, 0) where the server does not say: nothing is ever durable then, which
    `check` refuses."""
    names = _PLACES[session.mariadb]
    found = {
        name.lower(): int(value)
        for name, value in session.rows(f"SHOW GLOBAL STATUS WHERE Variable_name IN ('{names[0]}', '{names[1]}')")
    }
    return found.get(names[0].lower(), 1), found.get(names[1].lower(), 0)


def wait_flushed(session: Session) -> None:
    """Until what was committed before this call survives a crash of the server."""
    if session.rows(AFTER)[0][0]:
        return
    reached, flushed = read_places(session)
    until = time.monotonic() + FLUSHED
    while flushed < reached:
        if time.monotonic() > until:
            raise Transient(f"the server has not flushed its log in {FLUSHED:.0f} s")
        time.sleep(0.1)
        _, flushed = read_places(session)
