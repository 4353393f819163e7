"""What is private of PyMySQL (versions 1.1 and 1.2): the socket of a connection that has logged in, and its end.

PyMySQL speaks every authentication and TLS; after it the socket is read and written by our own code. At the end of a
command's answer PyMySQL's buffer is empty, as the server says nothing unasked.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pymysql

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

    Connection = pymysql.connections.Connection[Cursor]
else:
    Connection = pymysql.connections.Connection


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
