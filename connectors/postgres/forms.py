"""The row forms of a PostgreSQL target, and how rows in them are put into COPY streams.

Two forms, best first: rows of COPY BINARY, where every column's type has a binary form that both ends share, and lines
of COPY's text format, which takes anything ("File Formats" in the manual's page on COPY).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from cdcd.errors import StateRefused
from cdcd.model.cell import UNCHANGED
from cdcd.model.table import Table
from cdcd.rows import CANONICAL, Field, Fields, Layout, Row, RowForm
from connectors.postgres.sessions import PIECE, Session
from connectors.postgres.shape import Shape
from connectors.postgres.types_wire import wire_types

BINARY, TEXT = "pg-copy-binary", "pg-copy-text"

PLAIN = (
    *("bool", "int2", "int4", "int8", "oid", "float4", "float8", "numeric", "money", "uuid", "bit", "varbit"),
    *("date", "time", "timetz", "timestamp", "timestamptz", "interval", "inet", "cidr", "macaddr", "macaddr8"),
    *("pg_lsn", "xid", "xid8", "point", "line", "lseg", "box", "path", "polygon", "circle", "txid_snapshot"),
    *("int4range", "int8range", "numrange", "daterange", "_int2", "_int4", "_int8", "_float4", "_float8"),
    *("_numeric", "_uuid", "_bool", "_date"),
)
"""Types whose text has no character that COPY would read as something else."""

_SPECIAL = re.compile(rb"[\\\n\r\t]")
_ESCAPES = {b"\\": b"\\\\", b"\n": b"\\n", b"\r": b"\\r", b"\t": b"\\t"}


def escape(value: bytes) -> bytes:
    """Any text as a field of COPY's text format."""
    return _SPECIAL.sub(lambda found: _ESCAPES[found[0]], value) if _SPECIAL.search(value) else value


def floats(value: Sequence[float]) -> bytes:
    """A vector as an array's text."""
    return b"{" + ",".join(map(repr, value)).encode() + b"}"


_ANY_TEXT = Field({**{f"pg-text:{type}": "v" for type in PLAIN}, "pg-text:*": "esc(v)"})
_FIELDS: Mapping[str, Field] = {
    "text": Field({"pg-text:*": "esc(v)"}),  # also of what no date could be
    "bytea": Field({**_ANY_TEXT.takes, "pg-text:bytea": "b'\\\\' + v", "pg-text:geometry": "b'\\\\\\\\x' + v"}),
    "geometry": Field({**_ANY_TEXT.takes, "pg-text:geometry": "v"}),
    "real[]": Field({**_ANY_TEXT.takes, CANONICAL: "floats(v)"}),  # a vector, where the server has no such type
}
"""By the type of the target's column, where another product's source has more to offer."""
_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_length = struct.Struct(">i")


def target_forms(session: Session, table: Table, shape: Shape) -> list[RowForm]:
    """The forms in which the target's table takes rows of `table`."""
    columns = tuple(column.name for column in table.carried)
    missing = [name for name in columns if name not in shape.columns or shape.columns[name].generated]
    if missing:
        raise StateRefused(
            f"the target's table cannot take the column {', '.join(missing)}",
            why="it is missing there, or computed there",
            hint="add the column at the target, or leave the table out",
            table=table.id,
        )
    forms = []
    major = session.version // 10000
    types = wire_types(session.connection, (shape.columns[name].type_id for name in columns))
    wires = [types[shape.columns[name].type_id].binary(major) for name in columns]
    if all(wires):
        layout = Layout(len(columns).to_bytes(2, "big"), b"", b"", b"\xff\xff\xff\xff")
        fields = tuple(Field(dict.fromkeys(names, "v")) for names in wires)
        forms.append(RowForm(BINARY, table, columns, fields, layout, split=split_binary))
    layout = Layout(b"", b"\t", b"\n", b"\\N", escapes=tuple(_ESCAPES.items()))  # the backslash is the first
    natives = [shape.columns[name].native.partition("(")[0].rpartition(".")[2] for name in columns]
    texts = tuple(_FIELDS.get(native, _ANY_TEXT) for native in natives)
    forms.append(RowForm(TEXT, table, columns, texts, layout, {"esc": escape, "floats": floats}, split_text))
    return forms


def split_binary(row: bytes) -> Fields:
    return tuple(_binary_fields(row, 2))


def _binary_fields(row: bytes, at: int) -> Iterator[bytes]:
    while at < len(row):
        start, (length,) = at, _length.unpack_from(row, at)
        at += 4 + max(length, 0)
        yield row[start:at]


def split_text(row: bytes) -> Fields:
    return tuple(row[:-1].split(b"\t"))


def key_fields(form: RowForm, key: bytes) -> tuple[bytes, ...]:
    """The fields of a key's bytes, as in TableLog.keys."""
    return tuple(_binary_fields(key, 0)) if form.name == BINARY else tuple(key.split(b"\t"))


class Encoding:
    """How rows of a form, and rows made of their fields, are written to the server."""

    def __init__(self, form: RowForm) -> None:
        self._binary = form.name == BINARY
        self._layout = form.layout
        self.format = "binary" if self._binary else "text"

    def stream(self, rows: Sequence[bytes]) -> Iterator[bytes]:
        """A whole COPY stream of rows, in pieces of about PIECE bytes: one huge join would hold everything twice."""
        if self._binary:
            yield _HEADER
        if rows:
            step = max(1, PIECE * len(rows) // (sum(map(len, rows)) or 1))
            for start in range(0, len(rows), step):
                yield b"".join(rows[start : start + step])
        if self._binary:
            yield _TRAILER

    def keys(self, keys: Iterable[bytes], columns: int) -> list[bytes]:
        """Rows of key columns only."""
        head, tail = self._head(columns), self._layout.tail
        return [head + key + tail for key in keys]

    def moves(self, number: int, moves: Sequence[tuple[bytes, Any]], columns: tuple[int, int]) -> list[bytes]:
        """As `numbered`, for many (key, row) that have the same cells."""
        layout = self._layout
        between, tail, null = layout.between, layout.tail, layout.null
        head = self._head(1 + sum(columns)) + self._number(number) + between
        if isinstance(moves[0][1], bytes):
            start, stop = len(layout.head), -len(tail) or None
            return [head + key + between + row[start:stop] + tail for key, row in moves]
        return [
            head + key + between + between.join([null if cell is UNCHANGED else cell for cell in row]) + tail
            for key, row in moves
        ]

    def numbered(self, number: int, key: bytes, row: Row | None, columns: tuple[int, int]) -> bytes:
        """A row of a number, the key's fields and the row's; `columns` counts both. Where there is no key (b"") or no
        row its columns are NULL, as are cells that are not known."""
        layout = self._layout
        null = layout.null
        fields = [self._number(number)]
        if columns[0]:
            fields.append(key or layout.between.join([null] * columns[0]))
        if row is None:
            fields += [layout.between.join([null] * columns[1])] if columns[1] else []
        elif isinstance(row, bytes):
            fields.append(row[len(layout.head) : len(row) - len(layout.tail)])
        else:
            fields.append(layout.between.join([null if cell is UNCHANGED else cell for cell in row]))
        return self._head(1 + sum(columns)) + layout.between.join(fields) + layout.tail

    def alone(self, row: Row) -> bytes:
        """A row as it is; cells that are not known are NULL."""
        if isinstance(row, bytes):
            return row
        cells = [self._layout.null if cell is UNCHANGED else cell for cell in row]
        return self._head(len(cells)) + self._layout.between.join(cells) + self._layout.tail

    def _number(self, number: int) -> bytes:
        return _length.pack(4) + _length.pack(number) if self._binary else b"%d" % number

    def _head(self, columns: int) -> bytes:
        return columns.to_bytes(2, "big") if self._binary else b""
