"""Tables of MySQL and MariaDB that change while PostgreSQL follows them: live, and while nobody was looking."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from functools import partial

import pytest

from tests.fix_daemon import Daemon
from tests.servers import Database
from tests.servers.mysql_database import MySQLDatabase
from tests.waiting import wait_until

WIDE = ", ".join(f"c{n} int COMMENT '{'long ' * 20}'" for n in range(400))


def arguments(source: MySQLDatabase, target: Database, *more: str) -> list[str]:
    return ["run", "--from", source.url, "--to", target.url, "--name", source.name, "--table-poll", "1", *more]


def same(source: MySQLDatabase, target: Database, table: str, columns: str) -> bool:
    """Whether both ends have the same rows in these columns, as texts."""
    names = columns.split()
    here = ", ".join(f"CAST(`{name}` AS CHAR)" for name in names)
    there = ", ".join(f"{name}::text" for name in names)
    known = "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
    if not set(names) <= {name for (name,) in target.sql(known, source.name, table)}:
        return False
    rows = source.sql(f"SELECT {here} FROM {table}")
    others = target.sql(f"SELECT {there} FROM {source.name}.{table}")
    return sorted(map(str, rows)) == sorted(map(str, map(tuple, others)))


@pytest.mark.failure("MY-03", "MY-14", "MY-24", "T-MY-5")
@pytest.mark.timeout(240)
def test_tables_that_change(mysql_db: MySQLDatabase, target_db: Database, cdcd: Callable[..., Daemon]) -> None:
    mysql_db.sql(
        "CREATE TABLE t (id int PRIMARY KEY, a int, b varchar(20))", "INSERT INTO t VALUES (1, 1, 'x'), (2, 2, 'y')",
        "CREATE TABLE u (id int PRIMARY KEY, a varchar(20))", "INSERT INTO u VALUES (1, '1')",
        f"CREATE TABLE w (id int PRIMARY KEY, {WIDE}) ENGINE = InnoDB ROW_FORMAT = DYNAMIC",
    )  # fmt: skip
    once = partial(cdcd, *arguments(mysql_db, target_db, "--until", "caught-up"))
    once().wait(0)
    mysql_db.sql(
        "INSERT INTO t VALUES (3, 3, 'z')", "ALTER TABLE t ADD c int NOT NULL DEFAULT 7 FIRST, RENAME COLUMN a TO aa",
        "UPDATE t SET aa = 30 WHERE id = 3", "ALTER TABLE t RENAME COLUMN aa TO b, RENAME COLUMN b TO aa",
        "INSERT INTO t VALUES (8, 4, 'v', 40)".replace("'v', 40", "40, 'v'"), "DELETE FROM t WHERE id = 1",
        "ALTER TABLE u MODIFY a int", "INSERT INTO u VALUES (2, 2)", "INSERT INTO w (id, c1) VALUES (1, 1)",
        "ALTER TABLE w ADD last int DEFAULT 9, DROP c0", "INSERT INTO w (id, c1) VALUES (2, 2)",
    )  # fmt: skip
    once().wait(0)
    assert same(mysql_db, target_db, "t", "id c aa b")
    assert same(mysql_db, target_db, "w", "id c1 c399 last")
    daemon = cdcd(*arguments(mysql_db, target_db))
    daemon.wait_said("stream started")
    wait_until(lambda: same(mysql_db, target_db, "u", "id a"), 60, "the converted column to be read again")
    mysql_db.sql(
        "CREATE TABLE _t_gho LIKE t", "ALTER TABLE _t_gho ADD d int DEFAULT 5",
        "INSERT INTO _t_gho (id, c, aa, b) SELECT id, c, aa, b FROM t", "RENAME TABLE t TO _t_del, _t_gho TO t",
        "INSERT INTO t (id, c, d) VALUES (10, 10, 10)", "DROP TABLE _t_del",
        "RENAME TABLE u TO tmp, w TO u, tmp TO w", "INSERT INTO w VALUES (7, 7)", "UPDATE u SET last = 8",
        "ALTER TABLE w ADD PRIMARY KEY (a), DROP PRIMARY KEY, ADD e varchar(9) DEFAULT 'e'",
    )  # fmt: skip
    wait_until(lambda: same(mysql_db, target_db, "t", "id c aa b d"), 60, "the new table to arrive")
    wait_until(lambda: same(mysql_db, target_db, "w", "id a e"), 60, "the tables to have changed places")
    assert same(mysql_db, target_db, "u", "id c1 last")
    daemon.kill()
    once().wait(0)
    assert same(mysql_db, target_db, "t", "id c aa b d") and same(mysql_db, target_db, "w", "id a e")


@pytest.mark.timeout(120)
def test_stop_and_ignore(mysql_db: MySQLDatabase, target_db: Database, cdcd: Callable[..., Daemon]) -> None:
    mysql_db.sql("CREATE TABLE t (id int PRIMARY KEY, a int)", "INSERT INTO t VALUES (1, 1)")
    run = partial(cdcd, *arguments(mysql_db, target_db, "--until", "caught-up"))
    run().wait(0)
    mysql_db.sql("ALTER TABLE t ADD b int DEFAULT 4 FIRST", "INSERT INTO t VALUES (5, 2, 6)")
    run("--on-schema-change", "ignore").wait(0)
    assert same(mysql_db, target_db, "t", "id a")
    mysql_db.sql("ALTER TABLE t ADD c int", "INSERT INTO t VALUES (7, 3, 8, 9)")
    stopped = run("--on-schema-change", "stop")
    stopped.wait(6)
    target_db.sql(f"ALTER TABLE {mysql_db.name}.t ADD c integer")
    run("--on-schema-change", "stop").wait(0)
    assert same(mysql_db, target_db, "t", "id a c")


@pytest.mark.failure("MY-14", "T-MY-5")
@pytest.mark.timeout(60)
def test_a_look_that_is_ahead_of_the_stream(
    mysql_db: MySQLDatabase, target_db: Database, cdcd: Callable[..., Daemon]
) -> None:
    """A table that has another name there already is no new one; and what is new may be gone before it is made."""
    mysql_db.sql(
        "CREATE TABLE a (id int PRIMARY KEY, v int)", "INSERT INTO a VALUES (1, 0)",
        "CREATE TABLE b (id int PRIMARY KEY)",
    )  # fmt: skip
    daemon = cdcd(*arguments(mysql_db, target_db))
    daemon.wait_said("stream started")

    def looks() -> int:
        return int(mysql_db.admin("SHOW GLOBAL STATUS LIKE 'Com_show_create_table'")[0][1])

    with closing(target_db.connect()) as holding, holding.cursor() as cursor:
        cursor.execute(f"BEGIN; SELECT FROM {mysql_db.name}.a FOR UPDATE")
        mysql_db.sql("UPDATE a SET v = 1")
        waiting = "SELECT 1 FROM pg_locks WHERE NOT granted"
        wait_until(lambda: target_db.sql(waiting) or not daemon.running, what="the change to wait for its row")
        mysql_db.sql("CREATE TABLE brief (id int PRIMARY KEY)", "RENAME TABLE a TO c", "DROP TABLE b")
        before = looks()
        wait_until(lambda: looks() > before + 4, what="two looks at the two tables")
        mysql_db.sql("DROP TABLE brief", "CREATE TABLE d (id int PRIMARY KEY)", "INSERT INTO d VALUES (7)")
    wait_until(lambda: same(mysql_db, target_db, "d", "id") or not daemon.running, what="the table that is new")
    assert same(mysql_db, target_db, "d", "id") and same(mysql_db, target_db, "c", "id v"), daemon.text()[-3000:]
    daemon.stop()
