"""The one table from PostgreSQL's errors to ours: SQLSTATE → class and advice ("PostgreSQL Error Codes").

Where one SQLSTATE means different things, the caller that knows the statement decides (slots: slot.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2

from cdcd.errors import (
    CdcdError,
    Conflict,
    LoginRefused,
    PoisonRow,
    SnapshotLost,
    Stopped,
    Transient,
    Unexplained,
    Unreachable,
    UsageError,
)

_Kind = tuple[type[CdcdError], str]

BY_STATE: dict[str, _Kind] = {
    "25006": (Transient, "the server is read only: a standby, or default_transaction_read_only is on"),
    "25P03": (Transient, "the server ended an idle transaction of ours"),
    "25P04": (Transient, "the server ended a long transaction of ours"),
    "23503": (Conflict, "a row that this one refers to is missing at the target"),
    "23505": (Conflict, "a row with this key is at the target already"),
    "23P01": (Conflict, "a row at the target excludes this one"),
    "28000": (LoginRefused, "check user, pg_hba.conf and TLS settings of the server"),
    "28P01": (LoginRefused, "check the password in the URL, .pgpass or PGPASSWORD"),
    "3D000": (UsageError, "check the database name in the URL"),
    "42501": (Stopped, "grant the right that is named to cdcd's role"),
    "53100": (Transient, "make room on the server's disk"),
    "53300": (Transient, "raise max_connections, or give cdcd's role a reserved connection"),
    "53400": (Transient, "raise the setting that is named"),
    "55P03": (Transient, ""),
    "57014": (Transient, "somebody cancelled the statement"),
    "57P01": (Unreachable, ""),
    "57P02": (Unreachable, ""),
    "57P03": (Unreachable, ""),
    "57P04": (Stopped, "the database was dropped"),
    "57P05": (Unreachable, ""),
    "72000": (SnapshotLost, ""),
    "XX000": (Unexplained, "the server's log tells more"),
    "XX001": (Stopped, "the server's data are damaged: its log tells more"),
    "XX002": (Stopped, "an index of the server is damaged: REINDEX"),
}
"""Whole SQLSTATEs, asked first."""

BY_CLASS: dict[str, _Kind] = {
    "08": (Unreachable, ""),
    "0A": (Stopped, ""),
    "21": (PoisonRow, ""),
    "22": (PoisonRow, ""),
    "23": (PoisonRow, ""),
    "28": (LoginRefused, ""),
    "40": (Transient, ""),
    "44": (PoisonRow, ""),
    "53": (Transient, ""),
    "54": (PoisonRow, "the value or row is beyond a limit of the server"),
    "57": (Transient, ""),
    "58": (Transient, "the server's log tells more"),
    "P0": (PoisonRow, "a function or trigger at the server refused it"),
}
"""Their first two characters, asked next; anything else is Stopped: trying again would only repeat it."""

WITHOUT_STATE: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"password authentication failed|no password supplied|fe_sendauth"), "28P01"),
    (re.compile(r"no pg_hba\.conf entry|role \".*\" does not exist|not permitted to log in"), "28000"),
    (re.compile(r"must be superuser or replication role|permission denied to start WAL sender"), "42501"),
    (re.compile(r"permission denied for database"), "42501"),
    (re.compile(r"database \".*\" does not exist"), "3D000"),
    (re.compile(r"too many clients|too many connections|remaining connection slots"), "53300"),
    (re.compile(r"number of requested standby connections exceeds"), "53300"),
    (re.compile(r"invalid (connection option|sslmode|port number)|root certificate file"), "28000"),
)
"""A refused login has no SQLSTATE in libpq, only words; all other words mean Unreachable."""


SHOWS_ROW = {"23502", "23514", "44000"}
"""Their detail is the whole row ("Failing row contains …"), which belongs into no log (OP-13)."""


_QUOTED = re.compile(r'(: |\bvalue )".*"', re.DOTALL)


def _hidden(state: str, text: str) -> str:
    """Without the value that the server could not read: it belongs into no log either."""
    return _QUOTED.sub(r'\1"…"', text) if state.startswith("22") else text


def named(
    state: str | None, message: str, detail: str = "", hint: str = "", **where: object
) -> CdcdError:
    """Our error for one of the server's, given its fields."""
    if not state:
        state = next((state for pattern, state in WITHOUT_STATE if pattern.search(message)), "08000")
    kind, advice = BY_STATE.get(state) or BY_CLASS.get(state[:2]) or (Stopped, "")
    what = " ".join(_hidden(state, message).split()) or "the connection to the server ended"
    shown = state if state != "08000" else None
    why = "" if state in SHOWS_ROW or state.startswith("22") else detail
    return kind(what, why=why, hint=advice or hint, sqlstate=shown, **where)


def translate(error: BaseException, **where: object) -> CdcdError:
    """Our error for what psycopg2 or the operating system raised; one of ours is returned as it is."""
    if isinstance(error, CdcdError):
        return error
    if isinstance(error, psycopg2.Error):
        diag = error.diag
        message = diag.message_primary or str(error)
        # The driver's own complaints about a call (no SQLSTATE, no connection) are bugs of ours, not outages.
        if error.pgcode is None and isinstance(error, psycopg2.ProgrammingError | psycopg2.NotSupportedError):
            return CdcdError(message, why="the driver refused a call: a bug in cdcd", hint="", **where)
        return named(error.pgcode, message, diag.message_detail or "", diag.message_hint or "", **where)
    if isinstance(error, OSError):
        return Unreachable(f"the connection to the server ended: {error}", why="", hint="", **where)
    return CdcdError(f"{type(error).__name__}: {error}", why="", hint="", **where)


@contextmanager
def translating(**where: object) -> Iterator[None]:
    """Errors of psycopg2 and of sockets that leave the block do so as ours."""
    try:
        yield
    except (psycopg2.Error, OSError) as error:
        raise translate(error, **where) from error
