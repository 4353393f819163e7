"""Roles whose defaults end sessions and statements soon: ours outlive them, in load, stream and idleness."""

import pytest

from tests.met.pair import Pair
from tests.servers.address import connect
from tests.servers.matrix import has
from tests.waiting import wait_until

TIMEOUTS = (
    "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout",
    *(["transaction_timeout"] if has(17) else []),
)  # fmt: skip


@pytest.fixture
def hasty(pair: Pair) -> Pair:
    """In these two databases, both roles have every time-out at 150 ms."""
    for end in (pair.source, pair.target):
        for name in TIMEOUTS:
            end.admin(f"ALTER ROLE {end.role} IN DATABASE \"{end.name}\" SET {name} = '150ms'")
    return pair


@pytest.mark.failure("PG-27")
def test_load_stream_and_idleness(hasty: Pair) -> None:
    pair = hasty
    pair.source.sql(
        "CREATE TABLE t (id int PRIMARY KEY, x text);"
        "INSERT INTO t SELECT i, repeat(md5(i::text), 40) FROM generate_series(1, 30000) i"
    )
    pair.target.sql("CREATE TABLE t (id int PRIMARY KEY, x text)")
    holder = connect(pair.target.admin_url)
    holder.autocommit = False
    with holder.cursor() as cursor:  # the load waits for this lock, in an open transaction
        cursor.execute("LOCK TABLE t IN SHARE ROW EXCLUSIVE MODE")
    daemon = pair.cdcd("run", *pair.ends, "--target-tables", "use", "--loaders", "1")
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = %s AND datname = %s" \
              " AND now() - query_start > interval '0.6 s'"  # fmt: skip
    wait_until(lambda: pair.target.admin(waiting, pair.target.role, pair.target.name) != [], 30, what="a long load")
    holder.commit()
    daemon.wait_said("stream started")
    pair.wait_equal("public.t")
    with holder.cursor() as cursor:
        cursor.execute("LOCK TABLE t IN SHARE ROW EXCLUSIVE MODE")
    pair.source.sql("UPDATE t SET x = 'y' WHERE id < 100")
    wait_until(lambda: pair.target.admin(waiting, pair.target.role, pair.target.name) != [], 30, what="a long apply")
    holder.commit()
    holder.close()
    pair.wait_equal("public.t")
    idle = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s AND datname = %s AND state = 'idle'" \
           " AND now() - state_change > interval '0.6 s'"  # fmt: skip
    for end in (pair.source, pair.target):
        wait_until(lambda end=end: end.admin(idle, end.role, end.name) != [(0,)], 30, what="an idle session")  # type: ignore[misc]
    pair.source.sql("DELETE FROM t WHERE id < 50")
    pair.wait_equal("public.t")
    assert not daemon.said("trying again"), daemon.text()
    daemon.stop()
