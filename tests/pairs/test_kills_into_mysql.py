"""Into MySQL and MariaDB under a mixed load, killed at whatever moment, at the COMMIT and behind it: nothing is lost,
and nothing comes twice. And one transaction that is larger than the memory that its changes may take."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import closing

import pytest

from tests.crash import workload as postgres
from tests.crash.following import Cdcd, filled
from tests.crash.workload import steady
from tests.mysql.into import assert_same
from tests.pairs import mysql_workload as mysql
from tests.pairs.killing import kill
from tests.servers import Database
from tests.servers.mysql import MySQL
from tests.servers.mysql_database import MySQLDatabase
from tests.servers.proxy import Proxy
from tests.waiting import wait_until

KILLS = 8
PRODUCTS = ("mysql", "mariadb")
MONEY = "SELECT SUM(balance) FROM accounts"


class Killed:
    """A pipeline whose daemon is killed; between, the target's money is counted."""

    def __init__(self, cdcd: Cdcd, source_url: str, name: str, target: MySQLDatabase, proxy: Proxy) -> None:
        self._cdcd = cdcd
        self._target = target
        self._proxy = proxy
        url = proxy.url(target.target_url) + "?ssl-mode=DISABLED"
        self.words = ["run", "--from", source_url, "--to", url, "--name", name, "--chunk-bytes", "65536"]

    def go_through(self, goes_on: Callable[[int], None], money: int) -> None:
        """`goes_on` waits for so many transactions more."""
        chance = random.Random(8)
        daemon = self._cdcd(*self.words)
        for number in range(KILLS):
            goes_on(chance.randint(3, 15))
            if number == 2:  # the first three in the load
                daemon.wait_said("consistent", 60)
            kill(daemon, self._proxy, number if number > 2 else 0)
            if number > 2:
                assert self._target.sql(MONEY) == [(money,)], number
            daemon = self._cdcd(*self.words)
        goes_on(30)
        daemon.wait_said("stream started")
        daemon.stop()

    def to_the_end(self) -> None:
        self._cdcd(*self.words, "--until", "caught-up").wait(0, 60)


@pytest.mark.timeout(240)
@pytest.mark.failure("T-PO-8", "PO-02")
@pytest.mark.parametrize("product", ["mariadb", pytest.param("mysql", marks=pytest.mark.soak)])
def test_from_the_same_product(
    product: str, mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase],
    make_proxy: Callable[..., Proxy], cdcd: Cdcd,
) -> None:  # fmt: skip
    source, target = mysql_on(mysql_servers(product)), mysql_on(mysql_servers(product, "target"))
    mysql.fill(source)
    killed = Killed(cdcd, source.url, source.name, target, make_proxy(target.server))
    with mysql.Workload(source) as workload:
        killed.go_through(workload.steady, 1000 * mysql.ACCOUNTS)
        workload.stop()
    killed.to_the_end()
    here, there = mysql.everything(source, target)
    assert here == there


@pytest.mark.timeout(240)
@pytest.mark.failure("T-PO-8", "PO-02")
@pytest.mark.parametrize("product", ["mysql", pytest.param("mariadb", marks=pytest.mark.soak)])
def test_from_postgres(
    product: str, source_db: Database, mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase],
    make_proxy: Callable[..., Proxy], cdcd: Cdcd,
) -> None:  # fmt: skip
    target = mysql_on(mysql_servers(product, "target"))
    filled(source_db)
    killed = Killed(cdcd, source_db.url, source_db.name, target, make_proxy(target.server))
    with postgres.Workload(source_db, pause=0.03) as workload:
        killed.go_through(lambda count: steady(workload, count), 1000 * postgres.ACCOUNTS)
        workload.stop()
    killed.to_the_end()
    assert_same(source_db, target, [name.removeprefix("public.") for name in postgres.TABLES])


ROWS, SOAK = 100_000, 2_000_000
MOST = 200e6
"""Bytes, of all the daemon's processes."""


def huge(source: Database, target: MySQLDatabase, cdcd: Cdcd, rows: int, limit: float) -> None:
    """One transaction of so many rows: inserted, changed, and taken away again in part."""
    source.sql("CREATE TABLE t (id int PRIMARY KEY, a text, b timestamp, c numeric(20, 6))")
    words = ["run", "--from", source.url, "--to", target.target_url, "--name", source.name]
    daemon = cdcd(*words, "--group-bytes", "262144", environment={"TZ": "UTC"})
    daemon.wait_said("consistent", 60)
    with closing(source.connect()) as link, link.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(
            "INSERT INTO t SELECT i, repeat(md5(i::text), 3), timestamp '2024-01-01' + i * interval '1 s', i / 7.0"
            f" FROM generate_series(1, {rows}) i"
        )
        cursor.execute("UPDATE t SET c = -c WHERE id % 10 = 0")
        cursor.execute("DELETE FROM t WHERE id % 100 = 1")
        cursor.execute("COMMIT")
    whole = "SELECT count(*), min(id), max(id), sum(c) FROM t"
    wanted = source.sql(whole)
    wait_until(lambda: target.sql(whole) == wanted or not daemon.running, limit, "the transaction", every=0.5)
    assert daemon.running, daemon.text()[-3000:]
    most = daemon.most_memory()
    print(f"{rows} rows in one transaction: {most / 1e6:.0f} MB")
    assert most < MOST, f"{most / 1e6:.0f} MB"
    daemon.stop()


@pytest.mark.failure("OP-02")
@pytest.mark.timeout(180)
def test_a_huge_transaction(
    source_db: Database, mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase], cdcd: Cdcd
) -> None:
    huge(source_db, mysql_on(mysql_servers("mysql", "target")), cdcd, ROWS, 120)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("product", PRODUCTS)
def test_two_million_rows(
    product: str, source_db: Database, mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase],
    cdcd: Cdcd,
) -> None:  # fmt: skip
    huge(source_db, mysql_on(mysql_servers(product, "target")), cdcd, SOAK, 1500)
