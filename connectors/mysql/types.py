"""MySQL's and MariaDB's column types: from the text of information_schema to the logical type, and what decoding needs.

`Native` is COLUMN_TYPE taken apart. The binlog says less than this text: below full metadata neither labels nor
character sets, and never that 16 bytes are MariaDB's uuid or inet6 (T-MY-6's neighbour in the notes on TABLE_MAP).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from cdcd.errors import Stopped
from cdcd.model.table import Column
from cdcd.model.types import LogicalType

INTEGERS: Mapping[str, tuple[str, str]] = {
    "tinyint": ("int16", "int16"),
    "smallint": ("int16", "int32"),
    "mediumint": ("int32", "int32"),
    "int": ("int32", "uint32"),
    "bigint": ("int64", "uint64"),
}
"""Name → family when signed, when unsigned."""

TEXTS = ("varchar", "tinytext", "text", "mediumtext", "longtext")
BLOBS = ("varbinary", "tinyblob", "blob", "mediumblob", "longblob")
GEOMETRIES = (
    *("geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon"),
    *("geomcollection", "geometrycollection"),
)

_FORM = re.compile(r"(\w+)(?:\((.*?)\))?((?: \w+)*)", re.DOTALL)
_LABEL = re.compile(r"'((?:[^']|'')*)'")


@dataclass(frozen=True, slots=True)
class Native:
    """`varchar(20)` is name "varchar", numbers (20,); `labels` are those of an enum or a set."""

    name: str
    numbers: tuple[int, ...] = ()
    labels: tuple[str, ...] = ()
    unsigned: bool = False

    @staticmethod
    def parse(text: str) -> Native:
        """From COLUMN_TYPE; ValueError where it is none."""
        if text.startswith(("enum(", "set(")):
            name, _, rest = text.partition("(")
            end = rest.rindex(")")
            return Native(name, (), tuple(map(_label, _LABEL.findall(rest[:end]))))
        text = re.sub(r" ?/\*.*?\*/", "", text)  # MariaDB says so of old dates and of compressed columns
        if not (match := _FORM.fullmatch(text)):
            raise ValueError(f"{text!r} is no type")
        name, numbers, words = match[1], match[2] or "", (match[3] or "").split()
        parsed = tuple(int(number) for number in numbers.split(",")) if re.fullmatch(r"\d+(,\d+)*", numbers) else ()
        return Native(name, parsed, (), "unsigned" in words)

    def number(self, at: int, otherwise: int) -> int:
        return self.numbers[at] if at < len(self.numbers) else otherwise


_ESCAPED = re.compile(r"''|\\(.)", re.DOTALL)


def _label(text: str) -> str:
    """information_schema doubles quotes, and escapes what would break a line."""
    return _ESCAPED.sub(lambda found: {"0": "\0", "n": "\n", "r": "\r", None: "'"}.get(found[1], found[1]), text)


def native_of(column: Column) -> Native:
    try:
        return Native.parse(column.native)
    except ValueError:
        raise unknown(column.name, column.native) from None


def charset_of(column: Column) -> str:
    """The character set of a text column: a collation's name begins with it."""
    return (column.collation or "binary").partition("_")[0]


def logical(native: Native, charset: str) -> LogicalType:
    """The logical type of a column; ValueError where there is none."""
    name = native.name
    if name in INTEGERS:
        return LogicalType(INTEGERS[name][native.unsigned])
    if name == "decimal":
        return LogicalType("decimal", precision=native.number(0, 10), scale=native.number(1, 0))
    if name in ("char", *TEXTS):
        if charset == "binary":
            return LogicalType("bytes")
        family = "char" if name == "char" else "text"
        return LogicalType(family, length=native.number(0, 0) or None)
    if name in PLAIN:
        return LogicalType(PLAIN[name])
    if name in ("datetime", "timestamp", "time"):
        family = {"datetime": "timestamp", "timestamp": "timestamptz", "time": "interval"}[name]
        return LogicalType(family, precision=native.number(0, 0))
    if name == "bit":
        return LogicalType("bit", length=native.number(0, 1))
    if name == "enum":
        return LogicalType("enum", labels=native.labels)
    if name == "vector":
        return LogicalType("vector", length=native.number(0, 2048))
    if name in ("binary", *BLOBS):
        return LogicalType("bytes")
    if name in GEOMETRIES:
        return LogicalType("geometry")
    raise ValueError(f"the type {name!r} is not known")


PLAIN: Mapping[str, str] = {
    "float": "float32",
    "double": "float64",
    "date": "date",
    "year": "int16",
    "json": "jsonb",
    "set": "text",
    "uuid": "uuid",
    "inet6": "inet",
    "inet4": "inet",
}
"""Types without parameters → family."""


def unknown(column: str, native: str) -> Stopped:
    return Stopped(
        f"the column {column} has a type that cdcd does not know: {native}",
        hint="leave its table out, or report the type",
    )
