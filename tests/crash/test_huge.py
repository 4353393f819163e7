"""Transactions larger than a group: whole or not at all, in memory that does not grow with them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.crash.following import Cdcd, words
from tests.equality import assert_equal
from tests.servers import Database
from tests.servers.proxy import Direction, Message, Proxy
from tests.waiting import wait_until

SMALL, LARGE = 100_000, 400_000
MOST = 300e6
GROWTH = 40e6
"""Bytes. A transaction of LARGE held in memory would take more than 100 MB more than one of SMALL."""


@pytest.mark.timeout(240)
@pytest.mark.failure("OP-02")
def test_memory_does_not_grow_with_a_transaction(source_db: Database, target_db: Database, cdcd: Cdcd) -> None:
    """With default settings. Two million rows are measured by `make bench`."""
    source_db.sql("CREATE TABLE t (id int PRIMARY KEY, a text, b timestamptz DEFAULT now(), c numeric)")
    daemon = cdcd(*words(source_db, target_db))
    daemon.wait_said("stream started")

    def through(first: int, last: int) -> int:
        rows = "SELECT i, repeat(md5(i::text), 3), now(), i / 7.0 FROM generate_series(%s, %s) i"
        source_db.sql(f"INSERT INTO t {rows}", first, last)
        wait_until(lambda: target_db.sql("SELECT 1 FROM t WHERE id = %s", last) != [], 100, f"row {last}")
        return daemon.most_memory()

    small = through(1, SMALL)
    large = through(SMALL + 1, SMALL + LARGE)
    assert large < MOST, f"{large / 1e6:.0f} MB"
    assert large - small < GROWTH, f"{small / 1e6:.0f} MB, then {large / 1e6:.0f} MB"
    assert_equal(source_db, target_db, ["public.t"])
    daemon.stop()


def _piece(number: int) -> Callable[[Message], bool]:
    """That the given piece of a transaction, of those sent from now on, was written."""
    seen = 0

    def wanted(message: Message) -> bool:
        nonlocal seen
        seen += bool(message.sql and "RELEASE SAVEPOINT bulk" in message.sql)
        return seen == number

    return wanted


@pytest.mark.failure("PO-03", "PO-02")
def test_killed_between_the_pieces_of_a_transaction(
    source_db: Database, target_db: Database, target_proxy: Proxy, cdcd: Cdcd
) -> None:
    """Of 999, 1000 and 1001 rows, in pieces far smaller; what the target shows are whole transactions only, and the
    stored checkpoint does not move until there is one more."""
    source_db.sql("CREATE TABLE t (tx int, i int, body text, PRIMARY KEY (tx, i))")
    arguments = words(
        source_db, target_db, "--group-bytes", "65536", target_url=target_proxy.url(target_db.url)
    )
    stored = "SELECT checkpoint #>> '{position,lsn}', checkpoint ->> 'done' FROM cdcd.checkpoints"
    shown = "SELECT tx, count(*) FROM t GROUP BY tx ORDER BY tx"
    cdcd(*arguments, "--until", "caught-up").wait(0)
    whole: list[tuple[int, int]] = []
    for piece, rows in enumerate((999, 1000, 1001), 1):
        source_db.sql("INSERT INTO t SELECT %s, i, repeat('x', 900) FROM generate_series(1, %s) i", rows, rows)
        before = target_db.sql(stored)
        held = target_proxy.hold(Direction.TO_SERVER, _piece(piece))
        daemon = cdcd(*arguments)
        held.wait()
        assert target_db.sql(shown) == whole
        assert target_db.sql(stored) == before
        daemon.kill()
        target_proxy.cut()
        target_proxy.clear()
        cdcd(*arguments, "--until", "caught-up").wait(0)
        whole.append((rows, rows))
        assert target_db.sql(shown) == whole
    assert_equal(source_db, target_db, ["public.t"])
