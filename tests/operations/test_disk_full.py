"""The target's disk is full: named, waited for, and gone on from by itself when there is room again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.following import Cdcd, words
from tests.equality import wait_equal
from tests.fix_disk import fill
from tests.servers import Database, run
from tests.waiting import wait_until

pytestmark = pytest.mark.failure("OP-08")

@pytest.fixture
def target(target_db: Database, small: Path) -> Iterator[Database]:
    """Whose tables lie there."""
    inside = small / "space"
    inside.mkdir()
    run.give(inside)
    name = f"small_{target_db.name}"
    target_db.admin(f"CREATE TABLESPACE {name} LOCATION '{inside}'")
    target_db.admin(f"GRANT CREATE ON TABLESPACE {name} TO {target_db.role}")
    target_db.admin(f'ALTER DATABASE "{target_db.name}" SET default_tablespace = {name}')
    yield target_db
    target_db.drop()
    target_db.server.execute(f"DROP TABLESPACE {name}")


def test_in_the_load_and_in_the_stream(source_db: Database, target: Database, small: Path, cdcd: Cdcd) -> None:
    source_db.sql("CREATE TABLE t (id int PRIMARY KEY, body text)")
    source_db.sql("ALTER TABLE t ALTER body SET STORAGE EXTERNAL")
    rows = "INSERT INTO t SELECT i, repeat('x', 1500) FROM generate_series(%s, %s) i"
    source_db.sql(rows, 1, 4000)
    ballast = fill(small, 2 << 20)
    daemon = cdcd(*words(source_db, target))
    daemon.wait_said("trying again")
    assert "No space left on device" in daemon.text()
    assert "make room on the server" in daemon.text()
    ballast.unlink()
    daemon.wait_said("consistent", 60)
    wait_equal(source_db, target, ["public.t"])

    ballast = fill(small, 1 << 20)
    tries = daemon.text().count("trying again")
    source_db.sql(rows, 10_001, 13_000)
    wait_until(lambda: daemon.text().count("trying again") > tries, what="the daemon to meet the full disk")
    assert daemon.running
    ballast.unlink()
    wait_equal(source_db, target, ["public.t"], 60)
    daemon.stop()
