"""The servers themselves: that both start, are reached with a password, killed and started again; who may do what."""

from collections.abc import Callable

import pymysql
import pytest

from connectors.mysql.connect import connect
from tests.servers.mysql import MySQL
from tests.servers.mysql_database import MySQLDatabase


def test_products(mysql_servers: Callable[..., MySQL]) -> None:
    assert mysql_servers("mysql").version.startswith("9.")
    assert "10.11" in mysql_servers("mariadb").version


def test_kill_restart(mysql_servers: Callable[..., MySQL]) -> None:
    server = mysql_servers("mariadb", "to be killed")
    server.execute("CREATE DATABASE d")
    server.execute("CREATE TABLE d.t (a int PRIMARY KEY)")
    server.kill()
    assert not server.running
    server.launch()
    assert server.execute("SELECT COUNT(*) FROM d.t") == [(0,)]


def test_least_privilege(mysql_db: MySQLDatabase) -> None:
    mysql_db.sql("CREATE TABLE t (a int PRIMARY KEY)")
    reader = connect(mysql_db.url)
    with reader.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM t")
        with pytest.raises(pymysql.err.OperationalError):
            cursor.execute("INSERT INTO t VALUES (1)")
    reader.close()
