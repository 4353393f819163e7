"""TABLE_MAP: how the rows of the events that follow are laid out ("Table_map_event" in the binlog API's reference)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from connectors.mysql.malformed import malformed

TINY, SHORT, LONG, FLOAT, DOUBLE, TIMESTAMP, LONGLONG, INT24 = 1, 2, 3, 4, 5, 7, 8, 9
DATE, TIME, DATETIME, YEAR, VARCHAR, BIT, TIMESTAMP2, DATETIME2, TIME2 = 10, 11, 12, 13, 15, 16, 17, 18, 19
BLOB_COMPRESSED, VARCHAR_COMPRESSED, VECTOR, JSON, NEWDECIMAL = 140, 141, 242, 245, 246
ENUM, SET, BLOB, VAR_STRING, STRING, GEOMETRY = 247, 248, 252, 253, 254, 255
"""Types of columns (enum_field_types)."""

NUMERIC = (TINY, SHORT, LONG, FLOAT, DOUBLE, LONGLONG, INT24, NEWDECIMAL, YEAR)
"""Those of which the metadata tell the sign, in that order of columns."""

_META = {
    FLOAT: 1, DOUBLE: 1, VARCHAR: 2, BIT: 2, TIMESTAMP2: 1, DATETIME2: 1, TIME2: 1, BLOB_COMPRESSED: 1,
    VARCHAR_COMPRESSED: 2, VECTOR: 1, JSON: 1, NEWDECIMAL: 2, ENUM: 2, SET: 2, BLOB: 1, VAR_STRING: 2, STRING: 2,
    GEOMETRY: 1,
}  # fmt: skip
"""Bytes of metadata by type; of the others none."""

TEXTS = (STRING, VARCHAR, VAR_STRING, BLOB)
"""Those of which the metadata tell the collation, in that order of columns; MySQL of VECTOR, MariaDB of GEOMETRY,
too."""

_SIGNS, _CHARSET, _CHARSETS, _NAMES, _SET_LABELS, _ENUM_LABELS = 1, 2, 3, 4, 5, 6


@dataclass(frozen=True, slots=True)
class Slot:
    """A column of the row images: its type (of CHAR, ENUM and SET the real one) and its metadata."""

    type: int
    meta: bytes


@dataclass(frozen=True, slots=True)
class TableMap:
    """`names`, `unsigned` (by numeric column), `collations` (by number and column) and labels (by ENUM
    and SET column each, as bytes of their character set) are None below the level of metadata that tells them."""

    schema: str
    name: str
    slots: tuple[Slot, ...]
    names: tuple[str, ...] | None
    unsigned: tuple[bool, ...] | None
    enum_labels: tuple[tuple[bytes, ...], ...] | None
    set_labels: tuple[tuple[bytes, ...], ...] | None
    collations: tuple[int | None, ...] | None = None

    @property
    def id(self) -> str:
        return f"{self.schema}.{self.name}"


def length(data: bytes, at: int) -> tuple[int, int]:
    """A length-encoded integer, and where it ends."""
    first = data[at]
    if first < 251:
        return first, at + 1
    size = {252: 2, 253: 3, 254: 8}.get(first)
    if size is None:
        raise malformed(f"a length that begins with {first}")
    return int.from_bytes(data[at + 1 : at + 1 + size], "little"), at + 1 + size


def name_of(body: bytes) -> tuple[str, str]:
    """Schema and name, of the event's body: all that is asked of a table that is not carried."""
    at = 9
    schema = body[at : at + body[8]]
    at += body[8] + 1
    return schema.decode(), body[at + 1 : at + 1 + body[at]].decode()


def parse_table_map(body: bytes, mariadb: bool = False) -> TableMap:
    """From the event's body, without header and checksum."""
    schema, name = name_of(body)
    at = 8 + 1 + body[8] + 1
    at += 1 + body[at] + 1
    count, at = length(body, at)
    types = body[at : at + count]
    size, at = length(body, at + count)
    slots = tuple(_slots(types, body[at : at + size]))
    at += size + (count + 7) // 8
    if at > len(body) or len(types) != count:
        raise malformed(f"the table map of {schema}.{name} is cut short")
    fields = dict(_optional(body, at))
    names = tuple(text.decode() for text in _texts(fields[_NAMES])) if _NAMES in fields else None
    numbers = [slot for slot in slots if slot.type in NUMERIC]
    unsigned = None
    if (signs := fields.get(_SIGNS)) is not None:
        if len(signs) != (len(numbers) + 7) // 8:
            raise malformed(f"the table map of {schema}.{name} has signs for another number of columns")
        unsigned = tuple(bool(signs[n >> 3] & 128 >> (n & 7)) for n in range(len(numbers)))
    enums, sets = (tuple(_labels(fields[kind])) if kind in fields else None for kind in (_ENUM_LABELS, _SET_LABELS))
    told = (*TEXTS, GEOMETRY if mariadb else VECTOR)
    collations = _collations(fields, [slot.type in told for slot in slots])
    return TableMap(schema, name, slots, names, unsigned, enums, sets, collations)


def _collations(fields: Mapping[int, bytes], told: Sequence[bool]) -> tuple[int | None, ...] | None:
    """One for each column of which they are told, or the one that most have, and the others by their place."""
    if (flat := _told(fields, sum(told))) is None:
        return None
    each = iter(flat)
    return tuple(next(each) if one else None for one in told)


def _told(fields: Mapping[int, bytes], count: int) -> tuple[int, ...] | None:
    if (each := fields.get(_CHARSETS)) is not None:
        found = tuple(_lengths(each))
        if len(found) != count:
            raise malformed("a table map has collations for another number of columns")
        return found
    if (most := fields.get(_CHARSET)) is None:
        return None
    default, *others = _lengths(most)
    made = [default] * count
    for place, collation in zip(others[::2], others[1::2], strict=True):
        made[place] = collation
    return tuple(made)


def _lengths(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = length(data, at)
        yield value


def _slots(types: bytes, meta: bytes) -> Iterator[Slot]:
    at = 0
    for type in types:
        size = _META.get(type, 0)
        its = meta[at : at + size]
        at += size
        if len(its) != size:
            raise malformed("a table map's metadata are cut short")
        yield _real(type, its)
    if at != len(meta):
        raise malformed("a table map's metadata are longer than its columns")


def _real(type: int, meta: bytes) -> Slot:
    """A STRING's metadata hold the real type and the length, of which two bits may be hidden in the type."""
    if type != STRING:
        return Slot(type, meta)
    real, size = meta
    if real in (ENUM, SET):
        return Slot(real, bytes([size]))
    if real & 0x30 != 0x30:
        size |= ((real & 0x30) ^ 0x30) << 4
    return Slot(STRING, size.to_bytes(2, "little"))


def _optional(body: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    while at < len(body):
        kind = body[at]
        size, at = length(body, at + 1)
        if at + size > len(body):
            raise malformed("a table map's optional metadata are cut short")
        yield kind, body[at : at + size]
        at += size


def _texts(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        size, at = length(data, at)
        yield data[at : at + size]
        at += size


def _labels(data: bytes) -> Iterator[tuple[bytes, ...]]:
    """Of each column a count, then so many texts."""
    at = 0
    while at < len(data):
        count, at = length(data, at)
        labels: list[bytes] = []
        for _ in range(count):
            size, at = length(data, at)
            labels.append(data[at : at + size])
            at += size
        yield tuple(labels)


def present(bitmap: bytes, count: int) -> Sequence[int]:
    """The columns whose bits are set, the lowest first."""
    return [number for number in range(count) if bitmap[number >> 3] & 1 << (number & 7)]
