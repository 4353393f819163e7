"""A value that the target's form has no place for: the error that names its table and column, and what leads on."""

from __future__ import annotations

from cdcd.errors import PoisonRow
from cdcd.model.table import Table

_AS_TEXT = (
    "correct the value at the source and cdcd reload the table, or let the column be of type text at the target,"
    " which takes any date"
)


def refused(table: Table, column: str, error: ValueError, **where: object) -> PoisonRow:
    """`error` says what is wrong with the value."""
    family = next((one.type.family for one in table.columns if one.name == column), "")
    return PoisonRow(
        "a value cannot be written in the target's form",
        why=str(error),
        hint=_AS_TEXT if family in ("date", "timestamp", "timestamptz") else "",
        table=table.id,
        column=column,
        **where,
    )
