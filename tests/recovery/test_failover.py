"""The source, or the target, is lost and its standby promoted: nothing is lost, or a stop says what is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest

from tests.crash.workload import FILL, SCHEMA, TABLES, Workload, steady
from tests.fix_daemon import Daemon
from tests.met.pair import Pair
from tests.met.test_stops import stopped
from tests.servers import Database, Postgres, make_roles
from tests.servers.database import make_source, make_target
from tests.servers.roles import TARGET
from tests.servers.standby import SLOT, standby_of
from tests.waiting import wait_until

T = "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 100)"
MORE = "INSERT INTO t SELECT max(id) + 1 FROM t"
CHANGE = "UPDATE accounts SET balance = balance + 1 WHERE id = 1"


@contextmanager
def primary() -> Iterator[Postgres]:
    with Postgres.start(18) as server:
        make_roles(server)
        yield server


def either(database: Database, *servers: Postgres) -> str:
    """The URL that finds the primary among these."""
    one = f"{servers[0].host}:{servers[0].port}"
    hosts = ",".join(f"{server.host}:{server.port}" for server in servers)
    url = replace(database, server=servers[0]).url
    assert one in url
    return f"{url.replace(one, hosts)}?target_session_attrs=read-write"


def wait_kept(standby: Postgres, pair: Pair, change: str) -> None:
    """Until the standby would have the slot after a promotion: it takes over a slot that moves."""
    text = "SELECT synced AND NOT temporary AND NOT conflicting FROM pg_replication_slots WHERE slot_name = %s"

    def kept() -> bool:
        pair.source.sql(change)
        pair.source.admin("SELECT pg_log_standby_snapshot()")
        return standby.execute(text, pair.slot) == [(True,)]

    wait_until(kept, 30, "the slot on the standby", every=0.2)


@pytest.mark.failure("PG-04")
@pytest.mark.timeout(180)
def test_a_pipeline_goes_on_from_the_promoted_standby(
    target_db: Database, cdcd: Callable[..., Daemon]
) -> None:
    """Without a restart of ours; and from the next one, which is made from the first: there and back."""
    with ExitStack() as ends:
        first = ends.enter_context(primary())
        source = make_source(first)
        source.sql(SCHEMA + FILL)
        second = ends.enter_context(standby_of(first))
        first.execute("ALTER SYSTEM SET synchronized_standby_slots = %s", SLOT)
        first.reload()
        pair = Pair(source, target_db, cdcd, either(source, first, second))
        daemon = pair.follow("--failover")
        assert not daemon.said("PG-FAILOVER-AHEAD")
        wait_kept(second, pair, CHANGE)
        with Workload(source) as workload:
            steady(workload, 50)
            first.kill()
            second.promote()
            workload.stop()
        source = replace(source, server=second)
        second.execute("ALTER SYSTEM RESET synchronized_standby_slots")
        second.reload()
        daemon.wait_said("has failed over", 60)
        with Workload(source, seed=2) as workload:
            steady(workload, 50)
            workload.stop()
        pair = replace(pair, source=source)
        pair.wait_equal(*TABLES)
        daemon.stop()
        pair.run("--failover")  # from a checkpoint that only the new timeline's history holds

        third = ends.enter_context(standby_of(second))
        daemon = replace(pair, source_url=either(source, second, third)).follow("--failover")
        wait_kept(third, pair, CHANGE)
        daemon.stop()
        second.stop()
        third.promote()
        pair = replace(pair, source=replace(source, server=third), source_url="")
        pair.source.sql("UPDATE accounts SET balance = balance - 2")
        pair.run("--failover")
        pair.equal(*TABLES)
        third.drop_slots(source.name)


@pytest.mark.failure("PG-04", "PG-26", "PG-28", "SN-12", "SN-13")
@pytest.mark.timeout(120)
def test_a_standby_without_the_slot_or_behind_us_is_a_named_stop(
    target_db: Database, target_on: Callable[..., Database], cdcd: Callable[..., Daemon]
) -> None:
    with primary() as first:
        kept, left = make_source(first), make_source(first)
        ahead = Pair(kept, target_db, cdcd)
        without = Pair(left, target_on(target_db.server), cdcd)
        for pair in (ahead, without):
            pair.source.sql(T)
        with standby_of(first) as second:
            without.run()
            daemon = ahead.follow("--failover")
            assert daemon.said("PG-FAILOVER-AHEAD")
            wait_kept(second, ahead, MORE)
            daemon.stop()
            second.stop()
            kept.sql(MORE)
            ahead.run("--failover")
            held = kept.sql("SELECT count(*) FROM t")
            first.stop()
            second.launch()
            waiting = replace(ahead, source=replace(kept, server=second))
            waiting.run("--failover", "--patience", "0", code=1)  # not promoted yet: that may come
            anew = replace(waiting, target=target_on(target_db.server))
            stopped(anew.run(code=3), "[PG-STANDBY]")  # nothing is copied from a standby
            second.promote()
            stopped(waiting.run("--failover", code=6), "another history", "timeline", "cdcd validate")
            stopped(
                replace(without, source=replace(left, server=second)).run(code=6),
                "slot is gone", "standby without it was promoted", "failover = true",
            )
            assert target_db.sql("SELECT count(*) FROM t") == held


@contextmanager
def target_with_standby() -> Iterator[tuple[Database, Postgres, Postgres]]:
    """A target, its server and that one's standby; the role may see what the standby has."""
    with primary() as first:
        first.execute(f"GRANT pg_read_all_stats TO {TARGET}")
        target = make_target(first)
        with standby_of(first) as second:
            yield target, first, second


@pytest.mark.failure("T-PO-5")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("after", ["replicated", "flushed"])
def test_a_target_that_fails_over(source_db: Database, cdcd: Callable[..., Daemon], after: str) -> None:
    """The promoted standby lacks the last changes: nobody was told that they were safe, or the stop says that."""
    source_db.sql(T)
    with target_with_standby() as (target, first, second):
        pair = Pair(source_db, target, cdcd, target_url=either(target, first, second))
        daemon = pair.follow("--acknowledge-after", after)
        wait_until(lambda: second.execute("SELECT count(*) FROM t", database=target.name) == [(100,)], 20, "the copy")
        second.stop()
        before = pair.confirmed()
        source_db.sql(MORE)
        wait_until(lambda: target.sql("SELECT count(*) FROM t") == [(101,)], 20, "the change at the target")
        if after == "flushed":
            wait_until(lambda: pair.confirmed() > before, 20, "the source to be told")
        daemon.stop()
        assert (pair.confirmed() > before) == (after == "flushed")
        first.kill()
        second.launch()
        second.promote()
        pair = replace(pair, target=replace(target, server=second))
        if after == "flushed":
            stopped(pair.run(code=6), "moved past the checkpoint")
        else:
            pair.run()
            pair.equal("public.t")


def test_who_may_not_see_the_standbys_cannot_wait_for_them(
    source_db: Database, target_db: Database, cdcd: Callable[..., Daemon]
) -> None:
    source_db.sql(T)
    daemon = Pair(source_db, target_db, cdcd).run("--acknowledge-after", "replicated", code=3)
    assert "GRANT pg_read_all_stats TO" in daemon.text()
