"""Whether the target holds the source's rows: told by PostgreSQL, by EXCEPT ALL both ways, not by cdcd.

The target's server reads the source's tables through postgres_fdw, every column as the text that the source itself
makes of it, so that 1.0 and 1.00 differ. Doubles count: EXCEPT ALL compares how often a row is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg2.extensions
from psycopg2 import sql

from deploy.demo.world import TableName
from tests.equality import SETTINGS
from tests.servers import Database
from tests.servers.address import connect

Cursor = psycopg2.extensions.cursor


@dataclass(frozen=True, slots=True)
class Compared:
    """One table: rows at both ends, and how many of them the other end has not."""

    table: TableName
    source_rows: int
    target_rows: int
    missing: int
    surplus: int
    example: str = ""

    @property
    def differences(self) -> int:
        return self.missing + self.surplus


def compare(source: Database, target: Database, tables: Sequence[TableName]) -> Iterator[Compared]:
    """Table by table; nothing of it stays in the target."""
    connection = connect(target.admin_url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(SETTINGS)
            cursor.execute("SET work_mem = '256MB'")
            cursor.execute("BEGIN")
            _reach(cursor, source)
            for table in tables:
                yield _compare(cursor, table, _columns(source, table))
            cursor.execute("ROLLBACK")
    finally:
        connection.close()


def _reach(cursor: Cursor, source: Database) -> None:
    """Let this server read the source, until the transaction ends."""
    cursor.execute("CREATE SCHEMA proof; CREATE EXTENSION postgres_fdw SCHEMA proof")
    cursor.execute(
        "CREATE SERVER source FOREIGN DATA WRAPPER postgres_fdw"
        " OPTIONS (host %s, port %s, dbname %s, fetch_size '20000')",
        (source.server.host, str(source.server.port), source.name),
    )
    cursor.execute(
        "CREATE USER MAPPING FOR CURRENT_USER SERVER source OPTIONS (user %s, password %s)",
        (source.server.user, source.server.password),
    )


def _columns(source: Database, table: TableName) -> list[str]:
    found = source.admin(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
        " ORDER BY attnum",
        table.quoted,
    )
    return [row[0] for row in found]


def _compare(cursor: Cursor, table: TableName, names: Sequence[str]) -> Compared:
    fields = sql.SQL(", ").join(sql.Identifier(name) for name in names)
    texts = sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(name)) for name in names)
    options = sql.SQL("schema_name {}, table_name {}").format(sql.Literal(table.schema), sql.Literal(table.name))
    there = _one(cursor, sql.SQL("SELECT to_regclass({})").format(sql.Literal(table.quoted))) is not None
    here = sql.SQL("SELECT ROW({})::text AS r FROM {}").format(fields, sql.Identifier(table.schema, table.name))
    for statement in (
        sql.SQL("CREATE FOREIGN TABLE proof.remote ({}) SERVER source OPTIONS ({})").format(texts, options),
        sql.SQL("CREATE TEMP TABLE s ON COMMIT DROP AS SELECT ROW({})::text AS r FROM proof.remote").format(fields),
        sql.SQL("CREATE TEMP TABLE t ON COMMIT DROP AS {}").format(
            here if there else sql.SQL("SELECT ''::text AS r WHERE false")
        ),
        sql.SQL("CREATE TEMP TABLE missing ON COMMIT DROP AS SELECT r FROM s EXCEPT ALL SELECT r FROM t"),
        sql.SQL("CREATE TEMP TABLE surplus ON COMMIT DROP AS SELECT r FROM t EXCEPT ALL SELECT r FROM s"),
    ):
        cursor.execute(statement)
    source_rows, target_rows, missing, surplus = (_count(cursor, name) for name in ("s", "t", "missing", "surplus"))
    example = _one(
        cursor, "SELECT coalesce((SELECT '- ' || min(r) FROM missing), (SELECT '+ ' || min(r) FROM surplus), '')"
    )
    cursor.execute("DROP TABLE s, t, missing, surplus; DROP FOREIGN TABLE proof.remote")
    if not there:
        example = "the target has no such table"
    return Compared(table, source_rows, target_rows, missing, surplus, example)


def _count(cursor: Cursor, table: str) -> int:
    return int(_one(cursor, sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))))


def _one(cursor: Cursor, query: sql.Composable | str) -> Any:
    cursor.execute(query)
    row = cursor.fetchone()
    return row[0] if row else None
