"""The one table from the servers' errors to ours: number → class and advice ("Error Message Reference").

Number 1236, the end of a dump, means ten things: its words decide, and words that are not known stop (MY-25).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pymysql

from cdcd.errors import (
    CdcdError,
    Conflict,
    Interrupted,
    LoginRefused,
    OtherServer,
    PoisonRow,
    SlotInUse,
    SlotLost,
    SnapshotLost,
    StateRefused,
    Stopped,
    Transient,
    Unexplained,
    Unreachable,
    UsageError,
)
from cdcd.wake import Wake

_Kind = tuple[type[CdcdError], str]

_LOGIN = "check user and password of the URL, and that the user may come from this host"
_GRANT = "grant the privilege that is named to cdcd's user"
_GROUP = (
    "the server's log says why its group refused the transaction: it is larger than "
    "group_replication_transaction_size_limit, or the member has left"
)
BY_NUMBER: dict[int, _Kind] = {
    1021: (Transient, "make room on the server's disk"),
    1040: (Transient, "raise max_connections"),
    1044: (Stopped, _GRANT),
    1047: (Transient, "the node has left its cluster, or takes no queries: SHOW STATUS LIKE 'wsrep%'"),
    1045: (LoginRefused, _LOGIN),
    1049: (UsageError, "check the database's name in the URL"),
    1048: (PoisonRow, "a column is NOT NULL at the target"),
    1053: (Unreachable, ""),
    1062: (Conflict, "a row with this key is at the target already"),
    1114: (Transient, "make room on the server's disk"),
    1142: (Stopped, _GRANT),
    1143: (Stopped, _GRANT),
    1152: (Unreachable, ""),
    1153: (Stopped, "raise max_allowed_packet at the server"),
    1184: (Unreachable, ""),
    1203: (Transient, "raise max_user_connections of cdcd's user"),
    1205: (Transient, ""),
    1213: (Transient, ""),
    1215: (Stopped, ""),
    1216: (Conflict, "a row that this one refers to is missing at the target"),
    1217: (Conflict, "a row at the target refers to this one"),
    1226: (Transient, "raise the limit of cdcd's user that is named"),
    1227: (Stopped, _GRANT),
    1251: (UsageError, "give the user another authentication plugin"),
    1264: (PoisonRow, ""),
    1265: (PoisonRow, ""),
    1290: (Transient, "the server is read only"),
    1292: (PoisonRow, ""),
    1305: (Transient, ""),
    1317: (Transient, "somebody ended the statement"),
    1364: (PoisonRow, "a column of the target is NOT NULL, has no default, and gets no value"),
    1366: (PoisonRow, ""),
    1367: (PoisonRow, ""),
    1370: (Stopped, _GRANT),
    1406: (PoisonRow, ""),
    1411: (PoisonRow, ""),
    1412: (SnapshotLost, ""),
    1416: (PoisonRow, ""),
    1451: (Conflict, "a row at the target refers to this one"),
    1452: (Conflict, "a row that this one refers to is missing at the target"),
    1526: (PoisonRow, "the table has no partition for it at the target"),
    1644: (PoisonRow, "a trigger at the target refused it"),
    1690: (PoisonRow, ""),
    1698: (LoginRefused, _LOGIN),
    1792: (Transient, "the server's transaction is read only"),
    1836: (Transient, "the server is read only"),
    1862: (LoginRefused, "the password has expired: ALTER USER … IDENTIFIED BY …"),
    1927: (Unreachable, ""),
    1969: (Transient, "somebody's max_statement_time ended the statement"),
    2003: (Unreachable, ""),
    2006: (Unreachable, ""),
    2013: (Unreachable, ""),
    2026: (UsageError, "check ssl-mode and the certificates that the URL names"),
    3098: (Stopped, "a group takes rows of InnoDB's tables with primary keys alone"),
    3100: (Unexplained, _GROUP),
    3101: (Transient, "another node of the group was first"),
    3140: (PoisonRow, ""),
    3141: (PoisonRow, ""),
    3144: (PoisonRow, ""),
    3156: (PoisonRow, ""),
    3819: (PoisonRow, "a CHECK of the target refuses it"),
    3024: (Transient, "somebody's max_execution_time ended the statement"),
    3118: (UsageError, "the user is locked: ALTER USER … ACCOUNT UNLOCK"),
    3159: (UsageError, "the server wants encryption: ssl-mode=REQUIRED"),
    4025: (PoisonRow, "a CHECK of the target refuses it"),
    4078: (PoisonRow, ""),
}
"""Anything else is Stopped: trying again would only repeat it."""

VOID = frozenset({1020, 1205, 1213, 1305, 1317, 1614, 1927, 1969, 2006, 2013, 3024, 3058, 3101})
"""After these the transaction is not what it was: all of it, or one statement, or its savepoints are gone, and what is
sent next would be committed without the rest (T-MT-7, T-MT-8)."""

PURGED = (
    "what is missing cannot be read any more: cdcd drop, then run again, which loads anew. SHOW GLOBAL VARIABLES LIKE "
    "'%expire_logs%' tells for how long the server keeps its log, SET GLOBAL binlog_expire_logs_seconds = 604800 keeps "
    "it for a week"
)
"""The way out where a server has removed what was not read."""

UNKNOWN = 1105
"""What has no number of its own."""

NO_SUCH_TABLE = 1146

ENDED = (1236, 4052)
"""The end of a dump; MariaDB has a number of its own for the reader that took another's place."""

_HISTORY = "its log has not the history that the checkpoint was made with: was it reset, restored, or rewritten?"
_DAMAGED = (
    "the log is damaged there, or was never asked for at that place: mysqlbinlog --verify-binlog-checksum "
    "(mariadb-binlog) shows it; what is behind it is to be had by cdcd drop alone, then run again, which loads anew"
)
DUMP: tuple[tuple[re.Pattern[str], _Kind], ...] = (
    (re.compile(r"purged|could not find first log file|could not find gtid state", re.I), (SlotLost, PURGED)),
    (
        re.compile(r"same server_(uuid|id)", re.I),
        (SlotInUse, "another reader took this one's place: stop it, or give one of the pipelines another name"),
    ),
    (
        re.compile(r"more gtids than|not in the \w+'s binlog|position (> file size|< 4)|impossible position", re.I),
        (OtherServer, _HISTORY),
    ),
    (
        re.compile(r"max_allowed_packet", re.I),
        (Stopped, "raise max_allowed_packet at the source; where it is large enough, the log is damaged there"),
    ),
    (
        re.compile(r"bogus data|crc check|corrupt|checksum|truncated in the|decrypt|error reading|read error", re.I),
        (Stopped, _DAMAGED),
    ),
    (
        re.compile(r"auto_position|anonymous|gtid_mode", re.I),
        (StateRefused, "gtid_mode is not what it was: set it again, or cdcd drop, then run again, which loads anew"),
    ),
    (re.compile(r"binary log is not open", re.I), (Stopped, "the server keeps no log: start it with --log-bin")),
    (re.compile(r"server_id was not set|server_id .* 0", re.I), (Stopped, "give the server a server_id that is not 0")),
    (re.compile(r"memory allocation", re.I), (Transient, "the server is out of memory")),
    (re.compile(r"shutdown|closing the connection", re.I), (Unreachable, "")),
)
"""What ends a dump, by its words (rpl_binlog_sender.cc, MariaDB's sql_repl.cc); the first that fits."""

_SHOWS_VALUE = re.compile(r"(?<!column )(?<!key )(?<!constraint )'(?:[^'\\]|\\.)*'")


def named(number: int, message: str, **where: object) -> CdcdError:
    """Our error for one of the server's."""
    text = " ".join(message.split())
    if number in ENDED:
        for words, (kind, advice) in DUMP:
            if words.search(text):
                return kind(f"the server ended the stream: {text}", why="", hint=advice, errno=number, **where)
        unknown = "report this with the server's version; the position is unchanged"
        return Stopped(f"the server ended the stream: {text}", why="", hint=unknown, errno=number, **where)
    kind, advice = BY_NUMBER.get(number, (Stopped, ""))
    if number == UNKNOWN and "writeset size" in text:
        advice = "a transaction is larger than its cluster takes: raise wsrep_max_ws_size, which is at most 2 GB"
    if issubclass(kind, PoisonRow | Conflict):
        text = _SHOWS_VALUE.sub("'…'", text)  # a value belongs into no log
    return kind(text or "the connection to the server ended", why="", hint=advice, errno=number or None, **where)


def translate(error: BaseException, **where: object) -> CdcdError:
    """Our error for what PyMySQL or the operating system raised; one of ours is returned as it is."""
    if isinstance(error, CdcdError):
        return error
    if isinstance(error, pymysql.err.MySQLError):
        number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
        message = str(error.args[1]) if len(error.args) > 1 else str(error)
        if isinstance(error, pymysql.err.InterfaceError) or number == 0:
            return Unreachable("the connection to the server ended", why=message, hint="", **where)
        return named(number, message, **where)
    if isinstance(error, OSError):
        return Unreachable(f"the connection to the server ended: {error}", why="", hint="", **where)
    return CdcdError(f"{type(error).__name__}: {error}", why="", hint="", **where)


def at_source(error: BaseException, **where: object) -> CdcdError:
    """As `translate`. Of a table that is gone the log tells whoever goes on with it, so that is no reason to stop."""
    ours = translate(error, **where)
    if ours.where.get("errno") != NO_SUCH_TABLE:
        return ours
    return Transient(ours.what, why="it was dropped or renamed while we looked at it", hint="", **ours.where)


@contextmanager
def translating(wake: Wake | None = None, **where: object) -> Iterator[None]:
    """Errors of PyMySQL and of sockets at a source leave the block as ours: Interrupted, where that is why."""
    try:
        yield
    except (pymysql.err.MySQLError, OSError) as error:
        if wake is not None and wake.is_set:
            raise Interrupted("told to stop") from error
        raise at_source(error, **where) from error
