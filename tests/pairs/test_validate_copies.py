"""What was copied between products is equal for `validate`, every type of it; and a value that is lost is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.fix_daemon import Daemon
from tests.fix_mysql import PRODUCTS
from tests.pairs import zoo
from tests.servers import Database
from tests.servers.mysql import MySQL
from tests.servers.mysql_database import MySQLDatabase

Cdcd = Callable[..., Daemon]

TYPES = {
    "bool": "true", "int2": "-7", "int4": "7", "int8": "-9223372036854775808", "numeric": "1.10",
    "numeric(10,2)": "-0.50", "float4": "0.1", "float8": "5e-324", "text": "'grün\\t\\\\ '", "varchar(20)": "'x '",
    "char(5)": "'ab'", "bytea": "'\\x005cff'", "date": "'2024-02-29'", "time": "'12:00:00.5'",
    "timetz": "'12:00:00+02'", "timestamp": "'2024-02-29 12:00:00.120000'", "timestamptz(3)": "'2024-02-29 12:00+02'",
    "interval": "'1 mon -2 days 00:00:01.5'", "uuid": "'123e4567-e89b-12d3-a456-426614174000'",
    "jsonb": "'{\"b\": [1.50, 1e20], \"a\": \"ü\"}'", "json": "'{\"b\":1, \"a\":[]}'", "bit(5)": "B'01010'",
    "varbit": "B'010'", "inet": "'10.0.0.1/8'", "cidr": "'10.0.0.0/8'", "macaddr": "'08:00:2b:01:02:03'",
    "text[]": "ARRAY['a', NULL, 'b,c']", "int4range": "'[1,5)'", "point": "'(1,2)'",
}  # fmt: skip


def validated(cdcd: Cdcd, ends: list[str], code: int = 0) -> dict[str, Any]:
    done = cdcd("validate", *ends, "--values", "--json")
    done.wait(None, 90)
    assert done.process.returncode == code, done.output.read_text()
    (table,) = [one for one in done.json()["pipelines"][0]["tables"] if one["table"].endswith(".zoo")]
    assert table["problem"] is None and table["uncompared"] == []
    found: dict[str, Any] = table
    return found


@pytest.mark.timeout(180)
def test_from_mysql(mysql_db: MySQLDatabase, target_db: Database, cdcd: Cdcd) -> None:
    cases = zoo.cases(mysql_db.server.product)
    mysql_db.sql("SET time_zone = '+00:00'", "SET sql_mode = ''", *zoo.tables(list(cases)), *zoo.fill(cases))
    ends = ["--from", mysql_db.url, "--to", target_db.url, "--name", mysql_db.name]
    cdcd("run", *ends, "--until", "caught-up").wait(0, 120)
    assert validated(cdcd, ends)["rows"]["source"] == mysql_db.sql("SELECT COUNT(*) FROM zoo")[0][0]
    table = f'"{mysql_db.name}".zoo'
    for number in range(len(cases)):
        lost = f"(SELECT id FROM {table} WHERE c{number} IS NOT NULL ORDER BY id LIMIT 1)"
        target_db.sql(f"UPDATE {table} SET c{number} = NULL WHERE id = {lost}")
    told = validated(cdcd, [*ends, "--limit", "1000"], code=5)["keys"]["different"]
    assert {column for one in told for column in one["columns"]} == {f"c{number}" for number in range(len(cases))}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("product", PRODUCTS)
def test_from_postgresql(
    source_db: Database, mysql_servers: Callable[..., MySQL], mysql_on: Any, cdcd: Cdcd, product: str
) -> None:
    target: MySQLDatabase = mysql_on(mysql_servers(product, "target"))
    columns = ", ".join(f"c{number} {type}" for number, type in enumerate(TYPES))
    source_db.sql(f"CREATE TABLE zoo (id int PRIMARY KEY, {columns}); INSERT INTO zoo (id) VALUES (0)")
    source_db.sql(f"INSERT INTO zoo VALUES (1, {', '.join(TYPES.values())})")
    ends = ["--from", source_db.url, "--to", target.target_url, "--name", source_db.name]
    cdcd("run", *ends, "--until", "caught-up").wait(0, 120)
    assert validated(cdcd, ends)["rows"] == {"source": 2, "target": 2}
    target.sql(f"UPDATE zoo SET {', '.join(f'c{number} = NULL' for number in range(len(TYPES)))} WHERE id = 1")
    (told,) = validated(cdcd, ends, code=5)["keys"]["different"]
    assert told["columns"] == [f"c{number}" for number in range(len(TYPES))]
