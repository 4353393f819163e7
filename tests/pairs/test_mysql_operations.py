"""What operators do, and what happens to them, where an end is MySQL or MariaDB: stops in the middle of what is huge,
settings that change while a pipeline runs, a full disk, foreign keys in a circle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fix_daemon import Daemon
from tests.fix_disk import fill
from tests.mysql.into import assert_same
from tests.mysql.test_locks import user
from tests.mysql.test_source_stream import session, setting
from tests.servers import Database
from tests.servers.mysql import MySQL
from tests.servers.mysql_database import MySQLDatabase, make_database, make_users
from tests.servers.roles import TARGET_REPLICA
from tests.waiting import wait_until

DIGITS = "(SELECT 0 AS i UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6" \
    " UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)"
MANY = "INSERT INTO t (a) SELECT REPEAT('x', 100) FROM " + ", ".join(f"{DIGITS} d{n}" for n in range(5))


@pytest.mark.failure("OP-10")
@pytest.mark.timeout(120)
def test_sigterm_in_a_huge_transaction(
    mysql_db: MySQLDatabase, target_db: Database, cdcd: Callable[..., Daemon]
) -> None:
    """Out within ten seconds, and nothing of it is at the target; all of it after the next run."""
    mysql_db.sql("CREATE TABLE t (id int PRIMARY KEY AUTO_INCREMENT, a varchar(100))")
    words = ["run", "--from", mysql_db.url, "--to", target_db.url, "--name", mysql_db.name]
    daemon = cdcd(*words)
    daemon.wait_said("stream started")
    mysql_db.sql("SET autocommit = 0", MANY, MANY, MANY, "COMMIT")
    writing = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'cdcd/%%' AND backend_xid IS NOT NULL"
    wait_until(lambda: target_db.admin(writing) != [(0,)], 60, "its pieces to be applied", every=0.01)
    daemon.stop(10)
    assert target_db.sql(f"SELECT count(*) FROM {mysql_db.name}.t") == [(0,)]
    cdcd(*words, "--until", "caught-up").wait(0)
    assert target_db.sql(f"SELECT count(*), max(id) = max(id) FROM {mysql_db.name}.t") == [(300_000, True)]


@pytest.mark.failure("OP-12")
def test_images_become_smaller_while_it_runs(
    mysql_db: MySQLDatabase, target_db: Database, cdcd: Callable[..., Daemon]
) -> None:
    mysql_db.sql("CREATE TABLE t (id int PRIMARY KEY, a int, b varchar(9) DEFAULT 'd')")
    mysql_db.sql("INSERT INTO t VALUES (1, 1, 'x'), (2, 2, 'y')")
    words = ["run", "--from", mysql_db.url, "--to", target_db.url, "--name", mysql_db.name]
    daemon = cdcd(*words)
    daemon.wait_said("stream started")
    with setting(mysql_db, "binlog_row_image", "MINIMAL"):
        changes = ("UPDATE t SET a = 7 WHERE id = 1", "INSERT INTO t (id) VALUES (3)", "DELETE FROM t WHERE id = 2")
        session(mysql_db, *changes)
    there = f"SELECT id, a, b FROM {mysql_db.name}.t ORDER BY id"
    wait_until(lambda: target_db.sql(there) == [(1, 7, "x"), (3, None, "d")] or not daemon.running, 30, "the changes")
    assert daemon.running


CIRCLE = (
    "CREATE TABLE a (id int PRIMARY KEY, b int{0})", "CREATE TABLE b (id int PRIMARY KEY, a int{0})",
    "CREATE TABLE c (id int PRIMARY KEY, up int{0})",
    "ALTER TABLE a ADD CONSTRAINT a_b FOREIGN KEY (b) REFERENCES b (id){1}",
    "ALTER TABLE b ADD CONSTRAINT b_a FOREIGN KEY (a) REFERENCES a (id){1}",
    "ALTER TABLE c ADD CONSTRAINT c_c FOREIGN KEY (up) REFERENCES c (id){1}",
)
ROWS = ("INSERT INTO a VALUES ({0}, {0})", "INSERT INTO b VALUES ({0}, {0})",
        "INSERT INTO c VALUES ({0}1, {0}2), ({0}2, {0}1)")  # fmt: skip
GONE = ("DELETE FROM a WHERE id = 1", "DELETE FROM b WHERE id = 1", "DELETE FROM c WHERE id < 20")


@pytest.mark.failure("TG-02")
@pytest.mark.timeout(120)
def test_foreign_keys_in_a_circle(
    mysql_db: MySQLDatabase, source_db: Database, target_db: Database, cdcd: Callable[..., Daemon]
) -> None:
    """Into MySQL, from PostgreSQL where they are checked at the commit; and from it, where a session can be without."""
    late = [text.format("", " DEFERRABLE INITIALLY DEFERRED") for text in CIRCLE]
    source_db.sql("; ".join([*late, "BEGIN", *(text.format(1) for text in ROWS), "COMMIT"]))
    into = ["run", "--from", source_db.url, "--to", mysql_db.target_url, "--name", source_db.name]
    cdcd(*into, "--until", "caught-up").wait(0)
    source_db.sql("; ".join(["BEGIN", *(text.format(2) for text in ROWS), *GONE, "COMMIT"]))
    cdcd(*into, "--until", "caught-up").wait(0)
    assert_same(source_db, mysql_db, ["a", "b", "c"])
    keys = "SELECT COUNT(*) FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = DATABASE()"
    assert mysql_db.sql(keys) == [(3,)]
    cdcd("drop", *into[1:], "--yes").wait(0)
    target = target_db.as_role(TARGET_REPLICA)
    out = ["run", "--from", mysql_db.url, "--to", target.url, "--name", mysql_db.name]
    cdcd(*out, "--until", "caught-up").wait(0)
    mysql_db.sql("SET foreign_key_checks = 0", "BEGIN", *(text.format(3) for text in ROWS), "COMMIT")
    cdcd(*out, "--until", "caught-up").wait(0)
    for name in "abc":
        text = f"SELECT * FROM {{}}{name} ORDER BY 1"
        assert target.sql(text.format(f"{mysql_db.name}.")) == mysql_db.sql(text.format(""))


@pytest.fixture
def full(small: Path) -> Iterator[MySQLDatabase]:
    """On a server whose tables may lie on the small file system, with a table there."""
    server = MySQL.start("mysql", {"innodb-directories": small})
    try:
        make_users(server)
        database = make_database(server)
        database.admin(f"CREATE TABLE t (id int PRIMARY KEY, body longtext) DATA DIRECTORY = '{small}'")
        yield database
    finally:
        server.remove()


@pytest.mark.failure("OP-08")
@pytest.mark.timeout(120)
def test_the_targets_disk_is_full(
    source_db: Database, small: Path, full: MySQLDatabase, cdcd: Callable[..., Daemon]
) -> None:
    """Named, waited for, and gone on from by itself when there is room again."""
    source_db.sql("CREATE TABLE t (id int PRIMARY KEY, body text)")
    source_db.sql("INSERT INTO t SELECT i, repeat('x', 1500) FROM generate_series(1, 4000) i")
    ballast = fill(small, 2 << 20)
    words = ["run", "--from", source_db.url, "--to", full.target_url, "--name", source_db.name]
    daemon = cdcd(*words, "--target-tables", "truncate")
    daemon.wait_said("trying again")
    assert "is full" in daemon.text() and "make room on the server" in daemon.text()
    ballast.unlink()
    daemon.wait_said("consistent", 60)
    assert_same(source_db, full, ["t"])


@pytest.mark.failure("TG-05")
def test_a_pipeline_back_beside_the_one_there(
    mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase], cdcd: Callable[..., Daemon]
) -> None:
    """A change would go round for ever. Refused where the users may see who else is there."""
    first, second = (mysql_on(mysql_servers(product)) for product in ("mysql", "mariadb"))
    first.sql("CREATE TABLE t (id int PRIMARY KEY)")
    daemon = cdcd("run", "--from", first.url, "--to", second.target_url, "--name", first.name)
    daemon.wait_said("stream started")

    def found(*ends: str) -> set[str]:
        checked = cdcd("check", "--json", "--name", "back", "--from", ends[0], "--to", ends[1])
        checked.wait(None)
        return {one["id"] for one in checked.json()["pipelines"][0]["findings"]}

    reads = ("SELECT ON cdcd.*", f"LOCK TABLES ON `{second.name}`.*")
    with user(second, *reads) as source, user(first, f"ALL ON `{first.name}`.*", "ALL ON cdcd.*") as target:
        assert "PIPELINE-CYCLE" in found(source, target)
        daemon.stop()
        assert "PIPELINE-CYCLE" not in found(source, target)


@pytest.mark.failure("TG-13")
def test_a_restored_target_is_brought_up_again(
    mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase], cdcd: Callable[..., Daemon]
) -> None:
    """Its place goes back with its rows, and what came since comes again."""
    first, second = (mysql_on(mysql_servers(product)) for product in ("mysql", "mariadb"))
    first.sql("CREATE TABLE t (id int PRIMARY KEY, v varchar(9))", "INSERT INTO t VALUES (1, 'a'), (2, 'a'), (3, 'a')")
    ends = ["--from", first.url, "--to", second.target_url, "--name", first.name]
    cdcd("run", *ends, "--until", "caught-up").wait(0)
    there = [f"cdcd.{name}" for name in ("epochs", "checkpoints", "tables", "chunks")] + [f"`{second.name}`.t"]
    for number, name in enumerate(there):
        second.admin(f"CREATE TABLE kept_{number} AS SELECT * FROM {name}")
    first.sql("UPDATE t SET v = 'b' WHERE id = 1", "DELETE FROM t WHERE id = 2", "INSERT INTO t VALUES (10, 'c')")
    cdcd("run", *ends, "--until", "caught-up").wait(0)
    for number, name in enumerate(there):
        second.admin(f"DELETE FROM {name}")
        second.admin(f"INSERT INTO {name} SELECT * FROM kept_{number}")
    assert second.sql("SELECT COUNT(*) FROM t WHERE v = 'a'") == [(3,)]
    cdcd("run", *ends, "--until", "caught-up").wait(0)
    assert second.sql("SELECT * FROM t ORDER BY id") == first.sql("SELECT * FROM t ORDER BY id")
