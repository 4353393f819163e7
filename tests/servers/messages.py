"""The framing of PostgreSQL's protocol, as much of it as a proxy needs to see message by message."""

import struct
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

SSL_REQUEST = 80877103
GSS_REQUEST = 80877104
CANCEL_REQUEST = 80877102


class Direction(Enum):
    TO_SERVER = "to server"
    TO_CLIENT = "to client"


@dataclass(frozen=True)
class Message:
    """One message. `kind` is its type byte as text, or "" for what comes before the session has begun."""

    direction: Direction
    kind: str
    body: bytes
    raw: bytes
    connection: int
    """Number of the connection, from 1."""
    parameters: dict[str, str]
    """The connection's startup parameters, e.g. user, database, application_name, replication."""
    turn: int
    """Which of the session's answers (each ends with ReadyForQuery) this belongs to, on either side."""

    @property
    def sql(self) -> str:
        """The text of a Query or Parse message, else nothing."""
        if self.direction is Direction.TO_SERVER and self.kind == "Q":
            return self.body.split(b"\0")[0].decode(errors="replace")
        if self.direction is Direction.TO_SERVER and self.kind == "P":
            return self.body.split(b"\0")[1].decode(errors="replace")
        return ""


class Speaking(Protocol):
    """What both directions of one connection know."""

    parameters: dict[str, str]

    def take(self, direction: Direction, inbox: bytearray) -> Message | None:
        """Cut the next whole message from the inbox."""


@dataclass
class Session:
    """What both directions of one connection know: whether it has begun, and the answers due and given."""

    number: int
    parameters: dict[str, str] = field(default_factory=dict)
    begun: bool = False
    opaque: bool = False
    """Encrypted, or a cancel request: bytes are passed on as they are."""
    byte_due: bool = False
    """The server owes the one byte that answers an SSL or GSS request."""
    asked: int = 0
    answered: int = 0

    def take(self, direction: Direction, inbox: bytearray) -> Message | None:
        """Cut the next whole message from the inbox."""
        if self.opaque:
            return self._cut(direction, inbox, "", len(inbox), 0) if inbox else None
        if direction is Direction.TO_CLIENT and self.byte_due:
            return self._encryption(inbox)
        if direction is Direction.TO_SERVER and not self.begun:
            return self._startup(inbox)
        if len(inbox) < 5:
            return None
        size = 1 + int(struct.unpack_from("!I", inbox, 1)[0])
        if len(inbox) < size:
            return None
        kind = chr(inbox[0])
        message = self._cut(direction, inbox, kind, size, 5)
        if direction is Direction.TO_SERVER and kind in "QSF":
            self.asked += 1
        if direction is Direction.TO_CLIENT and kind == "Z":
            self.answered += 1
        return message

    def _cut(self, direction: Direction, inbox: bytearray, kind: str, size: int, head: int) -> Message:
        raw = bytes(inbox[:size])
        del inbox[:size]
        turn = (self.asked if direction is Direction.TO_SERVER else self.answered) + 1
        return Message(direction, kind, raw[head:], raw, self.number, self.parameters, turn)

    def _encryption(self, inbox: bytearray) -> Message | None:
        if not inbox:
            return None
        self.byte_due = False
        self.opaque = inbox[0] in b"SG"
        return self._cut(Direction.TO_CLIENT, inbox, "", 1, 0)

    def _startup(self, inbox: bytearray) -> Message | None:
        if len(inbox) < 8:
            return None
        size, code = struct.unpack_from("!II", inbox)
        if len(inbox) < size:
            return None
        message = self._cut(Direction.TO_SERVER, inbox, "", size, 8)
        if code in (SSL_REQUEST, GSS_REQUEST):
            self.byte_due = True
        elif code == CANCEL_REQUEST:
            self.opaque = True
        else:
            words = [word.decode(errors="replace") for word in message.body.split(b"\0")]
            self.parameters.update(zip(words[0::2], words[1::2], strict=False))
            self.begun = True
            self.asked = 1
        return message
