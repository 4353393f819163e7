"""Two processes that want one pipeline: who takes over, who waits, who is fenced."""

from __future__ import annotations

import re
import time

import pytest

from tests.crash.following import Cdcd, arrives, filled, settled, words
from tests.crash.workload import Workload, steady
from tests.servers import Database
from tests.servers.proxy import Direction, Message, Proxy
from tests.waiting import wait_until

SILENCE = 8.0
"""Longer than the five seconds between two beats of an owner."""


def _is_commit(message: Message) -> bool:
    return bool(message.sql and re.search(r"UPDATE cdcd\.checkpoints.*COMMIT", message.sql, re.DOTALL))


@pytest.mark.failure("PO-06")
def test_a_second_daemon_takes_over(source_db: Database, target_db: Database, cdcd: Cdcd) -> None:
    """In the load's or the stream's middle; the first ends with 6, and the second is not disturbed by it."""
    source = filled(source_db)
    with Workload(source) as workload:
        first = cdcd(*words(source, target_db))
        first.wait_said("consistent")
        steady(workload, 20)
        second = cdcd(*words(source, target_db))
        told = first.wait(6, 30)
        assert "another process has taken over this pipeline" in told
        second.wait_said("stream started")
        steady(workload, 20)
        workload.stop()
    settled(cdcd, second, source, target_db)


@pytest.mark.failure("PO-06")
def test_a_standby_waits_and_takes_over(source_db: Database, target_db: Database, cdcd: Cdcd) -> None:
    """It touches nothing while the owner lives, idle or not; after its SIGKILL it goes on from the same place."""
    source = filled(source_db)
    first = cdcd(*words(source, target_db))
    first.wait_said("consistent")
    standby = cdcd(*words(source, target_db, "--standby", "--standby-seconds", str(SILENCE)))
    standby.wait_said("standing by")
    began = time.monotonic()
    with Workload(source) as workload:
        epoch = target_db.sql("SELECT epoch FROM cdcd.epochs")
        seen = target_db.sql("SELECT counter FROM cdcd.seen")[0][0]
        wait_until(
            lambda: target_db.sql("SELECT counter FROM cdcd.seen")[0][0] >= seen + 3, 60, "three beats of the owner"
        )
        assert time.monotonic() - began > SILENCE
        assert first.running and not standby.said("claimed")
        assert target_db.sql("SELECT epoch FROM cdcd.epochs") == epoch
        killed = time.monotonic()
        first.kill()
        standby.wait_said("stream started", 40)
        assert time.monotonic() - killed > SILENCE - 6, "it did not wait"
        steady(workload, 20)
        workload.stop()
    settled(cdcd, standby, source, target_db)


@pytest.mark.failure("PO-06")
def test_a_frozen_daemon_wakes_after_another_took_over(
    source_db: Database, target_db: Database, target_proxy: Proxy, cdcd: Cdcd
) -> None:
    """Frozen in an open target transaction, its COMMIT already on the way; what it had open is gone, exit 6."""
    source = filled(source_db)
    first = cdcd(*words(source, target_db, target_url=target_proxy.url(target_db.url)))
    first.wait_said("consistent")
    with Workload(source) as workload:
        steady(workload, 20)
        held = target_proxy.hold(Direction.TO_SERVER, _is_commit)
        held.wait()
        first.pause()
        mine = target_db.admin(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND state = 'idle in transaction'", target_db.name
        )
        assert mine == [(1,)], "no transaction of the frozen one is open"
        second = cdcd(*words(source, target_db))
        second.wait_said("stream started", 40)
        steady(workload, 20)
        target_proxy.clear()
        held.release()
        first.resume()
        told = first.wait(6, 40)
        assert "another process has taken over this pipeline" in told
        steady(workload, 20)
        workload.stop()
    assert second.running
    settled(cdcd, second, source, target_db)


@pytest.mark.failure("PO-06")
def test_two_daemons_started_at_once(source_db: Database, target_db: Database, cdcd: Cdcd) -> None:
    """On nothing yet: one of them becomes the owner, the other ends with 6; one slot, one copy."""
    source = filled(source_db)
    arguments = words(source, target_db)
    both = [cdcd(*arguments), cdcd(*arguments)]
    wait_until(lambda: sum(one.running for one in both) == 1, 60, "one of the two to end")
    owner, other = (both[0], both[1]) if both[0].running else (both[1], both[0])
    other.wait(6)
    owner.wait_said("consistent")
    arrives(owner, source, target_db, "INSERT INTO seats VALUES (900, 'a')", "SELECT 1 FROM seats WHERE id = 900")
    assert source.server.slots(source.name) == [f"cdcd_{source.name}"]
    settled(cdcd, owner, source, target_db)
