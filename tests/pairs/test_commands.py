"""The commands around a pipeline whose source is MySQL or MariaDB: status, validate, reload, sequences, cutover, drop,
beside a daemon and an application that writes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

import pymysql
import pytest

from tests.fix_daemon import Daemon
from tests.fix_mysql import PRODUCTS
from tests.servers import Database
from tests.servers.mysql import MySQL
from tests.servers.mysql_database import MySQLDatabase
from tests.waiting import wait_until

TABLES = (
    "CREATE TABLE orders (id bigint PRIMARY KEY AUTO_INCREMENT, n int NOT NULL, note varchar(20))",
    "CREATE TABLE calm (id int PRIMARY KEY, at datetime(3), weight double, doc blob)",
    "INSERT INTO calm VALUES (1, '2024-01-01 00:00:00.5', 0.1, X'00FF'), (2, NULL, NULL, NULL), (3, NULL, 1e300, '')",
)


class Writer:
    """An application that writes until it is refused, and notes what was acknowledged."""

    def __init__(self, database: MySQLDatabase) -> None:
        self.acknowledged: list[int] = []
        self.refused: pymysql.err.MySQLError | None = None
        self._database = database
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def _write(self) -> None:
        with suppress(pymysql.err.MySQLError), closing(self._database.connect()) as link, link.cursor() as cursor:
            while not self._stopping.wait(0.01):
                try:
                    cursor.execute("INSERT INTO orders (n, note) VALUES (1, 'täglich')")
                    self.acknowledged.append(number := cursor.lastrowid)
                    cursor.execute(f"UPDATE orders SET n = n + 1 WHERE id = {max(1, number - 5)}")
                except pymysql.err.MySQLError as error:
                    self.refused = error
                    return

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(10)


@pytest.fixture(params=PRODUCTS)
def source(request: pytest.FixtureRequest, mysql_servers: Callable[..., MySQL], mysql_on: Any) -> MySQLDatabase:
    made: MySQLDatabase = mysql_on(mysql_servers(request.param))
    made.sql(*TABLES)
    return made


class There:
    """The target, of whatever product: its URL, and SQL on the table `name` of the source."""

    def __init__(self, source: MySQLDatabase, target: Database | MySQLDatabase) -> None:
        self.url = target.target_url if isinstance(target, MySQLDatabase) else target.url
        self._target = target
        self._schema = "" if isinstance(target, MySQLDatabase) else f'"{source.name}".'

    def sql(self, text: str) -> list[Any]:
        return list(self._target.sql(text.replace("@", self._schema)))


@pytest.fixture(params=["other", "postgresql"])
def there(
    request: pytest.FixtureRequest, source: MySQLDatabase, mysql_servers: Callable[..., MySQL], mysql_on: Any
) -> There:
    if request.param == "postgresql":
        return There(source, request.getfixturevalue("target_db"))
    (other,) = set(PRODUCTS) - {source.server.product}
    return There(source, mysql_on(mysql_servers(other)))


@pytest.mark.timeout(240)
@pytest.mark.failure("OP-14", "TG-03")
def test_from_the_first_row_to_the_cut_over(
    source: MySQLDatabase, there: There, cdcd: Callable[..., Daemon], run_cdcd: Callable[..., Daemon]
) -> None:
    ends = ["--from", source.url, "--to", there.url, "--name", source.name]
    daemon = cdcd("run", *ends)
    daemon.wait_said("stream started", 90)
    with Writer(source) as writer:
        wait_until(lambda: len(writer.acknowledged) > 30, 30, "a workload")
        (table,) = run_cdcd("validate", *ends, "--tables", "*.orders", "--json").json()["pipelines"][0]["tables"]
        assert table["rows"]["source"] > 0 and not table["uncompared"]
        there.sql("UPDATE @calm SET weight = 0.2 WHERE id = 1")
        there.sql("DELETE FROM @orders WHERE id = 7")
        told = run_cdcd("validate", *ends, "--json", code=5).json()
        found = {one["table"].rpartition(".")[2]: one for one in told["pipelines"][0]["tables"]}
        assert told["pipelines"][0]["followed"]
        assert [(one["key"], one["columns"]) for one in found["calm"]["keys"]["different"]] == [({"id": 1}, ["weight"])]
        assert [one["key"] for one in found["orders"]["keys"]["missing"]] == [{"id": 7}]
        for name in ("calm", "orders"):
            run_cdcd("reload", f"{source.name}.{name}", *ends)
        status = run_cdcd("status", *ends, "--json").json()["pipelines"][0]
        assert status["target"]["connected"] and status["target"]["checkpoint"]
        wait_until(lambda: there.sql("SELECT id FROM @orders WHERE id = 7"), 60, "the tables to be read again")

        def consistent() -> bool:
            target = run_cdcd("status", *ends, "--json").json()["pipelines"][0]["target"]
            whole = all(one["chunks"] == one["chunks_in"] for one in target["tables"])
            return whole and target["finished"] and not target["requests"]

        wait_until(consistent, 60, "the target to be consistent", every=0.5)
        run_cdcd("validate", *ends)
        run_cdcd("sequences", *ends)
        done = run_cdcd("cutover", *ends, "--fence", "--fence-as", source.admin_url, "--json", limit=90).json()
        try:
            wait_until(lambda: writer.refused, what="the application to be refused")
            arrived = {number for (number,) in there.sql("SELECT id FROM @orders")}
            assert set(writer.acknowledged) <= arrived
            assert done["fenced"] and {one["table"] for one in done["compared"]} == {
                f"{source.name}.calm", f"{source.name}.orders",
            }  # fmt: skip
        finally:
            source.admin(done["way_back"]["now"][-1].partition(";")[0])
    there.sql("INSERT INTO @orders (n) VALUES (-1)")
    (given,) = there.sql("SELECT id FROM @orders WHERE n = -1")
    assert given[0] > max(writer.acknowledged)
    source.sql("INSERT INTO orders (n) VALUES (0)")
    daemon.stop()
    run_cdcd("drop", *ends, "--yes")
    assert run_cdcd("status", *ends, "--json").json()["pipelines"][0]["target"] is None
