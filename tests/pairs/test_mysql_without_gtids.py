"""A MySQL server without GTIDs, whose places are files and offsets, into PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from tests.fix_daemon import Daemon
from tests.mysql.test_source_stream import WITHOUT_GTIDS, purge, session
from tests.pairs.test_mysql_ddl import arguments, same
from tests.servers import Database
from tests.servers.mysql import MySQL
from tests.servers.mysql_database import MySQLDatabase
from tests.waiting import wait_until


@pytest.mark.failure("T-MY-12", "MY-01")
@pytest.mark.timeout(120)
def test_a_file_after_the_other(
    mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase], target_db: Database,
    cdcd: Callable[..., Daemon],
) -> None:  # fmt: skip
    """Tables change behind the copy and on the way; a new file in which nothing was written is a place as well; and
    one that was read may be purged."""
    source = mysql_on(mysql_servers("mysql", "without GTIDs", **WITHOUT_GTIDS))
    source.sql("CREATE TABLE t (id int PRIMARY KEY, a int)", "INSERT INTO t VALUES (1, 1)")
    once = partial(cdcd, *arguments(source, target_db, "--until", "caught-up"))
    daemon = cdcd(*arguments(source, target_db))
    daemon.wait_said("consistent")
    source.sql("ALTER TABLE t ADD b int DEFAULT 4 FIRST", "INSERT INTO t VALUES (5, 2, 6)")
    wait_until(lambda: same(source, target_db, "t", "id a b"), what="the column")
    session(source, "FLUSH BINARY LOGS")
    cdcd("reload", f"{source.name}.t", *arguments(source, target_db)[1:7]).wait(0)
    wait_until(lambda: daemon.text().count("chunks are in") == 2, what="the table to be read again")
    daemon.stop()
    once().wait(0)
    session(source, "FLUSH BINARY LOGS", "FLUSH BINARY LOGS")
    once().wait(0)
    purge(source)
    once().wait(0)
    source.sql("INSERT INTO t VALUES (7, 3, 8)", "ALTER TABLE t DROP a")
    once().wait(0)
    assert same(source, target_db, "t", "id b")
