"""What a tuple of pgoutput is made of: its columns, how their values become fields, how fields become a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cdcd.errors import Stopped
from cdcd.rows import CANONICAL, compile_function
from connectors.postgres.types import canonical_expression
from connectors.postgres.types_wire import Filling, WireType

NEW, OLD_KEY, OLD_ROW = b"NKO"

LONGEST_RUN = 400
"""Bytes; wire.PAD is longer by more than one column."""

def malformed(what: str) -> Stopped:
    """The server sent what the protocol does not allow, or the decoder has a fault: never go on past it."""
    return Stopped(
        f"the change stream cannot be read: {what}",
        why="pgoutput's messages do not have the form that protocol version 1 describes",
        hint="report this with the server's version; the position is unchanged",
    )


@dataclass(frozen=True, slots=True)
class Cell:
    """One column of a tuple, in the wire's order: `place` in the row form (None: not wanted), `width` of its binary
    value (None: it varies), `steps` the expressions over `v` that make the field."""

    name: str
    place: int | None
    width: int | None
    steps: tuple[str, ...]


def cells_of(filling: Filling, types: dict[int, WireType]) -> tuple[list[Cell], dict[str, Any]]:
    """The cells of the columns that are sent, and the names their steps use."""
    form, cells = filling.form, []
    names: dict[str, Any] = dict(form.names)
    places = {name: place for place, name in enumerate(form.columns)}
    for number, column in enumerate(form.table.sent):
        place, steps = places.get(column.name), []
        if place is not None:
            wire = filling.wires[place]
            if wire == CANONICAL:
                expression, its = canonical_expression(column)
                lines = ["def read(v):", f"    return {expression}"]
                names[f"_read{number}"] = compile_function("read", lines, its)
                steps.append(f"_read{number}(v)")
            if (expression := form.fields[place].takes[wire]) != "v":
                steps.append(expression)
        type = types.get(column.type_id)
        width = type.width if filling.binary and type is not None else None
        cells.append(Cell(column.name, place, width, tuple(steps)))
    return cells, names


class Run:
    """Columns unpacked by one struct: fixed ones, the last perhaps of varying width."""

    def __init__(self, format: str, size: int) -> None:
        self.format = format
        self.size = size
        self.cells: list[Cell] = []

    def add(self, cell: Cell) -> None:
        self.cells.append(cell)
        if cell.width is None:
            self.format += "ci"
            self.size += 5
        else:
            self.format += f"c{4 + cell.width}{'s' if cell.place is not None else 'x'}"
            self.size += 5 + cell.width
