"""From MySQL and MariaDB to PostgreSQL: copied, followed, killed on the way, compared by what plain clients read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from tests.fix_daemon import Daemon
from tests.house import text
from tests.mysql.test_source_stream import purge, session
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
SECTION = re.search(r"## From MySQL and MariaDB\n(.*?)\n## ", text(Path("README.md")), re.DOTALL)
assert SECTION is not None
STATEMENTS = re.findall(r"^    ((?:CREATE|GRANT) .*?);", SECTION[1], re.MULTILINE)
THERE = "SELECT * FROM orders ORDER BY id"


@contextmanager
def readme_user(database: MySQLDatabase) -> Iterator[str]:
    """The URL of the user that the README makes, by exactly its SQL, under another name as servers are shared."""
    name = f"cdcd_{database.name[-20:]}"
    for statement in STATEMENTS:
        database.admin(re.sub(r"\bcdcd\b", name, statement.replace(" shop.*", f" `{database.name}`.*")))
    yield database.server.url(database.name, name, "secret")
    database.admin(f"DROP USER {name}")


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
    with readme_user(mysql_db) as url:
        follow(mysql_db, target_db, cdcd, ["run", "--from", url, "--to", target_db.url, "--name", mysql_db.name])


def follow(mysql_db: MySQLDatabase, target_db: Database, cdcd: Callable[..., Daemon], words: Sequence[str]) -> None:
    mysql_db.sql(TABLE, SOME)
    cdcd(*words, "--until", "caught-up").wait(0)
    here, there = rows(mysql_db, target_db)
    assert len(here) == 1000 and here == there
    daemon = cdcd(*words)
    daemon.wait_said("stream started")
    mysql_db.sql(
        SOME, "UPDATE orders SET note = 'x', total = -total WHERE id % 3 = 0", "DELETE FROM orders WHERE id % 4 = 0",
        "UPDATE orders SET id = id + 100000 WHERE id % 10 = 1",
    )  # fmt: skip
    wait_until(lambda: (ends := rows(mysql_db, target_db))[0] == ends[1], 30, "the changes to arrive")
    daemon.kill()
    mysql_db.sql("UPDATE orders SET state = 'late' WHERE id % 2 = 1", SOME)
    cdcd(*words, "--until", "caught-up").wait(0)
    here, there = rows(mysql_db, target_db)
    assert here == there


@pytest.mark.failure("T-MY-15", "MY-01", "SN-08")
@pytest.mark.timeout(120)
def test_the_log_goes_during_the_load(
    mysql_db: MySQLDatabase, target_db: Database, cdcd: Callable[..., Daemon]
) -> None:
    """Nothing at the server waits for a reader: the stop says so, and its way out works."""
    mysql_db.sql(TABLE, *[SOME.replace("WITH RECURSIVE", f"WITH RECURSIVE /* {n} */") for n in range(20)])
    words = ["run", "--from", mysql_db.url, "--to", target_db.url, "--name", mysql_db.name]
    daemon = cdcd(*words)
    daemon.wait_said("pipeline started")
    daemon.pause()
    mysql_db.sql("INSERT INTO orders (customer, state, placed) VALUES (1, 'unread', '2020-01-01')")
    session(mysql_db, "FLUSH BINARY LOGS")
    purge(mysql_db)
    daemon.resume()
    said = daemon.wait(6)
    assert "has purged" in said or "could not find gtid state" in said.lower(), said
    assert "SHOW GLOBAL VARIABLES LIKE '%expire_logs%'" in said and "cdcd drop" in said
    cdcd("drop", *words[1:], "--yes").wait(0)
    cdcd(*words, "--until", "caught-up", "--target-tables", "truncate").wait(0)
    here, there = rows(mysql_db, target_db)
    assert len(here) == 20001 and here == there
