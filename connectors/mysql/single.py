"""One table's changes, one statement for each, as literals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from cdcd.fold import fill
from cdcd.model.cell import UNCHANGED
from cdcd.model.group import DELETE, INSERT, MOVE
from cdcd.policy import Values
from cdcd.rows import Fields, Row, RowForm
from connectors.mysql.charsets import CODECS, UTF8, decoder
from connectors.mysql.forms import NULL, Encoding, fields_of, names_of
from connectors.mysql.literals import assigned, condition, unescape
from connectors.mysql.names import quote
from connectors.mysql.shape import Shape, ShapeColumn
from connectors.mysql.types import INTEGERS

PLAIN = (
    *INTEGERS, "decimal", "float", "double", "year", "date", "time", "datetime", "timestamp", "json",
)  # fmt: skip
"""Types whose fields are text, in no character set."""


def told_as_text(column: ShapeColumn) -> bool:
    """Whether records have its values as texts; others as {"binary": hexadecimal}."""
    return column.native.name in PLAIN or column.charset in (*UTF8, *CODECS)


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """`key` names the row it is made to; `landing` is the key that a row moves to."""

    op: int
    key: bytes
    row: Row | None
    landing: bytes | None = None

    @staticmethod
    def of(row: bytes) -> Change:
        """A row that is new."""
        return Change(INSERT, row, row)

    @property
    def kind(self) -> str:
        return {INSERT: "insert", DELETE: "delete"}.get(self.op, "update")

    @property
    def whole(self) -> bool:
        """Whether all cells of the new row are known."""
        return isinstance(self.row, bytes)


class OneByOne:
    """One table, rows in one form."""

    def __init__(self, shape: Shape, form: RowForm, mariadb: bool) -> None:
        self.shape = shape
        self.form = form
        self.key = form.table.key
        self.id = form.table.id
        columns = [shape.columns[name] for name in form.columns]
        self._encoding = Encoding(columns, mariadb)
        self._insert = f"INSERT INTO {shape.sql} ({', '.join(names_of(form.columns))}) VALUES ".encode()
        self._update = f"UPDATE {shape.sql} SET ".encode()
        self._delete = f"DELETE FROM {shape.sql} WHERE ".encode()
        self._assigned = [assigned(column, mariadb) for column in columns]
        self._quoted = [f"{quote(name)} = ".encode() for name in form.columns]
        self._tests = {name: condition(shape.columns[name], mariadb) for name in form.columns}
        self._touched = [name for name, one in shape.columns.items() if one.touched]

    def add(self, op: int, key: bytes, row: Any) -> Iterator[Change]:
        """A change of the log; without a key, an update is a delete and an insert."""
        landing = None
        if op == MOVE:
            landing, row = row
            if not self.key:
                yield Change(DELETE, key, None)
                whole = fill(self.form, row, key) if isinstance(row, tuple) else row
                yield Change(INSERT, cast(bytes, whole), whole)
                return
        yield Change(op, key, row, landing)

    def statement(self, change: Change) -> bytes:
        """What makes it, and touches one row."""
        if change.op == INSERT:
            assert isinstance(change.row, bytes)
            return self._insert + self._encoding.values(change.row)
        if change.op == DELETE:
            return self.delete(change.key)
        assert change.row is not None
        return self.update(change.row, change.key)

    def delete(self, key: bytes) -> bytes:
        return self._delete + self.where(key) + (b"" if self.key else b" LIMIT 1")

    def update(self, row: Row, key: bytes) -> bytes:
        """Set the cells that are known of the row that has the key."""
        sets = [
            quoted + made(field)
            for quoted, made, field in zip(self._quoted, self._assigned, fields_of(row), strict=True)
            if field is not UNCHANGED
        ]
        known = {name for name, field in zip(self.form.columns, fields_of(row), strict=True) if field is not UNCHANGED}
        sets += [f"{quote(name)} = {quote(name)}".encode() for name in self._touched if name not in known]
        if not sets:
            sets = [f"{quote(self.key[0])} = {quote(self.key[0])}".encode()]
        return self._update + b", ".join(sets) + b" WHERE " + self.where(key)

    def where(self, key: bytes) -> bytes:
        """The condition that names the row; without a key, the rows that equal it."""
        names = self.key or self.form.columns
        return b" AND ".join([self._tests[name](field) for name, field in zip(names, self._fields(key), strict=True)])

    def _fields(self, key: bytes) -> Fields:
        return tuple(key.split(b"\t")) if self.key else fields_of(key)

    def overwrite(self, change: Change, met: int | None) -> list[list[bytes]]:
        """Ways, to be tried in turn, to make the row what the source says, whatever is there: statements, each of which
        touches one row. `met`: the rows that the change met, None: it was refused."""
        if not self.key or (met is None and change.op not in (INSERT, MOVE)) or (met or 0) > 1:
            return []
        if change.op == DELETE:
            return [[]]
        assert change.row is not None
        if change.op == INSERT:
            return [[self.update(change.row, change.key)]]
        if met is None and change.landing is not None:  # another row stands where this one moves to
            return [[self.delete(change.landing), self.update(change.row, change.key)]]
        if not isinstance(change.row, bytes):
            return []
        landed = [[self.update(change.row, change.landing)]] if change.landing is not None else []
        return [*landed, [self._insert + self._encoding.values(change.row)]]

    def same_key(self, one: bytes, other: bytes) -> bytes:
        """The condition that the server takes two keys for equal."""
        parts = []
        for name, left, right in zip(self.key, self._fields(one), self._fields(other), strict=True):
            column = self.shape.columns[name]
            before = f"_{column.charset}".encode() if column.collation else b""
            after = f" COLLATE {column.collation}".encode() if column.collation else b""
            parts.append(before + b"'" + left + b"' = " + before + b"'" + right + b"'" + after)
        return b" AND ".join(parts)

    # --- telling -----------------------------------------------------------------------------------------------------

    def key_text(self, change: Change) -> str:
        """The key, or the whole row where there is none, for people."""
        if change.op == INSERT and self.key:
            assert change.row is not None
            by_name = dict(zip(self.form.columns, fields_of(change.row), strict=True))
            return ", ".join(self._shown(by_name[name]) for name in self.key)
        return ", ".join(map(self._shown, self._fields(change.key)))

    def values(self, change: Change) -> tuple[Values | None, Values | None]:
        """The key that names the row the change is made to (without a key: that row), and the new cells."""
        if not self.key:
            whole = self._values(self.form.columns, fields_of(change.key))
            return (None, whole) if change.op == INSERT else (whole, None)
        row = None if change.row is None else self._values(self.form.columns, fields_of(change.row))
        return self._values(self.key, self._fields(change.key)), row

    def _values(self, names: Sequence[str], fields: Fields) -> Values:
        return {
            name: self._value(name, field) for name, field in zip(names, fields, strict=True) if field is not UNCHANGED
        }

    def _value(self, name: str, field: bytes) -> Any:
        if field == NULL:
            return None
        column, value = self.shape.columns[name], unescape(field)
        try:
            return decoder(column.charset or "utf8mb4")(value) if told_as_text(column) else {"binary": value.hex()}
        except UnicodeDecodeError:
            return {"binary": value.hex()}

    @staticmethod
    def _shown(field: bytes) -> str:
        return "NULL" if field == NULL else unescape(field).decode("utf-8", "backslashreplace")

