"""The events of the log that say where it stands and where transactions begin and end, taken apart (the classes of
libs/mysql/binlog/event in MySQL's source, "Replication Protocol" in MariaDB's documentation)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

import zstandard

from connectors.mysql.malformed import malformed
from connectors.mysql.tablemap import length

QUERY, STOP, ROTATE, INTVAR, RAND, USER_VAR, FORMAT, XID = 2, 3, 4, 5, 13, 14, 15, 16
TABLE_MAP, HEARTBEAT, IGNORABLE, ROWS_QUERY = 19, 27, 28, 29
WRITE, UPDATE, DELETE = 30, 31, 32
WRITE_V1, UPDATE_V1, DELETE_V1 = 23, 24, 25
GTID, ANONYMOUS_GTID, PREVIOUS_GTIDS, TRANSACTION_CONTEXT, VIEW_CHANGE, XA_PREPARE = 33, 34, 35, 36, 37, 38
PARTIAL_UPDATE, PAYLOAD, HEARTBEAT_V2, GTID_TAGGED = 39, 40, 41, 42
ANNOTATE, BINLOG_CHECKPOINT, MARIADB_GTID, GTID_LIST, START_ENCRYPTION = 160, 161, 162, 163, 164
QUERY_COMPRESSED = 165
COMPRESSED = {166: WRITE_V1, 167: UPDATE_V1, 168: DELETE_V1, 169: WRITE, 170: UPDATE, 171: DELETE}
"""MariaDB's compressed rows events, and what they hold."""

SILENT = frozenset(
    {STOP, HEARTBEAT, HEARTBEAT_V2, IGNORABLE, ROWS_QUERY, PREVIOUS_GTIDS, TRANSACTION_CONTEXT, VIEW_CHANGE, INTVAR}
    | {RAND, USER_VAR, ANNOTATE, BINLOG_CHECKPOINT, GTID_LIST, START_ENCRYPTION}
)
"""Events that change no row. A statement that INTVAR, RAND and USER_VAR belong to is seen as such."""

MADE_UP = frozenset({ROTATE, FORMAT, HEARTBEAT, HEARTBEAT_V2, GTID_LIST})
"""Events that a server may make up for its reader, and which then stand nowhere in a file."""

IGNORABLE_FLAG = 0x80
CRC32 = 1

_query = struct.Struct("<IIBHH")
_mariadb = struct.Struct("<QIB")
STANDALONE, PREPARED_XA, COMPLETED_XA = 1, 64, 128
"""Flags of MariaDB's GTID: the transaction is the one event that follows; parts of a two-phase one."""


@dataclass(frozen=True, slots=True)
class Query:
    """A statement, its default database, and what of its session its meaning depends on: sql_mode, the collations (by
    number, 0: not told) of the client and of utf8mb4 alone, MariaDB's flags, explicit_defaults_for_timestamp. `idle`:
    it only announces that it begins, or tells that it came to nothing (binlog_alter_two_phase). `touched`: databases of
    the tables that it changed, by triggers and functions too; None: not told."""

    database: str
    raw: bytes
    sql_mode: int = 0
    charset: int = 0
    utf8mb4: int = 0
    flags: int = 0
    explicit: bool = True
    idle: bool = False
    touched: tuple[str, ...] | None = None

    @property
    def text(self) -> str:
        return self.raw.decode("utf-8", "replace")


def query(body: bytes, compressed: bool = False) -> Query:
    """From the event's body."""
    _, _, size, _, wide = _query.unpack_from(body)
    at = _query.size + wide
    text = body[at + size + 1 :]
    if compressed:
        text = inflated(text)
    told = dict(_variables(body[_query.size : at]))
    return Query(
        body[at : at + size].decode("utf-8", "replace"), text,
        sql_mode=_small(told.get(1, b"")), charset=_small(told.get(4, b"")[:2]), utf8mb4=_small(told.get(18, b"")),
        flags=_small(told.get(0, b"")), explicit=told.get(16, b"\1") != b"\0",
        idle=bool(_small(told.get(130, b"")[:1]) & (2 | 8)),
        touched=tuple(told[12][1:-1].decode().split("\0")) if told.get(12, b"\xfe")[0] < 254 else None,
    )  # fmt: skip


_SIZES = {0: 4, 1: 8, 3: 4, 4: 6, 7: 2, 8: 2, 9: 8, 10: 4, 13: 3, 16: 1, 17: 8, 18: 2, 19: 1, 20: 1, 128: 3, 129: 8}
"""Bytes of a statement's variables (Query_log_event in libs/mysql/binlog/event/statement_events.h, and MariaDB's)."""


def _variables(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and value; up to the first that is not known, as the servers read them."""
    at = 0
    while at < len(data):
        number, at = data[at], at + 1
        if number in _SIZES:
            size = _SIZES[number]
        elif number in (2, 5, 6, 11):  # texts, one with a zero behind it, one twice
            size = 1 + data[at] + (number == 2)
            size += 1 + data[at + size] if number == 11 else 0
        elif number == 12:  # names, each with a zero behind it
            size = 1
            for _ in range(data[at] if data[at] != 254 else 0):
                size = data.index(0, at + size) + 1 - at
        elif number == 130:
            size = 9 if data[at] & (4 | 8) else 1
        else:
            return
        yield number, data[at : at + size]
        at += size


def _small(data: bytes) -> int:
    return int.from_bytes(data, "little")


def rotate(body: bytes) -> tuple[str, int]:
    """The next file's name, and where in it."""
    return body[8:].decode(), int.from_bytes(body[:8], "little")


def checksum(body: bytes) -> int:
    """The algorithm that a format description names; `body` with the four bytes of its own sum."""
    if len(body) < 62:
        raise malformed("a format description that is cut short")
    return body[-5]


def mariadb_gtid(body: bytes) -> tuple[int, int, int]:
    """Domain, number, flags."""
    number, domain, flags = _mariadb.unpack_from(body)
    return domain, number, flags


def stamp(body: bytes) -> int:
    """When a transaction of MySQL was first committed, microseconds since 1970, of the GTID event's body: 55 bits of
    this server's commit, and if their upper bit is set the first one's behind. 0: a server that does not tell."""
    at = 1 + 16 + 8 + 1 + 16
    if len(body) < at + 7:
        return 0
    now = int.from_bytes(body[at : at + 7], "little")
    return int.from_bytes(body[at + 7 : at + 14], "little") if now >> 55 else now


@dataclass(frozen=True, slots=True)
class Tagged:
    """A GTID with its tag. `origin` is `UUID` or `UUID:tag`."""

    origin: str
    number: int
    stamp: int


def tagged_gtid(body: bytes) -> Tagged:
    """Fields by number, each of whole numbers in as many bytes as they want (libs/mysql/serialization)."""
    _, at = _number(body, 0)
    _, at = _number(body, at)
    _, at = _number(body, at)
    uuid, tag, number, first, now = b"", "", 0, 0, 0
    while at < len(body):
        field, at = _number(body, at)
        if field == 1:
            digits = []
            for _ in range(16):
                digit, at = _number(body, at)
                digits.append(digit)
            uuid = bytes(digits)
        elif field == 3:
            size, at = _number(body, at)
            tag = body[at : at + size].decode()
            at += size
        else:
            value, at = _number(body, at)
            if field == 2:
                number = value >> 1  # its lowest bit is the sign
            elif field == 6:
                now = value
            elif field == 7:
                first = value
    if len(uuid) != 16 or number <= 0:
        raise malformed("a GTID without its number")
    return Tagged(f"{UUID(bytes=uuid)}{':' + tag if tag else ''}", number, first or now)


def _number(body: bytes, at: int) -> tuple[int, int]:
    """As many ones as end the first byte, so many bytes follow it."""
    more = 0
    while more < 8 and body[at] >> more & 1:
        more += 1
    whole = int.from_bytes(body[at : at + 1 + more], "little")
    if at + 1 + more > len(body):
        raise malformed("a number that is cut short")
    return whole >> min(more + 1, 8), at + 1 + more


def payload(body: bytes, most: int) -> bytes:
    """The events of a compressed transaction; malformed where they are more than `most` bytes."""
    kind, size, at = 0, 0, 0
    while True:
        field, at = length(body, at)
        if field == 0:
            break
        wide, at = length(body, at)
        value, _ = length(body, at)
        at += wide
        if field == 2:
            kind = value
        elif field == 3:
            size = value
    if kind == 255:
        return body[at:]
    if kind != 0:
        raise malformed(f"a transaction compressed in the way {kind}")
    if size > most:
        raise malformed(f"a compressed transaction of {size} bytes")
    try:
        return zstandard.ZstdDecompressor().decompress(body[at:], max_output_size=size)
    except zstandard.ZstdError as error:
        raise malformed(f"a compressed transaction: {error}") from None


def inflated(data: bytes) -> bytes:
    """What MariaDB compressed: a byte with the size of a length, the length, zlib's data."""
    size = data[0] & 7
    whole = int.from_bytes(data[1 : 1 + size], "big")
    try:
        made = zlib.decompressobj().decompress(data[1 + size :], whole + 1)
    except zlib.error as error:
        raise malformed(f"a compressed event: {error}") from None
    if len(made) != whole:
        raise malformed("a compressed event of another length")
    return made


def inflated_rows(kind: int, body: bytes) -> bytes:
    """A rows event from where its number of columns stands, of one whose rows are compressed, and nothing else."""
    start = 8 + (int.from_bytes(body[8:10], "little") if kind >= WRITE else 0)
    count, at = length(body, start)
    at += (count + 7) // 8 * (2 if kind in (UPDATE, UPDATE_V1) else 1)
    return body[start:at] + inflated(body[at:])


def gtid_list(body: bytes) -> Iterator[tuple[int, int, int]]:
    """Domain, server and number, at a file's beginning."""
    count = int.from_bytes(body[:4], "little") & 0xFFFFFFF
    for number in range(count):
        yield struct.unpack_from("<IIQ", body, 4 + 16 * number)
