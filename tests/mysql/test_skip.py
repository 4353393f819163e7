"""`cdcd skip --tx`: a transaction of MySQL or MariaDB, named by its GTID, and one that a target there refuses, is
passed over, wholly, once, and recorded."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.crash.following import Cdcd
from tests.mysql.into import KINDS, Into, assert_same, mend, refuse
from tests.operations.begun import SKIP
from tests.operations.test_skip import in_one
from tests.servers import Database
from tests.servers.mysql import MySQL
from tests.servers.mysql_database import MySQLDatabase
from tests.servers.proxy import Direction, Proxy

OFF = {"gtid-mode": "OFF", "enforce-gtid-consistency": "OFF"}


def poison(source: MySQLDatabase) -> None:
    """One transaction, between good ones, with a row that is refused."""
    source.sql("UPDATE t SET n = 11 WHERE id = 1")
    source.sql(
        "START TRANSACTION", "INSERT INTO other VALUES (1)", "UPDATE t SET n = 12 WHERE id = 2",
        "INSERT INTO t VALUES (4, 4000)", "INSERT INTO keyless VALUES (1, X'00FF')", "DELETE FROM t WHERE id = 3",
        "COMMIT",
    )  # fmt: skip
    source.sql("INSERT INTO other VALUES (2)", "UPDATE t SET n = 13 WHERE id = 1")


@pytest.mark.failure("OP-03", "T-PO-7")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", ["mysql", "mariadb", "without GTIDs"])
def test_of_a_source_here(
    kind: str, mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase], target_db: Database,
    cdcd: Cdcd,
) -> None:  # fmt: skip
    """Named by its GTID, or by where it begins in the log."""
    source = mysql_on(mysql_servers("mysql", kind, **OFF) if kind not in ("mysql", "mariadb") else mysql_servers(kind))
    source.sql(
        "CREATE TABLE t (id int PRIMARY KEY, n int)", "CREATE TABLE other (id int PRIMARY KEY)",
        "CREATE TABLE keyless (a int, b varbinary(9))", "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)",
    )  # fmt: skip
    pipeline = Into(source, target_db, cdcd)
    pipeline.run()
    target_db.sql(f"ALTER TABLE {source.name}.t ADD CONSTRAINT few CHECK (n < 100)")
    poison(source)
    assert "cdcd skip --tx" in pipeline.run(code=6)
    ((tx, key),) = target_db.sql("SELECT tx, key FROM cdcd.stops")
    assert key == "4" and {"mysql": 37, "mariadb": 3}.get(kind, 14) <= len(tx)
    assert f"cdcd skip --tx {tx}" in pipeline.skip("0-1-1", code=2)
    assert pipeline.skip(tx)["tx"] == tx
    assert "a transaction was passed over, as ordered" in pipeline.run()
    rows = f"SELECT id, n FROM {source.name}.t ORDER BY id"
    assert target_db.sql(rows) == [(1, 13), (2, 2), (3, 3)]
    assert target_db.sql(f"SELECT id FROM {source.name}.other") == [(2,)]
    recorded = target_db.sql("SELECT op, tx, state FROM cdcd.exceptions ORDER BY id")
    assert recorded == [(op, tx, "open") for op in ("insert", "update", "insert", "insert", "delete")]
    target_db.sql(f"ALTER TABLE {source.name}.t DROP CONSTRAINT few")
    assert pipeline.retry()["made"] == 5
    assert target_db.sql(rows) == source.sql("SELECT id, n FROM t ORDER BY id") == [(1, 13), (2, 12), (4, 4000)]


@pytest.mark.failure("OP-03", "T-PO-7", "T-PO-4")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("product", ["mysql", "mariadb"])
def test_at_a_target_here(
    product: str, source_db: Database, mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase],
    make_proxy: Callable[..., Proxy], cdcd: Cdcd,
) -> None:  # fmt: skip
    """A table is altered in the middle of the transaction, which commits here what came before; a kill between, and one
    at the last COMMIT. What it did to the table is nobody's to pass over."""
    target = mysql_on(mysql_servers(product, "target"))
    pipeline = Into(source_db, target, cdcd)
    source_db.sql(KINDS)
    source_db.sql("INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)")
    pipeline.run()
    assert "not stopped at a transaction" in pipeline.skip("1", code=6)
    refuse(target, ("t", "n"))
    source_db.sql("UPDATE t SET n = 11 WHERE id = 1")
    tx = in_one(
        source_db, "INSERT INTO other VALUES (1)", "UPDATE t SET n = 12 WHERE id = 2", "INSERT INTO t VALUES (4, 4000)",
        "ALTER TABLE t ADD extra int NOT NULL DEFAULT 7", "INSERT INTO t VALUES (5, 5)",
        "INSERT INTO keyless VALUES (1, 'x')", "DELETE FROM t WHERE id = 3", "TRUNCATE other",
    )  # fmt: skip
    source_db.sql("INSERT INTO other VALUES (2); UPDATE t SET n = 13 WHERE id = 1")
    assert f"cdcd skip --tx {tx}" in pipeline.run(*SKIP[2:], code=6)
    assert pipeline.skip(tx)["key"] == "4"
    pipeline.skip(tx)
    orders = "SELECT command, argument, done IS NULL FROM cdcd.requests"
    assert target.admin(orders) == [("skip", tx, 1)]

    proxy = make_proxy(target.server)
    through = proxy.url(target.target_url) + "?ssl-mode=DISABLED"
    for step in ("ALTER TABLE `", "UPDATE cdcd.checkpoints SET checkpoint"):
        if step.startswith("ALTER"):
            trap = proxy.hold(Direction.TO_SERVER, lambda message: "ALTER TABLE `" in (message.sql or ""))
        else:
            trap = proxy.hold(Direction.TO_SERVER, _is_last_commit)
        daemon = cdcd("run", *pipeline.ends(through), "--until", "caught-up")
        trap.wait()
        assert target.admin(orders) == [("skip", tx, 1)], "not before its end"
        daemon.kill()
        proxy.cut()
        proxy.clear()
    pipeline.run()
    pipeline.run()
    assert target.admin(orders) == [("skip", tx, 0)] and target.admin("SELECT 1 FROM cdcd.stops") == []
    assert target.sql("SELECT id, n, extra FROM t ORDER BY id") == [(1, 13, 7), (2, 2, 7), (3, 3, 7)]
    assert target.sql("SELECT id FROM other") == [(2,)] and target.sql("SELECT 1 FROM keyless") == []
    assert pipeline.recorded("table_id, op, tx, state") == [
        (f"public.{table}", op, tx, "open") for table, op in (
            ("other", "insert"), ("t", "update"), ("t", "insert"), ("t", "insert"), ("keyless", "insert"),
            ("t", "delete"), ("other", "truncate"),
        )
    ]  # fmt: skip
    assert "not stopped" in pipeline.skip(tx, code=6)
    mend(target, "t")
    told = pipeline.retry(code=6)
    why = {one["change"]: one["why"] for one in told["changes"] if not one["made"]}
    assert why.keys() == {"update", "truncate"} and "ALTER TABLE has" in why["update"]
    assert pipeline.retry("--overwrite", code=6)["waiting"] == 1
    target.sql("DELETE FROM other WHERE id = 1")  # what the TRUNCATE would have taken
    assert_same(source_db, target, ("t", "other", "keyless"))


def _is_last_commit(message: object) -> bool:
    sql = getattr(message, "sql", None) or ""
    return "checkpoints SET checkpoint" in sql and "COMMIT" in sql
