"""From MySQL and MariaDB to PostgreSQL under a mixed load, killed twenty times, while logs rotate, connections are cut
and the source itself dies: nothing is lost, and nothing comes twice."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress

import pymysql
import pytest

from tests.fix_daemon import Daemon
from tests.fix_mysql import PRODUCTS
from tests.pairs.killing import kill
from tests.pairs.mysql_workload import ACCOUNTS, Workload, everything, fill
from tests.servers import Database
from tests.servers.mysql import MySQL
from tests.servers.mysql_database import MySQLDatabase
from tests.servers.proxy import Proxy

KILLS = 20
BEFORE = 4
"""Kills during the load, until it is through."""


@pytest.mark.timeout(300)
@pytest.mark.failure("T-PO-8", "PO-02", "SN-01", "SN-02", "SN-05")
@pytest.mark.parametrize("product", PRODUCTS)
def test_twenty_kills_lose_and_double_nothing(
    product: str, mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase], target_db: Database,
    target_proxy: Proxy, cdcd: Callable[..., Daemon],
) -> None:  # fmt: skip
    server = mysql_servers(product, "kills", **{"max-binlog-size": 65536, "innodb-flush-log-at-trx-commit": 1})
    source = mysql_on(server)
    fill(source)
    chance = random.Random(20)
    arguments = [
        "run", "--from", source.url, "--to", target_proxy.url(target_db.url), "--name", source.name,
        "--chunk-bytes", "65536",
    ]  # fmt: skip
    money = f"SELECT sum(balance) FROM {source.name}.accounts"
    daemon = cdcd(*arguments)
    with Workload(source) as workload:
        for number in range(KILLS):
            workload.steady(chance.randint(3, 15))
            if number == BEFORE:
                daemon.wait_said("consistent", 60)
            kill(daemon, target_proxy, number if number > BEFORE else 0)
            if number > BEFORE:
                assert target_db.sql(money) == [(1000 * ACCOUNTS,)], number
            if number == 12:
                server.kill()
                server.launch()
            daemon = cdcd(*arguments)
            if number % 5 == 4:  # what it lives through without being started anew
                daemon.wait_said("stream started")
                server.execute("FLUSH BINARY LOGS")
                _cut(server)
        workload.steady(50)
        workload.stop()
    daemon.stop()
    cdcd(*arguments, "--until", "caught-up").wait(0, 60)
    here, there = everything(source, target_db)
    assert here == there
    assert len(server.execute("SHOW BINARY LOGS")) > 5


def _cut(server: MySQL) -> None:
    """End the sessions of cdcd, as an administrator would."""
    mine = "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'cdcd_source'"
    for (number,) in server.execute(mine):
        with suppress(pymysql.err.OperationalError):  # it has ended meanwhile
            server.execute(f"KILL {number}")
