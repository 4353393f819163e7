"""The first copy: under writers, cut, killed, altered, outlasting what the server keeps; tables that come later."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from tests.crash.workload import FILL, SCHEMA, TABLES, Workload, steady
from tests.fix_daemon import Daemon
from tests.met.pair import Pair
from tests.met.test_stops import MORE, T, stopped
from tests.servers import Database, Postgres, make_roles
from tests.servers.database import make_source
from tests.servers.proxy import Direction, Message, Proxy
from tests.waiting import wait_until

SMALL = ("--chunk-bytes", "70kB")
FILLER = "repeat(md5(i::text), 8)"
"""256 characters, so that a few hundred rows fill a chunk."""


def chunk_record(message: Message) -> bool:
    """A chunk's rows are written, its transaction is open."""
    return bool(message.sql and re.search(r"UPDATE\s+cdcd\.chunks", message.sql))


REUSED = f"CREATE TABLE reused (id int PRIMARY KEY, n int, x text); INSERT INTO reused SELECT i, 0, {FILLER}"
REUSE = """
BEGIN; DELETE FROM reused WHERE id % 13 = %s; COMMIT;
INSERT INTO reused SELECT i, 1, 'again' FROM generate_series(1, 2000) i WHERE i % 13 = %s;
UPDATE reused SET id = id + 100000 WHERE id % 17 = 3 AND id < 2000; UPDATE reused SET id = id - 100000 WHERE id > 100000
"""


@pytest.mark.failure("SN-01", "SN-02", "PG-14")
def test_until_caught_up_under_writers(pair: Pair) -> None:
    """Chunk by chunk of many snapshots, keys deleted, used again and moved meanwhile; writers need not stop."""
    pair.source.sql(SCHEMA + REUSED + " FROM generate_series(1, 2000) i; ANALYZE")
    pair.source.sql(FILL)
    with Workload(pair.source) as workload:
        daemon = pair.cdcd("run", *pair.ends, *SMALL, "--chunks-per-snapshot", "3", "--until", "caught-up")
        turn = 0
        while daemon.running:
            pair.source.sql(REUSE.replace("% 1", "%% 1"), turn % 13, turn % 13)
            steady(workload, 3)
            turn += 1
            assert turn < 5000, daemon.text()
        daemon.wait(0)
        assert daemon.text().count("chunks are in") > 2
        assert pair.slots() == [pair.slot]
        workload.stop()
    pair.run()
    pair.equal(*TABLES, "public.reused")


KEYS = {
    "icu": 'text COLLATE "de-x-icu"', "plain": "text", "c": 'text COLLATE "C"', "id": "uuid", "amount": "numeric",
    "big": "bigint", "bytes": "bytea", "day": "date", "two": "text",
}  # fmt: skip
VALUES = {
    "icu": "CASE i % 3 WHEN 0 THEN 'a' WHEN 1 THEN 'A' ELSE 'ä ' END || i",
    "plain": "CASE i % 2 WHEN 0 THEN 'z' ELSE 'Z_' END || i",
    "c": "md5(i::text)", "id": "md5(i::text)::uuid", "amount": "(i - 300) * 1.10",
    "big": "i * 9007199254740993 - 5000000000000000000", "bytes": "decode(md5(i::text), 'hex')", "day":
    "'0001-01-01 BC'::date + i * 1000", "two": "'x' || i % 7",
}  # fmt: skip


@pytest.mark.failure("SN-03")
def test_keys_of_every_order(source_db15: Database, target_db15: Database, cdcd: Callable[..., Daemon]) -> None:
    """Chunks of each are bounded by the server's own order, and changes meanwhile are judged by it."""
    pair = Pair(source_db15, target_db15, cdcd)  # 15 has ICU here
    for name, type in KEYS.items():
        pair.source.sql(
            f"CREATE TABLE by_{name} (k {type}, k2 int, n int, x text, PRIMARY KEY (k, k2));"
            f"INSERT INTO by_{name} SELECT {VALUES[name]}, i, 0, {FILLER} FROM generate_series(1, 600) i"
        )
    pair.source.sql("ANALYZE")
    daemon = pair.cdcd("run", *pair.ends, *SMALL, "--chunks-per-snapshot", "6")
    turn = 0
    while not daemon.said("] consistent"):
        for name in KEYS:
            pair.source.sql(f"UPDATE by_{name} SET n = n + 1 WHERE k2 % 50 = {turn % 50}")
            pair.source.sql(f"UPDATE by_{name} SET k2 = k2 + 1000 WHERE k2 = {turn % 300 + 100}")
        turn += 1
        assert daemon.running and turn < 500, daemon.text()
    pair.wait_equal(*[f"public.by_{name}" for name in KEYS])
    ((least,),) = pair.target.sql("SELECT min(c) FROM (SELECT count(*) c FROM cdcd.chunks GROUP BY table_id) t")
    assert least > 1
    daemon.stop()


@pytest.mark.failure("SN-05", "SN-11")
def test_kills_and_cuts_in_the_middle_of_the_copy(pair: Pair, target_proxy: Proxy) -> None:
    """Of a keyless table with twins: killed, then the session that holds slot and snapshot is ended."""
    pair.source.sql(
        f"CREATE TABLE bare (n int, x text);"
        f"INSERT INTO bare SELECT i, {FILLER} FROM generate_series(1, 300) i, generate_series(1, 3);"
        "ALTER TABLE bare REPLICA IDENTITY FULL; CREATE TABLE t (id int PRIMARY KEY, x text);"
        f"INSERT INTO t SELECT i, {FILLER} FROM generate_series(1, 2000) i; ANALYZE"
    )
    through = pair.over(target=target_proxy.url(pair.target.url))
    words = ["run", *through.ends, *SMALL, "--loaders", "1"]
    trap = target_proxy.hold(Direction.TO_SERVER, chunk_record)
    daemon = pair.cdcd(*words)
    trap.wait()
    pair.source.sql("DELETE FROM bare WHERE ctid = (SELECT min(ctid) FROM bare)")
    daemon.kill()
    target_proxy.cut()
    target_proxy.clear()
    trap = target_proxy.hold(Direction.TO_SERVER, chunk_record)
    daemon = pair.cdcd(*words)
    trap.wait()
    ended = pair.source.server.terminate("datname = %s AND backend_type = 'walsender'", pair.source.name)
    assert ended > 0
    pair.source.sql("DELETE FROM bare WHERE n = 7; UPDATE t SET x = 'y' WHERE id % 5 = 0")
    trap.release()
    target_proxy.clear()
    pair.wait_equal("public.bare", "public.t")
    daemon.stop()


@pytest.mark.failure("SN-07")
@pytest.mark.parametrize(
    "change",
    ["ALTER TABLE b ADD y int DEFAULT 7", "ALTER TABLE b ALTER n TYPE bigint", "DROP TABLE b"],
    ids=["add", "type", "drop"],
)
def test_a_schema_change_during_the_copy(pair: Pair, target_proxy: Proxy, change: str) -> None:
    """The first table is half written when the second changes: never two forms in one table, never a guess."""
    for name in "ab":
        pair.source.sql(
            f"CREATE TABLE {name} (id int PRIMARY KEY, n int, x text);"
            f"INSERT INTO {name} SELECT i, i, 'x' FROM generate_series(1, 500) i"
        )
    through = pair.over(target=target_proxy.url(pair.target.url))
    trap = target_proxy.hold(Direction.TO_SERVER, chunk_record)
    daemon = pair.cdcd("run", *through.ends, "--loaders", "1")
    trap.wait()
    pair.source.sql(change)
    gone = "DROP" in change
    if not gone:
        pair.source.sql("INSERT INTO b (id) VALUES (1000)")
    target_proxy.clear()
    target_proxy.release()
    wait_until(lambda: daemon.said("consistent part=engine.attempt"), what="the load to end")
    pair.wait_equal("public.a", *(() if gone else ("public.b",)))
    daemon.stop()
    if gone:
        assert daemon.said("a table is not carried any more")
        assert pair.target.sql("SELECT count(*) FROM b") == [(0,)]


@pytest.fixture
def forgetful() -> Iterator[Database]:
    """A source on a server that keeps little for a slot."""
    settings = {"max_slot_wal_keep_size": "16MB", "min_wal_size": "32MB", "max_wal_size": "48MB"}
    with Postgres.start(18, settings=settings) as server:
        make_roles(server)
        yield make_source(server)


def lose(source: Database) -> None:
    """Write until the server lets the slot go."""
    for _ in range(5):
        source.admin("SELECT pg_logical_emit_message(false, 'x', 'x')")
        source.admin("SELECT pg_switch_wal()")
    source.admin("CHECKPOINT")
    lost = "SELECT wal_status = 'lost' FROM pg_replication_slots WHERE NOT temporary"
    wait_until(lambda: source.admin(lost)[0][0], what="the slot to be lost")


@pytest.mark.failure("SN-08", "PG-03")
@pytest.mark.timeout(240)
def test_the_log_that_a_slot_may_keep(pair: Pair, forgetful: Database, target_proxy: Proxy) -> None:
    """Outlasted by the copy, and by an absence: said before, a named stop, and a new copy with its deletes."""
    pair = replace(pair, source=forgetful)
    through = pair.over(target=target_proxy.url(pair.target.url))
    forgetful.sql(T)
    trap = target_proxy.hold(Direction.TO_SERVER, chunk_record)
    daemon = pair.cdcd("run", *through.ends)
    trap.wait()
    assert daemon.said("max_slot_wal_keep_size = 16 MB")
    lose(forgetful)
    target_proxy.clear()
    target_proxy.release()
    daemon.wait(6)
    stopped(daemon, "invalidated by the server", "raise max_slot_wal_keep_size", "cdcd drop")
    pair.command("drop", "--yes")
    pair.run("--target-tables", "truncate")
    forgetful.sql(MORE)
    lose(forgetful)
    stopped(pair.run(code=6), "invalidated by the server", "wal_removed")
    pair.command("drop", "--yes")
    daemon = pair.follow("--target-tables", "truncate")
    daemon.pause()  # in the stream
    forgetful.sql(MORE.replace("1000", "1001"))
    lose(forgetful)
    daemon.resume()
    daemon.wait(6)
    stopped(daemon, "invalidated by the server")
    pair.command("drop", "--yes")
    pair.run("--target-tables", "truncate")
    pair.equal("public.t")


@pytest.mark.failure("SN-10", "PG-05", "PG-23")
def test_tables_that_come_later(pair: Pair) -> None:
    """They join under load, the others do not wait; one without a key is left out until it has one, and its own
    updates work."""
    pair.source.sql(T + "; CREATE TABLE hidden (id int PRIMARY KEY)")
    pair.source.sql("CREATE UNLOGGED TABLE scratch (id int PRIMARY KEY)")
    daemon = pair.follow("--tables", "public.*,!public.hidden*", "--table-poll", "0.3", *SMALL)
    pair.source.sql("CREATE TABLE nopk (a int); INSERT INTO nopk VALUES (1); CREATE TABLE hidden2 (id int PRIMARY KEY)")
    names = [f"later_{i}" for i in range(5)]
    for name in names:
        rows = 5000 if name == "later_0" else 10
        pair.source.sql(
            f"CREATE TABLE {name} (id int PRIMARY KEY, x text);"
            f"INSERT INTO {name} SELECT i, {FILLER} FROM generate_series(1, {rows}) i"
        )
        pair.source.sql(f"UPDATE {name} SET x = 'y' WHERE id % 2 = 0; DELETE FROM {name} WHERE id = 3")
        pair.source.sql("UPDATE t SET x = x || 'y' WHERE id = 5")
    daemon.wait_said("public.nopk")
    pair.source.sql("UPDATE nopk SET a = 2; DELETE FROM nopk WHERE a = 2; INSERT INTO nopk VALUES (3)")
    wait_until(lambda: daemon.text().count("tables joined") > 0, what="the tables to join")
    pair.wait_equal("public.t", *[f"public.{name}" for name in names])
    assert daemon.said("cannot be carried") and daemon.said("has no replica identity")
    there = "SELECT relname FROM pg_class WHERE relname IN ('nopk', 'hidden', 'hidden2')"
    assert pair.target.sql(there) == []
    pair.source.sql("INSERT INTO scratch VALUES (1); ALTER TABLE scratch SET LOGGED; INSERT INTO scratch VALUES (2)")
    pair.wait_equal("public.scratch")
    pair.source.sql("UPDATE later_1 SET id = id + 100; INSERT INTO later_0 VALUES (-1, 'last')")
    pair.wait_equal("public.later_0", "public.later_1")
    assert daemon.text().count("cannot be carried") == 1  # it was looked at again, several times
    pair.source.sql("ALTER TABLE nopk ADD PRIMARY KEY (a)")
    wait_until(lambda: pair.target.sql(there) == [("nopk",)] or not daemon.running, what="the table with a key by now")
    pair.source.sql("UPDATE nopk SET a = 4")
    pair.wait_equal("public.nopk")
    daemon.stop()
