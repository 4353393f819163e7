"""`validate` across products: equal values of every type have equal digests at both, and one that is not is found, by
key and column; whichever of the two is the source. The values are written by hand at both ends, by no code of ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from cdcd.contracts import Comparable
from cdcd.engine.compare import Comparison
from cdcd.engine.compare_report import TableReport
from cdcd.model.table import Table
from connectors.mysql.compare import MysqlComparable
from connectors.mysql.source import MysqlSource
from connectors.postgres.catalogue import read_tables
from connectors.postgres.compare import PostgresComparable
from connectors.postgres.connect import connect
from tests.servers import Database
from tests.servers.mysql import MySQL
from tests.servers.mysql_binaries import VECTORS
from tests.servers.mysql_database import MySQLDatabase

Column = tuple[str, str, Sequence[tuple[str, str]], str]
"""Type and type there, values and values there, and another value there."""

JSON = """'{"b": [1, 1.50, -0.0, 1e20, 12345678901, 1E-7, true, null], "aa": {"x": "ü\\\\n\\\\u0001\\\\"/", "": {}}}'"""
JSON_THERE = (
    """E'{"aa":{"":{},"x":"\\\\u00fc\\\\n\\\\u0001\\\\"\\\\/"},"b":[1,1.5,0,"""
    """100000000000000000000,12345678901,0.0000001,true,null]}'"""
)

POINT = "\\x0101000000000000000000f03f00000000000000"

FAR = POINT.replace("01000000", "01000020110f0000", 1) + "40"

COMMON: Sequence[Column] = (
    ("tinyint", "smallint", [("-128", "-128"), ("127", "127")], "126"),
    ("tinyint(1)", "boolean", [("1", "true"), ("0", "false")], "true"),
    ("int zerofill", "integer", [("7", "7"), ("0", "0")], "8"),
    ("bigint", "bigint", [("-9223372036854775808", "-9223372036854775808"), ("10", "10")], "1"),
    ("bigint unsigned", "numeric(20)", [("18446744073709551615", "18446744073709551615"), ("100", "100")], "10"),
    ("year", "smallint", [("2024", "2024"), ("0", "0")], "2000"),
    ("decimal(10,2)", "numeric", [("-1.50", "-1.5"), ("100.00", "100")], "1.5"),
    ("decimal(65,30)", "numeric(65,30)", [("-0.000000001", "-0.000000001"), ("0", "0")], "0.0000000011"),
    ("decimal(12)", "numeric", [("-1200", "-1200.0"), ("0", "0")], "-12"),
    ("float", "real", [("0.1234567", "0.1234567"), ("-3.4e38", "-3.4e38")], "0.12345671"),
    ("double", "double precision", [("0.1", "0.1"), ("4.9406564584124654e-324", "5e-324")], "0.10000000000000002"),
    ("double", "double precision", [("1e15", "1e15"), ("-1e-16", "-1e-16")], "1000000000000001"),
    ("date", "date", [("'2024-02-29'", "'2024-02-29'"), ("'1000-01-01'", "'1000-01-01'")], "'0044-03-15 BC'"),
    ("datetime(6)", "timestamp", [("'2024-02-29 12:30:00.120000'", "'2024-02-29 12:30:00.12'"),
                                  ("'9999-12-31 23:59:50'", "'9999-12-31 23:59:50'")], "'infinity'"),
    ("datetime", "timestamp(0)", [("'2024-02-29 12:30:00'", "'2024-02-29 12:30:00'")], "'2024-02-29 12:30:01'"),
    ("timestamp(3) NULL", "timestamptz", [("'2024-02-29 12:30:00.500'", "'2024-02-29 14:30:00.5+02'")],
     "'2024-02-29 12:30:00.501+00'"),
    ("time(6)", "interval", [("'-838:59:59.000000'", "'-838:59:59'"), ("'-00:00:00.500000'", "'-00:00:00.5'")],
     "'1 day'"),
    ("time", "time", [("'12:00:00'", "'12:00'")], "'12:00:01'"),
    ("char(10)", "character(12)", [("'a '", "'a'"), ("''", "''"), ("'ä,b'", "'ä,b'")], "'A'"),
    ("varchar(20)", "text", [("'a '", "'a '"), ("''", "''"), ("'x,y'", "'x,y'"), ("'😀'", "'😀'")], "'a'"),
    ("varchar(20) CHARACTER SET latin1", "varchar", [("'é€'", "'é€'")], "'e€'"),
    ("varchar(20) CHARACTER SET gbk", "text", [("'中文'", "'中文'")], "'中'"),
    ("char(5) CHARACTER SET ucs2", "character(5)", [("'中a'", "'中a'")], "'中b'"),
    ("longtext", "text", [("REPEAT('ü', 100000)", "repeat('ü', 100000)")], "repeat('ü', 99999) || 'u'"),
    ("enum('a','b,c','ü')", "text", [("'b,c'", "'b,c'"), ("'ü'", "'ü'")], "'a'"),
    ("set('x','y')", "text", [("'x,y'", "'x,y'"), ("''", "''")], "'y'"),
    ("binary(4)", "bytea", [("X'42000000'", "'\\x42000000'")], "'\\x42'"),
    ("blob", "bytea", [("X'00FF5C2C'", "'\\x00ff5c2c'"), ("''", "''")], "'\\x00ff5c2d'"),
    ("varchar(5) CHARACTER SET binary", "bytea", [("X'00'", "'\\x00'")], "''"),
    ("geometry", "bytea", [("ST_GeomFromText('POINT(1 2)')", f"'{POINT}40'")], f"'{POINT}41'"),
    ("geometry", "bytea", [("ST_GeomFromText('POINT(1 2)', 3857)", f"'{FAR}'")], f"'{POINT}40'"),
    ("date", "text", [("'2024-02-29'", "'2024-02-29'")], "'2024-00-00'"),
    ("datetime(6)", "text", [("'2024-02-29 12:30:00.5'", "'2024-02-29 12:30:00.5'")], "'2024-02-29 12:30:00.50'"),
    ("timestamp(6) NULL", "text", [("'2024-02-29 12:30:00.5'", "'2024-02-29 12:30:00.5+00'")], "'x'"),
    ("bit(12)", "bit(12)", [("b'101010101010'", "B'101010101010'"), ("b'1'", "B'000000000001'")], "B'100000000001'"),
    ("bit(64)", "bit(64)", [("18446744073709551615", "repeat('1', 64)::bit(64)")], "(repeat('1', 63) || '0')::bit(64)"),
)  # fmt: skip
"""Of MySQL and MariaDB, and of PostgreSQL."""

MYSQL: Sequence[Column] = (
    *([("vector(3)", "real[]", [("STRING_TO_VECTOR('[1.5,-2,0.1]')", "'{1.5,-2,0.1}'")], "'{1.5,-2,0.2}'")] * VECTORS),
    ("json", "jsonb", [(JSON, JSON_THERE), ("'[]'", "'[]'"), ("'\"1\"'", "'\"1\"'")], "'{}'"),
    ("json", "json", [("'{\"a\": [1, \"1\"]}'", "'{ \"a\":0,\"a\":[1.0,\"1\"]}'")], "'{\"a\": [\"1\", 1]}'"),
)
"""MariaDB's JSON is text."""

MARIADB: Sequence[Column] = (
    ("uuid", "uuid", [("'123e4567-e89b-12d3-a456-426614174000'", "'123E4567-E89B-12D3-A456-426614174000'")],
     "'123e4567-e89b-12d3-a456-426614174001'"),
    ("inet6", "inet", [("'::1'", "'::1'"), ("'2001:db8::ff00:42:8329'", "'2001:db8::ff00:42:8329'")], "'::1/64'"),
    ("inet4", "inet", [("'1.2.3.4'", "'1.2.3.4'")], "'1.2.3.5'"),
)  # fmt: skip

POSTGRES: Sequence[Column] = (
    ("boolean", "tinyint(1)", [("true", "1"), ("false", "0")], "0"),
    ("numeric", "decimal(20,6)", [("1.10", "1.1"), ("-0", "0"), ("1000", "1000")], "1.100001"),
    ("numeric", "varchar(100)", [("1.10", "'1.10'"), ("'NaN'", "'NaN'"), ("1000", "'1000'")], "'1.1000001'"),
    ("double precision", "double", [("'-0'", "-0e0"), ("0.1", "0.1")], "0.10000000000000002"),
    ("uuid", "char(36)", [("'123e4567-e89b-12d3-a456-426614174000'", "'123E4567-E89B-12D3-A456-426614174000'")], "'x'"),
    ("uuid", "binary(16)", [("'123e4567e89b12d3a456426614174000'", "X'123e4567e89b12d3a456426614174000'")], "X'00'"),
    ("inet", "varchar(50)", [("'10.0.0.1/8'", "'10.0.0.1/8'"), ("'10.0.0.1'", "'10.0.0.1'")], "'10.0.0.1/32'"),
    ("text[]", "longtext", [("ARRAY['a', NULL, 'b,c']", "'{a,NULL,\"b,c\"}'")], "'{a,b}'"),
    ("int4range", "varchar(50)", [("'[1,5]'", "'[1,6)'")], "'[1,5]'"),
    ("interval", "varchar(60)", [("'1 mon -2 days'", "'1 mon -2 days'")], "'1 mon'"),
    ("timetz", "varchar(60)", [("'12:00+02'", "'12:00:00+02'")], "'12:00:00+01'"),
    ("timestamptz", "datetime(6)", [("'2024-02-29 14:30:00.5+02'", "'2024-02-29 12:30:00.5'")], "'2024-02-29'"),
    ("varbit(5)", "varchar(5)", [("B'010'", "'010'")], "'10'"),
    ("jsonb", "json", [("'{\"b\": 1.0, \"a\": [1e3]}'", "'{\"a\": [1000], \"b\": 1}'")], "'{\"a\": [1000]}'"),
)  # fmt: skip
"""Of PostgreSQL, and of MySQL and MariaDB."""


def fill(sql: Callable[[str], Any], types: Sequence[str], values: Sequence[Sequence[str]], table: str = "t") -> None:
    """A row for each column, in which every column has one of its values, and a row of NULLs."""
    columns = ", ".join(f"c{number} {type}" for number, type in enumerate(types))
    sql(f"CREATE TABLE {table} (id int PRIMARY KEY, {columns})")
    for row in range(len(types)):
        chosen = ", ".join(its[row % len(its)] for its in values)
        sql(f"INSERT INTO {table} VALUES ({row}, {chosen})")
    sql(f"INSERT INTO {table} (id) VALUES (1000)")


def compared(mine: Comparable, theirs: Comparable, table: Table) -> TableReport:
    return Comparison(mine, theirs, still=True, limit=1000).table(table)


def found(report: TableReport) -> list[tuple[str, ...]]:
    assert report.problem is None and not report.uncompared
    assert {verdict.kind.value for verdict in report.shown} <= {"different"}
    return sorted((*verdict.key, *verdict.columns) for verdict in report.shown)


def names(database: MySQLDatabase) -> Callable[[str], Any]:
    prepare = ("SET time_zone = '+00:00'", "SET sql_mode = 'STRICT_ALL_TABLES'")
    return lambda text: database.sql(*prepare, text)


@pytest.mark.failure("OP-14")
def test_every_type_against_postgresql(mysql_db: MySQLDatabase, target_db: Database) -> None:
    types = [*COMMON, *(MARIADB if mysql_db.server.product == "mariadb" else MYSQL)]
    here, there = names(mysql_db), target_db.sql
    schema = f'"{mysql_db.name}"'
    there(f"CREATE SCHEMA {schema}")
    fill(here, [type for type, *_ in types], [[value for value, _ in values] for *_, values, _ in types])
    other = [[value for _, value in values] for *_, values, _ in types]
    fill(there, [type for _, type, *_ in types], other, f"{schema}.t")
    with (
        closing(MysqlSource(mysql_db.url, "test")) as source,
        closing(MysqlComparable(lambda: mysql_db.url, "test")) as mine,
        closing(PostgresComparable(lambda: target_db.url, "test")) as theirs,
    ):
        (table,) = source.tables()
        report = compared(mine, theirs, table)
        assert found(report) == [] and report.source_rows == report.target_rows == len(types) + 1
        assert mine.layout(table) == replace(theirs.layout(table) or 0, order="integer")  # type: ignore[type-var]
        for number, (*_, another) in enumerate(types):
            there(f"UPDATE {schema}.t SET c{number} = {another} WHERE id = {number}")
        there(f"UPDATE {schema}.t SET c19 = '' WHERE id = 1000")  # which is not NULL
        expected = sorted([*((str(number), f"c{number}") for number in range(len(types))), ("1000", "c19")])
        assert found(compared(mine, theirs, table)) == expected
        # Rows of no key are told apart by all they hold.
        (keyless,) = [replace(table, key=(), primary=())]
        report = compared(mine, theirs, keyless)
        assert {kind.value: n for kind, n in report.counts.items() if n} == {
            "missing": len(expected), "extra": len(expected),
        }  # fmt: skip


@pytest.mark.failure("OP-14")
def test_every_type_of_postgresql(source_db: Database, mysql_db: MySQLDatabase) -> None:
    here, there = source_db.sql, names(mysql_db)
    fill(here, [type for type, *_ in POSTGRES], [[value for value, _ in values] for *_, values, _ in POSTGRES])
    fill(there, [type for _, type, *_ in POSTGRES], [[value for _, value in values] for *_, values, _ in POSTGRES])
    with closing(connect(source_db.url, "test")) as connection:
        (table,) = read_tables(connection)
    with (
        closing(PostgresComparable(lambda: source_db.url, "test")) as mine,
        closing(MysqlComparable(lambda: mysql_db.url, "test", home="public")) as theirs,
    ):
        assert found(compared(mine, theirs, table)) == []
        for number, (*_, another) in enumerate(POSTGRES):
            there(f"UPDATE t SET c{number} = {another} WHERE id = {number}")
        expected = sorted((str(number), f"c{number}") for number in range(len(POSTGRES)))
        assert found(compared(mine, theirs, table)) == expected


BETWEEN: Sequence[Column] = (
    ("varchar(20) COLLATE utf8mb4_general_ci", "varchar(20)", [("'a '", "'a '"), ("'É'", "'É'")], "'E'"),
    ("char(20) CHARACTER SET latin1", "char(20)", [("'é'", "'é'")], "'É'"),
    ("datetime(3)", "datetime(6)", [("'2024-01-01 00:00:00.100'", "'2024-01-01 00:00:00.1'")], "'2024-01-02'"),
    ("date", "date", [("'2024-05-00'", "'2024-05-00'"), ("'0000-00-00'", "'0000-00-00'")], "'2024-05-01'"),
    ("enum('b','a')", "enum('a','b')", [("'b'", "'b'"), ("'a'", "'a'")], "'a'"),
    ("float", "float", [("0.1234567", "0.1234567")], "0.12345671"),
    ("decimal(10,2)", "decimal(12,4)", [("1.50", "1.5")], "1.5001"),
    ("bit(9)", "bit(9)", [("b'100000001'", "257")], "256"),
)  # fmt: skip
"""Of one of the two, and of the other."""

JSON_BETWEEN: Sequence[Column] = (
    ("json", "json", [("'{\"b\": 1, \"a\": [1.5]}'", "'{\"a\": [1.50], \"b\": 1}'")], "'{\"a\": [1.5]}'"),
)
"""Of MySQL, and of MariaDB, where it is text."""


def test_every_type_between_the_two(
    mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase], mysql_db: MySQLDatabase
) -> None:
    product = {"mysql": "mariadb", "mariadb": "mysql"}[mysql_db.server.product]
    other = mysql_on(mysql_servers(product), mysql_db.name)
    here, there = names(mysql_db), names(other)
    types = [*BETWEEN, *(JSON_BETWEEN if mysql_db.server.product == "mysql" else ())]
    fill(here, [type for type, *_ in types], [[value for value, _ in values] for *_, values, _ in types])
    fill(there, [type for _, type, *_ in types], [[value for _, value in values] for *_, values, _ in types])
    with (
        closing(MysqlSource(mysql_db.url, "test")) as source,
        closing(MysqlComparable(lambda: mysql_db.url, "test")) as mine,
        closing(MysqlComparable(lambda: other.url, "test")) as theirs,
    ):
        (table,) = source.tables()
        assert found(compared(mine, theirs, table)) == []
        for number, (*_, another) in enumerate(types):
            there(f"UPDATE t SET c{number} = {another} WHERE id = {number}")
        expected = sorted((str(number), f"c{number}") for number in range(len(types)))
        assert found(compared(mine, theirs, table)) == expected


def test_what_has_no_common_text_is_named(mysql_db: MySQLDatabase, target_db: Database) -> None:
    schema = f'"{mysql_db.name}"'
    mysql_db.sql("CREATE TABLE t (id int PRIMARY KEY, a date NOT NULL, b int)")
    mysql_db.sql("INSERT INTO t VALUES (1, '2024-01-01', 1)")
    target_db.sql(f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.t (id int PRIMARY KEY, a timestamp NOT NULL, b int)")
    target_db.sql(f"INSERT INTO {schema}.t VALUES (1, '2024-01-01', 1)")
    with (
        closing(MysqlSource(mysql_db.url, "test")) as source,
        closing(MysqlComparable(lambda: mysql_db.url, "test")) as mine,
        closing(PostgresComparable(lambda: target_db.url, "test")) as theirs,
    ):
        (table,) = source.tables()
        report = compared(mine, theirs, table)
        assert report.uncompared == ("a",) and not report.differs and report.open
        target_db.sql(f"UPDATE {schema}.t SET b = 2")
        assert [verdict.columns for verdict in compared(mine, theirs, table).shown] == [("b",)]
        report = compared(mine, theirs, replace(table, key=("a",)))
        assert report.problem is not None and "its key, a" in report.problem.text
