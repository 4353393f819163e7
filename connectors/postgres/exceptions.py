"""Changes that were not made, in cdcd.exceptions: written in the transaction of the changes around them, so each is
recorded exactly once, and superseded by whatever makes its row right.

Values stand there as the server's texts, by column: a target that was altered meanwhile may take them then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg2.extras import Json

from cdcd.errors import CdcdError, PoisonRow
from cdcd.model.group import Transaction
from connectors.postgres.names import quote_literal
from connectors.postgres.sessions import Session
from connectors.postgres.shape import Shape

Values = Mapping[str, Any]
"""Column → the server's text, or None for NULL; {"binary": hexadecimal} where the server could not read it."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What becomes of a change that the target refuses (`on_error`: "stop", "skip"), or that meets another state than
    the source's (`on_conflict`: "stop", "overwrite", "skip"). `most` recorded ones may wait to be tried again."""

    on_error: str = "stop"
    on_conflict: str = "stop"
    most: int = 1000

    @property
    def stops(self) -> bool:
        """Whether nothing is ever passed over."""
        return self.on_error == self.on_conflict == "stop"

    def records(self, error: CdcdError) -> bool:
        return (self.on_error if isinstance(error, PoisonRow) else self.on_conflict) == "skip"


STOP = Policy()


@dataclass(frozen=True, slots=True)
class Refused:
    """A change as it is recorded. `key` names the row it is made to (keyless: is that row), `row` has the new cells
    that are known; `found` is the version of the row it met."""

    table: str
    op: str
    key: Values | None
    row: Values | None
    error: str
    sqlstate: str | None
    found: str = ""


_RECORD = """
INSERT INTO cdcd.exceptions
    (pipeline, position, tx, committed, table_id, op, key, row, error, sqlstate, found, state)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""

_SUPERSEDE = """
UPDATE cdcd.exceptions SET state = 'superseded', settled = clock_timestamp()
WHERE pipeline = %s AND table_id = %s AND state = 'open' AND key = ANY (%s::jsonb[])
"""


class Exceptions:
    """Those of one pipeline, by the session that applies."""

    def __init__(self, session: Session, pipeline: str, policy: Policy) -> None:
        self.policy = policy
        self._session = session
        self._pipeline = pipeline

    def full(self) -> bool:
        """Whether no more may be recorded."""
        text = "SELECT count(*) FROM cdcd.exceptions WHERE pipeline = %s AND state = 'open'"
        return int(self._session.rows(text, (self._pipeline,))[0][0]) >= self.policy.most

    def record(
        self, refused: Refused, place: Transaction | None, position: str | None, state: str = "open"
    ) -> None:
        """`place` is its transaction at the source; without it `position` is where its group ends."""
        tx = place.id if place is not None else None
        committed = _time(place.time) if place is not None else None
        where = str(place.position) if place is not None else position
        key, row = (None if values is None else Json(dict(values)) for values in (refused.key, refused.row))
        self._session.run(
            _RECORD,
            (
                self._pipeline, where, tx, committed, refused.table, refused.op, key, row, refused.error,
                refused.sqlstate, refused.found, state,
            ),
        )  # fmt: skip

    def supersede(self, table: str, *keys: Values) -> None:
        """The rows under these keys are right again, or gone at the source too."""
        self._session.run(_SUPERSEDE, (self._pipeline, table, [Json(dict(key)) for key in keys]))


def supersede_tables(session: Session, pipeline: str, tables: Sequence[str]) -> None:
    """The tables were emptied: what their rows should have been is no question any more."""
    names = ", ".join(map(quote_literal, tables))
    session.defer(
        "UPDATE cdcd.exceptions SET state = 'superseded', settled = clock_timestamp()"
        f" WHERE pipeline = {quote_literal(pipeline)} AND table_id IN ({names}) AND state = 'open'"
    )


def row_version(session: Session, shape: Shape, key: Values) -> str:
    """Of the row under the key: another one after each write to it, as changes are subtransactions of their own where
    any is refused; "" where there is none. In a transaction."""
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
    tests = [shape.equals(name, "\0").replace("%", "%%").replace("\0", value_sql(shape, name)) for name in key]
    return " AND ".join(tests), [None if isinstance(value, dict) else value for value in key.values()]


def value_sql(shape: Shape, name: str) -> str:
    """The placeholder of a column's text."""
    return f"%s::{shape.columns[name].native.replace('%', '%%')}"


def _time(microseconds: int) -> datetime | None:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds) if microseconds else None
