"""PostgreSQL's text of every family, read into the canonical value: edge values of research/types.md §3."""

from __future__ import annotations

import struct
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.model.table import Column
from cdcd.model.types import LogicalType
from cdcd.model.types.binary import Bits
from cdcd.model.types.json import Json
from cdcd.model.types.structured import Array, Range
from cdcd.model.types.time import Interval, XDate, XTime, XTimestamp, XTimeTz
from connectors.postgres.types import canonical_expression, logical_type


def read(type: LogicalType, text: str | bytes) -> Any:
    """What generated code does with a value."""
    expression, names = canonical_expression(Column("c", 1, type, ""))
    return eval(expression, dict(names), {"v": text.encode() if isinstance(text, str) else text})


def base(name: str, typmod: int = -1) -> LogicalType:
    return logical_type(name, "b", typmod)


def array(element: LogicalType) -> LogicalType:
    return logical_type("_x", "b", -1, element)


NUMERIC_30 = "99999999999999999999999999999999999.999999999999999999999999999999"

VALUES = [
    ("bool", "t", True),
    ("bool", "f", False),
    ("int2", "-32768", -32768),
    ("int8", "9223372036854775807", 2**63 - 1),
    ("oid", "4294967295", 2**32 - 1),
    ("xid8", "18446744073709551615", 2**64 - 1),
    ("numeric", "-" + NUMERIC_30, Decimal("-" + NUMERIC_30)),
    ("numeric", "Infinity", Decimal("Infinity")),
    ("money", "-$92,233,720,368,547,758.08", Decimal("-92233720368547758.08")),
    ("float8", "5e-324", 5e-324),
    ("float8", "-Infinity", float("-inf")),
    ("text", "a\\b\t😀  ", "a\\b\t😀  "),
    ("bpchar", "ab\t   ", "ab\t"),
    ("bytea", "\\x00ff0a", b"\x00\xff\x0a"),
    ("bytea", "\\x", b""),
    ("uuid", "ffffffff-ffff-ffff-ffff-ffffffffffff", UUID(int=2**128 - 1)),
    ("bit", "0010", Bits(2, 4)),
    ("varbit", "", Bits(0, 0)),
    ("date", "2000-02-29", date(2000, 2, 29)),
    ("date", "4713-01-01 BC", XDate(-4712, 1, 1)),
    ("date", "0001-12-31 BC", XDate(0, 12, 31)),
    ("date", "10000-01-01", XDate(10000, 1, 1)),
    ("date", "5874897-12-31", XDate(5874897, 12, 31)),
    ("date", "infinity", XDate(special=1)),
    ("date", "-infinity", XDate(special=-1)),
    ("time", "23:59:59.999999", time(23, 59, 59, 999999)),
    ("time", "00:00:00.5", time(0, 0, 0, 500000)),
    ("time", "24:00:00", XTime(24, 0, 0)),
    ("timetz", "24:00:00+15:59", XTimeTz(24, 0, 0, 0, 57540)),
    ("timetz", "00:00:00.000001-15:59:59", XTimeTz(0, 0, 0, 1000, -57599)),
    ("timestamp", "1969-12-31 23:59:59.999999", datetime(1969, 12, 31, 23, 59, 59, 999999)),
    ("timestamp", "9999-12-31 23:59:59.5", datetime(9999, 12, 31, 23, 59, 59, 500000)),
    ("timestamp", "10000-01-01 00:00:00", XTimestamp(10000, 1, 1)),
    ("timestamp", "294276-12-31 23:59:59.999999", XTimestamp(294276, 12, 31, 23, 59, 59, 999999000)),
    ("timestamp", "0044-03-15 12:00:00 BC", XTimestamp(-43, 3, 15, 12)),
    ("timestamptz", "2024-11-03 05:30:00+00", datetime(2024, 11, 3, 5, 30, tzinfo=UTC)),
    ("timestamptz", "0044-03-15 12:00:00.1+00 BC", XTimestamp(-43, 3, 15, 12, nanos=100000000, utc=True)),
    ("timestamptz", "-infinity", XTimestamp(utc=True, special=-1)),
    ("interval", "00:00:00", Interval()),
    ("interval", "1 mon -1 days +00:00:01", Interval(1, -1, 1_000_000)),
    ("interval", "-1 mons +2 days -03:04:05.000006", Interval(-1, 2, -11_045_000_006)),
    ("interval", "24:00:00", Interval(micros=86_400_000_000)),
    ("interval", "1 day", Interval(days=1)),
    ("interval", "-178000000 years", Interval(months=-2136000000)),
    ("interval", "infinity", Interval(special=1)),
    ("json", '{"a": 1e2, "a": -0}', Json('{"a": 1e2, "a": -0}')),
    ("jsonb", "null", Json("null")),
    ("inet", "192.168.0.1/24", "192.168.0.1/24"),
    ("hstore", '"a\\"b"=>NULL, ""=>"NULL"', {'a"b': None, "": "NULL"}),
    ("hstore", "", {}),
    ("vector", "[1,-0,2.5]", (1.0, -0.0, 2.5)),
    ("tsvector", "'a':1 'b'", "'a':1 'b'"),
    ("point", "(1,NaN)", "(1,NaN)"),
]


@pytest.mark.parametrize(("name", "text", "value"), VALUES)
def test_text_becomes_the_canonical_value(name: str, text: str, value: object) -> None:
    found = read(base(name), text)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize("text", ["NaN", "nan"])
def test_not_a_number(text: str) -> None:
    assert read(base("numeric"), text).is_nan()
    assert read(base("float8"), text) != read(base("float8"), text)


def test_minus_zero_keeps_its_sign() -> None:
    assert struct.pack(">d", read(base("float8"), "-0")) == struct.pack(">d", -0.0)


def test_numeric_of_full_size_is_exact() -> None:
    text = "9" * 131072 + "." + "1" * 16383
    assert format(read(base("numeric"), text), "f") == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("bool", "true"),
        ("numeric", "1,5"),
        ("bytea", "abc"),
        ("date", "01.02.2024"),
        ("date", "2024-02-30"),
        ("timestamp", "2024-01-01 00:00:00+00"),
        ("timestamptz", "2024-01-01 00:00:00"),
        ("timestamptz", "2024-01-01 00:00:00+02"),
        ("timestamptz", "10000-01-01 00:00:00"),
        ("timetz", "10:00:00"),
        ("interval", "P1D"),
        ("interval", ""),
        ("hstore", '"a"=>'),
        ("vector", "1,2"),
        ("int4range", "[1;2]"),
        ("text", b"\xff"),
    ],
)
def test_text_of_other_settings_is_refused(name: str, text: str | bytes) -> None:
    kind = "r" if name == "int4range" else "b"
    with pytest.raises(ValueError):
        read(logical_type(name, kind, -1), text)


@pytest.mark.parametrize(
    ("element", "text", "value"),
    [
        ("int4", "{}", []),
        ("int4", "{NULL}", [None]),
        ("int4", "{{1,NULL},{3,4}}", [[1, None], [3, 4]]),
        ("int4", "[0:1][-1:0]={{1,2},{3,4}}", Array([[1, 2], [3, 4]], (0, -1))),
        ("text", '{"NULL","","a\\"b\\\\c","{x,y}",plain text}', ["NULL", "", 'a"b\\c', "{x,y}", "plain text"]),
        ("bytea", '{"\\\\x00ff"}', [b"\x00\xff"]),
        ("timestamptz", '{"2024-01-01 00:00:00+00"}', [datetime(2024, 1, 1, tzinfo=UTC)]),
        ("json", '{"{\\"a\\": [1, 2]}"}', [Json('{"a": [1, 2]}')]),
        ("box", "{(1,1),(0,0);(2,2),(1,1)}", ["(1,1),(0,0)", "(2,2),(1,1)"]),
    ],
)
def test_arrays(element: str, text: str, value: object) -> None:
    assert read(array(base(element)), text) == value


@pytest.mark.parametrize("text", ["{", "}", "{}}", "1", "{1}{2}", '{"a}', ""])
def test_broken_arrays_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read(array(base("text")), text)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("int4range", "empty", Range(empty=True)),
        ("int4range", "[1,6)", Range(1, 6, True, False)),
        ("numrange", "(,)", Range()),
        ("numrange", "[1.10,1.10]", Range(Decimal("1.10"), Decimal("1.10"), True, True)),
        ("daterange", "[-infinity,infinity)", Range(XDate(special=-1), XDate(special=1), True, False)),
        ("tsrange", '["2024-01-01 00:00:00",)', Range(datetime(2024, 1, 1), None, True, False)),
        ("int8multirange", "{}", ()),
        ("int8multirange", "{[1,3),[5,)}", (Range(1, 3, True, False), Range(5, None, True, False))),
    ],
)
def test_ranges(name: str, text: str, value: object) -> None:
    assert read(logical_type(name, "m" if "multi" in name else "r", -1), text) == value


def test_bounds_of_a_users_range_are_unquoted() -> None:
    type = logical_type("words", "r", -1, base("text"))
    assert read(type, '["a""b,\\\\c","")') == Range('a"b,\\c', "", True, False)


@pytest.mark.parametrize(
    ("typname", "typmod", "expected"),
    [
        ("numeric", (10 << 16 | 2) + 4, LogicalType("decimal", 10, 2)),
        ("numeric", (3 << 16 | (-2 & 0x7FF)) + 4, LogicalType("decimal", 3, -2)),
        ("numeric", (2 << 16 | 5) + 4, LogicalType("decimal", 2, 5)),
        ("numeric", (1000 << 16 | 1000) + 4, LogicalType("decimal", 1000, 1000)),
        ("numeric", -1, LogicalType("decimal")),
        ("money", -1, LogicalType("decimal", 19, 2)),
        ("varchar", 24, LogicalType("text", length=20)),
        ("bpchar", 5, LogicalType("char", length=1)),
        ("bit", 3, LogicalType("bit", length=3)),
        ("timestamptz", 0, LogicalType("timestamptz", 0)),
        ("interval", 0x7FFFFFFF, LogicalType("interval")),
        ("interval", 0x7FFF0003, LogicalType("interval", 3)),
        ("tsvector", -1, LogicalType("opaque", labels=("tsvector",))),
    ],
)
def test_parameters_come_from_the_modifier(typname: str, typmod: int, expected: LogicalType) -> None:
    assert logical_type(typname, "b", typmod) == expected


def test_kinds() -> None:
    assert logical_type("mood", "e", -1, labels=("sad", "")) == LogicalType("enum", labels=("sad", ""))
    assert logical_type("price", "d", -1, base("numeric", (10 << 16 | 2) + 4)) == LogicalType("decimal", 10, 2)
    assert logical_type("pair", "c", -1) == LogicalType("opaque", labels=("pair",))
    assert logical_type("_int4", "b", -1, base("int4")) == LogicalType("array", element=LogicalType("int32"))
    # They have an element type in pg_type, and are written in ways of their own.
    assert logical_type("point", "b", -1, base("float8")).family == "opaque"
    assert logical_type("int2vector", "b", -1, base("int2")).family == "opaque"


def test_a_user_type_may_share_a_built_in_name() -> None:
    assert logical_type("int4", "c", -1).family == "opaque"
    assert logical_type("text", "e", -1, labels=("a",)).family == "enum"


def test_a_family_unknown_to_postgresql_is_refused() -> None:
    with pytest.raises(ValueError, match="year"):
        canonical_expression(Column("c", 1, LogicalType("year"), ""))


@given(
    st.integers(-178000000 * 12, 178000000 * 12),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**63), 2**63 - 1),
)
def test_interval_text_is_read_back(months: int, days: int, micros: int) -> None:
    value = Interval(months, days, micros)
    assert read(base("interval"), str(value)) == value


@given(st.binary(max_size=40))
def test_bytea_is_read_back(value: bytes) -> None:
    assert read(base("bytea"), "\\x" + value.hex()) == value


@given(st.recursive(st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0")), lambda x: st.lists(x)))
def test_arrays_are_read_back(value: Any) -> None:
    def write(item: Any) -> str:
        if item is None:
            return "NULL"
        if isinstance(item, str):
            return '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return "{" + ",".join(map(write, item)) + "}"

    wrapped = [value]
    assert read(array(base("text")), write(wrapped)) == wrapped
