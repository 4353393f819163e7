"""Changes that were not made, in cdcd.exceptions: written in the transaction of the changes around them, so each is
recorded exactly once, and superseded by whatever makes its row right.

Values stand there as the server's texts, by column: a target that was altered meanwhile may take them then.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg2.extras import Json

from cdcd.errors import Conflict, PoisonRow
from cdcd.model.group import TableLog, Transaction
from cdcd.model.table import Table
from cdcd.policy import Policy, Refused, Values, Waiting
from cdcd.rows import RowForm
from connectors.postgres.names import quote_identifier, quote_literal
from connectors.postgres.sessions import Session
from connectors.postgres.shape import Shape
from connectors.postgres.translate import foldable

_RECORD = """
INSERT INTO cdcd.exceptions
    (pipeline, position, tx, committed, table_id, op, key, row, error, sqlstate, found, identity, state)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'open')
"""

_SUPERSEDE = "UPDATE cdcd.exceptions SET state = 'superseded', settled = clock_timestamp()"

_OPEN = """
SELECT table_id, identity FROM cdcd.exceptions WHERE pipeline = %s AND state = 'open' AND key IS NOT NULL
"""


class Exceptions:
    """Those of one pipeline, by the session that applies, whose work ends with its first error."""

    def __init__(self, session: Session, pipeline: str, policy: Policy) -> None:
        self.policy = policy
        self._session = session
        self._pipeline = pipeline
        self._waiting = Waiting(lambda: session.rows(_OPEN, (pipeline,)))

    # --- rows of which a change waits -----------------------------------------------------------------------------

    def waiting(self, table: Table) -> set[bytes]:
        """The identities of the table's rows of which a change waits."""
        return self._waiting.of(table)

    def touch(self, one: TableLog) -> bool:
        return self._waiting.touch(one, foldable(one.table))

    def concern(self, form: RowForm, *keys: bytes | None) -> bool:
        return self._waiting.concern(form, foldable(form.table), *keys)

    def of_rows(self, shape: Shape, table: str, keys: Sequence[Values]) -> list[int]:
        """The open records of changes to the rows that have these keys."""
        found: list[int] = []
        for key in keys:
            where, values = by_key(shape, key)
            found += waiting_for(self._session, self._pipeline, shape, table, list(key), where, values)
        return found

    # --- recording ------------------------------------------------------------------------------------------------

    def full(self) -> bool:
        """Whether no more may be recorded."""
        text = "SELECT count(*) FROM cdcd.exceptions WHERE pipeline = %s AND state = 'open'"
        return int(self._session.rows(text, (self._pipeline,))[0][0]) >= self.policy.most

    def record(self, refused: Refused, place: Transaction | None, position: str | None) -> None:
        """`place` is its transaction at the source; without it `position` is where its group ends."""
        tx = place.id if place is not None else None
        committed = _time(place.time) if place is not None else None
        where = str(place.position) if place is not None else position
        key, row = (None if values is None else Json(dict(values)) for values in (refused.key, refused.row))
        self._session.run(
            _RECORD,
            (
                self._pipeline, where, tx, committed, refused.table, refused.op, key, row, refused.error,
                refused.sqlstate, refused.found, refused.identity,
            ),
        )  # fmt: skip
        if key is not None:
            self._waiting.add(refused.table, refused.identity)


_EACH = "SELECT id FROM cdcd.exceptions WHERE pipeline = %s AND table_id = %s AND state = 'open' AND key IS NOT NULL"


def waiting_for(
    session: Session, pipeline: str, shape: Shape, table: str, names: Sequence[str], where: str,
    values: Sequence[Any] = (),
) -> list[int]:
    """The open records of a table whose key's columns `names`, as those of a row `t` of it, meet a condition. In a
    transaction."""
    columns = ", ".join(f"{quote_identifier(name)} {shape.columns[name].staged}" for name in names).replace("%", "%%")
    meets = f"EXISTS (SELECT FROM jsonb_to_record(key) AS t ({columns}) WHERE {where})"
    try:
        session.defer("SAVEPOINT waiting")
        found = [id for (id,) in session.rows(f"{_EACH} AND {meets}", (pipeline, table, *values))]
    except (Conflict, PoisonRow):
        # A key that no row of the table can have fails for all of them.
        session.run("ROLLBACK TO SAVEPOINT waiting")
        found = []
        for (id,) in session.rows(_EACH, (pipeline, table)):
            session.defer("SAVEPOINT one_waiting")
            try:
                one = f"SELECT id FROM cdcd.exceptions WHERE id = %s AND {meets}"
                found += [id for (id,) in session.rows(one, (id, *values))]
            except (Conflict, PoisonRow):
                session.run("ROLLBACK TO SAVEPOINT one_waiting")
            session.defer("RELEASE SAVEPOINT one_waiting")
    session.defer("RELEASE SAVEPOINT waiting")
    return found


def supersede(session: Session, records: Collection[int]) -> None:
    """Their rows are right again, or gone at the source too, or to be loaded."""
    if records:
        session.run(f"{_SUPERSEDE} WHERE id = ANY (%s)", (list(records),))


def supersede_tables(session: Session, pipeline: str, tables: Sequence[str]) -> None:
    """The tables were emptied: what their rows should have been is no question any more."""
    names = ", ".join(map(quote_literal, tables))
    session.defer(
        f"{_SUPERSEDE} WHERE pipeline = {quote_literal(pipeline)} AND table_id IN ({names}) AND state = 'open'"
    )


def row_version(session: Session, shape: Shape, key: Values) -> str:
    """Of the row under the key: another one after each write to it, as changes are subtransactions of their own where
    any is refused, or after the table was rewritten; "" where there is none. In a transaction."""
    where, values = by_key(shape, key)
    session.defer("SAVEPOINT version")
    try:
        row = session.row(f"SELECT t.xmin::text FROM {shape.only} t WHERE {where}", values)
    except PoisonRow:  # the key is what the server cannot read
        session.run("ROLLBACK TO SAVEPOINT version")
        row = None
    session.defer("RELEASE SAVEPOINT version")
    return str(row[0]) if row else ""


def by_key(shape: Shape, key: Values) -> tuple[str, list[Any]]:
    """The condition that names the row, with its parameters; a value that no server reads names none."""
    tests = [shape.equals(name, "\0").replace("%", "%%").replace("\0", "%s") for name in key]
    return " AND ".join(tests), [None if isinstance(value, dict) else value for value in key.values()]


def _time(microseconds: int) -> datetime | None:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds) if microseconds else None
