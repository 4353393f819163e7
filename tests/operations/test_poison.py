"""One row that the target refuses: a stop that names it, nothing of its transaction written, and on it goes."""

from __future__ import annotations

import pytest

from tests.crash.following import Cdcd, words
from tests.equality import assert_equal
from tests.servers import Database
from tests.waiting import wait_until


@pytest.mark.failure("OP-03")
def test_one_row_of_many(source_db: Database, target_db: Database, cdcd: Cdcd) -> None:
    source_db.sql("CREATE TABLE t (id int PRIMARY KEY, n int)")
    source_db.sql("CREATE TABLE other (id int PRIMARY KEY)")
    cdcd(*words(source_db, target_db, "--until", "caught-up")).wait(0)
    target_db.sql("ALTER TABLE t ADD CONSTRAINT small CHECK (n < 1000000)")
    source_db.sql("INSERT INTO other VALUES (1)")
    rows = "SELECT i, CASE WHEN i = 3137 THEN 9999999 ELSE i END FROM generate_series(1, 4000) i"
    source_db.sql(f"INSERT INTO t {rows}")
    source_db.sql("INSERT INTO other VALUES (2)")
    for _ in range(2):
        told = cdcd(*words(source_db, target_db)).wait(6)
        for word in ("public.t", "3137", "23514", "small", "position"):
            assert word in told.partition("cdcd:")[2], f"{word!r} is not said:\n{told[-2000:]}"
        assert "9999999" not in told
        assert target_db.sql("SELECT count(*) FROM t") == [(0,)]
        assert target_db.sql("SELECT id FROM other WHERE id = 2") == []
    target_db.sql("ALTER TABLE t DROP CONSTRAINT small")
    cdcd(*words(source_db, target_db, "--until", "caught-up")).wait(0)
    assert_equal(source_db, target_db, ["public.t", "public.other"])


@pytest.mark.failure("OP-03")
def test_what_the_target_cannot_explain_is_not_tried_for_ever(
    source_db: Database, target_db: Database, cdcd: Cdcd
) -> None:
    """An internal error of the server may pass by itself: so it is tried again, and then it is a person's turn. That
    the source's log grows meanwhile, and is passed, is no success."""
    source_db.sql("CREATE TABLE t (id int PRIMARY KEY)")
    source_db.sql("INSERT INTO t VALUES (1)")
    target_db.sql(
        "CREATE FUNCTION whole(int) RETURNS bool LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE 'cache lookup failed for whatever' USING ERRCODE = 'XX000'; END $$"
    )
    target_db.sql("CREATE TABLE t (id int PRIMARY KEY CHECK (whole(id)))")
    daemon = cdcd(*words(source_db, target_db, "--target-tables", "use", "--tables", "public.t"))
    source_db.sql("CREATE TABLE busy (n int)")

    def ended() -> bool:
        source_db.sql("INSERT INTO busy VALUES (1)")
        return daemon.process.poll() is not None

    wait_until(ended, 60, "the daemon to stop")
    told = daemon.wait(6)
    assert "4 times on end" in told and "cache lookup failed" in told and "XX000" in told
    target_db.sql("CREATE OR REPLACE FUNCTION whole(int) RETURNS bool LANGUAGE sql AS 'SELECT true'")
    cdcd(*words(source_db, target_db, "--target-tables", "use", "--until", "caught-up")).wait(0)
    assert_equal(source_db, target_db, ["public.t"])
