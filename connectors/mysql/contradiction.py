"""Whether a table map can be of a table as it is known. What the log tells beyond types must be what we know; where it
is not, the table was altered without the log, and its rows are not to be guessed."""

from __future__ import annotations

from collections.abc import Callable

from cdcd.model.table import Table
from connectors.mysql.charsets import decoder
from connectors.mysql.collations import Collations
from connectors.mysql.fields import changed
from connectors.mysql.tablemap import NUMERIC, TableMap
from connectors.mysql.types import charset_of, native_of


def compare(found: TableMap, table: Table, collations: Callable[[], Collations]) -> None:
    """SchemaChanged where they differ. Numbers and lengths of columns are compared where rows are decoded."""
    names = tuple(column.name for column in table.columns)
    if found.names is not None and found.names != names:
        raise changed(table, f"its columns are {', '.join(found.names)}, and were {', '.join(names)}")
    if len(names) != len(found.slots):
        return
    pairs = list(zip(table.columns, found.slots, strict=True))
    if found.unsigned is not None:
        numbers = [native_of(column) for column, slot in pairs if slot.type in NUMERIC]
        for native, unsigned in zip(numbers, found.unsigned, strict=True):
            if native.unsigned != unsigned and native.name != "year":
                raise changed(table, "a number became signed or unsigned")
    if found.collations is not None:
        known = collations()
        for column, number in zip(table.columns, found.collations, strict=True):
            charset = known.charsets.get(known.names.get(number, "")) if number is not None else None
            if column.collation is not None and charset is not None and charset != charset_of(column):
                raise changed(table, f"{column.name} is text in {charset}, and was in {charset_of(column)}")
    _compare_labels(found, table)


def _compare_labels(found: TableMap, table: Table) -> None:
    for told, type in ((found.enum_labels, "enum"), (found.set_labels, "set")):
        columns = [column for column in table.columns if native_of(column).name == type]
        if told is None:
            continue
        if len(told) != len(columns):
            raise changed(table, f"it has {len(told)} columns of {type}, and had {len(columns)}")
        for column, labels in zip(columns, told, strict=True):
            text = decoder(charset_of(column)) if charset_of(column) != "binary" else bytes.decode
            if tuple(map(text, labels)) != native_of(column).labels:
                raise changed(table, f"the labels of {column.name} changed")
