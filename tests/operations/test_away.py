"""Servers that are away: a daemon goes on trying, with pauses that grow, and holds nothing meanwhile."""

from __future__ import annotations

import time

import pytest

from tests.crash.following import Cdcd, arrives, words
from tests.servers import Database
from tests.servers.proxy import Proxy
from tests.waiting import wait_until

AWAY = 10.0


@pytest.mark.parametrize("away", ["source", "target"])
@pytest.mark.failure("OP-09")
def test_a_daemon_goes_on_trying_with_pauses_that_grow(
    source_db: Database, target_db: Database, source_proxy: Proxy, target_proxy: Proxy, cdcd: Cdcd, away: str
) -> None:
    """Pauses of 0.5, 1, 2, 4 s and more, each cut by up to a half: in ten seconds four to eight attempts."""
    source_db.sql("CREATE TABLE t (id int PRIMARY KEY)")
    proxy, other = (source_proxy, target_db) if away == "source" else (target_proxy, source_db)
    urls = {"source_url": source_proxy.url(source_db.url), "target_url": target_proxy.url(target_db.url)}
    daemon = cdcd(*words(source_db, target_db, **urls))
    daemon.wait_said("stream started")
    proxy.refuse()
    proxy.cut()
    began, before = time.monotonic(), proxy.accepted
    sessions = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND starts_with(application_name, 'cdcd/')"
    wait_until(lambda: daemon.text().count("trying again") >= 4, what="some attempts")
    wait_until(lambda: other.admin(sessions, other.name) == [], 5, "the sessions at the other end to be closed")
    wait_until(lambda: time.monotonic() - began > AWAY, AWAY + 1, "the time to pass")
    attempts = proxy.accepted - before
    assert daemon.running
    assert 3 <= attempts <= 20, f"{attempts} connections in {AWAY:g} s"
    assert daemon.text().count("trying again") <= 8
    proxy.refuse(False)
    arrives(daemon, source_db, target_db, "INSERT INTO t VALUES (1)", "SELECT 1 FROM t", 40)
    daemon.stop()


@pytest.mark.failure("OP-09")
def test_what_cannot_be_mended_by_trying_is_not_tried_again(
    source_db: Database, target_db: Database, source_proxy: Proxy, cdcd: Cdcd
) -> None:
    """The slot is gone: one look, and the end."""
    source_db.sql("CREATE TABLE t (id int PRIMARY KEY)")
    cdcd(*words(source_db, target_db, "--until", "caught-up")).wait(0)
    source_db.server.drop_slots(source_db.name)
    daemon = cdcd(*words(source_db, target_db, source_url=source_proxy.url(source_db.url)))
    told = daemon.wait(6)
    assert "trying again" not in told
    assert source_proxy.accepted <= 6
