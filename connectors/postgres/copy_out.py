"""COPY TO STDOUT of a chunk as pieces of bytes: the server's own encoding untouched, or rows made of its text ("COPY",
"COPY Operations")."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from typing import Any

from cdcd.errors import Unreachable
from cdcd.rows import CANONICAL
from connectors.postgres.cells import malformed
from connectors.postgres.replication import Session
from connectors.postgres.tuples import TupleCode
from connectors.postgres.types_wire import Filling
from connectors.postgres.wire import server_error

PIECE = 1 << 18
_frame = struct.Struct(">ci")

COPY_BINARY, COPY_TEXT = "pg-copy-binary", "pg-copy-text"
"""The row forms that are COPY's own encodings: by name, as a sink's expressions cannot be looked into."""


def untouched(filling: Filling) -> bool:
    """Whether COPY's data are the form's bulk encoding as they are."""
    if filling.form.name == COPY_BINARY:
        return filling.binary
    return filling.form.name == COPY_TEXT and CANONICAL not in filling.wires


def copied(session: Session, statement: str, counts: dict[str, int]) -> Iterator[bytes]:
    """The data of a COPY in pieces of about PIECE bytes, each ending at the end of a row."""
    wire = session.wire(statement)
    parts: list[bytes] = []
    size = 0
    while True:
        data, at, limit = wire.data, wire.pos, wire.limit
        frame = _frame.unpack_from
        while at < limit:
            kind, length = frame(data, at)
            end = at + 1 + length
            if end > limit:
                break
            if kind == b"d":
                parts.append(data[at + 5 : end])
                size += length - 4
            elif kind == b"C":
                wire.pos = end
                yield from _last(data[at + 5 : end], parts, counts)
                return
            elif kind == b"E":
                raise server_error(data[at + 5 : end])
            at = end
        wire.pos = at
        if size >= PIECE:
            counts["rows"] += len(parts)
            counts["bytes"] += size
            yield b"".join(parts)
            parts, size = [], 0
        wire.more(1.0)


def _last(tag: bytes, parts: list[bytes], counts: dict[str, int]) -> Iterator[bytes]:
    """The rest, and the server's own count: header and trailer of the binary form are no rows."""
    data = b"".join(parts)
    words = tag.rstrip(b"\0").split()
    if len(words) != 2 or words[0] != b"COPY":
        raise Unreachable("the server did not end its copy", why=f"it answered {tag!r}")
    counts["bytes"] += len(data)
    counts["rows"] = int(words[1])
    if data:
        yield data


_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_LETTERS = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


def unescape(field: bytes) -> bytes:
    """A field of COPY's text format → the value's text."""
    if b"\\" not in field:
        return field
    return _ESCAPED.sub(lambda match: _LETTERS.get(match[1], match[1]), field)


def made(pieces: Iterator[bytes], code: TupleCode, counts: dict[str, int]) -> Iterator[bytes]:
    """Rows in the form's layout, each with a newline behind it, from COPY text of the form's columns."""
    null = code.form.layout.null
    converters: list[Callable[[bytes], Any]] = [code.converter(i) for i in range(len(code.form.columns))]
    newline = b"" if code.form.layout.tail.endswith(b"\n") else b"\n"

    def slow(line: bytes) -> bytes:
        fields = line.split(b"\t")
        if len(fields) != len(converters):
            raise malformed(f"a line of COPY of {code.table.id} has {len(fields)} fields")
        pairs = zip(fields, converters, strict=True)
        values = [null if field == b"\\N" else convert(unescape(field)) for field, convert in pairs]
        return code.joined(values) + newline

    make = code.compile_lines(newline)
    rest = b""
    for piece in pieces:
        lines = (rest + piece).split(b"\n")
        rest = lines.pop()
        rows: list[bytes] = []
        make(lines, rows.append, slow)
        data = b"".join(rows)
        counts["rows"] += len(rows)
        counts["bytes"] += len(data)
        if data:
            yield data
