"""From MySQL and MariaDB to PostgreSQL: copied, followed, killed on the way, compared by what plain clients read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest

from tests.fix_daemon import Daemon
from tests.servers import Database
from tests.servers.mysql_database import MySQLDatabase
from tests.waiting import wait_until

TABLE = """
CREATE TABLE orders (
    id bigint PRIMARY KEY AUTO_INCREMENT, customer int NOT NULL, state varchar(20) NOT NULL, total decimal(12,2),
    weight double, note text, raw varbinary(40), placed datetime(6) NOT NULL, paid timestamp(3) NULL, born date)
"""
SOME = """
INSERT INTO orders (customer, state, total, weight, note, raw, placed, paid, born)
SELECT x.n, CONCAT('état ', x.n % 7), x.n / 7, x.n / 3, IF(x.n % 5, CONCAT('a\\tb\\n\\\\ ', x.n), NULL),
       UNHEX(SHA2(x.n, 224)), '2020-01-01 00:00:00.000001' + INTERVAL x.n HOUR,
       IF(x.n % 3, '2020-01-01 00:00:00.125' + INTERVAL x.n DAY, NULL),
       '2000-02-29' + INTERVAL x.n DAY
FROM (WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 1000) SELECT n FROM s) x
"""
THERE = "SELECT * FROM orders ORDER BY id"


def arguments(source: MySQLDatabase, target: Database, *more: str) -> list[str]:
    return ["run", "--from", source.url, "--to", target.url, "--name", source.name, *more]


def rows(source: MySQLDatabase, target: Database) -> tuple[list[object], list[object]]:
    """What both ends hold, in one kind of values."""
    here = source.sql("SET time_zone = '+00:00'", THERE)
    there = target.sql(f"SET timezone = 'UTC'; {THERE.replace('FROM ', f'FROM {source.name}.')}")
    return list(here), [tuple(map(plain, row)) for row in there]


def plain(value: object) -> object:
    """As PyMySQL gives it."""
    if isinstance(value, memoryview):
        return bytes(value)
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value


@pytest.mark.timeout(120)
def test_a_table_is_copied_and_followed(
    mysql_db: MySQLDatabase, target_db: Database, cdcd: Callable[..., Daemon]
) -> None:
    mysql_db.sql(TABLE, SOME)
    cdcd(*arguments(mysql_db, target_db, "--until", "caught-up")).wait(0)
    here, there = rows(mysql_db, target_db)
    assert len(here) == 1000 and here == there
    daemon = cdcd(*arguments(mysql_db, target_db))
    daemon.wait_said("stream started")
    mysql_db.sql(
        SOME, "UPDATE orders SET note = 'x', total = -total WHERE id % 3 = 0", "DELETE FROM orders WHERE id % 4 = 0",
        "UPDATE orders SET id = id + 100000 WHERE id % 10 = 1",
    )  # fmt: skip
    wait_until(lambda: (ends := rows(mysql_db, target_db))[0] == ends[1], 30, "the changes to arrive")
    daemon.kill()
    mysql_db.sql("UPDATE orders SET state = 'late' WHERE id % 2 = 1", SOME)
    cdcd(*arguments(mysql_db, target_db, "--until", "caught-up")).wait(0)
    here, there = rows(mysql_db, target_db)
    assert here == there
