"""Rows of a SELECT, framed from the socket by ourselves, as bytes in the sink's form: generated functions per table.

A row of the text protocol is one packet: each value with its length before it, NULL as one byte ("Text Resultset Row"
in the protocol's reference).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cdcd.errors import PoisonRow, Unreachable
from cdcd.rows import compile_function, join_expression
from connectors.mysql.fields import Filling
from connectors.mysql.malformed import malformed
from connectors.mysql.refused import refused
from connectors.mysql.tablemap import length
from connectors.mysql.texts import texts
from connectors.mysql.wire import LARGEST, Wire, server_error

_QUERY = 3


class RowCode:
    """The functions of one table, whose values come in the order of its form's columns.

    `rows(data, at, limit, put)` takes the whole packets from `at` and gives where it ended: before one that has not
    come whole, or that is no row of less than 16 MB. `row(data, at, end)` makes the row that stands there.
    """

    def __init__(self, filling: Filling) -> None:
        form = filling.form
        self._table = form.table
        self._takers: list[tuple[str, Callable[[bytes], bytes]]] = []
        self.columns = len(form.columns)
        expression, names = join_expression(form.layout, [f"f{place}" for place in range(len(form.columns))])
        if not form.layout.tail.endswith(b"\n"):
            expression = f"{expression} + b'\\n'"  # a load's rows are lines
        by_name = {column.name: column for column in form.table.carried}
        body: list[str] = []
        used: dict[str, Any] = dict(form.names)
        for place, (name, field) in enumerate(zip(form.columns, form.fields, strict=True)):
            offered, wire = texts(by_name[name]), filling.wires[name]
            steps = (offered.wires[wire if wire in offered.wires else "text"], field.takes[wire])
            used |= offered.names
            real = [step for step in steps if step != "v"]
            body += _value(place, real)
            take = ["def take(v):", *(f"    v = {step}" for step in real), "    return v"]
            self._takers.append((name, compile_function("take", take, {**form.names, **offered.names})))
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
        for name, take in self._takers:
            if data[at] == 251:
                at += 1
                continue
            size, at = length(data, at)
            value, at = data[at : at + size], at + size
            if name in self._table.key:
                key[name] = value.decode(errors="replace")
            try:
                take(value)
            except ValueError as mistake:
                found = refused(self._table, name, mistake)
        if isinstance(found, PoisonRow) and key:
            found.where["key"] = ", ".join(key.values())
        return found


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
    if length(wire.packet(patience), 0)[0] != code.columns:
        raise malformed("a result of another number of columns")
    for _ in range(code.columns + 1):  # their descriptions, and the packet that ends these
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
            piece = b"".join(made)
            counts["bytes"] += len(piece)
            made.clear()
            yield piece
        if packet is not None and over:
            if packet[0] == 255:
                raise server_error(packet)
            return
        if packet is None and not wire.more(patience):
            raise Unreachable(f"the server has sent nothing for {patience:g} s", why="it was asked for rows")
