"""Rows of a SELECT, framed from the socket by ourselves, as bytes in the sink's form: generated functions per table.

A row of the text protocol is one packet: each value with its length before it, NULL as one byte ("Text Resultset Row"
in the protocol's reference). Fields that the server can make come as one value, as they stand in the row (joined.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cdcd.errors import PoisonRow, Unreachable
from cdcd.model.table import Column
from cdcd.rows import compile_function, join_expression
from connectors.mysql.fields import Filling
from connectors.mysql.joined import MOST, server_field, together
from connectors.mysql.malformed import malformed
from connectors.mysql.refused import refused
from connectors.mysql.tablemap import length
from connectors.mysql.texts import selected, texts
from connectors.mysql.wire import LARGEST, Wire, server_error

_QUERY = 3
_ZERO = b"0000-00-00 00:00:00"


class RowCode:
    """The functions of one table. `wanted`: what is to be selected, `values` of them, in the order of the columns.

    `rows(data, at, limit, put)` takes the whole packets from `at` and gives where it ended: before one that has not
    come whole, or that is no row of less than 16 MB. `row(data, at, end)` makes the row that stands there.
    """

    def __init__(self, filling: Filling) -> None:
        form = filling.form
        self._table, self._between = form.table, form.layout.between
        self._takers: list[tuple[list[str], Callable[[bytes], bytes]]] = []
        body: list[str] = []
        used: dict[str, Any] = dict(form.names)
        asked: list[str] = []
        self._columns = form.columns
        self._moments: set[str] = set()  # that the server puts into a row
        for place, value in enumerate(_values(filling)):
            used |= value.names
            body += _value(place, value.steps)
            take = ["def take(v):", *(f"    v = {step}" for step in value.steps), "    return v"]
            own = [column.name for column in value.columns]
            if value.fields:
                self._moments |= {name for name in own if filling.wires[name] == "pg-text:timestamptz"}
            self._takers.append((own, compile_function("take", take, {**form.names, **value.names})))
            asked.append(together(value.fields, form.layout) if value.fields else selected(value.columns[0]))
        self.wanted, self.values = ", ".join(asked), len(asked)
        # A load's rows are lines, whose ends are put between them by the piece.
        layout = replace(form.layout, tail=form.layout.tail.removesuffix(b"\n"))
        expression, names = join_expression(layout, [f"f{place}" for place in range(len(asked))])
        if len(asked) == 1 and not (layout.head or layout.tail or layout.labels):
            expression = "f0"
        used |= {**names, "_null": form.layout.null, "_length": length, "_cut": self._cut, "_refused": self._refused}
        row = [
            "def row(data, at, end):",
            "    q = at",
            "    try:",
            *("        " + line for line in body),
            "        if q != end:",
            "            raise _cut()",
            f"        return {expression}",
            "    except ValueError as error:",
            "        raise _refused(error, data, at) from error",
        ]
        self.row: Callable[[bytes, int, int], bytes] = compile_function("row", row, used)
        lines = [
            "def rows(data, at, limit, put):",
            "    try:",
            "        while at + 4 < limit:",
            "            size = data[at] | data[at + 1] << 8 | data[at + 2] << 16",
            "            q = at + 4",
            "            end = q + size",
            f"            if end > limit or size == {LARGEST} or data[q] >= 254:",
            "                return at",
            *("            " + line for line in body),
            "            if q != end:",
            "                raise _cut()",
            f"            put({expression})",
            "            at = end",
            "    except ValueError as error:",
            "        raise _refused(error, data, at + 4) from error",
            "    return at",
        ]
        self.rows: Callable[[bytes, int, int, Callable[[bytes], None]], int] = compile_function("rows", lines, used)

    def _cut(self) -> Exception:
        return malformed(f"a row of {self._table.id} is longer or shorter than its columns")

    def _refused(self, error: ValueError, data: bytes, at: int) -> Exception:
        """Some value of the row at `at` was: say which, and of which row."""
        key: dict[str, str] = {}
        found: Exception = error
        for columns, take in self._takers:
            if data[at] == 251:
                at += 1
                continue
            size, at = length(data, at)
            value, at = data[at : at + size], at + size
            parts = value.split(self._between) if len(columns) > 1 else [value]
            key |= self._key(dict(zip(columns, parts, strict=True)))
            try:
                take(value)
            except ValueError as mistake:
                found = refused(self._table, columns[0], mistake)
        if isinstance(found, PoisonRow) and key:
            found.where["key"] = ", ".join(key.values())
        return found

    def _key(self, fields: Mapping[str, bytes]) -> dict[str, str]:
        return {name: fields[name].decode(errors="replace") for name in self._table.key if name in fields}

    def piece(self, rows: Sequence[bytes]) -> bytes:
        """Whole rows as lines."""
        made = b"\n".join(rows) + b"\n"
        if self._moments and _ZERO in made:
            self._refuse_zeros(rows)
        return made

    def _refuse_zeros(self, rows: Sequence[bytes]) -> None:
        """The target would refuse a moment that is none, too, but not say of which row."""
        for row in rows:
            fields = dict(zip(self._columns, row.split(self._between), strict=True))
            for name in self._moments:
                if fields[name].startswith(_ZERO):
                    found = refused(self._table, name, ValueError(f"{_ZERO.decode()} is no date of the calendar"))
                    if key := self._key(fields):
                        found.where["key"] = ", ".join(key.values())
                    raise found


@dataclass(slots=True)
class _Value:
    """What comes as one value: of columns whose `fields` the server makes, or of one, whose field its `steps` make."""

    columns: list[Column]
    fields: list[str]
    steps: list[str]
    names: Mapping[str, Any]


def _values(filling: Filling) -> list[_Value]:
    form = filling.form
    by_name = {column.name: column for column in form.table.carried}
    made: list[_Value] = []
    for name, field in zip(form.columns, form.fields, strict=True):
        column, wire = by_name[name], filling.wires[name]
        if sql := server_field(column, wire, field.takes[wire], form.layout):
            if not made or not 0 < len(made[-1].fields) < MOST:
                made.append(_Value([], [], [], {}))
            made[-1].columns.append(column)
            made[-1].fields.append(sql)
            continue
        offered = texts(column)
        both = (offered.wires[wire if wire in offered.wires else "text"], field.takes[wire])
        made.append(_Value([column], [], [step for step in both if step != "v"], offered.names))
    return made


def _value(place: int, steps: Sequence[str]) -> list[str]:
    """Lines that make a field of the value at `q`."""
    return [
        "n = data[q]",
        "if n == 251:",
        f"    f{place} = _null",
        "    q += 1",
        "else:",
        "    if n < 251:",
        "        q += 1",
        "    else:",
        "        n, q = _length(data, q)",
        "    v = data[q : q + n]",
        "    q += n",
        *(f"    v = {step}" for step in steps),
        f"    f{place} = v",
    ]


def copy_out(wire: Wire, sql: str, code: RowCode, counts: dict[str, int], patience: float) -> Iterator[bytes]:
    """Run a SELECT of the form's columns on a wire that is idle, and give its rows in pieces. `patience`: seconds
    that the server may take for a row."""
    wire.command(bytes([_QUERY]) + sql.encode())
    if length(wire.packet(patience), 0)[0] != code.values:
        raise malformed("a result of another number of columns")
    for _ in range(code.values + 1):  # their descriptions, and the packet that ends these
        wire.packet(patience)
    made: list[bytes] = []
    while True:
        wire.pos = code.rows(wire.data, wire.pos, wire.limit, made.append)
        packet = wire.joined()
        over = packet is not None and packet[0] >= 254 and (len(packet) < 9 or packet[0] == 255)
        if packet is not None and not over:
            made.append(code.row(packet, 0, len(packet)))
        if made:
            counts["rows"] += len(made)
            piece = code.piece(made)
            counts["bytes"] += len(piece)
            made.clear()
            yield piece
        if packet is not None and over:
            if packet[0] == 255:
                raise server_error(packet)
            return
        if packet is None and not wire.more(patience):
            raise Unreachable(f"the server has sent nothing for {patience:g} s", why="it was asked for rows")
