"""Foreign keys that act below the log, where the target does not hold all that they act on, or is not told all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from tests.fix_daemon import Daemon
from tests.mysql.test_source_stream import session
from tests.servers import Database
from tests.servers.mysql import MySQL
from tests.servers.mysql_database import MySQLDatabase
from tests.servers.roles import TARGET_REPLICA
from tests.waiting import wait_until

ACTS = "ON DELETE CASCADE ON UPDATE CASCADE"
TABLES = (
    "CREATE TABLE p (id int PRIMARY KEY, u int UNIQUE, v int)",
    f"CREATE TABLE c (id int PRIMARY KEY, p int, v int, FOREIGN KEY (p) REFERENCES p (id) {ACTS})",
    f"CREATE TABLE g (id int PRIMARY KEY, c int, FOREIGN KEY (c) REFERENCES c (id) {ACTS})",
    f"CREATE TABLE u (id int PRIMARY KEY, u int, FOREIGN KEY (u) REFERENCES p (u) {ACTS})",
    "CREATE TABLE l (id int PRIMARY KEY, q int)",
    *(f"INSERT INTO p VALUES ({n}, 10 * {n}, 0)" for n in range(1, 10)),
    "INSERT INTO c SELECT 10 * id + 1, id, 0 FROM p UNION SELECT 10 * id + 2, id, 0 FROM p",
    "INSERT INTO g SELECT 10 * id, id FROM c", "INSERT INTO u SELECT id, u FROM p",
    "INSERT INTO l VALUES (1, 1), (2, 2)",
)  # fmt: skip
NAMES = ("p", "c", "g", "u", "l")


@pytest.fixture
def source(mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase]) -> MySQLDatabase:
    database = mysql_on(mysql_servers("mariadb"))
    database.sql(*TABLES)
    return database


def rows(database: MySQLDatabase, name: str) -> list[tuple[Any, ...]]:
    return sorted(database.sql(f"SELECT * FROM {name}"), key=str)


@contextmanager
def held(source: MySQLDatabase, table: str, row: int) -> Iterator[None]:
    """By an open transaction that has changed a row of it, so that no snapshot can be begun."""
    with closing(source.connect(autocommit=False)) as connection, connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET v = v + 1 WHERE id = {row}")
        yield


@pytest.mark.failure("MY-05")
@pytest.mark.timeout(120)
def test_while_rows_are_not_there(
    source: MySQLDatabase, target_db: Database, cdcd: Callable[..., Daemon]
) -> None:
    """Between a parent and what is below it, of the parent itself, and of a parent that joins."""
    target = target_db.as_role(TARGET_REPLICA)
    ends = ["--from", source.url, "--to", target.url, "--name", source.name]

    def there(what: str) -> list[tuple[Any, ...]]:
        return target.sql(f"SELECT {what.replace('FROM ', f'FROM {source.name}.')}")

    def reload(table: str) -> None:
        cdcd("reload", f"{source.name}.{table}", *ends).wait(0)
        wait_until(lambda: there(f"count(*) FROM {table}") == [(0,)], what=f"{table} to be empty")

    def equal(*more: str) -> None:
        def differing() -> list[str]:
            return [name for name in (*NAMES, *more) if sorted(there(f"* FROM {name}"), key=str) != rows(source, name)]

        wait_until(lambda: not differing() or not daemon.running, 40, "both to be equal", every=0.2)
        assert not differing(), daemon.text()[-3000:]

    daemon = cdcd("run", *ends, "--table-poll", "0.5")
    daemon.wait_said("consistent", 60)
    with held(source, "c", 91):
        reload("c")
        source.sql("DELETE FROM p WHERE id = 1", "UPDATE p SET id = 102 WHERE id = 2")
        wait_until(lambda: there("count(*) FROM g") == [(0,)], what="what is below it to be empty")
    equal()
    with held(source, "p", 9):
        reload("p")
        source.sql("DELETE FROM p WHERE id = 3", "UPDATE p SET id = 104, u = 1040 WHERE id = 4")
        gone = "count(*) FROM c WHERE p IN (3, 4)"
        wait_until(lambda: there(gone) == [(0,)], what="the rows that are deleted with their parent's")
        assert there("count(*) FROM p") == [(0,)] and there("u FROM u WHERE id = 4") == [(1040,)]
    equal()
    daemon.pause()
    source.sql("CREATE TABLE q (id int PRIMARY KEY)", "INSERT INTO q VALUES (1), (2)",
               f"ALTER TABLE l ADD FOREIGN KEY (q) REFERENCES q (id) {ACTS}", "DELETE FROM q WHERE id = 1")  # fmt: skip
    daemon.resume()
    daemon.wait_said("rows changed with those of a table that joins")
    equal("q")
    source.sql("UPDATE q SET id = 3")
    equal("q")
    daemon.stop()


@pytest.mark.failure("MY-05", "MY-11")
@pytest.mark.timeout(120)
def test_renamed_unknown_and_default(
    source: MySQLDatabase, mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase],
    cdcd: Callable[..., Daemon],
) -> None:  # fmt: skip
    """Tables of a family that have other names since, an action that InnoDB does not have, and an image that lacks the
    value by which others refer: nothing is guessed."""
    target = mysql_on(mysql_servers("mysql", "target"))
    key = "FOREIGN KEY (p) REFERENCES p (id) ON DELETE SET DEFAULT"
    source.sql(f"CREATE TABLE d (id int PRIMARY KEY, p int DEFAULT 9, {key})", "INSERT INTO d VALUES (1, 8)")
    words = ["run", "--from", source.url, "--to", target.target_url, "--name", source.name]
    daemon = cdcd(*words)
    daemon.wait_said("consistent", 60)
    source.sql("DELETE FROM p WHERE id = 1", "RENAME TABLE p TO pp, c TO cc", "DELETE FROM pp WHERE id = 2",
               "UPDATE pp SET id = 103, u = 1030 WHERE id = 3", "DELETE FROM cc WHERE id = 41")  # fmt: skip
    names = ("pp", "cc", "g", "u", "d")

    def differing() -> list[str]:
        known = {name for (name,) in target.sql("SHOW TABLES")}
        return [name for name in names if name not in known or rows(target, name) != rows(source, name)]

    wait_until(lambda: not differing() or not daemon.running, 40, "both to be equal", every=0.2)
    assert not differing(), daemon.text()[-3000:]
    session(source, "SET SESSION binlog_row_image = 'MINIMAL'", "UPDATE pp SET v = 5", "DELETE FROM pp WHERE id = 5")
    said = daemon.wait(6)
    assert "does not say by which value" in said and "binlog_row_image = FULL, then cdcd reload" in said
