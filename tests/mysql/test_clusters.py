"""A node of a cluster as an end: MySQL's group replication, and MariaDB's Galera. One node is a cluster: what
it forbids and what it writes into the log are the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pymysql
import pytest

from tests.fix_daemon import Daemon
from tests.mysql.into import assert_same
from tests.servers import Database
from tests.servers.cluster import cluster
from tests.servers.mysql import MySQL
from tests.servers.mysql_binaries import WANTED
from tests.servers.mysql_database import MySQLDatabase
from tests.waiting import wait_until

LIMIT = {"mysql": "group_replication_transaction_size_limit", "mariadb": "wsrep_max_ws_size"}
AWAY = {"mysql": "STOP GROUP_REPLICATION", "mariadb": "SET GLOBAL wsrep_reject_queries = 'ALL'"}
BACK = {"mysql": "START GROUP_REPLICATION", "mariadb": "SET GLOBAL wsrep_reject_queries = 'NONE'"}
GONE = {"mysql": "read only", "mariadb": "has left its cluster"}
TABLE = "CREATE TABLE t (id int PRIMARY KEY, v text)"
SOME = "INSERT INTO t SELECT n, 'x' FROM generate_series(1, 100) n"


@pytest.fixture(scope="module", params=["mysql", "mariadb"])
def node(request: pytest.FixtureRequest) -> Iterator[MySQL]:
    if WANTED[request.param]:
        pytest.skip("what makes a cluster is there for the usual version only")
    with cluster(request.param) as server:
        yield server


@pytest.fixture
def database(node: MySQL, mysql_on: Callable[..., MySQLDatabase]) -> MySQLDatabase:
    return mysql_on(node)


@pytest.mark.timeout(120)
def test_into_a_cluster(database: MySQLDatabase, source_db: Database, cdcd: Callable[..., Daemon]) -> None:
    """`check` says what it is, and that it takes no table without a key; load, stream, changes of tables arrive; a
    transaction above its limit is a stop by name."""
    source_db.sql(f"{TABLE}; {SOME}; CREATE TABLE bare (a int); ALTER TABLE bare REPLICA IDENTITY FULL")
    words = ["--from", source_db.url, "--to", database.target_url, "--name", source_db.name]
    checked = cdcd("check", "--json", *words)
    checked.wait(None)
    found = {one["id"]: one["evidence"] for one in checked.json()["pipelines"][0]["findings"]}
    print(found)
    assert f"{LIMIT[database.server.product]} = " in found["MT-CLUSTER"] and "MT-KEYLESS" in found
    source_db.sql("DROP TABLE bare")
    daemon = cdcd("run", *words)
    daemon.wait_said("stream started")
    source_db.sql(
        "UPDATE t SET v = 'y' WHERE id < 50; DELETE FROM t WHERE id % 3 = 0; UPDATE t SET id = -id WHERE id > 90;"
        "ALTER TABLE t ADD n int DEFAULT 7; INSERT INTO t VALUES (500, 'z', 1)"
    )
    wait_until(lambda: database.sql("SELECT MAX(id) FROM t") == [(500,)] or not daemon.running, 30, "the changes")
    database.server.execute(AWAY[database.server.product])
    source_db.sql("INSERT INTO t VALUES (501, 'while it is away', 1)")
    daemon.wait_said(GONE[database.server.product])
    database.server.execute(BACK[database.server.product])
    wait_until(lambda: database.sql("SELECT MAX(id) FROM t") == [(501,)] or not daemon.running, 30, "the changes")
    daemon.kill()
    cdcd("run", *words, "--until", "caught-up").wait(0)
    assert_same(source_db, database, ["t"])
    database.server.execute(f"SET GLOBAL {LIMIT[database.server.product]} = 100000")
    source_db.sql("INSERT INTO t SELECT n, repeat('x', 1000), 0 FROM generate_series(1000, 1999) n")
    assert LIMIT[database.server.product] in cdcd("run", *words, "--until", "caught-up").wait(None)


@pytest.mark.timeout(120)
def test_out_of_a_cluster(database: MySQLDatabase, target_db: Database, cdcd: Callable[..., Daemon]) -> None:
    """Its log names transactions by the cluster, and tells in between who belongs to it."""
    database.sql("CREATE TABLE t (id int PRIMARY KEY AUTO_INCREMENT, v varchar(9))")
    database.sql("INSERT INTO t (v) VALUES ('a'), ('b')")
    words = ["run", "--from", database.url, "--to", target_db.url, "--name", database.name]
    daemon = cdcd(*words)
    daemon.wait_said("stream started")
    database.sql("INSERT INTO t (v) VALUES ('c')", "UPDATE t SET v = 'd' WHERE v = 'a'")
    database.server.execute(AWAY[database.server.product])
    database.server.execute(BACK[database.server.product])
    wait_until(lambda: _written(database), what="the node to be back")
    there = f"SELECT id, v FROM {database.name}.t ORDER BY id"
    wait_until(lambda: target_db.sql(there) == database.sql("SELECT id, v FROM t ORDER BY id"), 30, "the changes")
    assert daemon.running
    daemon.kill()
    database.sql("DELETE FROM t WHERE v = 'b'")
    cdcd(*words, "--until", "caught-up").wait(0)
    assert target_db.sql(there) == database.sql("SELECT id, v FROM t ORDER BY id")


def _written(database: MySQLDatabase) -> bool:
    try:
        database.sql("INSERT INTO t (v) VALUES ('back')")
    except pymysql.err.MySQLError:
        return False
    return True
