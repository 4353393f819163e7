"""The function generated per table: from a row as the server keeps it to its key and row bytes in the sink's
form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cdcd.model.cell import UNCHANGED
from cdcd.model.table import Column, Table
from cdcd.rows import CANONICAL, Fields, Row, RowForm, compile_function
from connectors.memory.form import TEXT
from connectors.memory.order import WHOLE_NUMBERS, Values

Wire = Sequence[Any]
"""A row's values; UNCHANGED where one was not sent."""


def choose(forms: Sequence[RowForm]) -> RowForm:
    """The first form of which every field can be filled."""
    for form in forms:
        if all(TEXT in field.takes or CANONICAL in field.takes for field in form.fields):
            return form
    raise ValueError(f"none of the forms {[form.name for form in forms]} can be filled")


class Encoder:
    """One table's rows in one form."""

    def __init__(self, form: RowForm) -> None:
        self.form = form
        self.table = form.table
        self._fields: Callable[[Wire], Fields] = compile_function(
            "fields", _source(form), {**form.names, **_names(form)}
        )
        by_name = {name: place for place, name in enumerate(form.columns)}
        self._key = [by_name[name] for name in self.table.key]

    def row(self, row: Wire) -> Row:
        """Bytes, or a tuple of fields where a cell is UNCHANGED."""
        fields = self._fields(row)
        return fields if UNCHANGED in fields else self.form.join(fields)

    def whole(self, row: Values) -> bytes:
        """The bytes of a row that is there in full."""
        return self.form.join(self._fields(row))

    def key(self, row: Values) -> bytes:
        """The key of a row that is there in full; of a keyless table's row the whole of it."""
        fields = self._fields(row)
        if not self._key:
            return self.form.join(fields)
        return self.form.layout.between.join([fields[place] for place in self._key])


def _source(form: RowForm) -> list[str]:
    """One straight line of code per column. What the server says (names, values) is never part of it."""
    lines = ["def fields(values):"]
    places = {column.name: place for place, column in enumerate(form.table.columns)}
    for number, (name, field) in enumerate(zip(form.columns, form.fields, strict=True)):
        wire = TEXT if TEXT in field.takes else CANONICAL
        value = "v" if wire == TEXT else f"canonical_{number}(v)"
        label = f"label_{number} + " if form.layout.labels else ""
        lines += [
            f"    v = values[{places[name]}]",
            f"    if v is None: f{number} = {label}null",
            f"    elif v is UNCHANGED: f{number} = v",
            "    else:",
            f"        v = {value}",
            f"        f{number} = {label}({field.takes[wire]})",
        ]
    return [*lines, f"    return ({''.join(f'f{number}, ' for number in range(len(form.columns)))})"]


def _names(form: RowForm) -> Mapping[str, Any]:
    by_name = {column.name: column for column in form.table.columns}
    names: dict[str, Any] = {"null": form.layout.null, "UNCHANGED": UNCHANGED}
    for number, name in enumerate(form.columns):
        names[f"canonical_{number}"] = _canonical(by_name[name])
    for number, label in enumerate(form.layout.labels):
        names[f"label_{number}"] = label
    return names


def _canonical(column: Column) -> Callable[[str], Any]:
    return int if column.type.family in WHOLE_NUMBERS else str


def same_shape(one: Table, other: Table) -> bool:
    """Whether rows of one are rows of the other."""
    return one.columns == other.columns and one.key == other.key
