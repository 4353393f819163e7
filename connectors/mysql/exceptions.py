"""Changes that were not made, in cdcd.exceptions: written in the transaction of the changes around them, so each is
recorded exactly once, and superseded by whatever makes its row right.

Values stand there as text, by column; what is no text as {"binary": hexadecimal}: of the target's own character sets.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from cdcd.model.group import TableLog, Transaction
from cdcd.model.table import Table
from cdcd.policy import Policy, Refused, Waiting, identity
from cdcd.rows import RowForm
from connectors.mysql.claim import to_text
from connectors.mysql.names import quote
from connectors.mysql.sessions import Session, literal
from connectors.mysql.shape import Shape
from connectors.mysql.single import OneByOne

_RECORD = """
INSERT INTO cdcd.exceptions
    (pipeline, position, tx, committed, table_id, op, `key`, `row`, error, errno, found, identity, state)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'open')"""

_SUPERSEDE = "UPDATE cdcd.exceptions SET state = 'superseded', settled = CURRENT_TIMESTAMP(6)"

_OPEN = """
SELECT table_id, identity, id FROM cdcd.exceptions WHERE pipeline = %s AND state = 'open' AND `key` IS NOT NULL"""


class Exceptions:
    """Those of one pipeline, by the session that applies, whose work ends with its first error."""

    def __init__(self, session: Session, pipeline: str, policy: Policy) -> None:
        self.policy = policy
        self._session = session
        self._pipeline = pipeline
        self._waiting = Waiting(lambda: [row[:2] for row in session.rows(_OPEN, pipeline)])

    def waiting(self, table: Table) -> set[bytes]:
        """The identities of the table's rows of which a change waits."""
        return self._waiting.of(table)

    def touch(self, one: TableLog) -> bool:
        return self._waiting.touch(one, one.table.foldable)

    def concern(self, form: RowForm, *keys: bytes | None) -> bool:
        return self._waiting.concern(form, form.table.foldable, *keys)

    def of_rows(self, table: OneByOne, keys: Collection[bytes]) -> list[int]:
        """The open records of changes to the rows that have these keys: by the server's own equality of keys, so that
        what a record names in other letters is found too."""
        waiting = self.waiting(table.form.table)
        if not waiting:
            return []
        found = []
        for id, its, number in self._session.rows(_OPEN, self._pipeline):
            if id == table.id and any(self._same(table, bytes(its), key) for key in keys):
                found.append(int(number))
        return found

    def _same(self, table: OneByOne, recorded: bytes, key: bytes) -> bool:
        prefix = identity(table.form, b"")
        if not recorded.startswith(prefix):
            return True  # it came in another form: rather one too many
        known = recorded[len(prefix) :]
        if known == key or table.form.table.foldable:
            return known == key
        same = table.same_key(known, key)
        return bool(self._session.do(b"SELECT " + same)[-1].rows[0][0])

    # --- recording ------------------------------------------------------------------------------------------------

    def full(self) -> bool:
        """Whether no more may be recorded."""
        text = "SELECT COUNT(*) FROM cdcd.exceptions WHERE pipeline = %s AND state = 'open'"
        return int(self._session.rows(text, self._pipeline)[0][0]) >= self.policy.most

    def record(self, refused: Refused, place: Transaction | None, position: str | None) -> None:
        """`place` is its transaction at the source; without it `position` is where its group ends."""
        tx = place.id if place is not None else None
        committed = _time(place.time) if place is not None else None
        where = str(place.position) if place is not None else position
        key, row = (None if values is None else to_text(dict(values)) for values in (refused.key, refused.row))
        errno = int(refused.sqlstate) if refused.sqlstate else None
        self._session.run(
            _RECORD, self._pipeline, where, tx, committed, refused.table, refused.op, key, row, refused.error,
            errno, refused.found, refused.identity,
        )  # fmt: skip
        if key is not None:
            self._waiting.add(refused.table, refused.identity)


def supersede(session: Session, records: Collection[int]) -> None:
    """Their rows are right again, or gone at the source too, or to be loaded."""
    if records:
        session.run(f"{_SUPERSEDE} WHERE id IN ({', '.join(map(str, records))})")


def supersede_tables(session: Session, pipeline: str, tables: Sequence[str]) -> None:
    """The tables were emptied: what their rows should have been is no question any more."""
    if tables:
        names = ", ".join(map(literal, tables))
        session.defer(f"{_SUPERSEDE} WHERE pipeline = {literal(pipeline)} AND table_id IN ({names}) AND state = 'open'")


def row_version(session: Session, shape: Shape, where: bytes) -> str:
    """A digest of the row that meets a condition, another one when any of its values is; "" where there is none."""
    parts = ", ".join(
        f"COALESCE(HEX({_shown(name, one.native.name)}), '-')" for name, one in shape.columns.items()
        if not one.generated
    )  # fmt: skip
    text = f"SELECT LEFT(SHA2(CONCAT_WS('/', {parts}), 256), 40) FROM {shape.sql} WHERE ".encode()
    found = session.do(text + where + b" LIMIT 1")[-1].rows
    return "" if not found else (found[0][0].decode() if isinstance(found[0][0], bytes) else str(found[0][0]))


def _shown(name: str, kind: str) -> str:
    if kind == "json":
        return f"CAST({quote(name)} AS CHAR)"
    return quote(name) if kind in ("vector", "geometry", "point") else f"CAST({quote(name)} AS BINARY)"


def _time(microseconds: int) -> str | None:
    return str(datetime(1970, 1, 1) + timedelta(microseconds=microseconds)) if microseconds else None
