"""Tables of MySQL and MariaDB that come, and are dropped and made again, while a pipeline runs and others write."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from tests.fix_daemon import Daemon
from tests.pairs.test_mysql_ddl import arguments, same
from tests.servers import Database
from tests.servers.mysql_database import MySQLDatabase
from tests.waiting import wait_until

COLLATIONS = {"g": "utf8mb4_general_ci", "l": "latin1_swedish_ci", "b": "utf8mb4_bin"}
"""Table → how its keys are compared."""
WORDS = ("A", "b", "ä", "Z", "aa", "Aä", "0", "-", "_x", "zz top")


@contextmanager
def writing(database: MySQLDatabase) -> Iterator[None]:
    """Rows come, change, change their keys, go and come again, in whatever tables there are."""
    over = threading.Event()
    errors: list[Exception] = []

    def write() -> None:
        with closing(database.connect()) as connection, connection.cursor() as cursor:
            number = 0
            while not over.is_set():
                number += 1
                word = WORDS[number % len(WORDS)]
                cursor.execute("SHOW TABLES")
                for (name,) in cursor.fetchall():
                    try:
                        cursor.execute(f"REPLACE INTO {name} VALUES (%s, %s)", (word, number))
                        cursor.execute(f"UPDATE IGNORE {name} SET k = %s WHERE k = %s", (word.swapcase() + " ", word))
                        cursor.execute(f"DELETE FROM {name} WHERE k = %s", (WORDS[number * 7 % len(WORDS)],))
                        cursor.execute(f"INSERT IGNORE INTO {name} VALUES (%s, %s)", (f"{word}{number}", number))
                    except Exception as error:
                        if "doesn't exist" not in str(error):
                            errors.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert not errors, errors


@pytest.mark.failure("SN-03", "SN-09", "SN-10")
@pytest.mark.timeout(120)
def test_tables_that_come_and_go(mysql_db: MySQLDatabase, target_db: Database, cdcd: Callable[..., Daemon]) -> None:
    def make(name: str) -> None:
        columns = f"(k varchar(20) PRIMARY KEY, n int) COLLATE {COLLATIONS[name]}"
        mysql_db.sql(f"CREATE TABLE {name} {columns}", f"INSERT INTO {name} VALUES ('first', 0), ('Second', 0)")

    def count(name: str) -> int:
        known = target_db.sql("SELECT to_regclass(%s) IS NOT NULL", f"{mysql_db.name}.{name}") == [(True,)]
        return int(target_db.sql(f"SELECT count(*) FROM {mysql_db.name}.{name}")[0][0]) if known else 0

    def until(done: Callable[[], bool], what: str) -> None:
        try:
            wait_until(lambda: done() or not daemon.running, what=what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{daemon.text()[-3000:]}") from None

    make("g")
    daemon = cdcd(*arguments(mysql_db, target_db))
    with writing(mysql_db):
        until(lambda: count("g") > 5, "the table that was there")
        make("l")
        make("b")
        until(lambda: count("l") > 5 and count("b") > 5, "those that came")
        mysql_db.sql("DROP TABLE l")
        daemon.wait_said("a table is not carried any more")
        assert count("l") > 5  # its rows stay, until somebody takes them away
        target_db.sql(f"TRUNCATE {mysql_db.name}.l")
        make("l")
        until(lambda: count("l") > 5, "the table that was made again")
    until(lambda: all(same(mysql_db, target_db, name, "k n") for name in COLLATIONS), "both to be equal")
    assert daemon.running, daemon.text()[-3000:]
    daemon.stop()
