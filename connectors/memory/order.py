"""The server's order and equality of values: numbers by size, text by code point, and text under a
case-insensitive collation (`Column.equality` "server") without regard to case."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cdcd.model.table import Column, Table

Values = tuple[str | None, ...]
"""A row, or a key: the server keeps every value as text."""

Rank = tuple[Any, ...]

WHOLE_NUMBERS = frozenset({"int8", "int16", "int32", "int64"})


def rank(column: Column, value: str | None) -> Any:
    """What the value is compared by; equal ranks are equal values."""
    if value is None:
        return None
    if column.type.family in WHOLE_NUMBERS:
        return int(value)
    return value.casefold() if column.equality == "server" else value


def ranker(table: Table, names: Sequence[str]) -> Callable[[Values], Rank]:
    """A function from the values of these columns, in this order, to what they are compared by."""
    by_name = {column.name: column for column in table.columns}
    columns = [by_name[name] for name in names]
    return lambda values: tuple(rank(column, value) for column, value in zip(columns, values, strict=True))


def picker(table: Table, names: Sequence[str]) -> Callable[[Values], Values]:
    """A function from a row of the table to the values of these columns."""
    places = [index for name in names for index, column in enumerate(table.columns) if column.name == name]
    return lambda row: tuple(row[place] for place in places)
