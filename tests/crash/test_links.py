"""Connections that end, hang or are cut at the worst moment, while the workload runs."""

from __future__ import annotations

import time

import pytest

from connectors.postgres import follow, replication
from tests.crash.following import Cdcd, filled, settled, words
from tests.crash.workload import Workload, steady
from tests.fix_daemon import Daemon
from tests.servers import Database
from tests.servers.proxy import SWALLOW, Direction, Proxy
from tests.traps.running import Running
from tests.waiting import wait_until

ROUNDS = 4


def _tries(daemon: Daemon) -> int:
    return daemon.text().count("trying again")


def _noticed(daemon: Daemon, before: int) -> None:
    wait_until(lambda: _tries(daemon) > before, what="the daemon to notice")


def _started(daemon: Daemon, times: int) -> None:
    wait_until(lambda: daemon.text().count("stream started") >= times, 60, "the stream to start")


def _lines(database: Database) -> int:
    return int(database.sql("SELECT count(*) FROM ledger")[0][0])


def test_our_sessions_are_terminated_again_and_again(source_db: Database, target_db: Database, cdcd: Cdcd) -> None:
    """Each end's in turn, one kind of session or all, as an administrator does."""
    daemon = cdcd(*words(filled(source_db), target_db))
    daemon.wait_said("consistent")
    with Workload(source_db) as workload:
        for number in range(ROUNDS):
            _started(daemon, number + 1)
            steady(workload, 30)
            before = _tries(daemon)
            database = (source_db, target_db)[number % 2]
            ended = database.server.terminate(
                "datname = %s AND starts_with(application_name, 'cdcd/')", database.name
            )
            assert ended >= 1
            _noticed(daemon, before)
        workload.stop()
    settled(cdcd, daemon, source_db, target_db)


@pytest.mark.parametrize("direction", [None, Direction.TO_CLIENT], ids=["both-ways", "answers-only"])
@pytest.mark.parametrize("end", ["source", "target"])
@pytest.mark.failure("OP-01")
def test_an_end_goes_silent_and_comes_back(
    source_db: Database, target_db: Database, source_proxy: Proxy, target_proxy: Proxy, cdcd: Cdcd, end: str,
    direction: Direction | None,
) -> None:  # fmt: skip
    """Nothing is closed, nothing passes. Afterwards the connections go on as they were."""
    source = filled(source_db)
    proxy = source_proxy if end == "source" else target_proxy
    urls = {"source_url": source_proxy.url(source.url), "target_url": target_proxy.url(target_db.url)}
    daemon = cdcd(*words(source, target_db, **urls))
    daemon.wait_said("consistent")
    with Workload(source) as workload:
        steady(workload, 50)
        proxy.silence(direction)
        before = _lines(target_db)
        steady(workload, 300)
        assert _lines(target_db) < before + 150 < _lines(source), "it was not silent"
        assert daemon.running
        proxy.resume()
        steady(workload, 50)
        workload.stop()
    settled(cdcd, daemon, source, target_db)


@pytest.mark.failure("OP-01")
def test_silent_within_a_commit_and_then_cut(
    source_db: Database, target_db: Database, target_proxy: Proxy, cdcd: Cdcd
) -> None:
    """The server has committed, and whoever asked is cut off before it is told."""
    source = filled(source_db)
    daemon = cdcd(*words(source, target_db, target_url=target_proxy.url(target_db.url)))
    daemon.wait_said("consistent")
    with Workload(source) as workload:
        for number in range(ROUNDS):
            _started(daemon, number + 1)
            steady(workload, 30)
            before = _tries(daemon)
            if number % 2:
                target_proxy.cut_at(r"UPDATE cdcd\.checkpoints[\s\S]*COMMIT").wait()
            else:
                target_proxy.drop_answer_of(r"UPDATE cdcd\.checkpoints[\s\S]*COMMIT").wait()
            _noticed(daemon, before)
            target_proxy.clear()
        workload.stop()
    settled(cdcd, daemon, source, target_db)


@pytest.mark.failure("OP-01")
def test_a_stream_that_says_nothing_any_more_is_opened_again(
    source_db: Database, target_db: Database, source_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection stands, other connections to the server work; one that is only idle is left alone."""
    monkeypatch.setattr(follow, "SILENCE", 3.0)
    source = filled(source_db)
    with Running(source, target_db, source_url=source_proxy.url(source.url)) as pipeline:
        pipeline.equal("public.seats")
        source.sql("SELECT pg_sleep(4)")
        assert pipeline.progress.retries == 0, "an idle stream was taken for a dead one"
        heard = source_proxy.on_message(
            Direction.TO_CLIENT, lambda message: SWALLOW if "replication" in message.parameters else None
        )
        source.sql("INSERT INTO seats VALUES (901, 'b')")
        wait_until(lambda: "has said nothing for 3 s" in pipeline.progress.last_error, 15, "the silence to be noticed")
        heard()
        pipeline.equal("public.seats")


@pytest.mark.failure("OP-05", "PG-07")
def test_a_slow_target_does_not_cost_the_connection_to_the_source(
    source_db: Database, target_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trigger at the target sleeps, in a transaction of 200,000 rows, three times as long as the source waits for a
    sign of life."""
    monkeypatch.setattr(replication, "SETTINGS", {"wal_sender_timeout": "3s"})
    source = filled(source_db)
    reader = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s"
    with Running(source, target_db) as pipeline:
        pipeline.streaming().equal("public.seats")
        target_db.sql(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_catalog.pg_sleep(10); RETURN NULL; END $$;"
            "CREATE TRIGGER slow AFTER INSERT ON seats FOR EACH STATEMENT EXECUTE FUNCTION slow()"
        )
        before = source.admin(reader, f"cdcd_{source.name}")
        source.sql(
            "BEGIN; INSERT INTO seats VALUES (901, 'b');"
            "INSERT INTO ledger SELECT i, i, i, 'many' FROM generate_series(1, 200000) i; COMMIT"
        )
        began = time.monotonic()
        pipeline.equal("public.seats", "public.ledger", limit=90)
        assert time.monotonic() - began > 9, "the target was not slow"
        assert source.admin(reader, f"cdcd_{source.name}") == before != [(None,)]
        assert pipeline.progress.retries == 0
