"""Sessions with a source of MySQL and MariaDB that are ended, or would be: a password changes, a reader waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pymysql
import pytest
from pymysql.constants import COMMAND

from connectors.mysql.login import number_of
from tests.fix_daemon import Daemon
from tests.mysql.test_source_stream import setting
from tests.servers import Database
from tests.servers.mysql_database import MySQLDatabase
from tests.waiting import wait_until


@pytest.fixture
def source(mysql_db: MySQLDatabase) -> MySQLDatabase:
    mysql_db.sql("CREATE TABLE t (id int PRIMARY KEY, v mediumtext)", "INSERT INTO t VALUES (1, 'loaded')")
    return mysql_db


@pytest.fixture
def rotating(source: MySQLDatabase) -> Iterator[str]:
    """A user whose password is `first`."""
    reads = (f"SELECT, LOCK TABLES ON `{source.name}`.*", "REPLICATION SLAVE, REPLICATION CLIENT ON *.*")
    with source.user(*reads, password="first") as name:
        yield name


def arrives(source: MySQLDatabase, target: Database, daemon: Daemon, id: int, limit: float = 30) -> None:
    look = f"SELECT 1 FROM {source.name}.t WHERE id = {id}"
    wait_until(lambda: target.sql(look) or not daemon.running, limit, f"row {id}")
    assert daemon.running, daemon.text()[-3000:]


@pytest.mark.failure("OP-06", "OP-13")
@pytest.mark.timeout(90)
def test_a_password_that_changes(
    source: MySQLDatabase, rotating: str, target_db: Database, cdcd: Callable[..., Daemon], tmp_path: Path
) -> None:
    """At the server a moment before it is known here, which is waited for; for ever it is not."""
    file, password = tmp_path / "cdcd.toml", tmp_path / "password"
    password.write_text("first\n")
    file.write_text(
        f'[[pipeline]]\nname = "{source.name}"\nto = "{target_db.url}"\npatience = 4\n'
        f'from = {{ url = "{source.server.url(source.name, rotating)}", password_file = "{password}" }}\n'
    )

    def change(to: str) -> None:
        source.admin(f"ALTER USER {rotating} IDENTIFIED BY '{to}'")
        for (number,) in source.admin("SELECT ID FROM information_schema.PROCESSLIST WHERE USER = %s", rotating):
            with suppress(pymysql.err.OperationalError):  # it has ended meanwhile
                source.admin(f"KILL {number}")

    daemon = cdcd("run", "-c", str(file))
    daemon.wait_said("stream started")
    change("second")
    daemon.wait_said("Access denied")
    source.sql("INSERT INTO t VALUES (2, 'streamed')")
    password.write_text("second\n")
    arrives(source, target_db, daemon, 2)
    change("third")
    said = daemon.wait(2, 30)
    assert "check user and password" in said and not {"first", "second"} & set(said.split())


@pytest.mark.failure("OP-05", "T-MY-15")
@pytest.mark.timeout(90)
def test_a_reader_that_waits_for_longer_than_the_server_does(
    source: MySQLDatabase, target_db: Database, cdcd: Callable[..., Daemon]
) -> None:
    """Another session, which reads as little, is ended meanwhile; the stream goes on as if nothing had been."""
    with setting(source, "net_write_timeout", 1):
        daemon = cdcd("run", "--from", source.url, "--to", target_db.url, "--name", source.name)
        daemon.wait_said("stream started")
        daemon.pause()
        source.sql(*(f"INSERT INTO t VALUES ({n}, REPEAT('x', 4000000))" for n in range(2, 8)))
        with closing(source.connect()) as other:
            asking: Any = other
            asking._execute_command(COMMAND.COM_QUERY, "SELECT a.v FROM t a, t b")  # and the answer is not read
            there = f"SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = {number_of(other)}"
            wait_until(lambda: not source.server.execute(there), 30, "the server to end who does not read")
        daemon.resume()
        arrives(source, target_db, daemon, 7)
    assert not daemon.said("trying again")
    daemon.stop()
