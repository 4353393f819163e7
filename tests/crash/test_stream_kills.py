"""Stage A: a stream from empty tables, killed twenty times, each kill at a known moment."""

import random
from collections import Counter
from collections.abc import Callable

import pytest

from tests.crash.workload import FILL, SCHEMA, TABLES, Workload, steady
from tests.equality import assert_equal
from tests.fix_daemon import Daemon
from tests.servers.database import Database
from tests.servers.proxy import Direction, Message, Proxy
from tests.waiting import wait_until

KILLS = 20
COMMIT = "COMMIT"


def _is_commit(message: Message) -> bool:
    return bool(message.sql and COMMIT in message.sql.upper() and "CHECKPOINTS" in message.sql.upper())


@pytest.mark.failure("T-PO-8", "PO-02", "PG-08")
@pytest.mark.timeout(300)
def test_twenty_kills_of_a_stream_lose_and_double_nothing(
    source_db: Database, target_db: Database, target_proxy: Proxy, cdcd: Callable[..., Daemon]
) -> None:
    """Killed with the target's transaction open, with COMMIT sent and not answered, and at any moment."""
    source_db.sql(SCHEMA)
    target_db.sql(SCHEMA)
    chance = random.Random(20)
    hits: Counter[str] = Counter()
    arguments = [
        "run", "--from", source_db.url, "--to", target_proxy.url(target_db.url), "--name", source_db.name,
        "--load", "skip", "--from-now", "--target-tables", "use",
    ]
    daemon = cdcd(*arguments)
    daemon.wait_said("pipeline started")
    source_db.sql(FILL)
    kinds = ["open", "sent", "any"] * KILLS
    with Workload(source_db) as workload:
        for kind in kinds[:KILLS]:
            steady(workload, chance.randint(5, 40))
            if kind == "open":
                # The COMMIT has left the daemon and is held on its way: the target's transaction stands open.
                trap = target_proxy.hold(Direction.TO_SERVER, _is_commit)
                trap.wait()
            elif kind == "sent":
                # The server has the COMMIT, its answer is held: the daemon cannot know.
                trap = target_proxy.hold(Direction.TO_SERVER, lambda _: False)
                trap = target_proxy.delay_answer_of(r"COMMIT", 60)
                trap.wait()
            daemon.kill()
            hits[kind] += 1
            target_proxy.cut()
            target_proxy.clear()
            daemon = cdcd(*arguments)
            daemon.wait_said("going on")
        workload.stop()
    daemon.stop()
    last = cdcd(*arguments, "--until", "caught-up")
    last.wait(0, 60)
    assert_equal(source_db, target_db, TABLES)
    assert target_db.sql("SELECT sum(balance) FROM accounts") == source_db.sql("SELECT sum(balance) FROM accounts")
    assert min(hits[kind] for kind in ("open", "sent", "any")) >= 2
    wait_until(lambda: not target_proxy.connections, what="the daemon's connections to end")
