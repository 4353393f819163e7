"""Columns side by side whose fields the server makes itself, and gives as one value of a SELECT.

To frame a value and write its field costs this process 0.3 µs and more, of which it can use one core; the server takes
less for it, in a process of its own. What needs a test per value (dates of a calendar, floats) is not among them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from cdcd.model.table import Column
from cdcd.rows import Layout
from connectors.mysql.names import quote
from connectors.mysql.types import INTEGERS, charset_of, native_of

MOST = 16
"""Columns of one value. A text has 64 KB at most, so this stays far below the server's max_allowed_packet, beyond which
it gives NULL and a warning (which ends the load)."""

_TEXTS = ("char", "varchar", "tinytext", "text", "enum", "set")
_HEX = "x'5c78'"
"""\\x, with which PostgreSQL's hexadecimal digits begin."""

_PREFIXED = re.compile(r"(b'(?:[^'\\]|\\.)*') \+ v")


def server_field(column: Column, wire: str, take: str, layout: Layout) -> str | None:
    """The SQL expression of a column's field, which the sink takes of that wire form by the expression `take`; None:
    the server cannot make it."""
    text = _text(column, wire)
    if text is None or layout.labels or layout.head or not layout.between:
        return None
    if take == "esc(v)" and layout.escapes:
        for special, escaped in layout.escapes:
            text = f"REPLACE({text}, {_bytes(special)}, {_bytes(escaped)})"
    elif match := _PREFIXED.fullmatch(take):
        text = f"CONCAT({_bytes(ast.literal_eval(match[1]))}, {text})"
    elif take != "v":
        return None
    return f"IFNULL({text}, {_bytes(layout.null)})" if column.nullable else text


def together(fields: Sequence[str], layout: Layout) -> str:
    """One value of them, as they stand in a row."""
    return f"CONCAT_WS({_bytes(layout.between)}, {', '.join(fields)})" if len(fields) > 1 else fields[0]


def _text(column: Column, wire: str) -> str | None:
    """An expression whose text is that of the wire form, or one that the named type reads as the same value."""
    native, name = native_of(column), quote(column.name)
    if native.name in (*INTEGERS, "decimal"):
        return name if "zerofill" not in column.native else None
    if native.name == "double":
        return name if wire == "pg-text:float8" and "zerofill" not in column.native else None
    if native.name == "timestamp":
        return f"CONCAT({name}, '+00')" if wire == "pg-text:timestamptz" else None
    if native.name == "time":
        return name if wire == "pg-text:interval" else None
    if native.name in ("binary", "varbinary"):
        return f"CONCAT({_HEX}, HEX({name}))" if wire == "pg-text:bytea" else None
    if native.name in _TEXTS and column.type.family != "bytes" and wire.startswith("pg-text:"):
        # As bytes: else each replacement goes character by character.
        return f"CAST({_utf8(column, name)} AS BINARY)"
    return None


def _utf8(column: Column, name: str) -> str:
    utf8 = charset_of(column) in ("utf8mb4", "utf8mb3", "utf8", "ascii")
    return name if utf8 else f"CONVERT({name} USING utf8mb4)"


def _bytes(value: bytes) -> str:
    return f"x'{value.hex()}'"
