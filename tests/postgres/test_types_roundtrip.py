"""What the server writes, read and written back, is what the server writes: the canonical value holds all of it.

The values are those of research/types.md §3 that PostgreSQL has, as its own output functions write them under our
session settings, whatever the database's settings are.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import psycopg2.extensions
import pytest

from cdcd.model.table import Column
from cdcd.model.types import LogicalType
from cdcd.model.types.structured import Array, Range
from cdcd.model.types.time import XTimestamp
from connectors.jsonlines.values import EXPRESSIONS, NAMES
from connectors.postgres.connect import connect
from connectors.postgres.types import canonical_expression, logical_type
from tests.servers import Database
from tests.servers.matrix import has

SCALARS: dict[str, list[str]] = {
    "bool": ["t", "f"],
    "int2": ["-32768", "32767"],
    "int4": ["-2147483648", "0", "2147483647"],
    "int8": ["-9223372036854775808", "9223372036854775807"],
    "oid": ["0", "2147483648", "4294967295"],
    "xid8": ["18446744073709551615"],
    "numeric": ["0.00", "1.10", "-1e-20", "1e10", "NaN", "Infinity", "-Infinity", "1e131071", "1e-16383"],
    "money": ["-92233720368547758.08", "0.005", "1234567.8"],
    "float4": ["0.1", "16777217", "1e-45", "3.4028235e38", "1234567.8", "-0", "NaN", "-Infinity"],
    "float8": ["0.1", "5e-324", "1.7976931348623157e308", "1e16", "9007199254740993", "-0", "NaN", "Infinity"],
    "text": ["", " ", "NULL", "a\\b", "tab\tnl\ncr\r", "😀", '"', "\u2028\ufeff"],
    "bpchar": ["", "ab\t"],
    "bytea": ["", "\\x00", "\\x00ff5c27"],
    "bit(3)": ["010"],
    "varbit": ["", "0", "1" * 100],
    "uuid": ["00000000-0000-0000-0000-000000000000", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"],
    "date": ["0001-01-01", "4713-01-01 BC", "0001-12-31 BC", "10000-01-01", "5874897-12-31", "infinity"],
    "time": ["00:00:00", "00:00:00.000001", "23:59:59.9999999", "24:00:00"],
    "timetz": ["24:00:00+15:59", "00:00:00-15:59:59", "10:00+05:30", "10:00:00.5-00:00:30"],
    "timestamp": [
        "1969-12-31 23:59:59.999999", "4713-01-01 00:00:00 BC", "0044-03-15 00:00:00.5 BC",
        "9999-12-31 23:59:59.999999", "9999-12-31 23:59:59.9999999", "0001-01-01",
        "294276-12-31 23:59:59.999999", "infinity", "-infinity",
    ],
    "timestamptz": [
        "2024-11-03 01:30 EDT", "2024-11-03 01:30 EST", "0044-03-15 00:00 America/New_York BC", "0001-01-01 00:00+15",
        "9999-12-31 23:59:59-15", "294276-12-31 23:59:59.999999+00", "4713-01-01 00:00:00+00 BC", "-infinity",
    ],
    "interval": [
        "0", "1 mon -1 day +1 s", "-1 mon +2 days -03:04:05.000006", "24:00:00", "1 day", "178000000 years",
        "0.5 month", "-13 months", "2628000 hours", "-178000000 years -2147483648 days",
        *(["infinity", "-infinity"] if has(17) else []),
    ],
    "json": ["null", '{"a" : 1e2,\n "a":-0}', '"\\u0000\\ud83d"'],
    "jsonb": ["null", '{"b": 1.10, "a": [12345678901234567890]}', '"\\\\"'],
    "inet": ["10.0.0.1", "10.0.0.1/8", "::ffff:1.2.3.4", "::/0"],
    "cidr": ["10.0.0.0/8"],
    "macaddr": ["08:00:2b:01:02:03"],
    "point": ["(1,NaN)", "(-0,Infinity)"],
    "tsvector": ["'a''b':1A"],
    "pg_lsn": ["16/B374D848"],
    "hstore": ['"a\\"b"=>NULL, ""=>"NULL", "c"=>"x=>y, z"', ""],
}  # fmt: skip
ARRAYS: dict[str, list[str]] = {
    "int4": ["{}", "{NULL}", "{{1,NULL},{3,4}}", "[0:1][-1:0]={{1,2},{3,4}}"],
    "text": ['{"NULL",NULL,"","a\\"b","c\\\\d","e,f","{g}"," "}'],
    "bytea": ['{"\\\\x00ff"}'],
    "timestamptz": ['{"0044-03-15 00:00:00+00 BC",infinity}'],
    "json": ['{"{\\"a\\": [1, 2]}"}'],
    "box": ["{(1,1),(0,0);(2,2),(1,1)}"],
}
RANGES: dict[str, list[str]] = {
    "int4range": ["empty", "(,)", "[1,5]"],
    "numrange": ["[1.10,1.10]", "(-Infinity,NaN)"],
    "tstzrange": ['["2024-01-01 00:00:00+00",)', "[-infinity,infinity]"],
    "daterange": ["[4713-01-01 BC,infinity)"],
    "int8multirange": ["{}", "{[1,3),[5,9)}", "{(,)}"],
    "tsmultirange": ['{["0044-03-15 00:00:00 BC","2024-01-01 00:00:00"]}'],
}

Case = tuple[str, LogicalType, str]


def cases() -> Iterator[Case]:
    for name, values in SCALARS.items():
        type = logical_type(name.partition("(")[0], "b", -1)
        yield from ((name, type, value) for value in values)
    for name, values in ARRAYS.items():
        type = logical_type(f"_{name}", "b", -1, logical_type(name, "b", -1))
        yield from ((f"{name}[]", type, value) for value in values)
    for name, values in RANGES.items():
        type = logical_type(name, "m" if "multi" in name else "r", -1)
        yield from ((name, type, value) for value in values)


@pytest.fixture
def session(source_db: Database) -> Iterator[psycopg2.extensions.connection]:
    """As the source reads, in a database whose own settings are the worst."""
    for setting in (
        "DateStyle = 'German, DMY'", "IntervalStyle = 'sql_standard'", "TimeZone = 'America/New_York'",
        "extra_float_digits = -5", "bytea_output = 'escape'",
    ):  # fmt: skip
        source_db.admin(f"ALTER DATABASE \"{source_db.name}\" SET {setting}")
    source_db.admin("CREATE EXTENSION hstore")
    connection = connect(source_db.url, "cdcd/test")
    yield connection
    connection.close()


def written(session: psycopg2.extensions.connection, text: str, type: str) -> bytes:
    """What the output function writes for a text that the input function reads."""
    out = io.BytesIO()
    with session.cursor() as cursor:
        value = cursor.mogrify("%s", (text,)).decode()
        type = "public.hstore" if type == "hstore" else type  # our search_path is empty
        cursor.copy_expert(f"COPY (SELECT {value}::{type}) TO STDOUT (FORMAT csv, FORCE_QUOTE *)", out)
    return out.getvalue()[1:-2].replace(b'""', b'"')


def read(type: LogicalType, text: bytes) -> Any:
    expression, names = canonical_expression(Column("c", 1, type, ""))
    return eval(expression, dict(names), {"v": text})


def back(value: Any) -> str:
    """A canonical value as SQL writes it."""
    match value:
        case bool():
            return "t" if value else "f"
        case bytes():
            return "\\x" + value.hex()
        case Array():
            bounds, items, dimensions = value.lower_bounds, value.items, ""
            for low in bounds:
                dimensions += f"[{low}:{low + len(items) - 1}]"
                items = items[0] if isinstance(items[0], list) else items
            return f"{dimensions}={back(value.items)}"
        case list():
            return "{" + ",".join(map(_element, value)) + "}"
        case dict():
            return ",".join(f"{_element(name)}=>{_element(item)}" for name, item in value.items())
        case tuple():
            return "{" + ",".join(map(back, value)) + "}"
        case Range(empty=True):
            return "empty"
        case Range():
            lower, upper = (f'"{back(x)}"' if x is not None else "" for x in (value.lower, value.upper))
            return f"{'[' if value.lower_inc else '('}{lower},{upper}{']' if value.upper_inc else ')'}"
        case datetime() | XTimestamp():
            return str(value).replace("Z", "+00")
    return str(value)


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return back(value)
    return '"' + back(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def test_what_the_server_writes_is_read_and_written_back(session: psycopg2.extensions.connection) -> None:
    lost = []
    for name, type, value in cases():
        text = written(session, value, name)
        canonical = read(type, text)
        element = type.element
        if element is not None and element.labels == ("box",):
            continue  # `back` knows one delimiter
        if (again := written(session, back(canonical), name)) != text:
            lost.append((name, value, text, canonical, again))
    assert not lost


def test_json_is_the_same_from_text_and_from_the_canonical_value(session: psycopg2.extensions.connection) -> None:
    different = []
    for name, type, value in cases():
        takes = EXPRESSIONS[type.family].takes()
        wire = f"pg-text:{name.partition('(')[0]}"
        if wire not in takes or "canonical" not in takes:
            continue
        text = written(session, value, name)
        direct = eval(takes[wire], dict(NAMES), {"v": text})
        by_value = eval(takes["canonical"], dict(NAMES), {"v": read(type, text)})
        if type.family.startswith("float"):  # 1e+16 and 1e16 are one number
            direct, by_value = (str(float(x.strip(b'"'))).encode() for x in (direct, by_value))
        if direct != by_value:
            different.append((name, value, direct, by_value))
    assert not different
