"""The value that a column's constant default has: what rows get that are older than the column."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from cdcd.model import table as model
from cdcd.model.table import Column
from connectors.mysql.definition import Default
from connectors.mysql.fields import float_text
from connectors.mysql.types import INTEGERS, native_of

_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_DATETIME = re.compile(r"\d{4}-\d{2}-\d{2}(?: \d{2}:\d{2}:\d{2}(?:\.\d{1,6})?)?")
_TIME = re.compile(r"-?\d{2,3}:\d{2}:\d{2}(?:\.\d{1,6})?")


class Unsure(ValueError):
    """What older rows have cannot be told from the statement: they are to be read."""


def older_rows(column: Column, default: Default | None) -> str | None:
    """The text that rows have which are older than `column`, None: NULL; as this source's text wire form has it."""
    if default is None:
        return None if column.nullable else _implicit(column)
    if default.varies:
        raise Unsure("its default is not a constant")
    if default.value is None:
        return None
    return normal(column, default.value, default.sql or "")


def normal(column: Column, value: str, sql: str = "") -> str:
    """The value of a constant default as the column holds it. `sql`: as the statement wrote it."""
    try:
        return _text(column, value, sql)
    except (ValueError, InvalidOperation) as error:
        raise Unsure(f"its default is not understood ({error})") from None


def simple(column: Column, default: Default | None) -> model.Default | None:
    """The default where no language is needed to tell it."""
    if default is None or default.sql is None:
        return None
    if default.varies:
        return model.Default("now") if default.sql.startswith("CURRENT_TIMESTAMP") else None
    try:
        text = older_rows(column, default)
    except Unsure:
        return None
    return model.Default("value", text) if text is not None else None


def _implicit(column: Column) -> str:
    """NOT NULL without a default."""
    native = native_of(column)
    if native.name in ("enum", "set"):
        return native.labels[0] if native.name == "enum" else ""
    if column.type.family in ("char", "text"):
        return ""
    if native.name in (*INTEGERS, "decimal", "float", "double", "bit"):
        return _text(column, "0", "0")
    raise Unsure("it has no default, and may not be NULL")


def _text(column: Column, value: str, sql: str) -> str:
    native = native_of(column)
    name = native.name
    if name in INTEGERS:
        return str(int(Decimal(value).to_integral_value(ROUND_HALF_UP)))
    if name == "decimal":
        unit = Decimal(1).scaleb(-native.number(1, 0))
        return f"{Decimal(value).quantize(unit, ROUND_HALF_UP):f}"
    if name in ("float", "double") and not native.numbers:
        return float_text(float(value)).decode() if name == "float" else repr(float(value))
    if name == "bit":
        return format(int(value), f"0{native.number(0, 1)}b")
    if name == "year" and int(value) > 1900:
        return str(int(value))
    if name == "enum":
        if value not in native.labels:
            raise ValueError("no label")
        return value
    if name == "set":
        members = value.split(",") if value else []
        if not set(members) <= set(native.labels):
            raise ValueError("no member")
        return ",".join(label for label in native.labels if label in members)
    if column.type.family in ("char", "text") and not sql.startswith(("x'", "b'")):
        return value.rstrip(" ") if name == "char" else value
    if name == "date" and _DATE.fullmatch(value) and not value.startswith("0000"):
        return value
    if name == "datetime" and _DATETIME.fullmatch(value) and not value.startswith("0000"):
        return _rounded(value if " " in value else f"{value} 00:00:00", native.number(0, 0))
    if name == "time" and _TIME.fullmatch(value):
        return _rounded(value, native.number(0, 0))
    raise Unsure("its default depends on more than the statement")


def _rounded(value: str, digits: int) -> str:
    """Without zeros at the end; a fraction that would be rounded is not ours to round."""
    whole, _, fraction = value.partition(".")
    fraction = fraction.rstrip("0")
    if len(fraction) > digits:
        raise ValueError("more digits than it holds")
    return f"{whole}.{fraction}" if fraction else whole
