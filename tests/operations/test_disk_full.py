"""The target's disk is full: named, waited for, and gone on from by itself when there is room again."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.following import Cdcd, words
from tests.equality import wait_equal
from tests.servers import Database, run
from tests.waiting import wait_until

pytestmark = pytest.mark.failure("OP-08")

SIZE = 24 << 20


@pytest.fixture
def small() -> Iterator[Path]:
    """A file system of a few megabytes, for the servers' user."""
    place = run.place("small")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0777", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


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


def _fill(small: Path, keep: int) -> Path:
    """Leaves `keep` bytes free."""
    ballast = small / "ballast"
    free = shutil.disk_usage(small).free - keep
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free)
    return ballast


def test_in_the_load_and_in_the_stream(source_db: Database, target: Database, small: Path, cdcd: Cdcd) -> None:
    source_db.sql("CREATE TABLE t (id int PRIMARY KEY, body text)")
    source_db.sql("ALTER TABLE t ALTER body SET STORAGE EXTERNAL")
    rows = "INSERT INTO t SELECT i, repeat('x', 1500) FROM generate_series(%s, %s) i"
    source_db.sql(rows, 1, 4000)
    ballast = _fill(small, 2 << 20)
    daemon = cdcd(*words(source_db, target))
    daemon.wait_said("trying again")
    assert "No space left on device" in daemon.text()
    assert "make room on the server" in daemon.text()
    ballast.unlink()
    daemon.wait_said("consistent", 60)
    wait_equal(source_db, target, ["public.t"])

    ballast = _fill(small, 1 << 20)
    tries = daemon.text().count("trying again")
    source_db.sql(rows, 10_001, 13_000)
    wait_until(lambda: daemon.text().count("trying again") > tries, what="the daemon to meet the full disk")
    assert daemon.running
    ballast.unlink()
    wait_equal(source_db, target, ["public.t"], 60)
    daemon.stop()
