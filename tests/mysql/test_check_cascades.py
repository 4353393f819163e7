"""Foreign keys whose work is in no log are told before anything starts, on both products."""

from __future__ import annotations

from contextlib import closing

from connectors.mysql.source import MysqlSource
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
    assert len(found) == (2 if mariadb else 0)
    wanted = [f"{mysql_db.name}.ch ", f"{mysql_db.name}.n ", "FOREIGN KEY `c`", "FOREIGN KEY `u`"]
    assert not mariadb or all(words in told for words in wanted)
