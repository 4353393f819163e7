"""Dates and times of the row format → text as PostgreSQL writes it, and canonical values ("Date and Time Data Type
Representation" in the internals manual). Zero and partial dates are values of the canonical form only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache

from cdcd.model.types.time import Interval, XDate, XTimestamp

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _refused(what: str) -> ValueError:
    return ValueError(f"{what} is no date of the calendar")


# --- DATE: three bytes, as a little-endian number --------------------------------------------------------------------


@lru_cache(maxsize=1 << 14)
def date_text(value: bytes) -> bytes:
    found = date_value(value)
    if isinstance(found, XDate):
        raise _refused(str(found))
    return found.isoformat().encode()


def date_value(value: bytes) -> date | XDate:
    number = int.from_bytes(value, "little")
    return _date(number >> 9, number >> 5 & 15, number & 31)


def _date(year: int, month: int, day: int) -> date | XDate:
    try:
        return date(year, month, day)
    except ValueError:
        return XDate(year, month, day)


# --- DATETIME: five bytes and the fraction's, big-endian, the sign bit first -----------------------------------------


def datetime_text(value: bytes) -> bytes:
    if len(value) == 8 and (micros := int.from_bytes(value[5:], "big")) % 10:
        number = int.from_bytes(value[:5], "big") & 0x7FFFFFFFFF
        return b"%b %b.%06d" % (_day(number >> 17), _clock(number & 0x1FFFF), micros)
    number = int.from_bytes(value[:5], "big") & 0x7FFFFFFFFF
    text = _day(number >> 17) + b" " + _clock(number & 0x1FFFF)
    return text + _fraction(value[5:]) if len(value) > 5 else text


@lru_cache(maxsize=1 << 17)
def _clock(packed: int) -> bytes:
    """Hour, minute, second, in five, six and six bits."""
    return b"%02d:%02d:%02d" % (packed >> 12, packed >> 6 & 63, packed & 63)


@lru_cache(maxsize=1 << 14)
def _day(number: int) -> bytes:
    """The text of year * 13 + month, and the day in five bits."""
    year, month = divmod(number >> 5, 13)
    found = _date(year, month, number & 31)
    if isinstance(found, XDate):
        raise _refused(str(found))
    return found.isoformat().encode()


def datetime_value(value: bytes) -> datetime | XTimestamp:
    number = int.from_bytes(value[:5], "big") & 0x7FFFFFFFFF
    year, month = divmod(number >> 22, 13)
    clock = number & 0x1FFFF
    parts = (year, month, number >> 17 & 31, clock >> 12, clock >> 6 & 63, clock & 63)
    try:
        return datetime(*parts, _micros(value[5:]))
    except ValueError:
        return XTimestamp(*parts, nanos=_micros(value[5:]) * 1000)


# --- TIMESTAMP: seconds since 1970, big-endian, and the fraction's; all zero is the zero date -------------------------


def timestamp_text(value: bytes) -> bytes:
    if len(value) == 7 and (micros := (number := int.from_bytes(value, "big")) & 0xFFFFFF) % 10:
        days, seconds = divmod(number >> 24, 86400)
        return b"%b %b.%06d+00" % (_unix_day(days), _second(seconds), micros)
    days, seconds = divmod(int.from_bytes(value[:4], "big"), 86400)
    if not days and not any(value):
        raise _refused("0000-00-00 00:00:00")
    text = _unix_day(days) + b" " + _second(seconds)
    return text + _fraction(value[4:]) + b"+00" if len(value) > 4 else text + b"+00"


@lru_cache(maxsize=86400)
def _second(number: int) -> bytes:
    """Of a day."""
    return b"%02d:%02d:%02d" % (number // 3600, number // 60 % 60, number % 60)


@lru_cache(maxsize=1 << 14)
def _unix_day(number: int) -> bytes:
    return (_EPOCH + timedelta(days=number)).date().isoformat().encode()


def timestamp_value(value: bytes) -> datetime | XTimestamp:
    if not any(value):
        return XTimestamp(utc=True)
    return _EPOCH + timedelta(seconds=int.from_bytes(value[:4], "big"), microseconds=_micros(value[4:]))


# --- either of these, as an expression that calls no function of Python's: this takes half the time -------------------


def moment(form: str, type: str, digits: int, middle: str, end: str) -> tuple[str, dict[str, object]]:
    """The expression of the text of `v`, and what it names, one of it `form`: with `middle` between day and clock, and
    `end` behind it. Only days are remembered. Clocks and fractions come from lists that are short enough to stay at
    hand: what remembers all clocks of a day does not, and a number of six digits costs as much as all the rest."""
    bits = 8 * ((digits + 1) // 2)
    if type == "datetime":
        seldom = datetime_text
        values = f"$day($n >> {bits + 17} & 4194303), $minutes[$n >> {bits + 6} & 2047], $two[$n >> {bits} & 63]"
    else:
        seldom = timestamp_text
        values = f"$day(($s := $n >> {bits}) // 86400), $minutes[($c := $s % 86400) // 60], $two[$c % 60]"
    test, pattern = "($n := $int(v, 'big'))", f"%b{middle}%b%b"
    fraction = f"($n & {(1 << bits) - 1})" + (" // 10" if digits % 2 else "")
    if digits > 3:
        rest = 10 ** (digits - 3)
        test = f"($r := ($m := {fraction.replace('$n', test)}) % {rest})"
        pattern, values = f"{pattern}.%b%b", f"{values}, $three[$m // {rest}], $rest[$r]"
    elif digits:
        pattern, values = f"{pattern}%b", f"{values}, $rest[{fraction}]"
    often = f"b'{pattern}{end}' % ({values})"

    def as_asked(value: bytes) -> bytes:
        """Zeros at the end of a fraction of many digits, the zero date."""
        return seldom(value).replace(b" ", middle.encode()).replace(b"+00", end.encode())

    return f"({often} if {test} else ${form}(v))", {**_tables(type, digits), form: as_asked, "int": int.from_bytes}


@cache
def _tables(type: str, digits: int) -> dict[str, object]:
    """What every such expression names."""
    whole, hours = (1 << 11, 64) if type == "datetime" else (24 * 60, 60)  # bits, or seconds of a day
    tables: dict[str, object] = {
        "day": _day if type == "datetime" else _unix_day,
        "minutes": [b"%02d:%02d:" % divmod(number, hours) for number in range(whole)],
        "two": [b"%02d" % number for number in range(64)],
    }
    if digits > 3:
        tables["three"] = [b"%03d" % number for number in range(1000)]
        tables["rest"] = [_trimmed(number, digits - 3) for number in range(10 ** (digits - 3))]
    elif digits:
        tables["rest"] = [b"." + _trimmed(number, digits) if number else b"" for number in range(10**digits)]
    return tables


def _trimmed(number: int, digits: int) -> bytes:
    return (b"%0*d" % (digits, number)).rstrip(b"0")


# --- TIME: three bytes and the fraction's, big-endian, one number with an offset --------------------------------------


def time_text(value: bytes) -> bytes:
    sign, clock, fraction = _time(value)
    text = b"%b%02d:%02d:%02d" % (sign, clock >> 12 & 0x3FF, clock >> 6 & 63, clock & 63)
    return text + _fraction(fraction) if fraction else text


def time_value(value: bytes) -> Interval:
    sign, clock, fraction = _time(value)
    micros = ((clock >> 12 & 0x3FF) * 3600 + (clock >> 6 & 63) * 60 + (clock & 63)) * 1_000_000 + _micros(fraction)
    return Interval(micros=-micros if sign else micros)


def _time(value: bytes) -> tuple[bytes, int, bytes]:
    """Sign, clock and fraction; the fraction belongs to the number, so that a negative one borrows from it."""
    size = len(value) - 3
    number = int.from_bytes(value, "big") - (0x800000 << 8 * size)
    sign = b"-" if number < 0 else b""
    number = abs(number)
    return sign, number >> 8 * size, (number & (1 << 8 * size) - 1).to_bytes(size, "big")


# --- as the server writes them itself, zero and partial ones too ------------------------------------------------------


def plain_date(value: bytes) -> bytes:
    number = int.from_bytes(value, "little")
    return b"%04d-%02d-%02d" % (number >> 9, number >> 5 & 15, number & 31)


def plain_datetime(value: bytes) -> bytes:
    number = int.from_bytes(value[:5], "big") & 0x7FFFFFFFFF
    return _plain_day(number >> 17) + b" " + _clock(number & 0x1FFFF) + _fraction(value[5:])


@lru_cache(maxsize=1 << 14)
def _plain_day(number: int) -> bytes:
    """As _day, of any numbers."""
    year, month = divmod(number >> 5, 13)
    return b"%04d-%02d-%02d" % (year, month, number & 31)


def plain_timestamp(value: bytes) -> bytes:
    return timestamp_text(value)[:-3] if any(value) else b"0000-00-00 00:00:00"


PLAIN: Mapping[str, Callable[[bytes], bytes]] = {
    "date": plain_date,
    "datetime": plain_datetime,
    "timestamp": plain_timestamp,
}


# --- fractions: one byte for two digits -------------------------------------------------------------------------------


def _micros(value: bytes) -> int:
    return int.from_bytes(value, "big") * int(10 ** (6 - 2 * len(value)))


def _fraction(value: bytes) -> bytes:
    """With its point, without trailing zeros; nothing for none."""
    if not (number := int.from_bytes(value, "big")):
        return b""
    text = b".%0*d" % (2 * len(value), number)
    return text if number % 10 else text.rstrip(b"0")
