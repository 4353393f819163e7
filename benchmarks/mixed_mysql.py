"""The 10-column mixed table at a MySQL or MariaDB server, and a backlog of inserts in its log."""

from __future__ import annotations

from tests.servers.mysql_database import MySQLDatabase

SCHEMA = (
    "CREATE TABLE mixed (id bigint PRIMARY KEY, quantity int, grade smallint, active bool, weight double,"
    " at timestamp(6) NULL, price decimal(12,2), tag binary(16), name text, note text)",
    "CREATE TABLE marker (id int PRIMARY KEY)",
    "CREATE TABLE numbers (n bigint PRIMARY KEY)",
)

BLOCK = (
    "INSERT INTO mixed SELECT i, i * 7919 %% 1000003, i %% 30000, i %% 3 = 0, i * 1.618e0,"
    " timestamp'2024-01-01 00:00:00.123456' + INTERVAL i SECOND, i %% 1000000 * 0.37, unhex(left(sha2(i, 256), 32)),"
    " concat('customer ', lpad(i, 11, '0')), concat(left(sha2(-i, 256), 32), ' a note')"
    " FROM (SELECT n + %s AS i FROM numbers) numbered"
)


def make(database: MySQLDatabase) -> None:
    """The tables, empty."""
    database.sql(*SCHEMA)
    values = ", ".join(f"({number})" for number in range(1, 1001))
    database.sql(f"INSERT INTO numbers VALUES {values}")


def write(database: MySQLDatabase, rows: int, last: int) -> None:
    """Rows in transactions of 1,000, and the marker `last` behind them."""
    connection = database.connect()
    try:
        with connection.cursor() as cursor:
            for first in range(0, rows, 1000):
                cursor.execute(BLOCK, (first,))
            cursor.execute("INSERT INTO marker VALUES (%s)", (last,))
    finally:
        connection.close()
