"""The server's frames as bytes in one buffer, from a bare socket or through libpq's TLS: one shape for one decoder.

A frame is a kind byte, a big-endian int32 length that counts itself, and a body ("Message Formats" in the manual).
libpq logs in; after that its buffer is empty and, without encryption, the socket is read in large pieces here: a
message then costs a tenth of what a call of PQgetCopyData costs. With encryption libpq reads, and the bodies that
it gives are framed again.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Protocol

import psycopg
from psycopg import pq

from cdcd.errors import CdcdError, Unreachable
from cdcd.wake import Wake
from connectors.postgres.errors import named

PAD = b"\x7f" * 512
"""Follows the data, so that a struct may be unpacked near its end: a length made of these bytes is never complete."""

_PIECE = 1 << 18
PAUSE = 0.004
"""Seconds between two pieces of a busy stream. The server sends each message by itself, and each that wakes a sleeping
reader costs it twice what decoding the message did; so what is busy is read in larger pieces, as network cards moderate
their interrupts."""

_WINDOW = 1 << 15
"""The receive buffer asked for where the server is on this machine. The loopback makes no sender wait: each message
is a segment of its own, which doubles the walsender's work (7 µs of it for a transaction of one row, or 16); a window
that fills within a pause lets it put hundreds together, and what it held back follows at once when we read. Over a
network it must stay open."""

_ROOM = 1 << 20  # bytes taken after a pause: huge rows are not slowed by pauses
_LITTLE = 1 << 10
_BUSY = 16  # pieces that followed each other sooner than PAUSE: no single small transaction waits
_frame = struct.Struct(">ci")


class Wire(Protocol):
    """Where frames come from. `data[pos:limit]` is what has come and was not read; PAD follows it. `arrivals` grows
    with whatever comes, pieces of a frame that is not whole yet among it."""

    data: bytes
    pos: int
    limit: int
    arrivals: int

    def start(self, statement: str) -> None:
        """Send a statement that answers with COPY; raises what the server answers instead."""
        ...

    def more(self, timeout: float) -> bool:
        """Wait for at least one more whole frame; False: none came in time."""
        ...

    def send(self, body: bytes) -> None:
        """Send a CopyData frame, soon; what the server does not take now is sent by a later call."""
        ...

    def close(self) -> None: ...


def open_wire(conn: pq.abc.PGconn, wake: Wake, plain: bool) -> Wire:
    """The wire of a connection that has just logged in. `plain` False: encryption that libpq does not tell of."""
    if plain and not conn.ssl_in_use:
        return SocketWire(conn, wake)
    return LibpqWire(conn, wake)


class SocketWire:
    """libpq's socket, read by ourselves."""

    def __init__(self, conn: pq.abc.PGconn, wake: Wake) -> None:
        self._conn = conn  # libpq owns the descriptor: it lives as long as we do
        self._socket = socket.socket(fileno=os.dup(conn.socket))
        self._socket.setblocking(False)
        if _near(self._socket):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WINDOW)
        self._wake = wake
        self._parts: list[bytes] = []
        self._came = 0
        self._out = b""
        self._quick = 0  # pieces that came quickly, one after the other
        self._last = 0.0
        self.data, self.pos, self.limit = PAD, 0, 0
        self.arrivals = 0

    def start(self, statement: str) -> None:
        text = statement.encode() + b"\0"
        self._out += _frame.pack(b"Q", 4 + len(text)) + text
        while True:
            self._flush()
            while self.pos + 5 <= self.limit:
                kind, length = _frame.unpack_from(self.data, self.pos)
                end = self.pos + 1 + length
                if end > self.limit:
                    break
                body, self.pos = self.data[self.pos + 5 : end], end
                if kind in (b"W", b"H"):
                    return
                if kind == b"E":
                    raise server_error(body)
                if kind in (b"C", b"Z"):
                    raise Unreachable("the server did not start to copy", why=f"it answered {kind!r}")
            self.more(1.0)

    def more(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        missing = max(self._missing(), 1)
        while self._came < missing:
            try:
                piece = self._take()
            except BlockingIOError:
                if not self._wake.wait(self._socket.fileno(), select.POLLIN, deadline - time.monotonic()):
                    return False
                continue
            except OSError as error:
                self._wake.check()
                raise Unreachable(f"the connection to the server ended: {error}") from error
            if not piece:
                self._wake.check()
                raise Unreachable("the server closed the connection")
            self._parts.append(piece)
            self._came += len(piece)
            self.arrivals += 1
            if self._came < missing and time.monotonic() > deadline:
                return False  # a huge frame: what came of it is kept
        rest = self.data[self.pos : self.limit]
        self.data = b"".join((rest, *self._parts, PAD))
        self.pos, self.limit = 0, len(rest) + self._came
        self._parts, self._came = [], 0
        return True

    def _take(self) -> bytes:
        """What has come; of a busy stream, what comes within PAUSE."""
        busy = self._quick > _BUSY
        since = time.monotonic() - self._last
        if busy and since < PAUSE:
            time.sleep(PAUSE - since)
        piece = self._socket.recv(_PIECE)
        self._last = time.monotonic()
        if not busy:
            self._quick = self._quick + 1 if since < PAUSE else 0
        elif len(piece) > _LITTLE:
            self._quick = min(self._quick + 1, 2 * _BUSY)
            piece = b"".join((piece, *self._held_back(_ROOM - len(piece))))
        else:
            self._quick -= 1
        return piece

    def _held_back(self, room: int) -> Iterator[bytes]:
        """What else comes at once: each read opens the window that the sender waited for."""
        while room > 0:
            try:
                piece = self._socket.recv(room)
            except BlockingIOError:
                return
            if not piece:
                return  # the end, which the next read meets again
            room -= len(piece)
            yield piece

    def _missing(self) -> int:
        """How many bytes the frame at `pos` still wants; a huge one is joined once, not at each piece."""
        have = self.limit - self.pos
        if have < 5:
            return 5 - have
        return int(_frame.unpack_from(self.data, self.pos)[1]) + 1 - have

    def send(self, body: bytes) -> None:
        if not self._out:  # a reply that could not leave yet says enough
            self._out = _frame.pack(b"d", 4 + len(body)) + body
        self._flush()

    def _flush(self) -> None:
        try:
            while self._out:
                self._out = self._out[self._socket.send(self._out) :]
        except BlockingIOError:
            pass
        except OSError as error:
            self._wake.check()
            raise Unreachable(f"the connection to the server ended: {error}") from error

    def close(self) -> None:
        self._socket.close()


def _near(line: socket.socket) -> bool:
    """Whether the peer of a TCP connection is this machine."""
    if line.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    return ip_address(line.getpeername()[0]).is_loopback


class LibpqWire:
    """An encrypted connection: libpq reads and decrypts, its messages are framed as they were."""

    def __init__(self, conn: pq.abc.PGconn, wake: Wake) -> None:
        self._conn = conn
        self._wake = wake
        self._notices: list[bytes] = []
        self._over = False
        conn.notice_handler = self._notice
        self.data, self.pos, self.limit = PAD, 0, 0
        self.arrivals = 0

    def _notice(self, result: pq.abc.PGresult) -> None:
        """A NoticeResponse, as the frame that it was."""
        state = result.error_field(pq.DiagnosticField.SQLSTATE) or b""
        message = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b""
        body = b"C" + state + b"\0M" + message + b"\0\0"
        self._notices += (_frame.pack(b"N", 4 + len(body)), body)

    def start(self, statement: str) -> None:
        self._conn.send_query(statement.encode())
        while self._conn.flush():
            self._wait(select.POLLOUT, 1.0)
        while self._conn.is_busy():
            self._wait(select.POLLIN, 1.0)
            self._consume()
        result = self._conn.get_result()
        if result is None or result.status not in (pq.ExecStatus.COPY_BOTH, pq.ExecStatus.COPY_OUT):
            raise result_error(result, self._conn)

    def more(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while True:
            frames = self._frames()
            if frames:
                rest = self.data[self.pos : self.limit]
                self.data = b"".join((rest, *frames, PAD))
                self.pos, self.limit = 0, len(self.data) - len(PAD)
                return True
            if not self._wait(select.POLLIN, deadline - time.monotonic()):
                return False
            self._consume()

    def _frames(self) -> list[bytes]:
        frames: list[bytes] = []
        size = 0
        while size < _PIECE and not self._over:
            try:
                count, body = self._conn.get_copy_data(1)
            except psycopg.Error as error:
                raise self._ended(error) from error
            if count > 0 and body is not None:
                frames += (_frame.pack(b"d", 4 + count), bytes(body))
                size += count
            elif count == 0:
                break
            else:
                self._over = True
        if self._over and not frames:  # what came before the end is read first
            frames = self._end()
        notices, self._notices = self._notices, []
        return notices + frames

    def _end(self) -> list[bytes]:
        """The server ended its COPY: a CopyDone frame with what it reports, or its error."""
        result = self._conn.get_result()
        if result is not None and result.status == pq.ExecStatus.COMMAND_OK:
            text = (result.command_status or b"") + b"\0"
            return [_frame.pack(b"c", 4), _frame.pack(b"C", 4 + len(text)), text, _frame.pack(b"Z", 5), b"I"]
        raise result_error(result, self._conn)

    def _wait(self, events: int, timeout: float) -> bool:
        return self._wake.wait(self._conn.socket, events, timeout)

    def _consume(self) -> None:
        self.arrivals += 1
        try:
            self._conn.consume_input()
        except psycopg.Error as error:
            raise self._ended(error) from error

    def _ended(self, error: Exception) -> CdcdError:
        self._wake.check()
        return Unreachable(f"the connection to the server ended: {error}")

    def send(self, body: bytes) -> None:
        try:
            self._conn.put_copy_data(body)
            self._conn.flush()
        except psycopg.Error as error:
            raise self._ended(error) from error

    def close(self) -> None:
        pass


def server_error(body: bytes) -> CdcdError:
    """Our error for an ErrorResponse's body ("Error and Notice Message Fields")."""
    fields = {part[:1]: part[1:].decode("utf-8", "replace") for part in body.split(b"\0") if part}
    return named(fields.get(b"C"), fields.get(b"M", ""), fields.get(b"D", ""), fields.get(b"H", ""))


def result_error(result: pq.abc.PGresult | None, conn: pq.abc.PGconn) -> CdcdError:
    """Our error for a failed PGresult, or for a connection that gave none."""
    if result is None:
        return named(None, conn.get_error_message())

    def text(field: pq.DiagnosticField) -> str:
        return (result.error_field(field) or b"").decode("utf-8", "replace")

    state = text(pq.DiagnosticField.SQLSTATE)
    message = text(pq.DiagnosticField.MESSAGE_PRIMARY) or result.get_error_message()
    return named(
        state, message, text(pq.DiagnosticField.MESSAGE_DETAIL), text(pq.DiagnosticField.MESSAGE_HINT)
    )
