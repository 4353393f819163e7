"""One value in a statement: as what a column is set to, and as the condition that it equals, byte by byte.

A condition first compares by the column's own type and collation, so that an index is used, and then as bytes: what
only collates alike, or differs in trailing blanks, is another value.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from uuid import UUID

from connectors.mysql.forms import NULL
from connectors.mysql.names import quote
from connectors.mysql.shape import ShapeColumn
from connectors.mysql.types import GEOMETRIES

_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_MEANT = {b"n": b"\n", b"t": b"\t"}

Writer = Callable[[bytes], bytes]


def unescape(field: bytes) -> bytes:
    """The bytes that a field stands for; never of NULL's."""
    return _ESCAPED.sub(lambda found: _MEANT.get(found[1], found[1]), field) if b"\\" in field else field


def assigned(column: ShapeColumn, mariadb: bool) -> Writer:
    """field → what the column is set to."""
    before = b"_utf8mb4'" if column.native.name == "json" and not mariadb else b"'"
    return lambda field: b"NULL" if field == NULL else before + field + b"'"


def condition(column: ShapeColumn, mariadb: bool) -> Writer:
    """field → the condition that the column, by its plain name, equals it."""
    name = quote(column.name).encode()
    write = _compared(column, name, mariadb)
    return lambda field: name + b" IS NULL" if field == NULL else write(field)


def _compared(column: ShapeColumn, name: bytes, mariadb: bool) -> Writer:
    kind = column.native.name
    if kind == "json" and not mariadb:
        return lambda field: name + b" = CAST(_utf8mb4'" + field + b"' AS JSON)"
    if kind == "float":
        return lambda field: name + b" = CAST('" + field + b"' AS FLOAT)"
    if kind == "bit":
        return lambda field: name + b" = %d" % int.from_bytes(unescape(field), "big")
    if kind == "vector" or kind in GEOMETRIES:
        return lambda field: b"HEX(" + name + b") = '" + unescape(field).hex().upper().encode() + b"'"
    if kind == "uuid":
        return lambda field: name + b" = _utf8mb4'" + str(UUID(bytes=unescape(field))).encode() + b"'"
    if kind in ("inet4", "inet6"):
        cast = f" = CAST('%b' AS {kind})".encode()
        return lambda field: name + cast.replace(b"%b", field)
    if column.charset and column.charset != "binary":
        literal = f"_{column.charset}'".encode()
        cast_name = b" AND CAST(" + name + b" AS BINARY) = CAST("

        def texts(field: bytes) -> bytes:
            value = literal + field + b"'"
            return name + b" = " + value + cast_name + value + b" AS BINARY)"

        return texts
    return lambda field: name + b" = '" + field + b"'"
