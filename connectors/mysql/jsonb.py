"""MySQL's binary JSON → its text as the server prints it (sql-common/json_binary.h, json_dom.cc): so that what a load
reads and what the stream brings are the same bytes."""

from __future__ import annotations

import struct
from _json import encode_basestring as quote
from base64 import b64encode
from collections.abc import Callable

from connectors.mysql.decimals import decimal_text, size_of

DEEPEST = 100
"""Levels, of which the server allows no more."""

DIGITS = 81
"""Of a decimal: the server's own have room for more than a column's 65 (DECIMAL_MAX_POSSIBLE_PRECISION)."""

INLINE = ((4, 5, 6), (4, 5, 6, 7, 8))
"""The kinds of value that stand where others have their offset, in the small form and in the large one."""

_u16, _u32 = struct.Struct("<H").unpack_from, struct.Struct("<I").unpack_from
_LITERALS = {0: "null", 1: "true", 2: "false"}
_NUMBERS: dict[int, Callable[[bytes, int], tuple[int]]] = {
    5: struct.Struct("<h").unpack_from, 6: _u16, 7: struct.Struct("<i").unpack_from, 8: _u32,
    9: struct.Struct("<q").unpack_from, 10: struct.Struct("<Q").unpack_from,
}  # fmt: skip
_double = struct.Struct("<d").unpack_from


def json_text(value: bytes) -> bytes:
    """A column's value; ValueError where it is none. An empty value is the server's way to write null."""
    if not value:
        return b"null"
    try:
        return _text(value, value[0], 1, len(value), 0).encode()
    except (struct.error, IndexError, KeyError, OverflowError) as error:
        raise ValueError(f"no binary JSON: {error}") from None


def _text(data: bytes, kind: int, at: int, end: int, depth: int) -> str:
    """The value of a kind that begins at `at` and ends before `end`."""
    if kind <= 3:
        if depth > DEEPEST:
            raise ValueError("no binary JSON: too deep")
        return _composite(data, kind, at, end, depth + 1)
    if kind == 4:
        return _LITERALS[data[at]]
    if kind in _NUMBERS:
        return str(_NUMBERS[kind](data, at)[0])
    if kind == 11:
        return number_text(_double(data, at)[0])
    if kind == 12:
        size, at = varying_length(data, at)
        return quote(_piece(data, at, size, end).decode())
    if kind == 15:
        size, start = varying_length(data, at + 1)
        return _opaque(data[at], _piece(data, start, size, end))
    raise ValueError(f"no binary JSON: a value of the kind {kind}")


def _composite(data: bytes, kind: int, at: int, end: int, depth: int) -> str:
    """An object (kind 0, large 1) or an array (2, large 3): counts, then entries, each with an offset from `at`."""
    large = kind & 1
    unit, read = (4, _u32) if large else (2, _u16)
    inline = INLINE[large]
    (count,), (size,) = read(data, at), read(data, at + unit)
    if size > end - at or count * (unit + 1) > size:
        raise ValueError("no binary JSON: longer than its column")
    end = at + size
    keys = at + 2 * unit
    values = keys + (count * (unit + 2) if kind < 2 else 0)
    parts = []
    for number in range(count):
        entry = values + number * (unit + 1)
        its = data[entry]
        place = entry + 1 if its in inline else at + read(data, entry + 1)[0]
        if place >= end or (its not in inline and place < values):
            raise ValueError("no binary JSON: a value that lies outside")
        text = _text(data, its, place, end, depth)
        if kind < 2:
            key = keys + number * (unit + 2)
            (offset,), (length,) = read(data, key), _u16(data, key + unit)
            text = f"{quote(_piece(data, at + offset, length, end).decode())}: {text}"
        parts.append(text)
    return f"{{{', '.join(parts)}}}" if kind < 2 else f"[{', '.join(parts)}]"


def varying_length(data: bytes, at: int) -> tuple[int, int]:
    """A length in pieces of seven bits, and where it ends."""
    size = shift = 0
    while True:
        byte = data[at]
        at += 1
        size |= (byte & 127) << shift
        if byte < 128:
            return size, at
        shift += 7
        if shift > 28:
            raise ValueError("no binary JSON: a length without an end")


def _piece(data: bytes, at: int, size: int, end: int) -> bytes:
    if at + size > end:
        raise ValueError("no binary JSON: text that is cut short")
    return data[at : at + size]


def number_text(value: float) -> str:
    """A double as the server prints it: no exponent while the point is near (my_gcvt), and never like an integer."""
    mantissa, _, power = f"{value!r}".partition("e")
    sign, digits = ("-", mantissa[1:]) if mantissa[0] == "-" else ("", mantissa)
    whole, _, fraction = digits.partition(".")
    fraction = "" if fraction == "0" else fraction
    point = len(whole) + int(power or 0)
    digits = whole + fraction
    lead = len(digits) - len(digits.lstrip("0"))
    digits, point = digits.lstrip("0"), point - lead
    if not digits:
        return sign + "0.0"
    digits = digits.rstrip("0")
    if not -15 < point <= 15:
        return f"{sign}{digits[0]}{'.' + digits[1:] if digits[1:] else ''}e{point - 1}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    if len(digits) <= point:
        return f"{sign}{digits}{'0' * (point - len(digits))}.0"
    return f"{sign}{digits[:point]}.{digits[point:]}"


def _opaque(kind: int, data: bytes) -> str:
    """A value of a type that JSON has not, by its field type: numbers bare, dates as text, all else as base64."""
    if kind == 246:
        precision, scale = data[0], data[1]
        if not (0 < precision <= DIGITS and scale <= precision and len(data) == 2 + size_of(precision, scale)):
            raise ValueError("no binary JSON: a decimal of another size")
        return decimal_text(precision, scale)(data[2:]).decode()
    if kind in (7, 10, 11, 12) and len(data) == 8:
        return f'"{_moment(kind, int.from_bytes(data, "little", signed=True))}"'
    return f'"base64:type{kind}:{b64encode(data).decode()}"'


def _moment(kind: int, packed: int) -> str:
    sign, packed = ("-", -packed) if packed < 0 else ("", packed)
    clock, micros = packed >> 24, packed & 0xFFFFFF
    minute, second = clock >> 6 & 63, clock & 63
    if kind == 11:
        return f"{sign}{clock >> 12 & 0x3FF:02}:{minute:02}:{second:02}.{micros:06}"
    days, clock = clock >> 17, clock & 0x1FFFF
    year, month = divmod(days >> 5, 13)
    day = f"{year:04}-{month:02}-{days & 31:02}"
    return day if kind == 10 else f"{day} {clock >> 12:02}:{minute:02}:{second:02}.{micros:06}"
