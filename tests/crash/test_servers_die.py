"""SIGKILL of the servers themselves, and a source that is no longer what it was."""

from __future__ import annotations

import shutil

import pytest

from tests.crash.following import Cdcd, arrives, filled, settled, words
from tests.crash.workload import Workload, steady
from tests.fix_daemon import Daemon
from tests.servers import Database, make_roles, run
from tests.servers.database import make_source
from tests.servers.postgres import Postgres
from tests.waiting import wait_until

KILLS = 2


def _said_times(daemon: Daemon, said: str, times: int) -> None:
    wait_until(lambda: daemon.text().count(said) >= times, 60, f"the daemon to say {said!r} {times} times")


@pytest.mark.parametrize("end", ["source", "target"])
@pytest.mark.failure("PO-01", "PO-02")
def test_a_server_is_killed_under_load(
    own: tuple[Database, Database], own_servers: tuple[Postgres, Postgres], cdcd: Cdcd, end: str
) -> None:
    """The daemon is the same process all the time. The target commits asynchronously: its crash takes commits back,
    which must not have been acknowledged."""
    source, target = filled(own[0]), own[1]
    victim = own_servers[0 if end == "source" else 1]
    daemon = cdcd(*words(source, target))
    daemon.wait_said("consistent")
    with Workload(source) as workload:
        for kill in range(1, KILLS + 1):
            steady(workload, 60)
            victim.kill()
            victim.launch()
            steady(workload, 20)
            _said_times(daemon, "stream started", kill + 1)
        workload.stop()
    assert daemon.running
    settled(cdcd, daemon, source, target)


@pytest.mark.failure("PO-01")
def test_what_the_source_was_told_is_durable_whenever_the_target_dies(
    own: tuple[Database, Database], own_servers: tuple[Postgres, Postgres], cdcd: Cdcd
) -> None:
    """The target loses what it had not flushed (its log is written late here); the source still has all of it."""
    source, target = filled(own[0]), own[1]
    daemon = cdcd(*words(source, target))
    daemon.wait_said("consistent")
    # The WAL writer sleeps for ten seconds: asynchronous commits stay in memory, and die with the server.
    target.admin("ALTER SYSTEM SET wal_writer_delay = '10s'")
    own_servers[1].reload()
    with Workload(source) as workload:
        lost = 0
        for _ in range(2):
            steady(workload, 100)
            confirmed = "SELECT confirmed_flush_lsn - '0/0'::pg_lsn FROM pg_replication_slots WHERE slot_name = %s"
            stored = "SELECT (checkpoint #>> '{position,lsn}')::pg_lsn - '0/0'::pg_lsn FROM cdcd.checkpoints"
            ((committed,),) = target.admin(stored)
            own_servers[1].kill()
            daemon.pause()
            ((told,),) = source.admin(confirmed, f"cdcd_{source.name}")
            own_servers[1].launch()
            ((kept,),) = target.admin(stored)
            lost += kept < committed
            assert told <= kept, "acknowledged what the target has lost"
            daemon.resume()
            daemon.wait_said("going on")
        workload.stop()
    assert lost, "the crash took nothing back: this has shown nothing"
    target.admin("ALTER SYSTEM RESET wal_writer_delay")
    own_servers[1].reload()
    settled(cdcd, daemon, source, target)


@pytest.mark.failure("PO-08")
def test_a_source_restored_from_backup(cdcd: Cdcd, target_db: Database) -> None:
    """The copy has the same name, port, system identifier and slot, and less than the target: a stop with words."""
    with Postgres.start(18) as server:
        make_roles(server)
        source = make_source(server)
        source.sql("CREATE TABLE t (id int PRIMARY KEY)")
        source.sql("INSERT INTO t VALUES (1)")
        cdcd(*words(source, target_db, "--until", "caught-up")).wait(0)
        server.stop()
        backup = run.place("backup") / "data"
        shutil.copytree(server.data, backup, symlinks=True)
        server.launch()
        source.sql("INSERT INTO t VALUES (2)")
        cdcd(*words(source, target_db, "--until", "caught-up")).wait(0)
        server.stop()
        shutil.rmtree(server.data)
        _give_back(backup, server)
        server.launch()
        told = cdcd(*words(source, target_db)).wait(6)
        assert "OtherServer" in told or "back in time" in told or "behind" in told, told
        assert target_db.sql("SELECT id FROM t ORDER BY 1") == [(1,), (2,)]


def _give_back(backup: object, server: Postgres) -> None:
    shutil.move(str(backup), str(server.data))
    for path in [server.data, *server.data.rglob("*")]:
        run.give(path)


@pytest.mark.failure("OP-12")
def test_a_source_that_comes_back_without_logical_decoding(
    own: tuple[Database, Database], own_servers: tuple[Postgres, Postgres], cdcd: Cdcd
) -> None:
    """A server with a slot does not start with less, so somebody drops the slot: named, and none is made at "now"."""
    source, target = own
    source.sql("CREATE TABLE t (id int PRIMARY KEY)")
    daemon = cdcd(*words(source, target))
    daemon.wait_said("consistent")
    own_servers[0].kill()
    daemon.wait_said("trying again")
    try:
        own_servers[0].settings["wal_level"] = "replica"
        with pytest.raises(RuntimeError):
            own_servers[0].launch()
        assert daemon.running
    finally:
        own_servers[0].settings["wal_level"] = "logical"
        own_servers[0].launch()
    arrives(daemon, source, target, "INSERT INTO t VALUES (1)", "SELECT 1 FROM t")
    own_servers[0].kill()
    own_servers[0].launch()
    own_servers[0].drop_slots(source.name)
    told = daemon.wait(6)
    assert "SlotLost" in told or "cdcd drop" in told, told
    assert own_servers[0].slots(source.name) == []
