"""What is private of PyMySQL (version 1.2): the socket of a connection that has logged in, and its end.

PyMySQL speaks every authentication and TLS; after it the socket is read and written by our own code. At the end of a
command's answer PyMySQL's buffer is empty, as the server says nothing unasked.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ssl import SSLContext
from typing import TYPE_CHECKING, Any

import pymysql
from pymysql.constants import COMMAND

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

    Connection = pymysql.connections.Connection[Cursor]
else:
    Connection = pymysql.connections.Connection


def log_in(arguments: Mapping[str, Any], preferred: SSLContext | None) -> Connection:
    """As pymysql.connect; with `preferred`, under TLS where the server has it. PyMySQL itself would make a context for
    each connection, and read all of this machine's authorities into it: 30 ms of processor time."""
    if preferred is None:
        return pymysql.connect(**arguments)
    made: Any = pymysql.connect(**arguments, ssl_disabled=True, defer_connect=True)
    made.ssl, made.ctx = True, preferred
    made.connect()
    return made  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Result:
    """What one statement did: rows it touched (of a query: how many it gave), the rows that it gave, warnings."""

    count: int
    rows: tuple[tuple[Any, ...], ...]
    warnings: int


def results(connection: Connection, text: bytes) -> Iterator[Result]:
    """Run statements that travel in one packet; those after the first that fails are not run. To be read to its end."""
    made: Any = connection
    made.query(text)
    while True:
        done = made._result
        yield Result(done.affected_rows, tuple(done.rows or ()), done.warning_count)
        if not done.has_next:
            return
        made.next_result()


def send_file(connection: Connection, statement: bytes, data: Iterable[bytes]) -> Result:
    """Run a LOAD DATA LOCAL, whose file is `data`. PyMySQL is never told that files may be sent: it would send any
    file of this machine that a server asks for."""
    made: Any = connection
    made._execute_command(COMMAND.COM_QUERY, statement)
    asked = made._read_packet()
    if not asked.is_load_local_packet():
        raise pymysql.err.InternalError("the server did not ask for the rows of a LOAD DATA LOCAL")
    for piece in data:
        made._write_bytes(_packets(connection, piece))
    made.write_packet(b"")
    done = pymysql.connections.MySQLResult(connection)
    done._read_ok_packet(made._read_packet())  # type: ignore[attr-defined]
    return Result(int(done.affected_rows or 0), (), done.warning_count)


_PIECE = 1 << 16
"""Bytes of a packet of a file: less than any server's max_allowed_packet."""


def _packets(connection: Connection, data: bytes) -> bytes:
    """A piece of a file as packets, to be sent at once: whoever sends each by itself waits behind each for the
    interpreter, which another thread of ours may hold for 5 ms."""
    made: Any = connection
    parts: list[bytes] = []
    for start in range(0, len(data), _PIECE):
        part = data[start : start + _PIECE]
        parts += (len(part).to_bytes(3, "little"), bytes([made._next_seq_id]), part)
        made._next_seq_id = (made._next_seq_id + 1) % 256
    return b"".join(parts)


def server_version(connection: Connection) -> str:
    """As it greeted with."""
    return str(connection.get_server_info())  # type: ignore[no-untyped-call]


def socket_of(connection: Connection) -> socket.socket:
    """The connection's socket, an SSLSocket under TLS. PyMySQL still closes it."""
    found = connection._sock  # type: ignore[attr-defined]
    assert isinstance(found, socket.socket)
    return found


def number_of(connection: Connection) -> int:
    """The server's own number of the session: what KILL takes."""
    return int(connection.thread_id())  # type: ignore[no-untyped-call]


def cut(connection: Connection | None) -> None:
    """Shut the socket down under whoever waits on it, from any thread."""
    found = getattr(connection, "_sock", None)
    try:
        if isinstance(found, socket.socket):
            socket.socket.shutdown(found, socket.SHUT_RDWR)
    except OSError:
        pass  # it was closed at the same moment


def drop(connection: Connection | None) -> None:
    """Close at once, saying nothing to the server."""
    if connection is not None and connection.open:
        connection._force_close()  # type: ignore[attr-defined]
