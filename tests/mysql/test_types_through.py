"""Every type's values into a server of the same product, by load and by stream: the same bytes at both ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fix_daemon import Daemon
from tests.mysql.test_types import cases, fill
from tests.servers.mysql import MySQL
from tests.servers.mysql_database import MySQLDatabase

ZERO = {
    "date": ("'0000-00-00'", "'2024-00-00'", "'2024-02-31'"), "datetime": ("'0000-00-00 00:00:00'",),
    "datetime(6)": ("'2024-00-10 01:02:03.000004'",), "timestamp": ("'0000-00-00 00:00:00'",), "year": ("'0000'",),
}  # fmt: skip
"""Values that no calendar has."""
LOOSE = "SET sql_mode = 'ALLOW_INVALID_DATES'"


def shown(column: str, type: str) -> str:
    """The bytes that the server keeps, as text."""
    if type.startswith("float"):
        return f"{column} + 0e0"
    if type.startswith("bit"):
        return f"{column} + 0"
    if type.startswith(("geometry", "vector")):
        return f"HEX({column})"
    return f"HEX(CAST({column} AS BINARY))" if type != "json" else f"HEX(CAST({column} AS CHAR))"


@pytest.mark.failure("T-MT-14")
@pytest.mark.timeout(240)
@pytest.mark.parametrize("product", ["mysql", "mariadb"])
def test_values_are_the_same_bytes(
    product: str,
    mysql_servers: Callable[..., MySQL],
    mysql_on: Callable[..., MySQLDatabase],
    cdcd: Callable[..., Daemon],
) -> None:
    source, target = mysql_on(mysql_servers(product)), mysql_on(mysql_servers(product, "target"))
    types = cases(product)
    decimal = [value for value in types["json"] if "DECIMAL" in value]
    types["json"] = tuple(value for value in types["json"] if value not in decimal)
    columns = ", ".join(f"c{number} {type} NULL" for number, type in enumerate(types))
    make = f"(id int PRIMARY KEY AUTO_INCREMENT, {columns}) ROW_FORMAT=DYNAMIC"
    source.sql(f"CREATE TABLE t {make}", f"CREATE TABLE keyless {make.replace(' PRIMARY KEY AUTO_INCREMENT', ' NULL')}")
    arguments = ["run", "--from", source.url, "--to", target.target_url, "--name", source.name, "--until", "caught-up"]

    def write() -> None:
        fill(source, types)
        names = list(types)
        source.sql(
            "SET time_zone = '+00:00'", LOOSE,
            *(f"INSERT INTO t (c{names.index(type)}) VALUES ({value})" for type, its in ZERO.items() if type in types
              for value in its),
        )  # fmt: skip

    def compare(when: str) -> None:
        items = ", ".join(shown(f"c{number}", type) for number, type in enumerate(types))
        for table in ("t", "keyless"):
            text = f"SELECT id, {items} FROM {table} ORDER BY id"
            here, there = (end.sql("SET time_zone = '+00:00'", text) for end in (source, target))
            assert [row[0] for row in here] == [row[0] for row in there], (when, table)
            for one, other in zip(here, there, strict=True):
                for type, left, right in zip(types, one[1:], other[1:], strict=True):
                    assert left == right, (when, table, type, one[0])

    write()
    source.sql(LOOSE, "INSERT INTO keyless SELECT * FROM t")
    cdcd(*arguments).wait(0, 90)
    compare("load")
    write()
    source.sql(LOOSE, "DELETE FROM keyless WHERE id % 2 = 1", "UPDATE keyless SET id = -id WHERE id % 3 = 0")
    source.sql(LOOSE, "UPDATE t SET id = id + 10000 WHERE id % 2 = 1", "UPDATE t SET c0 = NULL WHERE id % 3 = 0")
    cdcd(*arguments).wait(0, 90)
    compare("stream")
    for value in decimal:  # as text it would come to be a double, which is written otherwise
        source.sql(f"INSERT INTO t (c{list(types).index('json')}) VALUES ({value})")
        assert "a number in a JSON value" in cdcd(*arguments).wait(6, 90)
