"""SIGTERM and Ctrl-C: out within ten seconds with 0, whatever runs, and nothing is lost by it."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable

import pytest

from tests.crash.following import Cdcd, words
from tests.equality import assert_equal
from tests.fix_daemon import Daemon
from tests.servers import Database
from tests.servers.proxy import Direction, Message, Proxy
from tests.waiting import wait_until

pytestmark = pytest.mark.failure("OP-10")

MOST = 10.0

ROWS = "INSERT INTO t SELECT i, repeat(md5(i::text), 40) FROM generate_series(1, 20000) i"


@pytest.fixture
def source(source_db: Database) -> Database:
    source_db.sql("CREATE TABLE t (id int PRIMARY KEY, body text)")
    return source_db


def _left(daemon: Daemon, number: signal.Signals = signal.SIGTERM) -> str:
    """Told to go, it goes in time."""
    began = time.monotonic()
    daemon.process.send_signal(number)
    told = daemon.wait(0, MOST + 5)
    assert time.monotonic() - began < MOST
    return told


def _goes_on(cdcd: Cdcd, source: Database, target: Database) -> None:
    """The next run has all of it."""
    cdcd(*words(source, target, "--until", "caught-up")).wait(0, 60)
    assert_equal(source, target, ["public.t"])


def _says(pattern: str) -> Callable[[Message], bool]:
    return lambda message: bool(message.sql and re.search(pattern, message.sql))


def _is_data(message: Message) -> bool:
    return message.kind == "d" and len(message.raw) > 1000


@pytest.mark.parametrize("silent", ["source", "target"])
def test_in_a_copy_whose_other_end_is_silent(
    source: Database, target_db: Database, source_proxy: Proxy, target_proxy: Proxy, cdcd: Cdcd, silent: str
) -> None:
    """No answer comes any more, and no connection ends."""
    source.sql(ROWS)
    proxy = source_proxy if silent == "source" else target_proxy
    way = Direction.TO_CLIENT if silent == "source" else Direction.TO_SERVER
    copying = proxy.hold(way, _is_data)
    urls = {"source_url": source_proxy.url(source.url), "target_url": target_proxy.url(target_db.url)}
    daemon = cdcd(*words(source, target_db, **urls))
    copying.wait()
    proxy.silence()
    _left(daemon)
    proxy.cut()
    proxy.clear()
    assert target_db.sql("SELECT count(*) FROM t") == [(0,)]
    _goes_on(cdcd, source, target_db)


def test_in_a_huge_row(source: Database, target_db: Database, target_proxy: Proxy, cdcd: Cdcd) -> None:
    """Sixty megabytes in one value, on their way to the target."""
    daemon = cdcd(*words(source, target_db, target_url=target_proxy.url(target_db.url)))
    daemon.wait_said("consistent")
    moving = target_proxy.hold(Direction.TO_SERVER, _is_data)
    source.sql("INSERT INTO t VALUES (1, repeat('0123456789', 6000000))")
    moving.wait(60)
    _left(daemon)
    target_proxy.clear()
    assert target_db.sql("SELECT count(*) FROM t") == [(0,)]
    _goes_on(cdcd, source, target_db)


def test_in_a_huge_transaction(source: Database, target_db: Database, target_proxy: Proxy, cdcd: Cdcd) -> None:
    """Half of it is at the target, in an open transaction: rolled back, and done again from its beginning."""
    daemon = cdcd(
        *words(source, target_db, "--group-bytes", "1MB", target_url=target_proxy.url(target_db.url))
    )
    daemon.wait_said("consistent")
    third = target_proxy.hold(Direction.TO_SERVER, _third_piece())
    source.sql(ROWS)
    third.wait(60)
    _left(daemon)
    target_proxy.clear()
    assert target_db.sql("SELECT count(*) FROM t") == [(0,)]
    _goes_on(cdcd, source, target_db)


def _third_piece() -> Callable[[Message], bool]:
    seen = 0

    def third(message: Message) -> bool:
        nonlocal seen
        seen += bool(message.sql and "RELEASE SAVEPOINT bulk" in message.sql)
        return seen == 3

    return third


def test_while_the_slot_waits_behind_an_open_transaction(source: Database, target_db: Database, cdcd: Cdcd) -> None:
    """A half-made slot is not left behind either."""
    source.sql(ROWS)
    writer = source.connect()
    with writer.cursor() as cursor:
        cursor.execute("BEGIN; INSERT INTO t VALUES (0, 'open')")
        daemon = cdcd(*words(source, target_db))
        wait_until(
            lambda: source.admin("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'CREATE_REPLICATION_SLOT%'"
                                 " AND datname = current_database() AND wait_event_type = 'Lock'"),
            what="the slot's creation to wait",
        )
        _left(daemon)
        cursor.execute("COMMIT")
    writer.close()
    wait_until(lambda: source.server.slots(source.name) == [], what="the half-made slot to go")
    _goes_on(cdcd, source, target_db)


@pytest.mark.parametrize("away", ["source", "target"])
def test_while_a_server_is_away(
    source: Database, target_db: Database, source_proxy: Proxy, target_proxy: Proxy, cdcd: Cdcd, away: str
) -> None:
    """Connections are accepted, and nothing ever answers."""
    proxy = source_proxy if away == "source" else target_proxy
    proxy.silence()
    urls = {"source_url": source_proxy.url(source.url), "target_url": target_proxy.url(target_db.url)}
    daemon = cdcd(*words(source, target_db, **urls))
    wait_until(lambda: proxy.accepted, what="the daemon to try")
    _left(daemon)


def test_ctrl_c_while_it_streams(source: Database, target_db: Database, cdcd: Cdcd) -> None:
    """As SIGTERM; the slot stays and nobody holds it."""
    source.sql(ROWS)
    daemon = cdcd(*words(source, target_db))
    daemon.wait_said("consistent")
    _left(daemon, signal.SIGINT)
    slot = "SELECT active FROM pg_replication_slots WHERE slot_name = %s"
    wait_until(lambda: source.admin(slot, f"cdcd_{source.name}") == [(False,)], what="the slot to be free")
    _goes_on(cdcd, source, target_db)


def test_a_second_signal_ends_it_at_once(
    source: Database, target_db: Database, target_proxy: Proxy, cdcd: Cdcd
) -> None:
    """Where the first one still waits for an end that does not answer."""
    source.sql(ROWS)
    copying = target_proxy.hold(Direction.TO_SERVER, _is_data)
    daemon = cdcd(*words(source, target_db, target_url=target_proxy.url(target_db.url)))
    copying.wait()
    daemon.pause()
    began = time.monotonic()
    daemon.process.terminate()
    daemon.process.send_signal(signal.SIGINT)
    daemon.resume()
    daemon.wait(0, MOST)
    assert time.monotonic() - began < 2
    target_proxy.clear()
    _goes_on(cdcd, source, target_db)
