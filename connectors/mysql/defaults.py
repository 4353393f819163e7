"""Defaults of columns that are told in no product's language: read from what information_schema says of them, and
written as SQL."""

from __future__ import annotations

import re

from cdcd.model.table import Column, Default
from cdcd.model.types import LogicalType
from connectors.mysql.names import literal

_NOW = re.compile(r"(current_timestamp|now|localtimestamp|curdate|current_date)(\(\d?\))?", re.IGNORECASE)
_INTRODUCED = re.compile(r"_\w+\\'([^\\']*)\\'")
"""A literal in parentheses, as MySQL writes it: its quotes are escaped once more."""
_LITERAL = re.compile(r"'((?:[^'\\]|''|\\.)*)'", re.DOTALL)
_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[-+]?\d+)?", re.IGNORECASE)
_ESCAPES = {"0": "\0", "n": "\n", "r": "\r", "t": "\t", "b": "\b", "Z": "\x1a"}
_EMPTY = {"json_object()": "{}", "json_array()": "[]"}


def simple(mariadb: bool, default: str | None, extra: str, type: LogicalType) -> Default | None:
    """`default` as in information_schema: SQL at MariaDB; at MySQL the bare value, and SQL where `extra` says so. None:
    there is no default, or it is neither one value nor the time. Of bytes MySQL tells less than there is."""
    if default is None or type.family == "bytes":
        return None
    if _NOW.fullmatch(default) and type.family in ("timestamp", "timestamptz", "date"):
        return Default("now")
    if default.startswith("b'"):
        return Default("value", default[2:-1].zfill(type.length or 1))
    text: str | None = default
    if mariadb:
        text = _literal(default)
    elif "DEFAULT_GENERATED" in extra:
        found = _INTRODUCED.fullmatch(default)
        text = found[1] if found else _EMPTY.get(default)
    if text is None or (type.family in ("date", "timestamp", "timestamptz") and re.search(r"^0000|-00", text)):
        return None  # a day that no other product has
    return Default("value", text)


def _literal(text: str) -> str | None:
    """The value of MariaDB's SQL, None where it is more than a literal."""
    if _NUMBER.fullmatch(text):
        return text
    if (found := _LITERAL.fullmatch(text)) is None:
        return _EMPTY.get(text)
    return re.sub(r"''|\\(.)", lambda part: "'" if part[1] is None else _ESCAPES.get(part[1], part[1]), found[1],
                  flags=re.DOTALL)  # fmt: skip


_LARGE = ("json", "text", "blob")


def expression(column: Column, type: str) -> str | None:
    """The default of a column that is of this type here, as SQL; None: it has none, or none that is simple."""
    default, family = column.simple, column.type.family
    if default is None or default.kind == "next":
        return None
    if default.kind == "now":
        if family == "date":
            return "(CURRENT_DATE)"
        return f"CURRENT_TIMESTAMP{type[type.index('(') :] if '(' in type else ''}"
    if family == "bool":
        return str(int(default.text == "true"))
    if family == "bytes":
        value = f"X'{default.text}'"
    else:
        value = f"b'{default.text}'" if family == "bit" and type.startswith("bit") else literal(default.text)
    return f"({value})" if type.startswith(_LARGE) or type.endswith(_LARGE) else value
