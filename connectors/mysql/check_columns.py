"""Whether the columns of a target's tables hold what comes for them: those that are there, and those to be made.

The server rounds a number or a time to the digits that a column has, and pads what is fixed in length, without a
warning that even its strict mode makes an error of: that is an error of the check. What is too long or too large is
refused when it comes.
"""

from __future__ import annotations

from collections.abc import Iterator

from cdcd.contracts import Finding
from cdcd.model.table import Column, Table
from connectors.mysql.ddl import PRODUCTS, bare_type
from connectors.mysql.findings import finding
from connectors.mysql.names import quote
from connectors.mysql.sessions import Session
from connectors.mysql.shape import Shape
from connectors.mysql.types import BLOBS, INTEGERS, TEXTS, Native

ROW, COLUMNS = 65535, 1017
"""Bytes that the columns of a row may take, values kept apart from it left out; columns of a table of InnoDB."""

_BYTES = {
    "tinyint": 1, "smallint": 2, "mediumint": 3, "int": 4, "bigint": 8, "float": 4, "double": 8, "year": 1, "date": 3,
    "time": 6, "datetime": 8, "timestamp": 7, "enum": 2, "set": 8, "bit": 8, "uuid": 16, "inet4": 4, "inet6": 16,
}  # fmt: skip
_LENGTHS = {
    "tinytext": 255, "text": 65535, "mediumtext": (1 << 24) - 1, "longtext": (1 << 32) - 1, "tinyblob": 255,
    "blob": 65535, "mediumblob": (1 << 24) - 1, "longblob": (1 << 32) - 1,
}  # fmt: skip
_SIZED = ("char", "varchar", "binary", "varbinary")
_CLOCKS = ("datetime", "timestamp", "time")
_FLOATS = {"float": 24, "double": 53}
"""Bits of an integer that each holds exactly."""


def check_columns(session: Session, table: Table, shape: Shape) -> Iterator[Finding]:
    """Of a table that is there and stays."""
    for column in table.carried:
        there = shape.columns.get(column.name)
        if there is None or there.generated:
            continue
        type = bare_type(session, table, column)
        wanted, known = Native.parse(type), there.native
        seen = f"source: {column.native}; there: {there.type}"
        mend = f"ALTER TABLE {shape.sql} MODIFY {quote(column.name)} {type}"
        of = f"{table.id}.{column.name}"
        if loses(wanted, known):
            yield finding("MT-LOSES", f"{of}: the target would keep other values than it is given", seen, mend)
        elif _narrower(wanted, known):
            yield finding("MT-NARROW", f"{of}: the target holds less, and refuses what is more", seen, mend)
        if column.nullable and not there.nullable:
            yield finding("MT-NARROW", f"{of}: the target takes no NULL, and the source does", seen, mend)


def loses(wanted: Native, there: Native) -> bool:
    """Whether a column of one type silently makes other values of those of the other."""
    if there.name in ("char", "binary"):
        return wanted.name in (("varchar", *TEXTS) if there.name == "char" else BLOBS)
    if wanted.name in _CLOCKS:
        return there.name == "date" or (there.name in _CLOCKS and there.number(0, 0) < wanted.number(0, 0))
    if wanted.name == "decimal":
        digits = there.number(1, 0) if there.name == "decimal" else 0
        of_numbers = there.name == "decimal" or there.name in INTEGERS
        return there.name in _FLOATS or (of_numbers and digits < wanted.number(1, 0))
    if wanted.name in _FLOATS:
        smaller = there.name in _FLOATS and _FLOATS[there.name] < _FLOATS[wanted.name]
        return smaller or there.name == "decimal" or there.name in INTEGERS
    return wanted.name in INTEGERS and there.name in _FLOATS and _BYTES[wanted.name] * 8 > _FLOATS[there.name]


def _narrower(wanted: Native, there: Native) -> bool:
    """Of two types of a kind, whether one holds less than the other."""
    if wanted.name in INTEGERS and there.name in INTEGERS:
        (low, high), (lowest, highest) = _range(wanted), _range(there)
        return low < lowest or high > highest
    if wanted.name == there.name == "decimal":
        return there.number(0, 10) - there.number(1, 0) < wanted.number(0, 10) - wanted.number(1, 0)
    lengths = [_LENGTHS.get(one.name) or (one.number(0, 1) if one.name in _SIZED else 0) for one in (wanted, there)]
    return bool(all(lengths) and lengths[1] < lengths[0])


def _range(type: Native) -> tuple[int, int]:
    bits = _BYTES[type.name] * 8
    return (0, (1 << bits) - 1) if type.unsigned else (-(1 << bits - 1), (1 << bits - 1) - 1)


# --- tables that are made -------------------------------------------------------------------------------------------


def check_made(session: Session, table: Table) -> Iterator[Finding]:
    """Whether the server makes such a table."""
    for name in (table.schema, table.name, *(column.name for column in table.columns)):
        if len(name) > 64 or name.endswith(" ") or any(ord(letter) > 0xFFFF for letter in name):
            yield finding("MT-NAME", f"{table.id} has a name that the target does not take", repr(name),
                          "rename it at the source, or leave the table out")  # fmt: skip
    if table.product in PRODUCTS:
        return  # such a one has made it
    size = sum(_width(session, table, column) for column in table.columns if column.generated is None)
    if size > ROW or len(table.columns) > COLUMNS:
        seen = f"{len(table.columns)} columns, {size} bytes; at most {COLUMNS} and {ROW}"
        mend = "make it there by hand, with TEXT for what is long, and choose target_tables = use; or leave columns out"
        yield finding("MT-ROW", f"{table.id} has rows that are too wide for the target", seen, mend)


def _width(session: Session, table: Table, column: Column) -> int:
    """The most bytes that the column takes in a row; a text's of four to a character."""
    type = Native.parse(bare_type(session, table, column))
    if type.name in _SIZED:
        return type.number(0, 1) * (4 if "char" in type.name else 1) + 2
    if type.name == "decimal":
        return type.number(0, 10) // 2 + 2
    return _BYTES.get(type.name, 12)

