"""The values of a row as texts, for people and for another try: also of rows that their table refuses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cdcd.errors import Conflict, PoisonRow
from cdcd.model.cell import UNCHANGED
from cdcd.policy import Values
from cdcd.rows import Row, RowForm
from connectors.postgres.forms import BINARY, Encoding, key_fields
from connectors.postgres.sessions import Session
from connectors.postgres.shape import Shape

_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_MEANT = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}

# What a domain, an enum or a length forbids is let through: they travel as their base type, an enum as its label.
_LOOSE = """
WITH RECURSIVE based AS (
    SELECT n, oid::oid AS type, oid::oid AS base FROM unnest(%s::bigint[]) WITH ORDINALITY x (oid, n)
    UNION ALL
    SELECT b.n, b.type, t.typbasetype FROM based b JOIN pg_type t ON t.oid = b.base WHERE t.typtype = 'd')
SELECT CASE t.typtype WHEN 'e' THEN 'text' ELSE format_type(t.oid, NULL) END
FROM based b JOIN pg_type t ON t.oid = b.base WHERE t.typtype <> 'd' ORDER BY b.n
"""


class Reader:
    """Of one table's rows in one form. Binary values are read by the server, in a table of their loose types."""

    def __init__(self, session: Session, shape: Shape, form: RowForm, name: str) -> None:
        self._session = session
        self._shape = shape
        self._form = form
        self._name = f'pg_temp."{name}"'
        self._encoding = Encoding(form)
        self._made = False

    def forget(self) -> None:
        """Take away what was made in the session."""
        if self._made:
            self._session.run(f"DROP TABLE {self._name}")

    def key(self, key: bytes) -> Values:
        """Bytes as in TableLog.keys, of a table that has a key."""
        return self._texts(self._form.table.key, key_fields(self._form, key))

    def row(self, row: Row) -> Values:
        """What is known of it."""
        assert self._form.split is not None
        fields = self._form.split(row) if isinstance(row, bytes) else row
        known = {name: field for name, field in zip(self._form.columns, fields, strict=True) if field is not UNCHANGED}
        return self._texts(list(known), list(known.values()))

    def _texts(self, names: Sequence[str], fields: Sequence[bytes]) -> Values:
        if self._form.name != BINARY:
            return dict(zip(names, map(_plain, fields), strict=True))
        self.make()  # not under the savepoint, which may be rolled back
        self._session.defer("SAVEPOINT texts")
        try:
            texts: Any = self._read(names, fields)
        except (Conflict, PoisonRow):
            # What no type of the server reads is kept as it came.
            self._session.run("ROLLBACK TO SAVEPOINT texts")
            texts = [None if field == self._form.layout.null else {"binary": field[4:].hex()} for field in fields]
        self._session.defer("RELEASE SAVEPOINT texts")
        return dict(zip(names, texts, strict=True))

    def _read(self, names: Sequence[str], fields: Sequence[bytes]) -> Sequence[str | None]:
        numbers = [self._form.columns.index(name) + 1 for name in names]
        columns = ", ".join(f"c{number}" for number in numbers)
        row = len(fields).to_bytes(2, "big") + b"".join(fields)
        self._session.copy(f"COPY {self._name} ({columns}) FROM STDIN (FORMAT binary)", self._encoding.stream([row]))
        items = ", ".join(f"c{number}::text" for number in numbers)
        (texts,) = self._session.rows(f"SELECT {items} FROM {self._name}")
        self._session.defer(f"TRUNCATE {self._name}")
        return texts

    def make(self) -> None:
        """What is needed to read, once: before a savepoint that may be rolled back while the work goes on."""
        if self._made or self._form.name != BINARY:
            return
        types = [self._shape.columns[name].type_id for name in self._form.columns]
        loose = [str(native) for (native,) in self._session.rows(_LOOSE, (types,))]
        items = ", ".join(f"c{number} {native}" for number, native in enumerate(loose, 1))
        self._session.run(f"CREATE TABLE {self._name} ({items})")
        self._made = True


def _plain(field: bytes) -> Any:
    """A field of COPY's text format as what it means; what is no text here is kept as it came."""
    if field == b"\\N":
        return None
    if b"\\" in field:
        field = _ESCAPED.sub(lambda found: _MEANT.get(found[1], found[1]), field)
    if b"\0" in field:
        return {"binary": field.hex()}
    return field.decode()
