"""A binlog made by hand: events as the server would send them, without checksums, and a wire that holds them."""

from __future__ import annotations

import struct
from uuid import UUID

from cdcd.model.table import Column, Table
from cdcd.model.types import LogicalType
from connectors.memory import form as text_form
from connectors.mysql.collations import Collations
from connectors.mysql.definitions import Definitions
from connectors.mysql.fields import choose
from connectors.mysql.gtid import NOTHING
from connectors.mysql.position import Domains, Gtids, Last, Place
from connectors.mysql.server import Server
from connectors.mysql.stream import Stream
from connectors.mysql.wire import PAD

ORIGIN = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
TABLE = Table(
    "d", "t",
    (
        Column("id", 1, LogicalType("int32"), "int", nullable=False),
        Column("v", 2, LogicalType("text", length=10), "varchar(10)", collation="utf8mb4_bin"),
        Column("n", 3, LogicalType("decimal", precision=10, scale=2), "decimal(10,2)"),
        Column("at", 4, LogicalType("timestamp", precision=6), "datetime(6)"),
        Column("j", 5, LogicalType("json"), "json"),
        Column("e", 6, LogicalType("enum", labels=("a", "b")), "enum('a','b')"),
    ),
    ("id",),
)  # fmt: skip
TYPES = bytes([3, 15, 246, 18, 245, 254])
METADATA = bytes([40, 0, 10, 2, 6, 4, 247, 1])


class Held:
    """A wire with all there will ever be."""

    def __init__(self, data: bytes) -> None:
        self.data, self.pos, self.limit = data + PAD, 0, len(data)
        self.arrivals = 0

    def joined(self) -> bytes | None:
        at, parts = self.pos, []
        while at + 4 <= self.limit:
            size = int.from_bytes(self.data[at : at + 3], "little")
            at += 4 + size
            if at > self.limit:
                return None
            parts.append(self.data[at - size : at])
            if size < 0xFFFFFF:
                self.pos = at
                return b"".join(parts)
        return None


def event(kind: int, body: bytes, flags: int = 0) -> bytes:
    """An event's bytes."""
    return struct.pack("<IBIIIH", 1_700_000_000, kind, 1, 19 + len(body), 0, flags) + body


def ends_at(made: bytes, end: int) -> bytes:
    """The event, at a place in its file: four bytes of it."""
    return made[:13] + struct.pack("<I", end & 0xFFFFFFFF) + made[17:]


def rotate(file: str, at: int) -> bytes:
    return event(4, struct.pack("<Q", at) + file.encode())


def packet(made: bytes) -> bytes:
    return (len(made) + 1).to_bytes(3, "little") + b"\0\0" + made


def gtid(number: int) -> bytes:
    return event(33, b"\0" + UUID(ORIGIN).bytes + struct.pack("<qBqq", number, 2, 0, 0) + bytes(14))


def no_gtid(number: int) -> bytes:
    """What a transaction begins with at a server without GTIDs; committed at another time than others."""
    return event(34, bytes(17) + struct.pack("<qBqq", 0, 2, 0, 0) + number.to_bytes(7, "little") + bytes(7))


def begin() -> bytes:
    return event(2, struct.pack("<IIBHH", 1, 0, 1, 0, 0) + b"d\0BEGIN")


def table_map(metadata: bytes = METADATA) -> bytes:
    names = b"\x01d\0\x01t\0"
    return event(19, b"\x07" + bytes(7) + names + bytes([6]) + TYPES + bytes([len(metadata)]) + metadata + b"\x3e")


def rows(kind: int, *images: bytes) -> bytes:
    """A rows event of version 2, all columns present."""
    bitmaps = b"\x3f" * (2 if kind == 31 else 1)
    return event(kind, b"\x07" + bytes(7) + b"\x02\0" + b"\x06" + bitmaps + b"".join(images))


def image(number: int, text: bytes = b"abc") -> bytes:
    """A row: nothing is NULL; the two bits behind the last column's are set."""
    json = b"\x05\x07\0"  # a small integer
    return (
        b"\xc0" + struct.pack("<i", number) + bytes([len(text)]) + text + b"\x80\0\0\x01\x19"
        + bytes.fromhex("99b2ba7b38000001") + struct.pack("<I", len(json)) + json + b"\x02"
    )  # fmt: skip


def xid() -> bytes:
    return event(16, bytes(8))


def transaction(number: int) -> list[bytes]:
    return [
        gtid(number), begin(), table_map(), rows(30, image(1), image(2)), rows(31, image(1), image(1, b"new")),
        rows(32, image(2)), xid(),
    ]  # fmt: skip


def stream(bound: int = 1 << 20, place: Place | None = None, again: Last | None = None) -> Stream:
    """Of MySQL, or from a place of MariaDB."""
    mariadb = isinstance(place, Domains)
    server = Server(mariadb, (10, 11, 0) if mariadb else (9, 7, 0), ORIGIN, True, False)
    collations = Collations({45: "utf8mb4_general_ci"}, {"utf8mb4_general_ci": "utf8mb4"}, {})
    definitions = Definitions(server, lambda: collations, lambda _: None, {})
    begun = Gtids(NOTHING) if place is None else place
    return Stream(begun, {TABLE.id: choose([text_form.form(TABLE)])}, bound, definitions, sums=False, again=again)
