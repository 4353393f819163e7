"""Tables are altered under a writer, and the daemon is killed around it: while it alters the target, with the COMMIT of
that on its way, and at any moment."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator

import pytest

from tests.crash.following import settled, words
from tests.equality import columns
from tests.fix_daemon import Daemon
from tests.servers.database import Database
from tests.servers.proxy import Direction, Message, Proxy

SETUP = """
CREATE TABLE t (id int PRIMARY KEY, a text, n int);
CREATE TABLE log (line text);
ALTER TABLE log REPLICA IDENTITY FULL;
INSERT INTO t SELECT i, 'a' || i, i FROM generate_series(1, 200) i
"""

CHANGES = (
    ("ALTER TABLE t ADD c int DEFAULT 7", "ALTER TABLE log ADD c int DEFAULT 7"),
    ("ALTER TABLE t DROP a", "ALTER TABLE t ADD a int DEFAULT 1"),
    ("ALTER TABLE t RENAME n TO number",),
    ("ALTER TABLE t ALTER c TYPE bigint USING c + 1",),
    ("ALTER TABLE log ADD d text DEFAULT 'd'", "ALTER TABLE log DROP c"),
    ("ALTER TABLE t RENAME c TO n", "ALTER TABLE t ADD e text NOT NULL DEFAULT 'e'"),
)
KINDS = ("altering", "sent", "any")


def _alters(message: Message) -> bool:
    return bool(message.sql and message.sql.startswith(("ALTER TABLE", "TRUNCATE")))


@pytest.mark.failure("T-SC-3", "PG-18")
@pytest.mark.timeout(180)
def test_kills_around_changes_lose_and_double_nothing(
    source_db: Database, target_db: Database, target_proxy: Proxy, cdcd: Callable[..., Daemon]
) -> None:
    source_db.sql(SETUP)
    chance, ids = random.Random(9), itertools.count(1000)
    arguments = words(
        source_db, target_db, "--table-poll", "0.5", target_url=target_proxy.url(target_db.url)
    )
    daemon = cdcd(*arguments)
    daemon.wait_said("consistent")
    for kind, statements in zip(itertools.cycle(KINDS), CHANGES, strict=False):
        _write(source_db, chance, ids)
        trap = None
        if kind == "altering":
            trap = target_proxy.hold(Direction.TO_SERVER, _alters)
        elif kind == "sent":
            trap = target_proxy.delay_answer_of(r"COMMIT", 60)
        for statement in statements:
            source_db.sql(statement)
            _write(source_db, chance, ids)
        if trap is not None:
            trap.wait()
        daemon.kill()
        target_proxy.cut()
        target_proxy.clear()
        _write(source_db, chance, ids)
        daemon = cdcd(*arguments)
        daemon.wait_said("stream started")
    _write(source_db, chance, ids)
    settled(cdcd, daemon, source_db, target_db, ["public.t", "public.log"])
    for table in ("public.t", "public.log"):
        assert sorted(columns(source_db, table)) == sorted(columns(target_db, table))


def _write(source: Database, chance: random.Random, ids: Iterator[int]) -> None:
    """Some transactions, which name no column that comes or goes."""
    for _ in range(5):
        some = chance.randint(1, 200)
        source.sql(
            f"INSERT INTO t (id) VALUES ({next(ids)}); INSERT INTO log (line) VALUES ('{some}');"
            f" UPDATE t SET id = {next(ids)} WHERE id = {some};"
            " DELETE FROM log WHERE ctid = (SELECT ctid FROM log LIMIT 1 OFFSET 3)"
        )
