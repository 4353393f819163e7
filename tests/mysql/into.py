"""A pipeline from PostgreSQL into a server of MySQL or MariaDB that can be made to refuse changes, at rest between its
runs; and the proof that its ends are equal, by what plain clients read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tests.crash.following import Cdcd
from tests.servers import Database
from tests.servers.mysql_database import MySQLDatabase

KINDS = """
CREATE TABLE t (id int PRIMARY KEY, n int, name varchar(20), raw bytea, at timestamptz, body text);
ALTER TABLE t ALTER body SET STORAGE EXTERNAL;
CREATE TABLE other (id int PRIMARY KEY);
CREATE TABLE keyless (a int, b text, c bytea);
ALTER TABLE keyless REPLICA IDENTITY FULL;
"""
FEW = "ALTER TABLE {} ADD CONSTRAINT few_{} CHECK ({} < 100)"
MEND = "ALTER TABLE {} DROP CONSTRAINT few_{}"


class Into:
    """`run` is the pipeline to the source's end; the other commands give what they tell as JSON, or their log where
    they are to end with another `code`."""

    def __init__(self, source: Database | MySQLDatabase, target: Database | MySQLDatabase, cdcd: Cdcd) -> None:
        self.source = source
        self.target = target
        self.cdcd = cdcd
        self.target_url = target.target_url if isinstance(target, MySQLDatabase) else target.url

    def ends(self, target_url: str = "") -> list[str]:
        return ["--from", self.source.url, "--to", target_url or self.target_url, "--name", self.source.name]

    def run(self, *more: str, code: int = 0) -> str:
        return self.cdcd("run", *self.ends(), "--until", "caught-up", *more).wait(code)

    def retry(self, *more: str, code: int = 0) -> Any:
        done = self.cdcd("retry", *self.ends(), "--json", *more)
        done.wait(code)
        return done.json()["pipelines"][0]

    def skip(self, tx: str, code: int = 0) -> Any:
        done = self.cdcd("skip", "--tx", tx, *self.ends(), "--json")
        told = done.wait(code)
        return told if code else done.json()

    def recorded(self, columns: str = "op, `key`, `row`, state") -> list[tuple[Any, ...]]:
        assert isinstance(self.target, MySQLDatabase)
        return list(self.target.admin(f"SELECT {columns} FROM cdcd.exceptions ORDER BY id"))


def refuse(target: MySQLDatabase, *places: tuple[str, str]) -> None:
    """Numbers from 100 on, in these columns of tables."""
    target.sql(*(FEW.format(table, table, column) for table, column in places))


def mend(target: MySQLDatabase, *tables: str) -> None:
    target.sql(*(MEND.format(table, table) for table in tables))


def assert_same(source: Database, target: MySQLDatabase, tables: Sequence[str]) -> None:
    for table in tables:
        here = [tuple(map(_plain, row)) for row in source.sql(f"SET timezone = 'UTC'; SELECT * FROM {table}")]
        there = target.sql("SET time_zone = '+00:00'", f"SELECT * FROM {table}")
        assert sorted(map(repr, here)) == sorted(map(repr, there)), table


def _plain(value: Any) -> Any:
    """As PyMySQL gives it."""
    if isinstance(value, memoryview):
        return bytes(value)
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value
