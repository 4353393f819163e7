"""A table of the target as its catalogue says now: what statements that write to it have to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cdcd.model.table import Table
from cdcd.refused import gone
from connectors.mysql.names import quote
from connectors.mysql.sessions import Session
from connectors.mysql.types import Native


@dataclass(frozen=True, slots=True)
class ShapeColumn:
    """`type` is the text of COLUMN_TYPE. `generated`: computed here, never written. `touched`: set to now by an UPDATE
    that does not name it (ON UPDATE). `given`: a row that leaves it out gets a value."""

    name: str
    type: str
    nullable: bool
    given: bool
    generated: bool
    touched: bool
    charset: str
    collation: str

    @property
    def native(self) -> Native:
        return Native.parse(self.type)

    @property
    def staged(self) -> str:
        """Its exact type, for a temporary table where it may be NULL for lack of a value."""
        collate = f" CHARACTER SET {self.charset} COLLATE {self.collation}" if self.collation else ""
        return f"{self.type}{collate} NULL"


@dataclass(frozen=True, slots=True)
class Shape:
    """`keys` are the columns of the unique indexes that could name a row, each with the name of its index; `partial`:
    there are unique indexes of prefixes or expressions too."""

    schema: str
    name: str
    columns: Mapping[str, ShapeColumn]
    keys: Mapping[str, tuple[str, ...]]
    partial: bool

    @property
    def sql(self) -> str:
        """The name, for statements."""
        return f"{quote(self.schema)}.{quote(self.name)}"

    @property
    def id(self) -> str:
        return f"{self.schema}.{self.name}"

    def equals(self, column: str, other: str) -> str:
        """The condition that `column` of the table, alias t, equals a value of the same type: by the column's own
        equality, which an index can be used for, and byte by byte: what only collates alike is another row."""
        place = f"t.{quote(column)}"
        if self.columns[column].collation in ("", "binary"):
            return f"{place} = {other}"
        return f"{place} = {other} AND CAST({place} AS BINARY) = CAST({other} AS BINARY)"

    def index(self, key: Sequence[str]) -> str:
        """The name of the unique index by which rows of this key are found; "": there is none."""
        fitting = [name for name, columns in self.keys.items() if set(columns) <= set(key)]
        return fitting[0] if fitting else ""

    def others(self, key: Sequence[str]) -> set[str]:
        """The columns of unique indexes other than the key's."""
        mine = self.index(key)
        return {column for name, columns in self.keys.items() if name != mine for column in columns} - set(key)

    @property
    def written(self) -> list[str]:
        """Columns that are not computed here."""
        return [name for name, column in self.columns.items() if not column.generated]


_COLUMNS = """
SELECT COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT IS NOT NULL, EXTRA, GENERATION_EXPRESSION,
       CHARACTER_SET_NAME, COLLATION_NAME
FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION"""

_KEYS = """
SELECT INDEX_NAME, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND NON_UNIQUE = 0 ORDER BY INDEX_NAME <> %s, INDEX_NAME, SEQ_IN_INDEX"""


def find_shape(session: Session, table: Table) -> Shape | None:
    """None: there is no such table."""
    schema = session.homes.of(table.schema)
    columns = {}
    for name, type, nullable, default, extra, expression, charset, collation in session.rows(
        _COLUMNS, schema, table.name
    ):
        words = (extra or "").lower()
        generated = bool(expression) or "row start" in words or "row end" in words or "generated" in words.replace(
            "default_generated", ""
        )  # fmt: skip
        null = str(nullable).upper() == "YES"
        given = bool(default) or null or "auto_increment" in words or generated
        columns[name] = ShapeColumn(
            name, type, null, given, generated, "on update" in words, charset or "", collation or ""
        )
    if not columns:
        return None
    keys: dict[str, list[str | None]] = {}
    for index, column, part in session.rows(_KEYS, schema, table.name, "PRIMARY"):
        keys.setdefault(index, []).append(column if part is None else None)
    whole = {name: tuple(map(str, its)) for name, its in keys.items() if None not in its}
    return Shape(schema, table.name, columns, whole, len(whole) < len(keys))


def read_shape(session: Session, table: Table) -> Shape:
    """The target's table for `table`, which must be there."""
    shape = find_shape(session, table)
    if shape is None:
        raise gone(table)
    return shape
