"""The server's packets as bytes in one buffer: what follows a dump command, or a query whose rows we read ourselves.

A packet is a little-endian length of three bytes, a number, and so many bytes; one of 16 MB less a byte goes on in the
next ("Protocol Basics" in the client/server protocol's reference). The socket, plain or under TLS, is read in large
pieces: a packet then costs a tenth of what PyMySQL's calls cost.
"""

from __future__ import annotations

import select
import ssl
import struct
import time

from cdcd.errors import Unreachable
from cdcd.wake import Wake
from connectors.mysql.errors import named
from connectors.mysql.login import Connection, drop, socket_of
from connectors.mysql.malformed import malformed

PAD = b"\x7f" * 32
"""Follows the data, so that a struct may be unpacked near its end: a length made of these bytes is never complete."""

LARGEST = 0xFFFFFF
"""The length of a packet that goes on in the next."""

_PIECE = 1 << 18
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Wire:
    """The packets of one connection that has logged in. `data[pos:limit]` is what has come and was not read, PAD
    follows it. `arrivals` grows with whatever comes."""

    def __init__(self, connection: Connection, wake: Wake) -> None:
        self._connection = connection  # owns the socket
        self._socket = socket_of(connection)
        self._socket.setblocking(False)
        self._wake = wake
        self._parts: list[bytes] = []
        self._came = 0
        self._over = False
        self.data, self.pos, self.limit = PAD, 0, 0
        self.arrivals = 0

    def command(self, body: bytes) -> None:
        """Send a command: shorter than a packet's bound, and after the last one was answered."""
        out = len(body).to_bytes(3, "little") + b"\0" + body
        while out:
            try:
                out = out[self._socket.send(out) :]
            except _NOT_NOW:
                self._wake.wait(self._socket.fileno(), select.POLLOUT, 1.0)
            except OSError as error:
                raise self._ended(str(error)) from error

    def packet(self, timeout: float = 3600.0) -> bytes:
        """The next packet's bytes, all its parts; raises what the server reports."""
        deadline = time.monotonic() + timeout
        while (whole := self.joined()) is None:
            if not self.more(deadline - time.monotonic()):
                raise Unreachable(f"the server has not answered within {timeout:g} s")
        if whole[:1] == b"\xff":
            raise server_error(whole)
        return whole

    def upcoming(self, timeout: float) -> int:
        """The first byte of the next packet, which stays where it is."""
        if self.limit - self.pos < 5 and not self.more(timeout):
            raise Unreachable(f"the server has not answered within {timeout:g} s")
        return self.data[self.pos + 4]

    def joined(self) -> bytes | None:
        """The packet at `pos`, all its parts in one; None: it has not come whole."""
        at, parts = self.pos, []
        while True:
            if at + 4 > self.limit:
                return None
            size = int.from_bytes(self.data[at : at + 3], "little")
            at += 4 + size
            if at > self.limit:
                return None
            parts.append(self.data[at - size : at])
            if size < LARGEST:
                break
        self.pos = at
        return b"".join(parts)

    def _missing(self) -> int:
        """How many bytes the packet at `pos` still wants, as far as can be told."""
        at = self.pos
        while at + 4 <= self.limit:
            size = int.from_bytes(self.data[at : at + 3], "little")
            at += 4 + size
            if size < LARGEST:
                return at - self.limit
        return at + 4 - self.limit

    def more(self, timeout: float) -> bool:
        """Wait for at least one more whole packet; False: none came in time."""
        deadline = time.monotonic() + timeout
        missing = self._missing()
        while True:
            piece = self._receive()
            if self._came >= missing and (piece is None or self._came >= _PIECE):
                self._join()
                missing = self._missing()
                if missing <= 0:
                    return True
            elif piece is None:
                left = deadline - time.monotonic()
                if not self._wake.wait(self._socket.fileno(), select.POLLIN, left) and left <= 0:
                    return False

    def _receive(self) -> bytes | None:
        """What is there; None: nothing now."""
        self._wake.check()
        try:
            piece = self._socket.recv(_PIECE)
        except _NOT_NOW:
            return None
        except OSError as error:
            raise self._ended(str(error)) from error
        if not piece:
            if self._came and not self._over:
                self._over = True  # what came before the end is read first
                return None
            raise self._ended("the server closed it")
        self._parts.append(piece)
        self._came += len(piece)
        self.arrivals += 1
        return piece

    def _join(self) -> None:
        """Put what has come behind what is there; a huge packet is joined when it is all here, not at each piece."""
        rest = self.data[self.pos : self.limit]
        self.data = b"".join((rest, *self._parts, PAD))
        self.pos, self.limit = 0, len(rest) + self._came
        self._parts, self._came = [], 0

    def _ended(self, why: str) -> Unreachable:
        self._wake.check()
        return Unreachable("the connection to the server ended", why=why)

    def release(self) -> None:
        """Give the connection back to PyMySQL: what was asked has been answered to its end."""
        self._socket.setblocking(True)

    def close(self) -> None:
        drop(self._connection)


_error = struct.Struct("<BH")


def server_error(packet: bytes) -> Exception:
    """Our error for an ERR packet: its number, perhaps # and a state of five characters, its words."""
    if len(packet) < 3:
        return malformed("an error without a number")
    _, number = _error.unpack_from(packet)
    text = packet[9:] if packet[3:4] == b"#" else packet[3:]
    return named(number, text.decode("utf-8", "replace"))


def ended(packet: bytes) -> Exception:
    """What a packet means that is no event."""
    if packet[:1] == b"\xff":
        return server_error(packet)
    if packet[:1] == b"\xfe":
        return Unreachable("the server ended the stream", why="it is shutting down, or the session was ended")
    return malformed(f"a packet that begins with {packet[:1]!r}")
