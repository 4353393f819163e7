"""The fence of a cut-over: what it keeps out, whom it ends, and what a user with too few rights is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import pymysql
import pytest

from cdcd.errors import StateRefused
from connectors.mysql.fence import MysqlFence
from tests.servers.mysql_database import MySQLDatabase
from tests.servers.roles import PASSWORDS, SOURCE
from tests.waiting import wait_until

PASSWORD = "fence ?#/@%"
RIGHTS = {
    "mysql": ("ALTER ON {}.*", "PROCESS, CONNECTION_ADMIN, XA_RECOVER_ADMIN ON *.*"),
    "mariadb": ("ALTER ON {}.*", "PROCESS, CONNECTION ADMIN, READ_ONLY ADMIN ON *.*"),
}


@pytest.fixture
def fencer(mysql_db: MySQLDatabase) -> Iterator[Callable[[], str]]:
    """The URL of a user who may fence, and end sessions."""
    server = mysql_db.server
    rights = [right.format(f"`{mysql_db.name}`") for right in RIGHTS[server.product]]
    with mysql_db.user(*rights, password=PASSWORD) as name:
        yield lambda: server.url(mysql_db.name, name, PASSWORD)
        with suppress(pymysql.err.MySQLError):
            server.execute(f"ALTER DATABASE `{mysql_db.name}` READ ONLY = 0")
        server.execute("SET GLOBAL read_only = OFF")


def writes(database: MySQLDatabase) -> bool:
    try:
        database.sql("INSERT INTO t VALUES (NULL)")
    except pymysql.err.MySQLError as error:
        if error.args[0] not in (1290, 3989):
            raise
        return False
    return True


def test_nobody_writes_behind_it(mysql_db: MySQLDatabase, fencer: Callable[[], str]) -> None:
    mysql_db.sql("CREATE TABLE t (id int PRIMARY KEY AUTO_INCREMENT)", "INSERT INTO t VALUES (1)")
    with closing(MysqlFence(fencer, "test", patience=1)) as fence, closing(mysql_db.connect(False)) as open_one:
        assert fence.obstacles() == [] and fence.unfinished() == []
        with open_one.cursor() as cursor:
            cursor.execute("INSERT INTO t VALUES (2)")
        before = fence.activity()
        wait_until(fence.unfinished, what="InnoDB to tell of the transaction", every=0.2)  # sooner it repeats itself
        (unfinished,) = fence.unfinished()
        assert unfinished.startswith("the open transaction of app (127.0.0.1") and mysql_db.name in unfinished
        assert any(one.startswith("app (") for one in fence.writers())
        fence.raise_up()
        # The transaction that was open has ended, one way or the other, without being committed.
        with suppress(pymysql.err.MySQLError):
            open_one.commit()
        assert not writes(mysql_db)
        quiet = fence.activity()
        final = fence.final()
        assert before[f"{mysql_db.name}.t"] == quiet[f"{mysql_db.name}.t"]
        fence.lower()
        assert mysql_db.sql("SELECT id FROM t") == [(1,)]
        assert writes(mysql_db)
        assert fence.activity()[f"{mysql_db.name}.t"] != quiet[f"{mysql_db.name}.t"]
        assert str(fence.final()) != str(final)


def test_it_waits_for_what_ends_by_itself(mysql_db: MySQLDatabase, fencer: Callable[[], str]) -> None:
    mysql_db.sql("CREATE TABLE t (id int PRIMARY KEY AUTO_INCREMENT)")
    with closing(MysqlFence(fencer, "test")) as fence, closing(mysql_db.connect(False)) as open_one:
        with open_one.cursor() as cursor:
            cursor.execute("INSERT INTO t VALUES (7)")
        raised = threading.Thread(target=fence.raise_up)
        if mysql_db.server.product == "mysql":
            raised.start()
            time.sleep(0.3)
            open_one.commit()
        else:  # there it does not wait for a transaction, but for its commit
            open_one.commit()
            raised.start()
        raised.join(10)
        assert not raised.is_alive() and not writes(mysql_db) and mysql_db.sql("SELECT id FROM t") == [(7,)]
        fence.lower()
        assert writes(mysql_db)


def test_too_few_rights_are_told(mysql_db: MySQLDatabase) -> None:
    mysql_db.sql("CREATE TABLE t (id int PRIMARY KEY AUTO_INCREMENT)")
    url = mysql_db.server.url(mysql_db.name, SOURCE, PASSWORDS[SOURCE])
    with closing(MysqlFence(lambda: url, "test", patience=0.5)) as fence:
        assert fence.obstacles() == []
        with pytest.raises(StateRefused, match="cannot be fenced by this user") as refused:
            fence.raise_up()
        assert "GRANT" in str(refused.value.hint) and fence.up in str(refused.value.hint)
        assert writes(mysql_db)
        assert fence.activity()[f"{mysql_db.name}.t"]


@pytest.mark.failure("TG-03")
def test_a_prepared_transaction_is_in_its_way(mysql_db: MySQLDatabase, fencer: Callable[[], str]) -> None:
    mysql_db.sql("CREATE TABLE t (id int PRIMARY KEY AUTO_INCREMENT)")
    mysql_db.sql("XA START 'held'", "INSERT INTO t VALUES (5)", "XA END 'held'", "XA PREPARE 'held'")
    try:
        with closing(MysqlFence(fencer, "test")) as fence:
            (obstacle,) = fence.obstacles()
            assert "prepared transaction" in obstacle and "held" in obstacle
            assert "the prepared transaction held" in fence.unfinished()
    finally:
        mysql_db.admin("XA ROLLBACK 'held'")
