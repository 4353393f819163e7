"""Session temporary tables through which changes reach a table of the target, made once per session and table.

They keep their rows at commit (emptying them there costs half a millisecond for each that the session ever made, at
every commit) and are emptied before they are filled again: by DELETE while little is in them, which leaves dead rows
behind, by TRUNCATE when there are many of those, which costs the catalogue a row.
"""

from __future__ import annotations

from collections.abc import Sequence

from connectors.postgres.forms import Encoding
from connectors.postgres.names import quote_identifier
from connectors.postgres.sessions import Session
from connectors.postgres.shape import Shape

_TRUNCATE_AT = 4000
"""Rows written since the last TRUNCATE; beyond that reading past the dead ones costs more."""


MOST_COLUMNS = 1600
"""Of any table (MaxHeapAttributeNumber)."""


class Stage:
    """One temporary table. Its columns have the target's exact types and other names: `n`, a number; k1…, the key's;
    c1…, the row's."""

    def __init__(self, session: Session, name: str, shape: Shape, items: Sequence[str]) -> None:
        """`items` are select items over the target's table."""
        self.name = f"pg_temp.{quote_identifier(name)}"
        self._session = session
        self._written = 0
        session.run(f"CREATE TABLE {self.name} AS SELECT {', '.join(items)} FROM {shape.sql} WITH NO DATA")

    def fill(self, encoding: Encoding, rows: Sequence[bytes]) -> None:
        """Hold exactly these rows from now on."""
        self.empty()
        self.add(encoding, rows)

    def empty(self) -> None:
        if self._written > _TRUNCATE_AT:
            self._session.defer(f"TRUNCATE {self.name}")
            self._written = 0
        elif self._written:
            self._session.defer(f"DELETE FROM {self.name}")

    def count(self, rows: int) -> None:
        """So many were written into it by others."""
        self._written += rows

    def add(self, encoding: Encoding, rows: Sequence[bytes]) -> None:
        """Hold these rows too."""
        # Counted first: after an error, rolled back or not, it is emptied once more than needed.
        self._written += len(rows)
        self._session.copy(f"COPY {self.name} FROM STDIN (FORMAT {encoding.format})", encoding.stream(rows))


def key_items(shape: Shape, key: Sequence[str]) -> list[str]:
    """Select items k1…kn."""
    return [f"{shape.staged(name)} AS k{number}" for number, name in enumerate(key, 1)]


def row_items(shape: Shape, columns: Sequence[str]) -> list[str]:
    """Select items c1…cn."""
    return [f"{shape.staged(name)} AS c{number}" for number, name in enumerate(columns, 1)]
