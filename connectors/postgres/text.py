"""Readers of the text that PostgreSQL's output functions write; each raises ValueError on anything else.

They hold for our session settings: DateStyle ISO,YMD, TimeZone UTC, IntervalStyle postgres, bytea_output hex,
extra_float_digits 3, lc_monetary C. Ordinary values go through the standard library, others through a
pattern.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from cdcd.model.types.structured import Array, Range
from cdcd.model.types.time import Interval, XDate, XTime, XTimestamp, XTimeTz

Reader = Callable[[bytes], Any]

_INFINITIES = {b"infinity": 1, b"-infinity": -1}
_CLOCK = r"(\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?"
_DATE = re.compile(r"(\d{4,})-(\d\d)-(\d\d)( BC)?", re.ASCII)
_TIMETZ = re.compile(_CLOCK + r"([+-])(\d\d)(?::(\d\d))?(?::(\d\d))?", re.ASCII)
_TIMESTAMP = re.compile(r"(\d{4,})-(\d\d)-(\d\d) " + _CLOCK + r"(\+00)?( BC)?", re.ASCII)
_INTERVAL = re.compile(
    r"(?:([+-]?\d+) years? ?)?(?:([+-]?\d+) mons? ?)?(?:([+-]?\d+) days? ?)?"
    r"(?:([+-])?(\d+):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?",
    re.ASCII,
)


def _refuse(v: bytes, kind: str) -> ValueError:
    return ValueError(f"not PostgreSQL's text of a {kind} under our session settings: {v[:100]!r}")


def read_bool(v: bytes) -> bool:
    if v == b"t":
        return True
    if v == b"f":
        return False
    raise _refuse(v, "boolean")


def read_money(v: bytes) -> Decimal:
    """`-$1,234.50`; any plain decimal too."""
    return read_decimal(v.replace(b"$", b"").replace(b",", b""))


def read_decimal(v: bytes) -> Decimal:
    try:
        return Decimal(v.decode())
    except ArithmeticError:  # decimal.InvalidOperation is no ValueError
        raise _refuse(v, "numeric") from None


def read_bytea(v: bytes) -> bytes:
    if v[:2] != b"\\x":
        raise _refuse(v, "bytea")
    return bytes.fromhex(v[2:].decode())


def _year(digits: str, bc: str | None) -> int:
    return 1 - int(digits) if bc else int(digits)


def _nanos(digits: str | None) -> int:
    return int(digits.ljust(9, "0")) if digits else 0


def read_date(v: bytes) -> date | XDate:
    if len(v) == 10:
        return date.fromisoformat(v.decode())
    if special := _INFINITIES.get(v):
        return XDate(special=special)
    if not (match := _DATE.fullmatch(v.decode())):
        raise _refuse(v, "date")
    year, month, day, bc = match.groups()
    return XDate(_year(year, bc), int(month), int(day))


def read_time(v: bytes) -> time | XTime:
    if v == b"24:00:00":
        return XTime(24, 0, 0)
    return time.fromisoformat(v.decode())


def read_timetz(v: bytes) -> XTimeTz:
    if not (match := _TIMETZ.fullmatch(v.decode())):
        raise _refuse(v, "time with time zone")
    hour, minute, second, fraction, sign, hours, minutes, seconds = match.groups()
    offset = int(hours) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    return XTimeTz(int(hour), int(minute), int(second), _nanos(fraction), -offset if sign == "-" else offset)


def read_timestamp(v: bytes) -> datetime | XTimestamp:
    if v[4:5] == b"-" and v[-1:] != b"C":
        value = datetime.fromisoformat(v.decode())
        if value.tzinfo is not None:
            raise _refuse(v, "timestamp")
        return value
    return _read_x_timestamp(v, utc=False)


def read_timestamptz(v: bytes) -> datetime | XTimestamp:
    if v[4:5] == b"-" and v[-3:] == b"+00":
        return datetime.fromisoformat(v.decode())
    return _read_x_timestamp(v, utc=True)


def _read_x_timestamp(v: bytes, utc: bool) -> XTimestamp:
    if special := _INFINITIES.get(v):
        return XTimestamp(utc=utc, special=special)
    match = _TIMESTAMP.fullmatch(v.decode())
    if not match or (match[8] is not None) != utc:
        raise _refuse(v, "timestamp in UTC" if utc else "timestamp")
    year, month, day, hour, minute, second, fraction, _, bc = match.groups()
    return XTimestamp(
        _year(year, bc), int(month), int(day), int(hour), int(minute), int(second), _nanos(fraction), utc
    )


def read_interval(v: bytes) -> Interval:
    if special := _INFINITIES.get(v):
        return Interval(special=special)
    match = _INTERVAL.fullmatch(v.decode())
    if not match or not v:
        raise _refuse(v, "interval")
    years, months, days, sign, hours, minutes, seconds, fraction = match.groups()
    micros = _nanos(fraction) // 1000
    micros += (int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)) * 1_000_000
    return Interval(
        int(years or 0) * 12 + int(months or 0), int(days or 0), -micros if sign == "-" else micros
    )


def read_vector(v: bytes) -> tuple[float, ...]:
    """`[1,2.5,3]`"""
    if v[:1] != b"[" or v[-1:] != b"]":
        raise _refuse(v, "vector")
    return tuple(float(number) for number in v[1:-1].split(b","))


_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)


def _unescape(v: bytes) -> bytes:
    return _ESCAPED.sub(rb"\1", v) if b"\\" in v else v


_QUOTED = rb'"([^"\\]*(?:\\.[^"\\]*)*)"'
_BOUNDS = re.compile(rb"((?:\[-?\d+:-?\d+\])+)=")


def array_reader(element: Reader, delimiter: bytes) -> Reader:
    """The reader of arrays of what `element` reads; `delimiter`: the element's, `;` for box, else `,`."""
    token = re.compile(rb"[{}" + delimiter + rb"]|" + _QUOTED + rb'|[^{}"' + delimiter + rb"]+", re.DOTALL)

    def read(v: bytes) -> Any:
        start, bounds = 0, ()  # type: int, tuple[int, ...]
        if match := _BOUNDS.match(v):
            start = match.end()
            bounds = tuple(int(pair.split(b":")[0]) for pair in match[1][1:-1].split(b"]["))
        root: list[Any] = []
        open_lists = [root]
        while start < len(v):
            if (match := token.match(v, start)) is None or not open_lists:
                raise _refuse(v, "array")
            start, text = match.end(), match[0]
            if text == b"{":
                inner: list[Any] = []
                open_lists[-1].append(inner)
                open_lists.append(inner)
            elif text == b"}":
                open_lists.pop()
            elif text != delimiter:
                if match[1] is not None:
                    value = element(_unescape(match[1]))
                else:
                    value = None if text == b"NULL" else element(_unescape(text))
                open_lists[-1].append(value)
        if open_lists != [root] or len(root) != 1 or not isinstance(root[0], list):
            raise _refuse(v, "array")
        return Array(root[0], bounds) if bounds else root[0]

    return read


# A bound is quoted (quotes and backslashes doubled, or escaped by a backslash), plain, or not there.
_BOUND = rb'("(?:[^"\\]|""|\\.)*"|[^",()\[\]]*)'
_RANGE = re.compile(rb"([\[(])" + _BOUND + rb"," + _BOUND + rb"([\])])", re.DOTALL)


def _read_bound(text: bytes, element: Reader) -> Any:
    if text == b"":
        return None
    if text[:1] == b'"':
        text = text[1:-1].replace(b'""', b'"')
    return element(_unescape(text))


def _range(match: re.Match[bytes], element: Reader) -> Range:
    opening, lower, upper, closing = match.groups()
    return Range(_read_bound(lower, element), _read_bound(upper, element), opening == b"[", closing == b"]")


def range_reader(element: Reader) -> Reader:
    """The reader of ranges over what `element` reads."""

    def read(v: bytes) -> Range:
        if v == b"empty":
            return Range(empty=True)
        if not (match := _RANGE.fullmatch(v)):
            raise _refuse(v, "range")
        return _range(match, element)

    return read


def multirange_reader(element: Reader) -> Reader:
    """The reader of multiranges over what `element` reads."""

    def read(v: bytes) -> tuple[Range, ...]:
        if v[:1] != b"{" or v[-1:] != b"}":
            raise _refuse(v, "multirange")
        ranges, start, end = [], 1, len(v) - 1
        while start < end:
            match = _RANGE.match(v, start)
            if match is None or v[match.end()] not in b",}":
                raise _refuse(v, "multirange")
            ranges.append(_range(match, element))
            start = match.end() + 1
        return tuple(ranges)

    return read


_PAIR = re.compile(_QUOTED + rb"=>(?:(NULL)|" + _QUOTED + rb")(?:, |$)", re.DOTALL)


def read_hstore(v: bytes) -> dict[str, str | None]:
    """`"key"=>"value", "other"=>NULL`"""
    pairs: dict[str, str | None] = {}
    start = 0
    while start < len(v):
        if (match := _PAIR.match(v, start)) is None:
            raise _refuse(v, "hstore")
        start = match.end()
        pairs[_unescape(match[1]).decode()] = None if match[2] else _unescape(match[3]).decode()
    return pairs
