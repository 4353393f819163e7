"""The 10-column mixed table at a MySQL or MariaDB server, and a backlog of changes to it in the server's log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from tests.servers import Database
from tests.servers.mysql_database import MySQLDatabase

TABLE = (
    "CREATE TABLE mixed (id bigint PRIMARY KEY, quantity int, grade smallint, active bool, weight double,"
    " at timestamp(6) NULL, price decimal(12,2), tag binary(16), name text, note text)"
)
MARKER = "CREATE TABLE marker (id int PRIMARY KEY)"

_ROWS = (
    "SELECT i, i * 7919 % 1000003, i % 30000, i % 3 = 0, i * 1.618e0,"
    " timestamp'2024-01-01 00:00:00.123456' + INTERVAL i SECOND, i % 1000000 * 0.37, unhex(left(sha2(i, 256), 32)),"
    " concat('customer ', lpad(i, 11, '0')), concat(left(sha2(-i, 256), 32), ' a note')"
    " FROM (SELECT n + first - 1 AS i FROM numbers WHERE n <= size) numbered"
)
_SET = (
    "quantity = quantity + 1, weight = weight * 1.01, at = at + INTERVAL 1 MINUTE, name = concat('changed ', id)"
)
_STATEMENTS = {
    "inserts": f"INSERT INTO mixed {_ROWS}",
    "updates": f"UPDATE mixed SET {_SET} WHERE id BETWEEN first AND first + size - 1",
}
_PROCEDURE = (
    "CREATE PROCEDURE {name}(first bigint, last bigint, size int)"
    " WHILE first <= last DO {statement}; SET first = first + size; END WHILE"
)
_BLOCK = 1000
"""Rows of one statement, where a transaction has more."""

_DIGEST = (
    "SELECT count(*), sum(crc32(concat_ws('|', id, quantity, grade, active, price, lower(hex(tag)), name, note))),"
    " sum(unix_timestamp(at)), sum(floor(weight * 8)) FROM mixed"
)
_DIGEST_POSTGRES = (
    "SELECT count(*), sum(crc32(convert_to(concat_ws('|', id, quantity, grade, active::int, price, {tag},"
    " name, note), 'UTF8'))), sum(extract(epoch FROM at)), sum(floor(weight * 8)) FROM {schema}.mixed"
)


def make(database: MySQLDatabase) -> None:
    """The tables, empty, and the procedures that write."""
    procedures = [_PROCEDURE.format(name=name, statement=text) for name, text in _STATEMENTS.items()]
    values = ", ".join(f"({number})" for number in range(1, _BLOCK + 1))
    numbers = ("CREATE TABLE numbers (n bigint PRIMARY KEY)", f"INSERT INTO numbers VALUES {values}")
    database.sql(TABLE, MARKER, *numbers, *procedures)


@dataclass(frozen=True, slots=True)
class Backlog:
    """`rows` changes of a kind, `size` to a transaction, in the order of the key."""

    kind: Literal["inserts", "updates"]
    rows: int
    size: int

    def write(self, database: MySQLDatabase, last: int, first: int = 1) -> None:
        """Changes of the keys from `first` on, and the marker `last` behind them."""
        connection = database.connect(autocommit=self.size <= _BLOCK)
        try:
            with _unsynced(database), connection.cursor() as cursor:
                step = max(self.size, _BLOCK)
                for begin in range(first, self.rows + 1, step):
                    end = min(begin + step - 1, self.rows)
                    cursor.execute(f"CALL {self.kind}({begin}, {end}, {min(self.size, _BLOCK)})")
                    connection.commit()
                cursor.execute("INSERT INTO marker VALUES (%s)", (last,))
                connection.commit()
        finally:
            connection.close()


@contextmanager
def _unsynced(database: MySQLDatabase) -> Iterator[None]:
    """While a backlog is written, its log need not outlive a crash."""
    settings = ("sync_binlog", "innodb_flush_log_at_trx_commit")
    before = database.admin(f"SELECT {', '.join(f'@@global.{name}' for name in settings)}")[0]
    for name in settings:
        database.admin(f"SET GLOBAL {name} = 0")
    try:
        yield
    finally:
        for name, value in zip(settings, before, strict=True):
            database.admin(f"SET GLOBAL {name} = {value}")


def executed(database: MySQLDatabase) -> str:
    """The GTIDs of all that was written there."""
    return str(database.admin("SELECT @@global.gtid_executed")[0][0]).replace("\n", "")


def digest(database: MySQLDatabase) -> tuple[float, ...]:
    """What says whether two tables hold the same rows: equal to that of `digest_of_postgres`."""
    return tuple(map(float, database.sql(_DIGEST)[0]))


def digest_of_postgres(database: Database, schema: str, tag: str = "encode(tag, 'hex')") -> tuple[float, ...]:
    """`tag`: the column's hexadecimal digits."""
    return tuple(map(float, database.admin(_DIGEST_POSTGRES.format(schema=schema, tag=tag))[0]))


def verify(source: tuple[float, ...], target: tuple[float, ...]) -> None:
    """A contender that does less work is no contender."""
    if source != target:
        raise AssertionError(f"the target differs: {source} at the source, {target} at the target")
