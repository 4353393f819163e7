"""The stream as its users load it: transactions that swap, cascade, roll back in part, truncate; who else locks."""

import io
import threading
import time
from functools import partial

import psycopg2
import pytest

from tests.crash.workload import FILL, SCHEMA, TABLES, Workload, steady
from tests.met.pair import Pair
from tests.servers.proxy import Proxy
from tests.waiting import wait_until

TIED = """
CREATE TABLE parent (id int PRIMARY KEY, u int NOT NULL UNIQUE, favourite int);
CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE tree (id int PRIMARY KEY, above int REFERENCES tree ON DELETE CASCADE DEFERRABLE);
ALTER TABLE parent ADD CONSTRAINT favourite FOREIGN KEY (favourite) REFERENCES child DEFERRABLE INITIALLY DEFERRED;
INSERT INTO parent SELECT i, i, NULL FROM generate_series(1, 1000) i;
INSERT INTO child SELECT i, i FROM generate_series(1, 1000) i;
INSERT INTO tree SELECT i, nullif(i / 2, 0) FROM generate_series(1, 100) i;
UPDATE parent SET favourite = id WHERE id > 900 AND id % 3 <> 0;
"""
TIED_TABLES = ["public.parent", "public.child", "public.tree"]
TIED_CHANGES = [
    "BEGIN; UPDATE parent SET u = -u; UPDATE parent SET u = 1 - u % 1000 - 1 + 5000; COMMIT",
    "BEGIN; UPDATE parent SET u = -1 WHERE id = 1; UPDATE parent SET u = (SELECT u FROM parent WHERE id = 3) + 9999"
    " WHERE id = 2; COMMIT",
    "BEGIN; SET CONSTRAINTS ALL DEFERRED; INSERT INTO parent VALUES (2001, 20001, 2001);"
    " INSERT INTO child VALUES (2001, 2001); COMMIT",
    "BEGIN; DELETE FROM parent WHERE id = 7; INSERT INTO parent VALUES (3007, 37, NULL); COMMIT",
    "UPDATE parent SET id = id + 10000 WHERE id <= 500",
    "BEGIN; SET CONSTRAINTS ALL DEFERRED; INSERT INTO tree VALUES (202, 201), (201, 200), (200, 1); COMMIT",
    "BEGIN; SET CONSTRAINTS ALL DEFERRED; DELETE FROM tree WHERE id = 200; DELETE FROM tree WHERE id > 200; COMMIT",
    "DELETE FROM parent WHERE id % 3 = 0",
]
SWAPS = """
BEGIN; CREATE TABLE swap (id int PRIMARY KEY, u int NOT NULL, w int UNIQUE DEFERRABLE); CREATE UNIQUE INDEX ON swap (u);
INSERT INTO swap SELECT i, i, i FROM generate_series(1, 1000) i; COMMIT
"""
SWAP_CHANGES = [
    "UPDATE swap SET w = CASE w WHEN (SELECT max(w) FROM swap) THEN 1 ELSE w + 1 END",
    "BEGIN; UPDATE swap SET u = 0 WHERE u = 1; UPDATE swap SET u = 1 WHERE u = 2; UPDATE swap SET u = 2 WHERE u = 0;"
    " COMMIT",
    "BEGIN; DELETE FROM swap WHERE id = 5; INSERT INTO swap VALUES (5005, 5, 5005); COMMIT",
    "BEGIN; UPDATE swap SET id = -id; UPDATE swap SET id = -id + 1; COMMIT",
]


@pytest.mark.failure("TG-01", "TG-02", "TG-08")
def test_swaps_cycles_and_cascades(pair_in_roles: Pair) -> None:
    """Each change alone, then all in one group: the constraints that the target got from us hold all the while. Counts
    are strict, so that what one change does wrong is not made good by the next."""
    pair = pair_in_roles
    pair.source.sql(TIED)
    pair.source.sql(SWAPS)
    tables = [*TIED_TABLES, "public.swap"]
    daemon = pair.follow()
    pair.wait_equal(*tables)
    for number, change in enumerate([*SWAP_CHANGES, *TIED_CHANGES], 3000):
        pair.source.sql(change)
        pair.source.sql("INSERT INTO tree VALUES (%s)", number)
        there = partial(pair.target.sql, "SELECT 1 FROM tree WHERE id = %s", number)
        wait_until(there, 60, what=f"{change} to be applied: {daemon.text()[-500:]}")
    pair.wait_equal(*tables)
    made = "SELECT count(*) FROM pg_constraint WHERE contype IN ('f', 'u') AND connamespace = 'public'::regnamespace"
    assert pair.target.sql(made) == pair.source.sql(made)
    daemon.stop()
    pair.source.sql("UPDATE parent SET favourite = NULL; DELETE FROM child; DELETE FROM parent; DELETE FROM tree")
    pair.source.sql(TIED[TIED.index("INSERT") :])
    for change in [*SWAP_CHANGES[:2], *TIED_CHANGES]:
        if "DELETE FROM parent" not in change:
            pair.source.sql(change)
    pair.run()
    pair.equal(*tables)


@pytest.mark.failure("TG-02", "T-PT-3")
def test_cascades_in_one_group_with_a_swap(pair_in_roles: Pair) -> None:
    """The swap has no bulk order; one by one, the target's own ON DELETE CASCADE is not to come before the source's."""
    pair = pair_in_roles
    pair.source.sql(TIED)
    pair.run()
    pair.source.sql(
        "BEGIN; UPDATE parent SET u = 0 WHERE u = 1; UPDATE parent SET u = 1 WHERE u = 2;"
        "UPDATE parent SET u = 2 WHERE u = 0; COMMIT"
    )
    pair.source.sql("DELETE FROM parent WHERE id % 3 = 0; INSERT INTO parent VALUES (3, 3, NULL)")
    pair.source.sql("DELETE FROM child WHERE id = 4")
    pair.source.sql("BEGIN; DELETE FROM parent WHERE id = 3; INSERT INTO parent VALUES (3, 3, 5); COMMIT")
    pair.source.sql("INSERT INTO child VALUES (4, 3); DELETE FROM parent WHERE id = 3")
    pair.run()
    pair.equal(*TIED_TABLES)


PARTS = """
BEGIN; INSERT INTO t SELECT i, 'kept' FROM generate_series(1, 500) i; SAVEPOINT a;
INSERT INTO t SELECT i, 'lost' FROM generate_series(501, 1000) i; SAVEPOINT b;
UPDATE t SET x = 'lost'; RELEASE b; ROLLBACK TO a; INSERT INTO t SELECT i, 'after' FROM generate_series(501, 505) i;
COMMIT;
DO $$BEGIN FOR i IN 1..50 LOOP BEGIN
  INSERT INTO t VALUES (1000 + i, repeat('y', 3000));
  INSERT INTO t VALUES (CASE WHEN i % 2 = 0 THEN 1 ELSE 2000 + i END);
EXCEPTION WHEN unique_violation THEN INSERT INTO t VALUES (3000 + i, 'caught'); END; END LOOP; END$$
"""


@pytest.mark.failure("PG-10", "PG-19")
def test_savepoints_and_truncates(pair: Pair) -> None:
    """Only what was committed, and TRUNCATE in its place among the rows."""
    pair.source.admin(f'ALTER DATABASE "{pair.name}" SET logical_decoding_work_mem = 64')
    pair.source.sql(
        "CREATE TABLE t (id int PRIMARY KEY, x text);"
        "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a);"
        "INSERT INTO a VALUES (1), (2); INSERT INTO b VALUES (1, 1)"
    )
    daemon = pair.follow()
    pair.source.sql(PARTS)
    pair.wait_equal("public.t", "public.a", "public.b")
    assert pair.target.sql("SELECT count(*) FROM t WHERE id <= 1000") == [(505,)]
    pair.target.sql("CREATE TABLE theirs (id int PRIMARY KEY); INSERT INTO theirs VALUES (1)")
    pair.source.sql("BEGIN; INSERT INTO a VALUES (3); TRUNCATE a, b RESTART IDENTITY; INSERT INTO a VALUES (3); COMMIT")
    pair.wait_equal("public.t", "public.a", "public.b")
    pair.source.sql("INSERT INTO b VALUES (5, 3); TRUNCATE a CASCADE; INSERT INTO a VALUES (9)")
    pair.wait_equal("public.t", "public.a", "public.b")
    assert pair.target.sql("SELECT count(*) FROM theirs") == [(1,)]
    daemon.stop()


@pytest.mark.failure("PG-13")
@pytest.mark.timeout(240)
def test_kills_inside_transactions_of_many_rows(pair: Pair, target_proxy: Proxy) -> None:
    """COPY and multi-row INSERTs, whose rows share positions: killed between the pieces that they come in, and with the
    COMMIT on its way, sent and not answered."""
    pair.source.sql("CREATE TABLE t (id int PRIMARY KEY, x text); CREATE TABLE u (id int PRIMARY KEY, x text)")
    pair = pair.over(target=target_proxy.url(pair.target.url))
    pair.run()
    writer = pair.source.connect()
    commit = r"UPDATE cdcd\.checkpoints[\s\S]*COMMIT"
    traps = [
        partial(target_proxy.cut_at, "RELEASE SAVEPOINT bulk", 1), partial(target_proxy.cut_at, commit),
        partial(target_proxy.cut_at, "RELEASE SAVEPOINT bulk", 4), partial(target_proxy.drop_answer_of, commit),
    ]  # fmt: skip
    for number, trap in enumerate(traps):
        rows = "".join(f"{number * 3000 + i}\t{'x' * 900}\n" for i in range(1000))
        with writer.cursor() as cursor:
            cursor.copy_expert("COPY t FROM STDIN", io.StringIO(rows))
        pair.source.sql("INSERT INTO u SELECT %s * 3000 + i, 'x' FROM generate_series(1, 5) i", number)
        sprung = trap()
        daemon = pair.cdcd("run", *pair.ends, "--group-bytes", "65536")
        sprung.wait()
        daemon.kill()
        target_proxy.cut()
        target_proxy.clear()
    writer.close()
    pair.run()
    pair.equal("public.t", "public.u")


@pytest.mark.failure("TG-09")
def test_a_deadlock_with_the_targets_own_users(pair: Pair) -> None:
    """The whole transaction is done again; a lock is waited for."""
    pair.source.sql("CREATE TABLE t (id int PRIMARY KEY, x text)")
    pair.source.sql("INSERT INTO t SELECT i, 'x' FROM generate_series(1, 10) i")
    daemon = pair.follow()
    user = psycopg2.connect(pair.target.admin_url)
    cursor = user.cursor()
    cursor.execute("SET deadlock_timeout = '1min'")
    cursor.execute("SELECT FROM t WHERE id = 9 FOR UPDATE")
    pair.source.sql("BEGIN; UPDATE t SET x = 'y' WHERE id IN (2, 9); UPDATE t SET id = 100 WHERE id = 2; COMMIT")
    waits = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
    wait_until(lambda: pair.target.admin(waits, pair.target.name), what="the daemon to wait")
    deadlock = threading.Thread(target=lambda: cursor.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE"))
    deadlock.start()
    daemon.wait_said("deadlock")
    deadlock.join(20)
    user.commit()
    user.close()
    pair.wait_equal("public.t")
    assert daemon.said("trying again")
    daemon.stop()


@pytest.mark.failure("PG-07")
def test_a_reader_of_the_slot_whose_network_died(pair: Pair, source_proxy: Proxy) -> None:
    """The server still holds the slot for a connection that is gone: the next start ends it, at once."""
    pair.source.sql("CREATE TABLE t (id int PRIMARY KEY, x text)")
    far = pair.over(source=source_proxy.url(pair.source.url))
    daemon = far.follow()
    source_proxy.silence()
    daemon.kill()
    held = "SELECT active FROM pg_replication_slots WHERE slot_name = %s"
    assert pair.source.admin(held, pair.slot) == [(True,)]
    pair.source.sql("INSERT INTO t VALUES (1, 'x')")
    began = time.monotonic()
    pair.run()
    assert time.monotonic() - began < 30, "half of the server's own wal_sender_timeout"
    pair.equal("public.t")


@pytest.mark.failure("PG-02", "PG-08")
def test_the_slot_is_never_past_the_checkpoint_and_never_left_behind(pair: Pair) -> None:
    """Under load, and while all that is written is none of ours, here and in another database."""
    pair.source.sql(SCHEMA + "CREATE TABLE noise (id int)")
    pair.source.sql(FILL)
    daemon = pair.follow("--tables", "public.*,!public.noise")
    looks = 0
    with Workload(pair.source) as workload:
        for _ in range(20):
            steady(workload, 5)
            # The slot first: the checkpoint, read later, may only be further.
            assert pair.confirmed() <= pair.stored()
            looks += 1
        workload.stop()
    pair.wait_equal(*TABLES)
    for _ in range(3):
        pair.source.sql("INSERT INTO noise SELECT generate_series(1, 1000)")
        pair.source.server.execute("SELECT pg_logical_emit_message(true, 'elsewhere', repeat('x', 100000))")
        pair.source.admin("SELECT pg_switch_wal()")
    ((head,),) = pair.source.admin("SELECT pg_current_wal_flush_lsn() - '0/0'")
    for _ in range(2):  # further than an idle position may run ahead of the stored one
        pair.source.server.execute("SELECT pg_logical_emit_message(true, 'elsewhere', 'x')")
        pair.source.admin("SELECT pg_switch_wal()")

    def followed() -> bool:
        confirmed = pair.confirmed()
        assert confirmed <= pair.stored()
        return confirmed >= int(head)

    wait_until(followed, 60, what="the idle slot to follow", every=0.2)
    pair.source.admin("CHECKPOINT")
    held = "SELECT pg_current_wal_lsn() - restart_lsn FROM pg_replication_slots WHERE slot_name = %s"
    let_go = lambda: pair.source.admin(held, pair.slot)[0][0] < 16 << 20  # noqa: E731
    wait_until(let_go, 40, what="the log to be let go", every=0.5)
    for _ in range(20):  # nothing is written here at all
        pair.source.server.execute("CREATE TABLE IF NOT EXISTS elsewhere (n int); INSERT INTO elsewhere VALUES (1)")
        pair.source.admin("SELECT pg_switch_wal()")
    pair.source.admin("CHECKPOINT")
    wait_until(let_go, 40, what="the log of another database to be let go", every=0.5)
    pair.source.server.execute("DROP TABLE elsewhere")
    assert looks == 20
    daemon.stop()
