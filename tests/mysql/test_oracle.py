"""Our decoding against python-mysql-replication's, value by value from the same log, where that decodes soundly:
numbers, times, text, JSON. Random values beside the chosen ones."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.row_event import WriteRowsEvent

from cdcd.contracts import Source
from cdcd.model.position import Checkpoint
from cdcd.model.table import Table
from cdcd.model.types.json import Json
from cdcd.model.types.time import Interval
from cdcd.rows import CANONICAL, Field, Layout, RowForm
from connectors.mysql.source import MysqlSource
from tests.contract.reading import read
from tests.mysql.test_types import NUMBERS, TIMES
from tests.servers.mysql import PASSWORD, MySQL
from tests.servers.mysql_database import MySQLDatabase

TYPES = {
    **{type: values for type, values in NUMBERS.items() if type != "year"},
    # Of negative times it reads the fraction as if they were positive.
    **{type: tuple(f"'{value}'" for value in values if value[0] != "-") for type, values in TIMES.items()},
    "varchar(50)": ("'x'", "'😀'", "''"),
    "char(20) CHARACTER SET latin1": ("'é€'",),
    "blob": ("X'00FF'",),
    "json": ("'{\"a\": [1, -2, 3.5, null, true, \"x\"]}'", "'[]'", "'18446744073709551615'"),
}


def randoms(generator: random.Random) -> dict[str, tuple[str, ...]]:
    def decimal(digits: int, scale: int) -> str:
        number = generator.randrange(10**digits)
        return f"{'-' * generator.randrange(2)}{number // 10**scale}.{number % 10**scale:0{scale}}"

    moment = datetime(2001, 1, 1)
    return {
        "int": tuple(str(generator.randrange(-(2**31), 2**31)) for _ in range(20)),
        "mediumint": tuple(str(generator.randrange(-(2**23), 2**23)) for _ in range(20)),
        "decimal(10,2)": tuple(decimal(10, 2) for _ in range(20)),
        "decimal(65,30)": tuple(decimal(generator.randrange(31, 66), 30) for _ in range(20)),
        "double": tuple(repr(generator.uniform(-1e9, 1e9)) for _ in range(20)),
        "datetime(6)": tuple(
            f"'{moment + timedelta(microseconds=generator.randrange(10**15))}'" for _ in range(20)
        ),
        "time(6)": tuple(
            f"'{generator.randrange(838)}:{generator.randrange(60)}:01.{number:06}'"
            for number in (generator.randrange(10**6) for _ in range(20))
        ),
    }


def keeping(table: Table, seen: list[Any]) -> RowForm:
    """A form that keeps the canonical values that it is filled with."""

    def keep(value: Any) -> bytes:
        seen.append(value)
        return b"x"

    columns = tuple(column.name for column in table.carried)
    fields = (Field({CANONICAL: "keep(v)"}),) * len(columns)
    return RowForm("kept", table, columns, fields, Layout(b"", b",", b"\n", b"-"), {"keep": keep})


def ours(value: Any) -> Any:
    """A canonical value in the other's clothes."""
    match value:
        case Interval():
            return timedelta(microseconds=value.micros)
        case datetime():
            return value.replace(tzinfo=None)
        case Json():
            return json.loads(value.text)
    return value


def theirs(value: Any, inside: bool = False) -> Any:
    """Text inside of JSON is bytes there."""
    if isinstance(value, dict):
        return {theirs(key, True): theirs(its, True) for key, its in value.items()}
    if isinstance(value, list):
        return [theirs(its, True) for its in value]
    return value.decode() if inside and isinstance(value, bytes) else value


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_same_values(mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase]) -> None:
    database = mysql_on(mysql_servers("mysql"))
    server = database.server
    given = {**TYPES}
    for name, values in randoms(random.Random(7)).items():
        given[name] = (*given[name], *values)
    columns = ", ".join(f"c{number} {name}" for number, name in enumerate(given))
    server.execute("SET GLOBAL binlog_row_metadata = 'FULL'")
    try:
        database.sql(f"CREATE TABLE t (id int PRIMARY KEY AUTO_INCREMENT, {columns})")
        with closing(MysqlSource(database.url, "oracle")) as source:
            (table,) = source.tables()
            place = source.head()
            status = "SHOW BINARY LOG STATUS" if server.number >= (8, 2) else "SHOW MASTER STATUS"
            ((file, at, *_),) = server.execute(status)  # it knows no GTIDs with tags
            statements = [
                f"INSERT INTO t (c{number}) VALUES ({value})" for number, values in enumerate(given.values())
                for value in values
            ]  # fmt: skip
            database.sql("SET time_zone = '+00:00'", *statements)
            seen: list[Any] = []
            source.open(Checkpoint(place), source.identity(), {table.id: [keeping(table, seen)]})
            read(cast(Source, source))
            found = [ours(value) for value in seen]
        expected = []
        settings = {"host": server.host, "port": server.port, "user": server.user, "password": PASSWORD}
        with closing(
            BinLogStreamReader(
                connection_settings=settings, server_id=77, log_file=file, log_pos=at, resume_stream=True,
                only_events=[WriteRowsEvent], only_schemas=[database.name],
            )
        ) as stream:  # fmt: skip
            for event in stream:
                for row in event.rows:
                    expected += [theirs(value) for value in row["values"].values() if value is not None]
    finally:
        server.execute("SET GLOBAL binlog_row_metadata = 'MINIMAL'")
    assert len(found) == 2 * len(statements)
    for number, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert one == other and (type(one) is type(other) or isinstance(one, int)), statements[number // 2]
