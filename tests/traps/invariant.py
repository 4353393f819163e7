"""What must hold at every moment: the target is the source at the checkpoint, restricted to the chunks that are in, and
an unread chunk has no rows there. Computed by the two servers, not by the code that copies."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import psycopg2
import psycopg2.extensions

from tests.equality import SETTINGS, columns
from tests.servers.database import Database


class Still:
    """The source as it is now: a transaction that goes on seeing it while the test writes on. It is the source at the
    checkpoint for as long as that covers nothing that was written since. It must not be a table's last reader before
    a TRUNCATE or ALTER, which would wait for it."""

    def __init__(self, source: Database) -> None:
        self._source = source
        self._frozen = _frozen(source)
        _texts(self._frozen, "SELECT 1")

    def __enter__(self) -> Still:
        return self

    def __exit__(self, *_: object) -> None:
        self._frozen.close()

    def check(self, target: Database, pipeline: str) -> dict[str, list[str]]:
        """Fail where the invariant does not hold; each table's chunk states."""
        found = dict(self._compared(target, pipeline))
        wrong = [sentence for _, sentences in found.values() for sentence in sentences]
        assert not wrong, "\n".join(wrong)
        return {table: states for table, (states, _) in found.items()}

    def _compared(self, target: Database, pipeline: str) -> Iterator[tuple[str, tuple[list[str], list[str]]]]:
        there = _frozen(target)
        try:
            chunks: dict[str, list[Any]] = {}
            for (row,) in _texts(
                there, "SELECT row_to_json(c)::text FROM cdcd.chunks c WHERE pipeline = %s ORDER BY number", pipeline
            ):
                chunks.setdefault(json.loads(row)["table_id"], []).append(json.loads(row))
            for table, its in chunks.items():
                kept = [_condition(chunk) for chunk in its if chunk["state"] == "in"]
                expected = self._rows(self._frozen, table, " OR ".join(kept) or "false")
                found = self._rows(there, table, "true")
                wrong = [f"{table}: lost {row[:200]}" for row in (expected - found).elements()]
                wrong += [f"{table}: too many {row[:200]}" for row in (found - expected).elements()]
                yield table, ([chunk["state"] for chunk in its], wrong[:10])
        finally:
            there.close()

    def _rows(self, session: psycopg2.extensions.connection, table: str, condition: str) -> Counter[str]:
        names = ", ".join(f'"{name}"' for name in columns(self._source, table))
        return Counter(row[0] for row in _texts(session, f"SELECT ROW({names})::text FROM {table} WHERE {condition}"))


def check(source: Database, target: Database, pipeline: str) -> dict[str, list[str]]:
    """The same with the source as it is now: nothing was written since the checkpoint."""
    with Still(source) as still:
        return still.check(target, pipeline)


def checkpoint(target: Database, pipeline: str) -> int:
    """The stored place, as a number; 0 before there is one."""
    text = "SELECT (checkpoint->'position'->>'lsn')::pg_lsn - '0/0'::pg_lsn FROM cdcd.checkpoints WHERE pipeline = %s"
    try:
        rows = target.admin(text, pipeline)
    except psycopg2.errors.UndefinedTable:
        return 0
    return int(rows[0][0]) if rows else 0


def _frozen(database: Database) -> psycopg2.extensions.connection:
    connection = psycopg2.connect(database.admin_url)
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
    with connection.cursor() as cursor:
        cursor.execute(SETTINGS)
    return connection


def _texts(session: psycopg2.extensions.connection, text: str, *params: object) -> list[tuple[Any, ...]]:
    with session.cursor() as cursor:
        cursor.execute(text, params or None)
        return cursor.fetchall()


def _condition(chunk: dict[str, Any]) -> str:
    """low <= key < high, as the server compares them; literals take the columns' types."""
    tests = []
    for operator, bound in ((">=", chunk["low"]), ("<", chunk["high"])):
        if bound is not None:
            names = ", ".join(f'"{name}"' for name in chunk["columns"])
            values = ", ".join("'" + value.replace("'", "''") + "'" for value in bound)
            tests.append(f"({names}) {operator} ({values})")
    return f"({' AND '.join(tests)})" if tests else "true"
