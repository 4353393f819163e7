"""The framing of MySQL's protocol, as much of it as a proxy needs to see message by message; not under TLS."""

from dataclasses import dataclass, field

from tests.servers.messages import Direction, Message

_MORE = 8
"""SERVER_MORE_RESULTS_EXISTS."""


@dataclass(frozen=True)
class Packet(Message):
    """One packet. `kind` is "Q" of a query, "Z" of what may end an answer, else ""."""

    @property
    def sql(self) -> str:
        return self.body[1:].decode(errors="replace") if self.kind == "Q" else ""


@dataclass
class Packets:
    """Both directions of one connection: packets, and the answers due and given."""

    number: int
    parameters: dict[str, str] = field(default_factory=dict)
    asked: int = 0

    def take(self, direction: Direction, inbox: bytearray) -> Message | None:
        """Cut the next packet from the inbox."""
        if len(inbox) < 4:
            return None
        size = 4 + int.from_bytes(inbox[:3], "little")
        if len(inbox) < size:
            return None
        raw = bytes(inbox[:size])
        del inbox[:size]
        kind = ""
        if direction is Direction.TO_SERVER and raw[3] == 0:
            self.asked += 1
            kind = "Q" if raw[4:5] == b"\x03" else ""
        elif direction is Direction.TO_CLIENT and _ends(raw[4:]):
            kind = "Z"
        return Packet(direction, kind, raw[4:], raw, self.number, self.parameters, self.asked)


def _ends(body: bytes) -> bool:
    """An OK or EOF after which no more results come, or an error."""
    if body[:1] == b"\xfe" and len(body) < 9:
        return not body[3] & _MORE
    if body[:1] == b"\0" and len(body) >= 7:
        at = 1
        for _ in range(2):
            at += {0xFC: 3, 0xFD: 4, 0xFE: 9}.get(body[at], 1)
        return not body[at] & _MORE
    return body[:1] == b"\xff"
