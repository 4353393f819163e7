"""Many small pipelines in one daemon: what each costs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.crash.following import Cdcd
from tests.equality import wait_equal
from tests.servers import Database
from tests.waiting import wait_until

COUNT = 4
MOST = 60e6
"""Bytes of one that idles, what it shares with the others counted in part: 200 of them fit into 12 GB."""


def proportional(pid: int) -> int:
    """PSS, in bytes."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return 1024 * int(re.findall(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)[0])


@pytest.mark.failure("T-DB-8")
def test_the_memory_of_each(source_db: Database, target_db: Database, cdcd: Cdcd, tmp_path: Path) -> None:
    ends = f"from = {json.dumps(source_db.url)}\nto = {json.dumps(target_db.url)}\n"
    tables = [f"public.t{number}" for number in range(COUNT)]
    source_db.sql("".join(f"CREATE TABLE {table} (id int PRIMARY KEY, x text);" for table in tables))
    file = tmp_path / "cdcd.toml"
    file.write_text("".join(
        f'[[pipeline]]\nname = "p{number}_{source_db.name}"\ntables = ["{table}"]\n{ends}'
        for number, table in enumerate(tables)
    ))  # fmt: skip
    daemon = cdcd("run", "-c", str(file))
    wait_until(lambda: daemon.text().count("stream started") == COUNT, 60, "all of them")
    source_db.sql("".join(f"INSERT INTO {table} SELECT i, 'x' FROM generate_series(1, 1000) i;" for table in tables))
    wait_equal(source_db, target_db, tables)
    children = Path(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children").read_text().split()
    each = [proportional(int(pid)) for pid in children]
    daemon.stop()
    assert len(each) == COUNT
    assert max(each) < MOST, [f"{size / 1e6:.0f} MB" for size in each]
