"""What a check finds at a target: each provoked on a real server, and none of it on one where nothing is wrong."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest

from cdcd.model.table import Column, Table
from cdcd.model.types import LogicalType
from connectors.mysql.sink import MysqlSink
from tests.servers.mysql import MySQL
from tests.servers.mysql_database import MySQLDatabase
from tests.servers.roles import TARGET

CODE = Column("code", 1, LogicalType("text", length=20), "character varying(20)", 1043, nullable=False)
TABLE = Table("app", "t", (CODE,), ("code",), oid=1, primary=("code",))
OWN = {
    "mysql": {"sql_require_primary_key": (1, 0, "MT-KEYLESS")}, "mariadb": {"read_only": (1, 0, "MT-READ-ONLY")},
}  # fmt: skip
"""Settings of one product: wrong, right, and what is found."""

KEYLESS = Table("app", "lines", (CODE,), (), oid=2)


@pytest.mark.failure("T-MT-11", "T-MT-15")
@pytest.mark.parametrize("product", ["mysql", "mariadb"])
def test_what_is_wrong_is_found(
    product: str, mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase]
) -> None:
    server = mysql_servers(product, "target")
    database = mysql_on(server, "app")

    def found(*tables: Table) -> set[str]:
        with closing(MysqlSink(lambda: database.target_url, "check")) as sink:
            return {finding.id for finding in sink.check(tables)}

    usual = {"MT-DURABLE"}  # the tests' servers do not flush
    server.execute("SET GLOBAL local_infile = 1")
    assert found(TABLE, KEYLESS) == usual
    bad = "CREATE TABLE t (code varchar(20) COLLATE utf8mb4_general_ci PRIMARY KEY)"
    database.sql(bad)
    server.execute(f"REVOKE TRIGGER ON app.* FROM {TARGET}@'%'")
    assert found(TABLE) == usual | {"MT-KEY", "MT-BLIND"}
    server.execute(f"GRANT TRIGGER ON app.* TO {TARGET}@'%'")
    database.sql("ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "ALTER TABLE t ENGINE = MyISAM")
    database.admin("CREATE TRIGGER fires BEFORE INSERT ON t FOR EACH ROW SET NEW.code = 'x'")
    assert found(TABLE) == usual | {"MT-ENGINE", "MT-TRIGGER"}
    database.sql("DROP TABLE t", "CREATE TABLE t (code varchar(20) COLLATE utf8mb4_bin PRIMARY KEY)")
    server.execute(f"REVOKE DELETE ON app.* FROM {TARGET}@'%'")
    settings = {
        "local_infile": (0, 1, "MT-LOAD"), "max_allowed_packet": (16 << 20, 256 << 20, "MT-PACKET"), **OWN[product],
    }  # fmt: skip
    try:
        for name, (wrong, _, _) in settings.items():
            server.execute(f"SET GLOBAL {name} = {wrong}")
        assert found(TABLE, KEYLESS) == usual | {"MT-RIGHTS"} | {id for _, _, id in settings.values()}
    finally:
        for name, (_, right, _) in settings.items():
            server.execute(f"SET GLOBAL {name} = {right}")
        server.execute(f"GRANT DELETE ON app.* TO {TARGET}@'%'")
    server.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 1")
    server.execute("SET GLOBAL sync_binlog = 1")
    try:
        assert found(TABLE) == set()
    finally:
        server.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 2")
        server.execute("SET GLOBAL sync_binlog = 0")
