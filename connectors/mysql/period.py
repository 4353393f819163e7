"""MariaDB's system-versioned tables: a row lives from ROW START to ROW END, and its history stands beside it.

An UPDATE is in the log as one of the current row and an insert of the row as it was; a DELETE as an update that ends
the row. What a reader is after are the current rows, whose end is the last moment that the type holds.
"""

from __future__ import annotations

from collections.abc import Iterator

from cdcd.model.table import Column
from cdcd.model.types import LogicalType

_MICROS = b"\x0f\x42\x3f"
CURRENT = (b"\x7f\xff\xff\xff" + _MICROS, b"\xff\xff\xff\xff" + _MICROS, (1 << 64) - 1)
"""Ends of current rows: 2038, 2106 (from 11.5 on), and that of a transaction's number."""


def period(first: int) -> Iterator[Column]:
    """The two columns of WITH SYSTEM VERSIONING that no catalogue lists: their numbers are `first` and the next."""
    for number, end in enumerate(("START", "END")):
        yield Column(
            f"row_{end.lower()}", first + number, LogicalType("timestamptz", precision=6), "timestamp(6)",
            nullable=False, generated=f"HIDDEN ROW {end}",
        )  # fmt: skip


def is_period(column: Column) -> bool:
    return (column.generated or "").endswith(("ROW START", "ROW END"))


def is_end(column: Column) -> bool:
    return (column.generated or "").endswith("ROW END")


def is_hidden(column: Column) -> bool:
    """No statement names it, and no catalogue lists it."""
    return (column.generated or "").startswith("HIDDEN")
