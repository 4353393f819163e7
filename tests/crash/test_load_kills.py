"""Stage B: load, restart, reload and join, with kills on the way."""

import random
import re
from collections.abc import Callable

import pytest

from tests.crash.workload import FILL, SCHEMA, TABLES, Workload, steady
from tests.equality import assert_equal, wait_equal
from tests.fix_daemon import Daemon
from tests.servers.database import Database
from tests.servers.proxy import Direction, Message, Proxy, Trap
from tests.waiting import wait_until

ROWS = 60_000

BIG = f"""
CREATE TABLE big (id bigint PRIMARY KEY, n int NOT NULL, body text);
INSERT INTO big SELECT i, 0, repeat(md5(i::text), 8) FROM generate_series(1, {ROWS}) i;
CREATE TABLE words (word text COLLATE "en_US.utf8" PRIMARY KEY, n int NOT NULL);
INSERT INTO words SELECT md5(i::text), 0 FROM generate_series(1, {ROWS}) i;
ANALYZE;
"""
CHURN = """
UPDATE big SET n = n + 1, id = CASE WHEN random() < 0.2 THEN id + 1000000 ELSE id END WHERE id IN
  (SELECT id FROM big OFFSET floor(random() * 50000) LIMIT 20)
"""


def _run(source: Database, url: str, *more: str) -> list[str]:
    return ["run", "--from", source.url, "--to", url, "--name", source.name, *more]


def _is_chunk_record(message: Message) -> bool:
    """A chunk's rows are written, its transaction is open."""
    return bool(message.sql and re.search(r"UPDATE\s+cdcd\.chunks", message.sql))


def _sprung_or_consistent(trap: Trap, daemon: Daemon) -> None:
    wait_until(lambda: trap.sprung.is_set() or daemon.said("consistent"), 60, "a chunk to be written")


@pytest.mark.failure("SN-06", "SN-01", "SN-02", "PG-14")
@pytest.mark.timeout(300)
def test_kills_in_the_copy_and_in_the_stream(
    source_db: Database, target_db: Database, target_proxy: Proxy, cdcd: Callable[..., Daemon]
) -> None:
    """Chunks in flight die with the daemon; the restart reads only what is not in."""
    source_db.sql(SCHEMA)
    source_db.sql(FILL)
    source_db.sql(BIG.replace(' COLLATE "en_US.utf8"', ""))
    chance = random.Random(5)
    arguments = [*_run(source_db, target_proxy.url(target_db.url)), "--chunk-bytes", "1MB", "--loaders", "2"]
    in_flight = 0
    with Workload(source_db) as workload:
        for _ in range(4):
            trap = target_proxy.hold(Direction.TO_SERVER, _is_chunk_record)
            daemon = cdcd(*arguments)
            _sprung_or_consistent(trap, daemon)
            in_flight += trap.sprung.is_set()
            source_db.sql(CHURN)
            daemon.kill()
            target_proxy.cut()
            target_proxy.clear()
        daemon = cdcd(*arguments)
        daemon.wait_said("consistent", 90)
        for _ in range(4):
            source_db.sql(CHURN)
            steady(workload, chance.randint(10, 30))
            daemon.kill()
            target_proxy.cut()
            daemon = cdcd(*arguments)
            daemon.wait_said("going on")
        workload.stop()
    daemon.stop()
    cdcd(*arguments, "--until", "caught-up").wait(0, 60)
    assert_equal(source_db, target_db, [*TABLES, "public.big", "public.words"])
    assert in_flight >= 2


@pytest.mark.timeout(180)
def test_reload_and_join_while_it_runs(
    source_db: Database, target_db: Database, cdcd: Callable[..., Daemon], run_cdcd: Callable[..., Daemon]
) -> None:
    source_db.sql(SCHEMA)
    source_db.sql(FILL)
    daemon = cdcd(*_run(source_db, target_db.url, "--tables", "public.*", "--table-poll", "0.5"))
    daemon.wait_said("consistent")
    with Workload(source_db) as workload:
        target_db.sql("UPDATE accounts SET balance = -1 WHERE id = 7")
        run_cdcd("reload", "public.accounts", "--from", source_db.url, "--to", target_db.url, "--name", source_db.name)
        source_db.sql("CREATE TABLE late (id int PRIMARY KEY, x text)")
        source_db.sql("INSERT INTO late SELECT i, 'x' FROM generate_series(1, 1000) i")
        daemon.wait_said("tables joined")
        source_db.sql("UPDATE late SET x = 'y' WHERE id % 2 = 0")
        steady(workload, 50)
        workload.stop()
    wait_equal(source_db, target_db, [*TABLES, "public.late"], 60)
    daemon.stop()
