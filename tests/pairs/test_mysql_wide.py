"""A table of as many columns as InnoDB takes (1,017; the product's 4,096 are of other engines), with long comments:
what the target keeps of it is read back by each run; and rows that change have no room in a stage."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

import pytest

from tests.fix_daemon import Daemon
from tests.servers.mysql import MySQL
from tests.servers.mysql_database import MySQLDatabase

MOST = 1017
COMMENT = {"mysql": 1000, "mariadb": 30}
"""Characters of each; all of MariaDB's, with the names, are bound to 64 KB."""


@pytest.mark.failure("MY-24")
@pytest.mark.timeout(180)
@pytest.mark.parametrize("product", ["mysql", "mariadb"])
def test_each_run_knows_it(
    product: str, mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase],
    cdcd: Callable[..., Daemon],
) -> None:  # fmt: skip
    source, target = mysql_on(mysql_servers(product)), mysql_on(mysql_servers(product, "target"))
    said = f"COMMENT '{'long ' * (COMMENT[product] // 5)}'"
    columns = ", ".join(f"c{n} tinyint {said}" for n in range(MOST - 1))
    row = "INSERT INTO w (id, c0, c1, c1015) VALUES (1, 2, 3, 4)"
    source.sql(f"CREATE TABLE w (id int PRIMARY KEY, {columns})", row)
    words = ("run", "--from", source.url, "--to", target.target_url, "--name", source.name, "--until", "caught-up")
    once = partial(cdcd, *words)
    once().wait(0)
    there = "SELECT COLUMN_NAME, COLUMN_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s ORDER BY 1"
    for change in (
        f"ALTER TABLE w DROP c0, ADD last smallint DEFAULT 9 {said} FIRST",
        f"ALTER TABLE w CHANGE c1 renamed int {said}, MODIFY c500 bigint {said} AFTER c900",
    ):  # fmt: skip
        source.sql(change, "INSERT INTO w (id, c1015) SELECT MAX(id) + 1, 5 FROM w", "UPDATE w SET c500 = id")
        once().wait(0)
        wanted = source.admin(there, source.name)
        assert len(wanted) == MOST and wanted == target.admin(there, target.name)
        query = f"SELECT {', '.join(name for name, _ in wanted)} FROM w ORDER BY id"
        assert source.sql(query) == target.sql(query)
    ((definition,),) = target.admin("SELECT definition FROM cdcd.tables WHERE pipeline = %s", source.name)
    assert len(json.loads(definition)["columns"]) >= MOST and len(definition) > 65_535
