"""Defaults of columns that are told in no product's language: read from PostgreSQL's expressions, and written so."""

from __future__ import annotations

import re

from cdcd.model.table import Column, Default
from connectors.postgres.names import quote_literal

_CAST = r"(?:::[\w .\"\[\](),]+)?"
_NUMBER = re.compile(rf"\(?(-?\d+(?:\.\d+)?)\)?{_CAST}")
_STRING = re.compile(rf"B?'((?:[^']|'')*)'{_CAST}", re.DOTALL)
_NOW = re.compile(
    r"(?:now|transaction_timestamp|statement_timestamp)\(\)"
    r"|(?:CURRENT_TIMESTAMP|LOCALTIMESTAMP)(?:\(\d\))?|CURRENT_DATE"
)
_NEXT = re.compile(r"nextval\(.*\)", re.DOTALL)
_SIMPLE = {
    "bool", "int16", "int32", "int64", "uint32", "uint64", "decimal", "float32", "float64", "text", "char",
    "citext", "enum", "bytes", "bit", "varbit", "date", "time", "timestamp", "timestamptz", "uuid", "json", "jsonb",
    "inet", "xml",
}  # fmt: skip
"""Families whose values other products may have, in a text that is theirs too."""


def simple(expression: str | None, family: str) -> Default | None:
    """A column's default, as pg_get_expr writes it, where it is one value or the time; None: neither, or none."""
    if expression is None:
        return None
    if _NEXT.fullmatch(expression):
        return Default("next")
    if _NOW.fullmatch(expression):
        return Default("now") if family in ("date", "timestamp", "timestamptz") else None
    if family not in _SIMPLE:
        return None
    if family == "bool" and expression in ("true", "false"):
        return Default("value", expression)
    if (number := _NUMBER.fullmatch(expression)) is not None:
        return Default("value", number[1])
    if (string := _STRING.fullmatch(expression)) is None:
        return None
    text = string[1].replace("''", "'")
    return _value(text, family)


def _value(text: str, family: str) -> Default | None:
    if family == "bytes":
        return Default("value", text[2:]) if text.startswith("\\x") else None
    if family in ("date", "timestamp", "timestamptz"):
        text = text.removesuffix("+00")
        return Default("value", text) if re.fullmatch(r"\d{4}-[-\d:. ]+", text) else None
    return Default("value", text)


def expression(column: Column) -> str | None:
    """The default of a column of another product's table, as it is written here; None: it has none, or none that is
    simple."""
    default, family = column.simple, column.type.family
    if default is None or default.kind == "next":
        return None
    if default.kind == "now":
        return {"date": "CURRENT_DATE", "time": "LOCALTIME"}.get(family, "CURRENT_TIMESTAMP")
    if family == "bytes":
        return quote_literal(f"\\x{default.text}")
    return quote_literal(f"{default.text}+00" if family == "timestamptz" else default.text)
