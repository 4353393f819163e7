"""Every type's values, by load and by stream: the same bytes in two forms (canonical, and PostgreSQL's texts), and what
python-mysql-replication reads from the same log."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any, cast

import pytest

from cdcd.contracts import Source
from cdcd.model.chunk import Chunk
from cdcd.model.group import Group, Rows
from cdcd.model.position import Checkpoint
from cdcd.model.table import Table
from cdcd.rows import CANONICAL, Field, Layout, RowForm
from connectors.mysql.source import MysqlSource
from tests.contract.reading import read
from tests.servers.mysql_binaries import VECTORS
from tests.servers.mysql_database import MySQLDatabase

BETWEEN, TAIL = b"\x1f", b"\x1e\n"


def text_form(table: Table) -> RowForm:
    """Every value as PostgreSQL writes it."""
    columns = tuple(column.name for column in table.carried)
    return RowForm("text", table, columns, (Field({"pg-text:*": "v"}),) * len(columns), LAYOUT)


def value_form(table: Table) -> RowForm:
    """Every canonical value as Python shows it."""
    columns = tuple(column.name for column in table.carried)
    fields = (Field({CANONICAL: "repr(v).encode()"}),) * len(columns)
    return RowForm("values", table, columns, fields, LAYOUT)


LAYOUT = Layout(b"", BETWEEN, TAIL, b"NULL")

NUMBERS = {
    "tinyint": ("-128", "127", "0"),
    "tinyint unsigned": ("255", "0"),
    "smallint": ("-32768", "32767"),
    "smallint unsigned": ("65535",),
    "mediumint": ("-8388608", "8388607", "-1"),
    "mediumint unsigned": ("16777215",),
    "int": ("-2147483648", "2147483647"),
    "int unsigned": ("4294967295",),
    "bigint": ("-9223372036854775808", "9223372036854775807"),
    "bigint unsigned": ("18446744073709551615",),
    "decimal(10,2)": ("-12345678.90", "0.01", "-0.50", "99999999.99"),
    "decimal(65,30)": ("12345678901234567890123456789012345.123456789012345678901234567890", "-0.000000001", "0"),
    "decimal(5,5)": ("0.12345", "-0.99999"),
    "decimal(18)": ("999999999999999999", "-1"),
    "decimal(12,3)": ("0.007", "-0.070", "999999999.999", "-999999999.100"),
    "float": ("16777216", "0.1234567", "-3.4e38", "1e-38", "0"),
    "double": ("1.7976931348623157e308", "-0.1", "2.2250738585072014e-308", "123456789.123456789", "1e15", "-1e16"),
    "year": ("2024", "1901", "2155", "0"),
}
TIMES = {
    "date": ("2024-02-29", "1000-01-01", "9999-12-31"),
    "datetime": ("2024-02-29 12:34:56", "1000-01-01 00:00:00"),
    "datetime(1)": ("2024-02-29 12:34:56.1", "1999-12-31 23:00:09.0"),
    "datetime(3)": ("2024-02-29 12:34:56.120", "2024-02-29 12:34:56.000", "2024-02-29 12:34:56.007"),
    "datetime(5)": ("2024-02-29 00:00:00.00001", "2024-02-29 12:34:56.12000", "2024-02-29 12:34:56.10020"),
    "datetime(6)": ("9999-12-31 23:59:59.999999", "2024-01-01 00:00:00.000001"),
    "timestamp": ("2024-02-29 12:34:56", "1970-01-02 00:00:01"),
    "timestamp(2)": ("2024-02-29 12:34:56.05", "2024-02-29 12:34:56.00"),
    "timestamp(4)": ("2024-02-29 12:34:56.0005", "2024-02-29 12:34:56.0120", "1970-01-02 00:00:00.0000"),
    "timestamp(6)": ("2038-01-18 03:14:07.999999", "2024-02-29 12:34:56.100000", "2024-02-29 00:00:00.001001"),
    "time": ("-838:59:59", "838:59:59", "00:00:00", "-00:00:01"),
    "time(1)": ("-00:00:00.5", "12:34:56.7"),
    "time(4)": ("-12:34:56.7891", "00:00:00.0001"),
    "time(6)": ("-00:00:00.000001", "838:59:58.999999", "-838:59:58.000001"),
}
NO_DATES = {
    "date": ("0000-00-00", "2024-00-00", "2024-02-31", "0000-01-01"),
    "datetime(3)": ("0000-00-00 00:00:00", "2024-02-00 10:00:00.5"),
    "timestamp": ("0000-00-00 00:00:00",),
}
"""What no calendar has: values of the canonical form, and of a column of text."""
TEXTS = {
    "char(10)": ("'abc'", "''", "'ä '"),
    "varchar(20)": ("'x'", "'tab\\t newline\\n'", "'\\\\'", "'😀'"),
    "varchar(300)": ("'long'", "REPEAT('ü', 300)"),
    "char(200)": ("REPEAT('ü', 200)",),
    "tinytext": ("'t'",),
    "text": ("REPEAT('a', 65535)",),
    "mediumtext": ("REPEAT('b', 70000)",),
    "longtext": ("'l'",),
    "varchar(20) CHARACTER SET latin1": ("'é€'", "_binary X'8081'"),
    "char(5) CHARACTER SET ucs2": ("'中a'",),
    "varchar(20) CHARACTER SET utf16": ("'中😀'",),
    "varchar(20) CHARACTER SET gbk": ("'中文'",),
    "varchar(20) CHARACTER SET sjis": ("'日本'",),
    "varchar(20) CHARACTER SET binary": ("X'00FF'",),
    "enum('a','b','it''s','ü')": ("'a'", "'it''s'", "'ü'"),
    "set('x','y','ö')": ("'x,ö'", "''", "'x,y,ö'"),
    "binary(4)": ("X'42000000'", "X'00000000'", "X'01020304'"),
    "varbinary(10)": ("X'4200'", "''"),
    "blob": ("X'00FF5C'", "REPEAT(X'00', 1000)"),
    "longblob": ("REPEAT(X'1E', 100000)",),
    "bit(1)": ("b'1'", "b'0'"),
    "bit(12)": ("b'101010101010'",),
    "bit(64)": ("18446744073709551615",),
    "geometry": ("ST_GeomFromText('POINT(1 2)')",),
}
ONLY = {
    "mysql": {
        "json": (
            "'{\"b\": 1, \"a\": [true, null, \"ü\\\\n\"]}'", "'1.5'", "'1e20'", "'123456789012345678901'", "'\"x\"'",
            "CAST(CAST(1.10 AS DECIMAL(5,2)) AS JSON)", "CAST(TIMESTAMP'2015-01-15 23:24:25.12' AS JSON)",
            "CAST(X'0102' AS JSON)", "JSON_ARRAY(-1, 65535, 65536, -70000, 18446744073709551615, 0.1, 1e15, 1e14)",
            "CAST(TIME'-12:00:00.5' AS JSON)", "CAST(DATE'2020-02-02' AS JSON)", "'{}'", "'[]'", "'null'",
            "JSON_OBJECT('k', REPEAT('v', 70000), 'n', JSON_ARRAY(JSON_OBJECT('x', 1)))",
        ),
        **({"vector(3)": ("STRING_TO_VECTOR('[1.5,-2,0.1]')",)} if VECTORS else {}),
    },
    "mariadb": {
        "json": ("'{\"b\": 1,  \"a\":2}'",),
        "uuid": (
            "'123e4567-e89b-12d3-a456-426614174000'", "'00000000-0000-0000-0000-000000000000'",
            "'f47ac10b-58cc-4372-a567-0e02b2c3d479'", "'018f0000-0000-7000-8000-000000000000'",
            "'ffffffff-ffff-ffff-ffff-ffffffffffff'", "'2ed6657d-e927-568b-95e1-2665a8aea6a2'",
        ),
        "inet6": ("'::1'", "'2001:db8::ff00:42:8329'", "'::ffff:1.2.3.4'"),
        "inet4": ("'1.2.3.4'", "'255.255.255.0'"),
    },
}  # fmt: skip


def cases(product: str) -> dict[str, tuple[str, ...]]:
    both = {type: values + NO_DATES.get(type, ()) for type, values in TIMES.items()}
    times = {type: tuple(f"'{value}'" for value in values) for type, values in both.items()}
    return {**NUMBERS, **times, **TEXTS, **ONLY[product]}


@pytest.fixture
def table(mysql_db: MySQLDatabase) -> tuple[MySQLDatabase, dict[str, tuple[str, ...]]]:
    types = cases(mysql_db.server.product)
    columns = ", ".join(f"c{number} {type}" for number, type in enumerate(types))
    mysql_db.sql(f"CREATE TABLE t (id int PRIMARY KEY AUTO_INCREMENT, {columns}) ROW_FORMAT=DYNAMIC")
    return mysql_db, types


def fill(database: MySQLDatabase, types: dict[str, tuple[str, ...]]) -> None:
    """A row for each value, all others NULL; a row with the first of each; a row of NULLs."""
    each = [(number, value) for number, values in enumerate(types.values()) for value in values]
    statements = [f"INSERT INTO t (c{number}) VALUES ({value})" for number, value in each]
    names = ", ".join(f"c{number}" for number in range(len(types)))
    firsts = ", ".join(values[0] for values in types.values())
    statements += [f"INSERT INTO t ({names}) VALUES ({firsts})", "INSERT INTO t () VALUES ()"]
    database.sql("SET time_zone = '+00:00'", "SET sql_mode = 'STRICT_ALL_TABLES,ALLOW_INVALID_DATES'", *statements)


def streamed(groups: list[Group]) -> list[bytes]:
    logs = [log for group in groups for step in group.steps if isinstance(step, Rows) for log in step.logs.values()]
    return [row for log in logs for row in log.rows]


@pytest.mark.failure("MY-06", "MY-07", "MY-10", "MY-16", "T-MY-20", "T-MY-21")
@pytest.mark.parametrize("level", ["NO_LOG", "MINIMAL", "FULL"])
@pytest.mark.parametrize("make", [text_form, value_form])
def test_load_and_stream_agree(
    table: tuple[MySQLDatabase, dict[str, tuple[str, ...]]], make: Any, level: str
) -> None:
    database, types = table
    if database.server.product == "mysql" and level == "NO_LOG":
        pytest.skip("MySQL has no such level")
    before = database.server.execute("SELECT @@GLOBAL.binlog_row_metadata")[0][0]
    database.server.execute(f"SET GLOBAL binlog_row_metadata = '{level}'")
    try:
        with closing(MysqlSource(database.url, "types")) as source:
            (found,) = source.tables()
            form = make(found)
            place = source.head()
            fill(database, types)
            snapshot = source.prepare([found], source.intent(), load=True)
            loaded = b"".join(snapshot.read(found, Chunk(found.id, 0), [form]).data).split(TAIL)[:-1]
            source.open(Checkpoint(place), source.identity(), {found.id: [form]})
            came = [row.removesuffix(TAIL) for row in streamed(read(cast(Source, source))[0])]
            names = ["id", *types]
            for one, other in zip(sorted(loaded), sorted(came), strict=True):
                for name, left, right in zip(names, one.split(BETWEEN), other.split(BETWEEN), strict=True):
                    assert left == right, name
            assert len(came) == sum(map(len, types.values())) + 2
    finally:
        database.server.execute(f"SET GLOBAL binlog_row_metadata = '{before}'")


def test_json_is_the_servers_own_text(table: tuple[MySQLDatabase, dict[str, tuple[str, ...]]]) -> None:
    database, types = table
    if database.server.product != "mysql":
        pytest.skip("MariaDB's JSON is text")
    number = list(types).index("json")
    with closing(MysqlSource(database.url, "types")) as source:
        (found,) = source.tables()
        place = source.head()
        fill(database, types)
        source.open(Checkpoint(place), source.identity(), {found.id: [text_form(found)]})
        came = [row.split(BETWEEN)[1 + number] for row in streamed(read(cast(Source, source))[0])]
        expected = [row[0] for row in database.sql(f"SELECT c{number} FROM t ORDER BY id")]
        assert [None if text == b"NULL" else text.decode() for text in came] == expected
        assert all(json.loads(text) is not ... for text in expected if text is not None)
