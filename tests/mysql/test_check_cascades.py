"""Foreign keys whose work is in no log are told before anything starts, on both products."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest

from connectors.mysql.source import MysqlSource
from tests.fix_daemon import Daemon
from tests.servers import Database
from tests.servers.mysql import MySQL
from tests.servers.mysql_database import MySQLDatabase


def test_rows_that_foreign_keys_change_unseen(mysql_db: MySQLDatabase) -> None:
    """MariaDB logs the parent's row alone; MySQL 9.7 the children's too, so there is nothing to tell."""
    mysql_db.sql(
        "CREATE TABLE p (id int PRIMARY KEY)",
        "CREATE TABLE quiet (id int PRIMARY KEY, p int, CONSTRAINT q FOREIGN KEY (p) REFERENCES p (id))",
        "CREATE TABLE ch (id int PRIMARY KEY, p int, CONSTRAINT c FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE)",
        "CREATE TABLE n (id int PRIMARY KEY, p int, CONSTRAINT u FOREIGN KEY (p) REFERENCES p (id) ON UPDATE SET NULL)",
    )
    with closing(MysqlSource(mysql_db.url, mysql_db.name)) as source:
        found = [one for one in source.check(source.tables()) if one.id == "MY-CASCADE"]
        mariadb = source.identity().product == "mariadb"
    told = " ".join(one.message + one.mend for one in found)
    mysql_db.server.needs((9, 6), "foreign keys that are logged")
    assert len(found) == (2 if mariadb else 0)
    wanted = [f"{mysql_db.name}.ch ", f"{mysql_db.name}.n ", "FOREIGN KEY `c`", "FOREIGN KEY `u`"]
    assert not mariadb or all(words in told for words in wanted)


def test_by_what_is_done_about_it(mysql_on: Callable[..., MySQLDatabase], mysql_servers: Callable[..., MySQL]) -> None:
    """Where they are derived, a parent that is not carried is an error, and texts that fold a warning; or all are."""
    database = mysql_on(mysql_servers("mariadb"))
    database.sql(
        "CREATE TABLE p (id int PRIMARY KEY, word varchar(9) UNIQUE)",
        "CREATE TABLE c (id int PRIMARY KEY, p int, CONSTRAINT c FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE)",
        "CREATE TABLE w (id int PRIMARY KEY, word varchar(9), CONSTRAINT w FOREIGN KEY (word) REFERENCES p (word)"
        " ON UPDATE CASCADE)",
    )

    def found(cascades: str, *products: str, but: str = "") -> set[tuple[str, str]]:
        with closing(MysqlSource(database.url, database.name, cascades=cascades, products=products)) as source:
            tables = [table for table in source.tables() if table.name != but]
            return {(one.id, one.level) for one in source.check(tables) if one.id.startswith("MY-CASCADE")}

    assert found("derive", "mysql", "mariadb") == set()
    assert found("derive", "postgresql") == {("MY-CASCADE-TEXT", "warning")}
    assert found("derive", "mysql", "mariadb", but="p") == {("MY-CASCADE-PARENT", "error")}
    assert found("refuse") == {("MY-CASCADE", "error")}
    assert found("") == {("MY-CASCADE", "warning")}


@pytest.mark.timeout(60)
def test_refused(
    mysql_on: Callable[..., MySQLDatabase], mysql_servers: Callable[..., MySQL], target_db: Database,
    run_cdcd: Callable[..., Daemon],
) -> None:  # fmt: skip
    """`run` does not start, and says by which statement it would."""
    source = mysql_on(mysql_servers("mariadb"))
    source.sql(
        "CREATE TABLE p (id int PRIMARY KEY)",
        "CREATE TABLE c (id int PRIMARY KEY, p int, CONSTRAINT c FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE)",
    )
    words = ["run", "--from", source.url, "--to", target_db.url, "--name", source.name, "--cascades", "refuse"]
    said = run_cdcd(*words, code=3).text()
    assert "MY-CASCADE" in said and "DROP FOREIGN KEY `c`" in said
