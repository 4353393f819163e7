"""What a check finds at a source: each provoked on a real server, and none of it on one where nothing is wrong."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing

import pytest

from cdcd.contracts import Finding
from cdcd.errors import Stopped
from connectors.mysql.check_log import check_retention
from connectors.mysql.source import MysqlSource
from tests.mysql.test_snapshots import read, taken
from tests.mysql.test_source_stream import reading, setting
from tests.servers.mysql import MySQL
from tests.servers.mysql_database import MySQLDatabase


def found(database: MySQLDatabase) -> dict[str, Finding]:
    with closing(MysqlSource(database.url, database.name)) as source:
        return {one.id: one for one in source.check(source.tables())}


@pytest.fixture(params=["mysql", "mariadb"])
def odd(
    request: pytest.FixtureRequest, mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase]
) -> MySQLDatabase:
    """On a server that does not log what it replicates."""
    updates = {"mysql": "log-replica-updates", "mariadb": "log-slave-updates"}[request.param]
    return mysql_on(mysql_servers(request.param, "odd", **{updates: "OFF"}))


def test_what_the_log_lacks_is_found(odd: MySQLDatabase) -> None:
    server, mysql = odd.server, odd.server.product == "mysql"
    odd.sql("CREATE TABLE t (id int PRIMARY KEY, b longblob)", "INSERT INTO t VALUES (1, REPEAT('x', 20000000))")
    odd.sql("ANALYZE TABLE t")
    assert not found(odd)
    changing = "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = 1"
    server.execute(changing if mysql else "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = 1")
    if not mysql:  # which shows no more to this user than that it applies
        server.execute("START SLAVE SQL_THREAD")
    try:
        assert found(odd).keys() == {"MY-REPLICA"}
    finally:
        server.execute(f"STOP {'REPLICA' if mysql else 'SLAVE'}")
        server.execute(f"RESET {'REPLICA' if mysql else 'SLAVE'} ALL")
    with setting(odd, "binlog_format", "MIXED"):
        assert found(odd).keys() == {"MY-FORMAT"}
    with setting(odd, "binlog_expire_logs_seconds", 3600):
        assert found(odd).keys() == {"MY-RETENTION"}
    with setting(odd, "binlog_expire_logs_seconds", 7):
        (told,) = found(odd).values()
    assert (told.id, told.level, told.of_load) == ("MY-RETENTION-LOAD", "error", True)
    assert "binlog_expire_logs_seconds = 7" in told.evidence and " 4 MB a second" in told.evidence
    server.execute(told.mend)
    assert not found(odd)


def test_how_long_a_log_is_kept() -> None:
    """By settings of servers that are not at hand: the largest load that is let pass, and one more."""
    cases: tuple[tuple[dict[str, str], dict[str, int], int], ...] = (
        ({"expire_logs_days": "2"}, {}, 345600),
        ({"binlog_expire_logs_seconds": "100", "expire_logs_days": "0"}, {}, 200),
        ({"max_binlog_total_size": "1000000"}, {"Uptime": 100, "Binlog_bytes_written": 1000000}, 200),
        ({"binlog_expire_logs_seconds": "172800", "max_binlog_total_size": "9000"},
         {"Uptime": 10, "Binlog_bytes_written": 90}, 2000),
    )  # fmt: skip
    for settings, status, megabytes in cases:
        less, more = (list(check_retention(settings, status, size << 20)) for size in (megabytes, megabytes + 4))
        assert "MY-RETENTION-LOAD" not in {one.id for one in less}
        loading = next(one for one in more if one.id == "MY-RETENTION-LOAD" and one.of_load)
        assert loading.mend.startswith("SET GLOBAL ") and loading.evidence
    assert not list(check_retention({}, {}, 1 << 50))
    off = {"binlog_expire_logs_seconds": "1", "binlog_expire_logs_auto_purge": "OFF"}
    assert not list(check_retention(off, {}, 1 << 50))
    (told,) = check_retention({"basedir": "/rdsdbbin/mysql-8.4.3.R1/"}, {}, 1 << 50)
    assert (told.id, told.level) == ("MY-MANAGED", "warning") and "rds_set_configuration" in told.mend


def test_a_document_that_is_larger_than_the_server_sends(odd: MySQLDatabase) -> None:
    """MySQL gives NULL for it, with a warning: the copy stops. Other values come whatever their size, and the log's."""
    odd.sql("CREATE TABLE t (id int PRIMARY KEY, j json, b longblob)")
    with reading(odd) as reader:
        odd.sql("INSERT INTO t VALUES (1, JSON_ARRAY(REPEAT('x', 3000000)), REPEAT('y', 3000000))")
    with setting(odd, "max_allowed_packet", 1 << 20):
        told = found(odd)
        with taken(odd) as (source, snapshot):
            if odd.server.product == "mysql":
                assert told.keys() == {"MY-PACKET"}
                with pytest.raises(Stopped, match="max_allowed_packet"):
                    read(source, snapshot)
            else:
                assert not told
                assert [len(str(value)) for value in read(source, snapshot)[0]] == [1, 3000004, 3000003]
        with reading(odd, checkpoint=reader.checkpoint) as again:
            ((_, _, row),) = again.events()
            assert len(row[1]) == 3000004 and len(row[2]) >= 3000000


def test_rights_are_tried(mysql_db: MySQLDatabase) -> None:
    """Those that a revoke took back in part, too (MySQL's partial_revokes)."""
    server, mysql = mysql_db.server, mysql_db.server.product == "mysql"
    mysql_db.sql("CREATE TABLE t (id int PRIMARY KEY)")
    with ExitStack() as until:
        if mysql:
            until.enter_context(setting(mysql_db, "partial_revokes", "ON"))
        name = until.enter_context(mysql_db.user(f"INSERT ON `{mysql_db.name}`.*"))
        url = server.url(mysql_db.name, name, "secret")

        def lacking() -> set[str]:
            with closing(MysqlSource(url, name)) as source:
                return {one.id for one in source.check(source.tables()) if one.level == "error"}

        assert lacking() == {"MY-SELECT", "MY-CLIENT", "MY-REPLICATION"}
        server.execute(f"GRANT REPLICATION CLIENT, REPLICATION SLAVE ON *.* TO {name}")
        everywhere = "*.*" if mysql else f"{mysql_db.name}.*"
        server.execute(f"GRANT SELECT, LOCK TABLES ON {everywhere} TO {name}")
        assert lacking() == set()
        if mysql:
            server.execute(f"REVOKE SELECT ON `{mysql_db.name}`.* FROM {name}")
            assert lacking() == {"MY-SELECT"}
