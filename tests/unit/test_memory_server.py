"""The memory server misbehaves as real ones do: what a test with it proves is worth no more than these."""

from __future__ import annotations

import pytest

from cdcd.model.table import Column, Table
from cdcd.model.types import LogicalType
from connectors.memory import MemoryServer, Strike
from connectors.memory.faults import ServerError
from connectors.memory.replication import export, fetch

T = Table("a", "t", (Column("id", 1, LogicalType("int64"), "int64"),), ("id",))


@pytest.fixture
def server() -> MemoryServer:
    made = MemoryServer(flush_every=0)
    made.patience = 0.05
    made.create(T)
    return made


def test_a_commit_may_be_in_the_log_and_in_a_slots_snapshot_and_not_yet_visible(server: MemoryServer) -> None:
    """T-PG-1: who takes an ordinary snapshot now, and streams from here, never has the row."""
    victim = server.connect("client")
    victim.insert(T.id, ("1",))
    victim.commit(visible=False)
    assert server.connect("ordinary").select(T.id) == []
    held = export(server.connect("slot"))
    assert held.rows(T.id) == [("1",)]
    assert fetch(server.connect("stream"), held.at, 0)[0] is None
    server.settle()
    assert server.rows(T.id) == [("1",)]


def test_a_crash_takes_back_what_was_not_flushed(server: MemoryServer) -> None:
    client = server.connect("client")
    client.insert(T.id, ("1",))
    client.commit()
    client.insert(T.id, ("2",))
    client.commit(sync=False)
    client.insert(T.id, ("3",))
    assert server.rows(T.id) == [("1",), ("2",)]
    server.crash()
    assert server.rows(T.id) == [("1",)]
    with pytest.raises(ServerError, match="connection_lost"):
        client.select(T.id)


def test_a_commit_under_way_is_not_seen_and_holds_its_locks_until_its_session_ends(server: MemoryServer) -> None:
    """T-PO-1: a plain read gives the old state, and a moment later it is another."""
    server.faults.next("commit", Strike.LATE)
    client = server.connect("client")
    client.insert(T.id, ("1",))
    with pytest.raises(ServerError, match="connection_lost"):
        client.commit()
    other = server.connect("other")
    assert other.select(T.id) == []
    with pytest.raises(ServerError, match="lock_timeout"):
        other.insert(T.id, ("1",))
    server.end(client)
    with pytest.raises(ServerError, match="duplicate_key"):
        other.insert(T.id, ("1",))


def test_an_answer_may_be_lost(server: MemoryServer) -> None:
    server.faults.next("commit", Strike.LOST)
    client = server.connect("client")
    client.insert(T.id, ("1",))
    with pytest.raises(ServerError, match="connection_lost"):
        client.commit()
    assert server.rows(T.id) == [("1",)]
    assert server.faults.struck == [(Strike.LOST, "commit", "client")]


def test_a_client_that_is_gone_leaves_its_locks(server: MemoryServer) -> None:
    server.faults.next("insert", Strike.LATE)
    client = server.connect("client")
    with pytest.raises(ServerError, match="connection_lost"):
        client.insert(T.id, ("1",))
    client.close()
    with pytest.raises(ServerError, match="lock_timeout"):
        server.connect("other").insert(T.id, ("1",))


def test_a_snapshot_older_than_a_truncate_reads_empty(server: MemoryServer) -> None:
    """T-PG-6."""
    client = server.connect("client")
    client.insert(T.id, ("1",))
    client.commit()
    held = export(server.connect("slot"))
    client.truncate([T.id])
    client.commit()
    assert held.rows(T.id) == []


def test_a_slot_waits_for_who_is_writing(server: MemoryServer) -> None:
    """T-PG-13."""
    server.connect("client").insert(T.id, ("1",))
    waiting = server.connect("slot")
    waiting.cancel()
    with pytest.raises(ServerError, match="cancelled"):
        export(waiting)
