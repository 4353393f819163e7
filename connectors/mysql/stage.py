"""Session temporary tables through which changes reach a table of the target, made once per session and table.

Made outside transactions, as MariaDB would log the making in the middle of one; emptied by DELETE, as TRUNCATE commits;
with a primary key, which some servers insist on (T-MT-9).
"""

from __future__ import annotations

from collections.abc import Sequence

from cdcd.errors import CdcdError, Conflict
from connectors.mysql.forms import Encoding, blocks
from connectors.mysql.names import quote
from connectors.mysql.sessions import Session
from connectors.mysql.shape import Shape

_LARGE = 1 << 16
"""Bytes from which on a block goes by LOAD DATA, which costs one more round trip and then half as much."""

_BLOCK = 4 << 20

_NO_ROOM = (1117, 1118, 1074)
_NOT_MADE, _TOO_MANY = 1005, "errno: 185 "
"""MariaDB's way to say that InnoDB takes fewer columns."""


class TooWide(Exception):
    """No table has room for a row of this one and the key that it had."""


class Into:
    """A table that rows are written into: the target's, or a stage. `names` are its columns, quoted, that take the
    fields of a row."""

    def __init__(self, session: Session, table: str, names: Sequence[str], encoding: Encoding) -> None:
        self._session = session
        self._encoding = encoding
        self._insert = f"INSERT INTO {table} ({', '.join(names)}) VALUES ".encode()
        self._load = encoding.load(table, names)

    def write(self, rows: Sequence[bytes]) -> None:
        """All of them, or a Conflict or PoisonRow that does not say which was at fault: the transaction is to be rolled
        back to where it was before."""
        for block in blocks(rows, min(_BLOCK, self._session.packet // 4)):
            self.write_block(block)

    def write_block(self, block: bytes) -> None:
        """The same for lines that fit into one statement."""
        expected = block.count(b"\n")
        if self._session.may_load and len(block) >= _LARGE:
            done = self._session.load(self._load, (block,))
            if done.warnings:  # rows were left out or altered, as if by IGNORE (T-MT-2)
                raise Conflict(f"{done.warnings} warnings of LOAD DATA")
            count = done.count
        else:
            count = self._session.do(self._insert + self._encoding.values(block))[-1].count
        if count != expected:
            raise Conflict(f"{count} of {expected} rows were inserted at the target")


class Stage:
    """One temporary table: `n`, a number of the row; `s`, the number of its set of known cells; k1…, the key's columns;
    c1…, the row's. All but `n` have the target's exact types."""

    def __init__(
        self, session: Session, name: str, shape: Shape, key: Sequence[str], columns: Sequence[str]
    ) -> None:
        self.name = f"cdcd.{quote(name)}"
        self._session = session
        items = {f"k{number}": shape.columns[column] for number, column in enumerate(key, 1)}
        items |= {f"c{number}": shape.columns[column] for number, column in enumerate(columns, 1)}
        self.columns = items
        made = ", ".join(f"{item} {column.staged}" for item, column in items.items())
        first = "n int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, s int NOT NULL DEFAULT 0"
        try:
            session.define(f"CREATE TEMPORARY TABLE {self.name} ({first}, {made}) ENGINE = InnoDB")
        except CdcdError as error:
            number = error.where.get("errno")
            if number in _NO_ROOM or (number == _NOT_MADE and _TOO_MANY in error.what):
                raise TooWide from error
            raise

    def into(self, *items: str) -> Into:
        """Rows of these of its columns."""
        known = [self.columns[item] for item in items if item != "s"]
        encoding = Encoding(known, self._session.mariadb, first="s" in items)
        return Into(self._session, self.name, list(items), encoding)

    def drop(self) -> None:
        self._session.run(f"DROP TEMPORARY TABLE {self.name}")
