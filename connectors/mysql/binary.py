"""Values as fields of PostgreSQL's binary COPY, as the wire forms `pg-binary:TYPE` promise: the value as the type's
receive function reads it (its *_recv in utils/adt), with its length in four bytes before it.

Packing a number costs a third of writing its digits, and the server reads it in a third of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache, lru_cache
from ipaddress import ip_address
from struct import Struct, pack
from typing import Any
from uuid import UUID

from cdcd.model.table import Column
from cdcd.model.types.binary import Bits
from cdcd.model.types.json import Json
from cdcd.model.types.time import Interval, XDate, XTimestamp
from connectors.mysql.decimals import numeric_fields
from connectors.mysql.types import Native

_TWO_THOUSAND = date(2000, 1, 1).toordinal()
_SECONDS = 946_684_800
"""From 1970 to 2000."""


@dataclass(frozen=True, slots=True)
class Pack:
    """`value`, an expression over `v`, as struct packs it by `code` into `width` bytes; where `code` is empty it is
    bytes, and as many as they are."""

    code: str
    width: int
    value: str

    @property
    def field(self) -> tuple[str, dict[str, Any]]:
        """The expression of the whole field, and what it names."""
        if not self.code:
            return f"$sized({self.value})", {"sized": sized}
        return f"$pack_{self.code}({self.width}, {self.value})", {f"pack_{self.code}": packer(f"i{self.code}")}


@cache
def packer(code: str) -> Callable[..., bytes]:
    return Struct(f">{code}").pack


def sized(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value


Packs = tuple[dict[str, Pack], dict[str, Any]]
"""Type → how it is packed, and what the expressions name."""

_INTEGERS = {"int16": ("int2", "int4", "int8"), "int32": ("int4", "int8"), "int64": ("int8",), "uint32": ("int8",)}
_NUMBERS = {"int2": ("h", 2), "int4": ("i", 4), "int8": ("q", 8), "float4": ("f", 4), "float8": ("d", 8)}
_STRINGS = ("text", "varchar", "bpchar", "citext")
_INTERVALS = tuple(f"/{major}:interval" for major in range(13, 19))
"""Finite ones, as all of MySQL's are, are the same in all of these versions."""


def types_of(family: str) -> Sequence[str]:
    """The types that take a family's values as they are, each with the mark before its name that its wire form has."""
    if family in _INTEGERS:
        return [f":{name}" for name in _INTEGERS[family]]
    if family in ("text", "char", "enum"):
        return [f":{name}" for name in (*_STRINGS, *(("enum",) if family == "enum" else ()))]
    return _OTHERS.get(family, ())


_OTHERS: Mapping[str, Sequence[str]] = {
    "float32": (":float4",), "float64": (":float8",), "decimal": (":numeric",), "bytes": (":bytea",),
    "date": (":date",), "timestamp": (":timestamp",), "timestamptz": (":timestamptz",), "interval": _INTERVALS,
    "bit": (":bit", ":varbit"), "jsonb": (":jsonb", ":json"), "uuid": (":uuid",), "inet": (":inet",),
}  # fmt: skip


def canonical_packs(column: Column, value: str) -> Packs:
    """Of a canonical value, which `value` makes of `v`."""
    made: dict[str, Pack] = {}
    names: dict[str, Any] = {}
    for mark in types_of(column.type.family):
        name = mark.rpartition(":")[2]
        if name in _NUMBERS:
            made[mark] = Pack(*_NUMBERS[name], value)
        else:
            made[mark] = Pack("", 0, f"${name}({value})")
            names[name] = _OF_CANONICAL[name]
    return made, names


def raw_packs(column: Column, native: Native, canonical: str, text: str) -> Packs:
    """Of a raw value of a row image. `canonical`, `text`: what makes its canonical value and its text of `v`."""
    name, family = native.name, column.type.family
    types = types_of(family)
    if name == "decimal":
        width, make = numeric_fields(native.number(0, 10), native.number(1, 0))
        return {mark: Pack(f"{width}s", width, "$numeric(v)") for mark in types}, {"numeric": make}
    if name == "date":
        return {mark: Pack("i", 4, "$days($int(v, 'little'))") for mark in types}, {
            "days": _days, "int": int.from_bytes,
        }  # fmt: skip
    if name in ("datetime", "timestamp"):
        value = _moment(name, native.number(0, 0))
        return {mark: Pack("q", 8, value) for mark in types}, {
            "since": _day, "zero": _zero, "int": int.from_bytes,
        }  # fmt: skip
    if name == "binary" and family == "bytes":
        width = native.number(0, 1)
        return {mark: Pack(f"{width}s", width, "v") for mark in types}, {}  # struct puts the zeros that were cut
    if family == "bytes":
        return {mark: Pack("", 0, "v") for mark in types}, {}
    if family in ("text", "char", "enum"):
        return {mark: Pack("", 0, text) for mark in types}, {}
    return canonical_packs(column, canonical)


def _moment(name: str, digits: int) -> str:
    """Microseconds since 2000. A fraction is one byte for two digits."""
    bits = 8 * ((digits + 1) // 2)
    unit = 10 ** (6 - bits // 4)
    fraction = f" + ($n & {(1 << bits) - 1}) * {unit}" if bits else ""
    if name == "timestamp":
        return f"(($n := $int(v, 'big') or $zero()) >> {bits}) * 1000000{fraction} - {_SECONDS * 1_000_000}"
    clock = f"(($n >> {bits + 12} & 31) * 3600 + ($n >> {bits + 6} & 63) * 60 + ($n >> {bits} & 63))"
    return f"$since(($n := $int(v, 'big')) >> {bits + 17} & 4194303) + {clock} * 1000000{fraction}"


def _zero() -> int:
    raise ValueError("0000-00-00 00:00:00 is no date of the calendar")


@lru_cache(maxsize=1 << 14)
def _day(number: int) -> int:
    """Microseconds from 2000 to the day of a DATETIME: year * 13 + month, and the day in five bits."""
    year, month = divmod(number >> 5, 13)
    return _since(year, month, number & 31) * 86_400_000_000


@lru_cache(maxsize=1 << 14)
def _days(number: int) -> int:
    """Days from 2000 to a DATE."""
    return _since(number >> 9, number >> 5 & 15, number & 31)


def _since(year: int, month: int, day: int) -> int:
    try:
        return date(year, month, day).toordinal() - _TWO_THOUSAND
    except ValueError:
        raise ValueError(f"{XDate(year, month, day)} is no date of the calendar") from None


# --- of canonical values: what comes seldom ---------------------------------------------------------------------------


def _date(value: date | XDate) -> bytes:
    return pack(">i", _since(value.year, value.month, value.day))


def _timestamp(value: datetime | XTimestamp) -> bytes:
    days = _since(value.year, value.month, value.day)
    micros = value.microsecond if isinstance(value, datetime) else value.nanos // 1000
    return pack(">q", ((days * 24 + value.hour) * 3600 + value.minute * 60 + value.second) * 1_000_000 + micros)


def _interval(value: Interval) -> bytes:
    return pack(">qii", value.micros, value.days, value.months)


def _bits(value: Bits) -> bytes:
    size = (value.length + 7) // 8
    return pack(">i", value.length) + (value.value << 8 * size - value.length).to_bytes(size, "big")


def _numeric(value: Decimal) -> bytes:
    """Digits to the base of 10,000, from the point to both sides."""
    whole, _, fraction = format(abs(value), "f").partition(".")
    digits = whole.zfill(-(-len(whole) // 4) * 4) + fraction.ljust(-(-len(fraction) // 4) * 4, "0")
    groups = [int(digits[at : at + 4]) for at in range(0, len(digits), 4)]
    sign = 0x4000 if value < 0 else 0
    return pack(f">hhHh{len(groups)}H", len(groups), -(-len(whole) // 4) - 1, sign, len(fraction), *groups)


def _inet(value: str) -> bytes:
    """Family, bits of the mask, whether it is a network, bytes."""
    address = ip_address(value)
    return bytes([2 if address.version == 4 else 3, address.max_prefixlen, 0, len(address.packed)]) + address.packed


def _json(value: Json) -> bytes:
    return value.text.encode()


def _jsonb(value: Json) -> bytes:
    """After the number of its format."""
    return b"\1" + value.text.encode()


def _uuid(value: UUID) -> bytes:
    return value.bytes


_OF_CANONICAL: Mapping[str, Callable[[Any], bytes]] = {
    **dict.fromkeys((*_STRINGS, "enum"), str.encode), "bytea": bytes, "numeric": _numeric, "date": _date,
    "timestamp": _timestamp, "timestamptz": _timestamp, "interval": _interval, "bit": _bits, "varbit": _bits,
    "json": _json, "jsonb": _jsonb, "uuid": _uuid, "inet": _inet,
}  # fmt: skip
