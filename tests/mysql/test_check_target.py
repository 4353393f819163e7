"""What a check finds at a target: each provoked on a real server, and none of it on one where nothing is wrong."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pymysql
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


def column(name: str, number: int, family: str, native: str, **more: Any) -> Column:
    return Column(name, number, LogicalType(family, **more), native)


WIDE = Table(
    "app", "wide", (
        column("id", 1, "int64", "bigint"), column("cents", 2, "decimal", "numeric(12,4)", precision=12, scale=4),
        column("at", 3, "timestamp", "timestamp"), column("name", 4, "text", "varchar(40)", length=40),
        column("weight", 5, "float64", "double precision"), column("fits", 6, "int32", "integer"),
        column("must", 7, "int32", "integer"),
    ), (), oid=3,
)  # fmt: skip


@pytest.mark.parametrize("product", ["mysql", "mariadb"])
def test_columns_that_hold_less(
    product: str, mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase]
) -> None:
    """What the server would alter without a word is an error, which the server shows; what it refuses is a warning."""
    database = mysql_on(mysql_servers(product, "target"), "app")

    def found(*tables: Table) -> dict[str, set[str]]:
        ids: dict[str, set[str]] = {}
        with closing(MysqlSink(lambda: database.target_url, "check")) as sink:
            for one in sink.check(tables):
                ids.setdefault(one.id, set()).add(one.message.partition(":")[0].rpartition(".")[2])
        return ids

    database.sql(
        "CREATE TABLE wide (id int, cents decimal(12,2), at datetime(3), name char(60), weight float, fits bigint,"
        " must int NOT NULL)",
        "INSERT INTO wide VALUES (1, 1.2349, '2024-01-01 00:00:00.00049', 'a ', 0.1234567890123, 1, 1)",
    )
    ((cents, at, name, weight),) = database.sql("SELECT cents, at, name, weight FROM wide")
    assert (str(cents), at.microsecond, name) == ("1.23", 0, "a") and weight != 0.1234567890123
    told = found(WIDE)
    assert told["MT-LOSES"] == {"cents", "at", "name", "weight"} and told["MT-NARROW"] == {"id", "must"}
    database.sql(
        "DROP TABLE wide", "CREATE TABLE wide (id bigint, cents decimal(14,4), at datetime(6), name varchar(40),"
        " weight double, fits bigint, must int)",
    )  # fmt: skip
    assert found(WIDE).keys().isdisjoint({"MT-LOSES", "MT-NARROW"})
    texts = tuple(column(f"c{n}", n, "text", "varchar(255)", length=255) for n in range(1, 301))
    many = Table("app", "many", texts, tuple(one.name for one in texts[:70]), oid=4)
    named = Table("app", "names", (column("a ", 1, "int32", "integer"), column("😀", 2, "int32", "integer")), (), oid=5)
    told = found(many, named)
    assert len(told["MT-ROW"]) == 1 and len(told["MT-NAME"]) == 1
    wide = ", ".join(f"c{n} varchar(255)" for n in range(1, 71))
    for refused in (f"CREATE TABLE many ({wide})", "CREATE TABLE names (`a ` int)"):
        with pytest.raises(pymysql.err.Error):
            database.sql(refused)
    try:
        database.sql("CREATE TABLE names (`😀` int)")
    except pymysql.err.Error:
        return
    assert database.sql("SHOW COLUMNS FROM names")[0][0] != "😀"
