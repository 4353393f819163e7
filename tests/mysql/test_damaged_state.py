"""Control rows at a MySQL target that are damaged: a named stop, whichever it is; never a guess, and no traceback."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest

from cdcd.engine.ledger import refuse_damaged
from cdcd.errors import StateRefused
from connectors.mysql.position import place_of
from connectors.mysql.sink import MysqlSink
from tests.fix_daemon import Daemon
from tests.servers import Database
from tests.servers.mysql_database import MySQLDatabase

DAMAGES = {
    "DELETE FROM cdcd.checkpoints": "no checkpoint",
    "DELETE FROM cdcd.tables": "no tables",
    "DELETE FROM cdcd.chunks": "missing",
    "UPDATE cdcd.checkpoints SET checkpoint = LEFT(checkpoint, 20)": "cdcd.checkpoints",
    "UPDATE cdcd.checkpoints SET checkpoint = ''": "cdcd.checkpoints",
    "UPDATE cdcd.checkpoints SET checkpoint = '[]'": "cdcd.checkpoints",
    "UPDATE cdcd.checkpoints SET checkpoint = '{}'": "none of ours",
    "UPDATE cdcd.tables SET definition = LEFT(definition, 50)": "cdcd.tables",
    "UPDATE cdcd.tables SET definition = '{}'": "cdcd.tables",
    "UPDATE cdcd.epochs SET source = NULL": "not of which server",
    "UPDATE cdcd.epochs SET source = '{'": "cdcd.epochs",
    "UPDATE cdcd.epochs SET intent = '[]'": "cdcd.epochs",
    "UPDATE cdcd.chunks SET place = '7'": "cdcd.chunks",
    "INSERT INTO cdcd.intents VALUES ((SELECT pipeline FROM cdcd.epochs), '{\"version\"', 0)": "cdcd.intents",
}
CONTROLS = ("epochs", "checkpoints", "tables", "chunks", "intents")


@pytest.mark.failure("PO-07")
def test_a_named_stop(source_db: Database, mysql_db: MySQLDatabase, cdcd: Callable[..., Daemon]) -> None:
    source_db.sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 9)")
    words = ["--from", source_db.url, "--to", mysql_db.target_url, "--name", source_db.name]
    cdcd("run", *words, "--until", "caught-up").wait(0)
    for name in CONTROLS:
        mysql_db.admin(f"CREATE TABLE kept_{name} AS SELECT * FROM cdcd.{name}")
    for damage, said in DAMAGES.items():
        mysql_db.admin(damage)
        with closing(MysqlSink(lambda: mysql_db.target_url, source_db.name, home="public")) as sink:
            with pytest.raises(StateRefused) as told:
                refuse_damaged(sink.claim("test", True), source_db.name)
        assert said in str(told.value), f"{damage}: {told.value!r}"
        for name in CONTROLS:
            mysql_db.admin(f"DELETE FROM cdcd.{name}")
            mysql_db.admin(f"INSERT INTO cdcd.{name} SELECT * FROM kept_{name}")
    with pytest.raises(StateRefused, match="not one of MySQL's"):
        place_of({"lsn": "0/1"}, False)
    mysql_db.admin("UPDATE cdcd.checkpoints SET checkpoint = LEFT(checkpoint, 20)")
    said = cdcd("run", *words, "--until", "caught-up").wait(6)
    assert "cdcd.checkpoints" in said and "Traceback" not in said
    assert mysql_db.sql("SELECT COUNT(*) FROM t") == [(9,)]
