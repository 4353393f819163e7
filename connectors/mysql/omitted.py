"""What a row has in the columns that its insertion left out and the log does not hold (binlog_row_image = MINIMAL): the
column's default, where that is one value. Where it is not a constant the server logs what it made of it."""

from __future__ import annotations

from cdcd.model.table import Column
from cdcd.rows import compile_function
from connectors.mysql.constants import Unsure, normal
from connectors.mysql.fields import Filling
from connectors.mysql.texts import texts
from connectors.mysql.types import native_of


def default_text(column: Column) -> str | None:
    """The default as a SELECT would give it, None: NULL; Unsure where the structure does not tell it for certain."""
    if column.default is None and column.nullable:
        return None
    if column.default is None:
        raise Unsure("there is none")  # a session that is not strict took the type's own
    if column.simple is None or column.simple.kind != "value":
        raise Unsure("it is not one value, or not one that the structure tells")
    # The catalogue shows six digits of a float, and a timestamp in the zone of whoever made the table.
    native = native_of(column)
    if native.name == "timestamp" or (native.name == "float" and float(column.simple.text) != 0):
        raise Unsure("the catalogue does not show it exactly")
    text = column.simple.text
    return normal(column, str(int(text, 2)) if native.name == "bit" else text)


def default_field(filling: Filling, column: Column) -> bytes:
    """The default in the target's form; Unsure as above, ValueError where the form has no place for it."""
    text = default_text(column)
    if text is None:
        return filling.form.layout.null
    if native_of(column).name == "bit":
        text = str(int(text, 2))
    field = filling.form.fields[filling.form.columns.index(column.name)]
    offered, wire = texts(column), filling.wires[column.name]
    steps = (offered.wires[wire if wire in offered.wires else "text"], field.takes[wire])
    lines = ["def take(v):", *(f"    v = {step}" for step in steps if step != "v"), "    return v"]
    return compile_function("take", lines, {**filling.form.names, **offered.names})(text.encode())  # type: ignore[no-any-return]
