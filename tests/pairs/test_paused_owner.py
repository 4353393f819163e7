"""A daemon that is stopped in the middle of a change to the target's tables, and wakes when another has gone on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fix_daemon import Daemon
from tests.servers.mysql import MySQL
from tests.servers.mysql_database import MySQLDatabase
from tests.servers.proxy import Direction, Message, Proxy
from tests.waiting import wait_until


def _alters(message: Message) -> bool:
    return "ALTER TABLE `" in message.sql


class _BehindTheIntent:
    """What the session that has stored an intent, and committed it, says next."""

    def __init__(self) -> None:
        self._connection = 0
        self._committed = False

    def __call__(self, message: Message) -> bool:
        if "INSERT INTO cdcd.intents" in message.sql:
            self._connection = message.connection
        elif message.connection == self._connection:
            if self._committed:
                return True
            self._committed = message.sql == "COMMIT"
        return False


@pytest.mark.failure("T-MT-6", "PO-06")
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("product", "under_way"), [("mysql", False), ("mariadb", True)])
def test_its_statement_does_not_run(
    product: str, under_way: bool, mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase],
    make_proxy: Callable[..., Proxy], cdcd: Callable[..., Daemon],
) -> None:  # fmt: skip
    """SIGSTOP behind the intent's COMMIT, or with the statement on its way; the other carries it out, and goes on to
    where it would take rows away; SIGCONT."""
    source, target = mysql_on(mysql_servers(product)), mysql_on(mysql_servers(product, "target"))
    proxy = make_proxy(target.server)
    source.sql("CREATE TABLE t (id int PRIMARY KEY, a int)", "INSERT INTO t VALUES (1, 10)")
    words = ("run", "--from", source.url, "--name", source.name, "--to")
    first = cdcd(*words, proxy.url(target.target_url) + "?ssl-mode=DISABLED")
    first.wait_said("consistent")
    trap = proxy.hold(Direction.TO_SERVER, _alters if under_way else _BehindTheIntent())
    source.sql("ALTER TABLE t DROP COLUMN a")
    trap.wait()
    first.pause()
    assert target.sql("SELECT a FROM t") == [(10,)] and target.admin("SELECT made FROM cdcd.intents") == [(0,)]

    second = cdcd(*words, target.target_url)
    source.sql("ALTER TABLE t ADD COLUMN a int NOT NULL DEFAULT 20", "INSERT INTO t VALUES (2, 30)")
    wanted = [(1, 20), (2, 30)]

    def arrived() -> bool:
        columns = "SELECT COUNT(*) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = 't'"
        there = target.admin(columns, target.name) == [(2,)] and second.said("stream started")
        return there and list(target.sql("SELECT id, a FROM t ORDER BY id")) == wanted

    wait_until(lambda: arrived() or not second.running, 60, "the other to go on")
    assert arrived(), second.text()[-3000:]
    first.resume()
    proxy.clear()
    said = first.wait(6)
    assert "claimed" in said and "another" in said
    assert list(target.sql("SELECT id, a FROM t ORDER BY id")) == wanted
    source.sql("INSERT INTO t VALUES (3, 40)")
    wait_until(lambda: target.sql("SELECT a FROM t WHERE id = 3") == [(40,)], what="the other to go on behind it")
    second.stop()
