"""How a value becomes JSON: per family an expression over PostgreSQL's text, and one over the canonical value.

Both give the same JSON value. Numbers are exact, with all their digits: a reader that parses them into doubles loses
some, one that does not keeps all. What JSON has no number for (NaN, Infinity, -Infinity) is a string of that name.
bytea is base64. Timestamps have a T, and a Z where they are instants; a year before 1 has ` BC` behind it, infinity
is a string. JSON stays as it is, on one line; its null and SQL's NULL look alike. Everything else is a string of the
server's own text.
"""

from __future__ import annotations

import struct
from binascii import b2a_base64, unhexlify
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time
from decimal import Decimal
from math import isfinite
from typing import Any

from cdcd.model.types.json import Json
from cdcd.model.types.time import XTime, XTimestamp
from cdcd.rows import CANONICAL
from connectors.jsonlines.quoting import quote, quoted


@dataclass(frozen=True, slots=True)
class Expressions:
    """`json`: what is written, for TYPES.md. `texts`: PostgreSQL's type name → expression over its text; `*`: any
    type of the family. `canonical`: the expression over the canonical value. `others`: wire form → expression."""

    json: str
    texts: Mapping[str, str]
    canonical: str = ""
    others: Mapping[str, str] = field(default_factory=dict)

    def takes(self) -> dict[str, str]:
        """As rows.Field wants them, the cheapest first."""
        takes = {**self.others, **{f"pg-text:{name}": expression for name, expression in self.texts.items()}}
        return {**takes, CANONICAL: self.canonical} if self.canonical else takes


def _number(value: Decimal) -> bytes:
    # A format, as str() would write 1E+3; no arithmetic, which would round.
    return format(value, "f").encode() if value.is_finite() else quoted(str(value))


def _float64(value: float) -> bytes:
    if isfinite(value):
        return repr(value).encode()
    return b'"NaN"' if value != value else b'"Infinity"' if value > 0 else b'"-Infinity"'


def _float32(value: float) -> bytes:
    """The shortest text that is still this value when read into 32 bits."""
    if isfinite(value):
        bits = struct.pack("f", value)
        for digits in range(6, 9):
            if struct.pack("f", float(text := f"{value:.{digits}g}")) == bits:
                return text.encode()
        return f"{value:.9g}".encode()
    return _float64(value)


def _time(value: time | XTime) -> bytes:
    text = str(value)
    return quoted(text.rstrip("0") if "." in text else text)


def _timestamp(value: datetime | XTimestamp) -> bytes:
    if isinstance(value, XTimestamp):
        return quoted(str(value))
    text = value.replace(tzinfo=None).isoformat()
    text = text.rstrip("0") if "." in text else text
    return quoted(text if value.tzinfo is None else text + "Z")


def _json(value: Json) -> bytes:
    # Control characters stand between values only: in a JSON string they would have been refused.
    return value.text.encode().replace(b"\n", b" ").replace(b"\r", b" ")


NAMES: Mapping[str, Any] = {
    "quote": quote,
    "unhexlify": unhexlify,
    "b2a_base64": b2a_base64,
    "quoted": quoted,
    "number": _number,
    "float32": _float32,
    "float64": _float64,
    "time_text": _time,
    "timestamp_text": _timestamp,
    "json_text": _json,
}
"""What the expressions use."""

_TEXT = "quote(v.decode()).encode()"
_PLAIN = "b'\"%b\"' % v"  # text that never needs an escape
_NUMBER = "v if v[-1] < 58 else b'\"%b\"' % v"  # NaN and the infinities end in a letter
_ONE_LINE = "v.replace(b'\\n', b' ').replace(b'\\r', b' ')"
_BASE64 = "b'\"%b\"' % b2a_base64({}, newline=False)"
_WITH_T = "b'\"%b\"' % v.replace(b' ', b'T', 1)"


def _integer(*names: str) -> Expressions:
    return Expressions("number", dict.fromkeys(names, "v"), "b'%d' % v")


def _text(*names: str) -> Expressions:
    return Expressions("string", dict.fromkeys((*names, "*"), _TEXT), "quoted(v)")


def _plain(name: str) -> Expressions:
    return Expressions("string", {name: _PLAIN}, "quoted(str(v))")


_NO_CANONICAL = Expressions("string, the server's text", {"*": _TEXT})
"""PostgreSQL's alone, and JSON cannot hold all of them (an array's lower bounds, a range's brackets)."""

EXPRESSIONS: Mapping[str, Expressions] = {
    "bool": Expressions(
        "true, false", {"bool": "b'true' if v == b't' else b'false'"}, "b'true' if v else b'false'"
    ),
    "int16": _integer("int2"),
    "int32": _integer("int4"),
    "int64": _integer("int8"),
    "uint32": _integer("oid", "xid", "cid"),
    "uint64": _integer("xid8"),
    "decimal": Expressions(
        "number with all its digits; `NaN`, `Infinity`, `-Infinity` as strings",
        {"numeric": _NUMBER, "money": "v.replace(b'$', b'').replace(b',', b'')"},
        "number(v)",
        {"digits:numeric": "v"},  # of a server that has no others
    ),
    "float32": Expressions("shortest exact number; else as decimal", {"float4": _NUMBER}, "float32(v)"),
    "float64": Expressions(
        "shortest exact number; else as decimal",
        {"float8": _NUMBER},
        "repr(v).encode() if v - v == 0 else float64(v)",  # a finite one, as most are, costs no call
    ),
    "text": _text("text", "varchar", "name", "char"),
    "char": Expressions(
        "string without padding", {"bpchar": "quote(v.decode().rstrip(' ')).encode()"}, "quoted(v)"
    ),
    "citext": _text("citext"),
    "enum": _text("enum"),
    "xml": _text("xml"),
    "opaque": _text(),
    "inet": _plain("inet"),
    "cidr": _plain("cidr"),
    "macaddr": _plain("macaddr"),
    "macaddr8": _plain("macaddr8"),
    "bytes": Expressions(
        "string of base64", {"bytea": _BASE64.format("unhexlify(v[2:])")}, _BASE64.format("v")
    ),
    "geometry": Expressions("string of base64", {}, _BASE64.format("v")),
    "uuid": _plain("uuid"),
    "bit": _plain("bit"),
    "varbit": _plain("varbit"),
    "date": _plain("date"),
    "time": Expressions("string", {"time": _PLAIN}, "time_text(v)"),
    "timetz": _plain("timetz"),
    "timestamp": Expressions(
        "string: `2024-02-29T12:00:00.5`, `0044-03-15T00:00:00 BC`, `infinity`",
        {"timestamp": _WITH_T},
        "timestamp_text(v)",
        {"iso-text:timestamp": _PLAIN},
    ),
    "timestamptz": Expressions(
        "string: `2024-02-29T12:00:00.5Z`",
        {"timestamptz": _WITH_T + ".replace(b'+00', b'Z')"},
        "timestamp_text(v)",
        {"iso-text:timestamptz": _PLAIN},
    ),
    "interval": _plain("interval"),
    "json": Expressions(
        "as it is, on one line; its null and SQL's NULL look alike", {"json": _ONE_LINE}, "json_text(v)"
    ),
    "jsonb": Expressions("as it is; null as with json", {"jsonb": "v"}, "json_text(v)"),
    "array": _NO_CANONICAL,
    "range": _NO_CANONICAL,
    "multirange": _NO_CANONICAL,
    "map": _NO_CANONICAL,
    "vector": _NO_CANONICAL,
}
