"""Clocks are information: the order comes from the log, and a clock that jumps disturbs nothing."""

from __future__ import annotations

import time

import pytest

from tests.servers import Database
from tests.traps.running import Running

pytestmark = pytest.mark.failure("PO-05")


def test_a_row_committed_after_newer_ones(source_db: Database, target_db: Database) -> None:
    """Its own time is the oldest, and those that are newer were carried and acknowledged long before it."""
    source_db.sql("CREATE TABLE t (id int PRIMARY KEY, updated timestamptz DEFAULT now())")
    with Running(source_db, target_db) as pipeline:
        pipeline.caught_up()
        late = source_db.connect()
        with late.cursor() as cursor:
            cursor.execute("BEGIN; INSERT INTO t VALUES (1)")
            source_db.sql("INSERT INTO t VALUES (2)")
            source_db.sql("INSERT INTO t VALUES (3)")
            pipeline.caught_up()
            assert target_db.sql("SELECT id FROM t ORDER BY id") == [(2,), (3,)]
            cursor.execute("COMMIT")
        late.close()
        pipeline.equal("public.t")
    assert source_db.sql("SELECT id FROM t ORDER BY updated LIMIT 1") == [(1,)]


@pytest.mark.parametrize("hours", [-1, 1])
def test_our_clock_jumps(
    source_db: Database, target_db: Database, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """While it streams; the source, which is told our time with each reply, does not mind either."""
    source_db.sql("CREATE TABLE t (id int PRIMARY KEY)")
    with Running(source_db, target_db) as pipeline:
        pipeline.caught_up()
        right = time.time
        monkeypatch.setattr(time, "time", lambda: right() + hours * 3600)
        source_db.sql("INSERT INTO t SELECT generate_series(1, 1000)")
        pipeline.equal("public.t")
        assert 0 <= pipeline.progress.lag_seconds < 60
        assert pipeline.progress.retries == 0
        monkeypatch.setattr(time, "time", right)
        source_db.sql("DELETE FROM t")
        pipeline.equal("public.t")
        assert 0 <= pipeline.progress.lag_seconds < 60
