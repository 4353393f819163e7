"""A column's value in a SELECT: the expression that is asked for, and what makes each wire form of the text that comes.

The wire forms are those of fields.py, by the same names and of the same bytes: what is loaded equals what is streamed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from struct import pack, unpack
from typing import Any
from uuid import UUID

from cdcd.model.table import Column
from cdcd.model.types.binary import Bits
from cdcd.model.types.json import Json
from cdcd.model.types.time import Interval, XDate, XTimestamp
from cdcd.rows import CANONICAL
from connectors.mysql.binary import canonical_packs
from connectors.mysql.fields import (
    ANY_TEXT,
    Offer,
    any_text,
    ewkb,
    float_text,
    geometry,
    offered,
    vector_text,
    vector_value,
)
from connectors.mysql.names import quote
from connectors.mysql.types import INTEGERS, native_of

_MOMENT = re.compile(rb"(\d+)-(\d+)-(\d+)(?: (\d+):(\d+):(\d+)(?:\.(\d+))?)?")
_CLOCK = re.compile(rb"(-?)(\d+):(\d+):(\d+)(?:\.(\d+))?")


def selected(column: Column) -> str:
    """What is asked for: bits as a number, and float by way of a double, as its own text has six digits (T-MY-21)."""
    name = quote(column.name)
    return {"float": f"{name} + 0e0", "bit": f"{name} + 0"}.get(native_of(column).name, name)


def texts(column: Column) -> Offer:
    """As fields.offer, over `v`, the text that comes."""
    wires, names = _texts(column)
    packs, more = canonical_packs(column, wires[CANONICAL])
    return offered(column, wires, packs, {**names, **more})


def _texts(column: Column) -> tuple[dict[str, str], dict[str, Any]]:
    native, family = native_of(column), column.type.family
    name = native.name
    if name in INTEGERS or name == "year":
        text = "b'%d' % int(v)" if name == "year" or "zerofill" in column.native else "v"
        return _both(text, "int(v)"), {}
    if name == "float":
        return _both("$text(float(v))", "$narrow(float(v))"), {"text": float_text, "narrow": _narrow}
    if name == "double":
        return _both("repr(float(v)).encode()", "float(v)"), {}
    if name == "decimal":
        return _both("v", "$Decimal(v.decode())"), {"Decimal": Decimal}
    if name in _TEMPORAL:
        text_of, value_of = _TEMPORAL[name]
        plain = {"mysql-text:date": "v", "mysql-text:datetime": "v"}
        iso = "$text(v).replace(b' ', b'T').replace(b'+00', b'Z')"
        plain |= {"iso-text:timestamp": iso, "iso-text:timestamptz": iso}
        return {**_both("$text(v)", "$value(v)"), ANY_TEXT: "$any(v)", **plain}, {
            "text": text_of, "value": value_of, "any": any_text(text_of, value_of),
        }  # fmt: skip
    if name == "bit":
        length = native.number(0, 1)
        return _both(f"format(int(v), '0{length}b').encode()", f"$Bits(int(v), {length})"), {"Bits": Bits}
    if name == "json":
        return _both("v", "$Json(v.decode())"), {"Json": Json}
    if name == "uuid":
        return _both("v", "$UUID(v.decode())"), {"UUID": UUID}
    if name == "vector":
        return {**_both("$text(v)", "$value(v)"), "mysql-bytes": "v"}, {"text": vector_text, "value": vector_value}
    if family == "geometry":
        return geometry(), {"ewkb": ewkb}
    if family == "bytes":
        return {**_both("b'\\\\x' + v.hex().encode()", "v"), "mysql-bytes": "v"}, {}
    return _both("v", "v.decode()"), {}


def _both(text: str, value: str) -> dict[str, str]:
    """Whatever text the chosen wire form is called by, it is this one."""
    return {"text": text, CANONICAL: value}


def _narrow(value: float) -> float:
    """As 32 bits hold it."""
    return float(unpack("f", pack("f", value))[0])


def _parts(text: bytes) -> tuple[tuple[int, ...], int]:
    if not (match := _MOMENT.fullmatch(text)):
        raise ValueError("no date")
    numbers = tuple(int(number or 0) for number in match.groups()[:6])
    return numbers, int((match[7] or b"").ljust(6, b"0"))


@lru_cache(maxsize=1 << 14)
def _of_calendar(day: bytes) -> None:
    """Days come again and again, so those that are none are refused by a look-up. No other part can be wrong."""
    if isinstance(_date(day), XDate):
        raise ValueError(f"{day.decode()} is no date of the calendar")


def _checked(text: bytes) -> bytes:
    """The text of a date of the calendar, without zeros at the end of its fraction."""
    _of_calendar(text[:10])
    return _time_text(text) if text.endswith(b"0") else text


def _timestamp_text(text: bytes) -> bytes:
    return _checked(text) + b"+00"


def _date(text: bytes) -> date | XDate:
    numbers, _ = _parts(text)
    try:
        return date(*numbers[:3])
    except ValueError:
        return XDate(*numbers[:3])


def _datetime(text: bytes) -> datetime | XTimestamp:
    numbers, micros = _parts(text)
    year, month, day, hour, minute, second = numbers
    try:
        return datetime(year, month, day, hour, minute, second, micros)
    except ValueError:
        return XTimestamp(year, month, day, hour, minute, second, nanos=micros * 1000)


def _timestamp(text: bytes) -> datetime | XTimestamp:
    found = _datetime(text)
    return XTimestamp(utc=True) if isinstance(found, XTimestamp) else found.replace(tzinfo=UTC)


def _time_text(text: bytes) -> bytes:
    return text.rstrip(b"0").rstrip(b".") if b"." in text else text


def _time(text: bytes) -> Interval:
    if not (match := _CLOCK.fullmatch(text)):
        raise ValueError("no time")
    hours, minutes, seconds = (int(match[number]) for number in (2, 3, 4))
    micros = (hours * 3600 + minutes * 60 + seconds) * 1_000_000 + int((match[5] or b"").ljust(6, b"0"))
    return Interval(micros=-micros if match[1] else micros)


_TEMPORAL: Mapping[str, tuple[Callable[[bytes], bytes], Callable[[bytes], Any]]] = {
    "date": (_checked, _date),
    "datetime": (_checked, _datetime),
    "timestamp": (_timestamp_text, _timestamp),
    "time": (_time_text, _time),
}
