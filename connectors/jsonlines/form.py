"""How a table's rows are wanted: JSON objects, each on one line, the key's members first."""

from __future__ import annotations

import re
from collections.abc import Callable

from cdcd.model.table import Column, Table
from cdcd.rows import Field, Layout, RowForm
from connectors.jsonlines.quoting import quoted
from connectors.jsonlines.values import EXPRESSIONS, NAMES

# The commas of a jsonb have a blank behind them, those between fields have none.
_FIELD = re.compile(rb'(?:"[^"\\]*(?:\\.[^"\\]*)*"|, |[^",])+', re.DOTALL)


def row_form(table: Table) -> RowForm:
    """The only form of a table. With the key's columns first, a row's key is where the row begins."""
    columns = (*table.key_columns, *(column for column in table.carried if column.name not in table.key))
    return RowForm(
        name="json",
        table=table,
        columns=tuple(column.name for column in columns),
        fields=tuple(_field(column) for column in columns),
        layout=Layout(b"{", b",", b"}", b"null", tuple(quoted(column.name) + b":" for column in columns)),
        names=NAMES,
    )


def _field(column: Column) -> Field:
    return Field(EXPRESSIONS[column.type.family].takes())


def key_of_row(form: RowForm) -> Callable[[bytes], bytes]:
    """A function from a row (of a table with a key) to its key, as an object without braces."""
    keys = len(form.table.key)
    if keys == len(form.columns):
        return lambda row: row[1:-1]
    # In a string a quote has a backslash before it, and in a jsonb a blank, so the first such label is no data.
    following = b"," + form.layout.labels[keys]
    return lambda row: row[1 : row.index(following)]


def key_object(form: RowForm) -> Callable[[bytes], bytes]:
    """A function from a key, as in TableLog.keys, to an object; a keyless table's key is a row already."""
    labels = form.layout.labels[: len(form.table.key)]
    if not labels:
        return lambda key: key
    pattern = b"{" + b",".join(label.replace(b"%", b"%%") + b"%b" for label in labels) + b"}"
    if len(labels) == 1:
        return lambda key: pattern % key
    return lambda key: pattern % tuple(_FIELD.findall(key))
