"""MySQL and MariaDB as ends that stand still, are away, or end our sessions; and whose clocks jump."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pymysql
import pytest

from tests.fix_daemon import Daemon
from tests.met.test_copy import chunk_record
from tests.operations.test_http import STUCK_AFTER, Asked
from tests.servers import Database
from tests.servers.mysql import MySQL
from tests.servers.mysql_database import MySQLDatabase
from tests.servers.proxy import Direction, Proxy
from tests.servers.roles import SOURCE
from tests.waiting import wait_until

AWAY = 8.0
PLAIN = "?ssl-mode=DISABLED"


@pytest.mark.failure("OP-04", "OP-09", "PO-05")
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("here", "there"), [("mysql", "mariadb"), ("mariadb", "mysql")])
def test_health_and_pauses(
    here: str, there: str, mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase],
    make_proxy: Callable[..., Proxy], cdcd: Callable[..., Daemon], tmp_path: Path,
) -> None:  # fmt: skip
    """A target whose row is locked and a source that says nothing show as unhealthy; an end that refuses connections is
    asked with pauses that grow. What commits behind newer ones, by a clock of its own, is in its place."""
    source, target = mysql_on(mysql_servers(here)), mysql_on(mysql_servers(there, "target"))
    at_source, at_target = make_proxy(source.server), make_proxy(target.server)
    source.sql(
        "CREATE TABLE t (id int PRIMARY KEY, at timestamp DEFAULT CURRENT_TIMESTAMP)", "INSERT INTO t (id) VALUES (0)"
    )
    asked, file = Asked(), tmp_path / "cdcd.toml"
    file.write_text(
        f'[http]\nlisten = "127.0.0.1:{asked.port}"\nstuck_after = {STUCK_AFTER}\n[[pipeline]]\n'
        f'name = "{source.name}"\nfrom = "{at_source.url(source.url)}{PLAIN}"\n'
        f'to = "{at_target.url(target.target_url)}{PLAIN}"\n'
    )
    daemon = cdcd("run", "-c", str(file))

    def arrives(id: int, limit: float = 40) -> None:
        look = f"SELECT 1 FROM t WHERE id = {id}"
        wait_until(lambda: target.sql(look) or not daemon.running, limit, f"row {id}")
        assert daemon.running, daemon.text()[-3000:]
        assert 0 <= asked.status()["lag_seconds"] < 60

    wait_until(lambda: asked.get("/readyz")[0] == 200, what="readiness")
    with closing(source.connect(autocommit=False)) as late, late.cursor() as cursor:
        cursor.execute("SET timestamp = UNIX_TIMESTAMP() - 3600")
        cursor.execute("INSERT INTO t (id) VALUES (1)")
        ahead = "SET timestamp = UNIX_TIMESTAMP() + 3600"
        source.sql("INSERT INTO t (id) VALUES (2)", ahead, "INSERT INTO t (id) VALUES (3)")
        arrives(3)
        late.commit()
        arrives(1)
    assert source.sql("SELECT id FROM t ORDER BY at") == target.sql("SELECT id FROM t ORDER BY at")

    with closing(target.connect(autocommit=False)) as holder, holder.cursor() as cursor:
        cursor.execute("SELECT id FROM t WHERE id = 0 FOR UPDATE")
        source.sql("DELETE FROM t WHERE id = 0")
        wait_until(lambda: asked.get("/healthz")[0] == 503, what="a target that stands to show")
        assert re.search("nothing has moved|has not answered", asked.status()["unhealthy"])
        holder.rollback()
    wait_until(lambda: not target.sql("SELECT 1 FROM t WHERE id = 0"), what="the row to go")
    wait_until(lambda: asked.get("/healthz")[0] == 200, what="health again")

    at_source.silence()
    source.sql("INSERT INTO t (id) VALUES (4)")
    wait_until(lambda: asked.get("/healthz")[0] == 503, 15, "a silent source to show")
    at_source.resume()
    arrives(4)
    wait_until(lambda: asked.get("/healthz")[0] == 200, what="health again")

    away = at_source if here == "mysql" else at_target
    tried, before = daemon.text().count("trying again"), away.accepted
    away.refuse()
    away.cut()
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > AWAY, AWAY + 1, "the time to pass")
    attempts = away.accepted - before
    assert 3 <= attempts <= 20, f"{attempts} connections in {AWAY:g} s"
    assert 3 <= daemon.text().count("trying again") - tried <= 8
    away.refuse(False)
    source.sql("INSERT INTO t (id) VALUES (5)")
    arrives(5)
    daemon.stop()


@pytest.mark.failure("OP-04", "OP-09")
@pytest.mark.timeout(120)
def test_a_source_that_goes_while_the_target_holds_us_up(
    mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase], make_proxy: Callable[..., Proxy],
    cdcd: Callable[..., Daemon],
) -> None:  # fmt: skip
    """Whoever reads has failed, and whoever writes does not see it, as it waits for a row: it is cut off, and tries
    again."""
    source, target = mysql_on(mysql_servers("mysql")), mysql_on(mysql_servers("mariadb", "target"))
    proxy = make_proxy(source.server)
    source.sql("CREATE TABLE t (id int PRIMARY KEY, n int)", "INSERT INTO t VALUES (1, 1)")
    words = ["--from", proxy.url(source.url) + PLAIN, "--to", target.target_url, "--name", source.name]
    daemon = cdcd("run", *words)
    daemon.wait_said("stream started")
    with closing(target.connect(autocommit=False)) as holder, holder.cursor() as cursor:
        cursor.execute("SELECT id FROM t WHERE id = 1 FOR UPDATE")
        source.sql("UPDATE t SET n = 2")
        waits = "SELECT 1 FROM information_schema.PROCESSLIST WHERE INFO LIKE %s AND ID <> CONNECTION_ID()"
        wait_until(lambda: target.admin(waits, "UPDATE%%"), what="the change to wait for its row")
        proxy.refuse()
        proxy.cut()
        daemon.wait_said("reader failed, and a server was waited for")
        holder.rollback()
    proxy.refuse(False)
    source.sql("INSERT INTO t VALUES (2, 2)")
    wait_until(lambda: target.sql("SELECT * FROM t ORDER BY id") == [(1, 2), (2, 2)], 40, "both changes")
    daemon.stop()


@pytest.mark.failure("SN-11")
@pytest.mark.timeout(120)
def test_sessions_that_end_in_the_middle_of_a_copy(
    mysql_db: MySQLDatabase, target_db: Database, target_proxy: Proxy, cdcd: Callable[..., Daemon]
) -> None:
    """All at the source: the stream's, those that hold the snapshot, and those that ask."""
    mysql_db.sql(
        "CREATE TABLE t (id int PRIMARY KEY, x varchar(200))", "CREATE TABLE bare (n int, x varchar(200))",
        "INSERT INTO t WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900)"
        " SELECT i, REPEAT('x', 150) FROM n", "INSERT INTO bare SELECT id % 300, x FROM t", "ANALYZE TABLE t",
    )  # fmt: skip
    words = ["--from", mysql_db.url, "--to", target_proxy.url(target_db.url), "--name", mysql_db.name]
    held = target_proxy.hold(Direction.TO_SERVER, chunk_record)
    daemon = cdcd("run", *words, "--loaders", "1", "--chunk-bytes", "65536")
    wait_until(lambda: held.sprung.is_set() or not daemon.running, what="a chunk's record")
    assert daemon.running, daemon.text()[-3000:]
    ours = "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = %s AND (DB = %s OR DB IS NULL)"
    ended = mysql_db.admin(ours, SOURCE, mysql_db.name)
    for (number,) in ended:
        with suppress(pymysql.err.OperationalError):  # it has ended meanwhile
            mysql_db.admin(f"KILL {number}")
    assert ended
    mysql_db.sql(
        "DELETE FROM bare WHERE n = 7", "UPDATE t SET x = 'y' WHERE id % 5 = 0", "UPDATE t SET id = -id WHERE id > 890"
    )
    target_proxy.clear()

    def same() -> bool:
        for table in ("t", "bare"):
            there = target_db.sql(f"SELECT to_regclass('{mysql_db.name}.{table}')")
            query = f"SELECT * FROM {mysql_db.name}.{table}"
            if there == [(None,)] or sorted(mysql_db.sql(query)) != sorted(target_db.sql(query)):
                return False
        return daemon.said("] consistent")

    wait_until(lambda: same() or not daemon.running, 60, "both ends to be equal")
    assert same() and daemon.text().count("snapshot taken") > 1, daemon.text()[-3000:]
    daemon.stop()
