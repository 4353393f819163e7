"""A row of 50 MB: what the daemon holds of it at most, by copy and by stream."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fix_daemon import Daemon
from tests.met.pair import Pair

WIRE = 50_000_000
MOST = 8 * WIRE + 100_000_000
"""Bytes. Libraries, both servers' buffers and each step's own copy among them."""


def peak(daemon: Daemon) -> int:
    """VmHWM: the most that was ever in memory, in bytes."""
    lines = Path(f"/proc/{daemon.process.pid}/status").read_text().splitlines()
    (found,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(found) * 1024


@pytest.mark.failure("OP-02")
@pytest.mark.parametrize(("other", "binary"), [("int", True), ("money", False)], ids=["binary", "text"])
def test_a_row_of_fifty_megabytes(pair: Pair, other: str, binary: bool) -> None:
    """`money` is sent as text, and so is all else with it: bytes in hex, twice as long."""
    pair.source.sql(f"CREATE TABLE big (id int PRIMARY KEY, n {other}, b bytea)")
    pair.source.sql("ALTER TABLE big ALTER b SET STORAGE EXTERNAL")
    made = f"INSERT INTO big SELECT %s, 1, decode(repeat('5c0a09ff', {WIRE // (4 if binary else 8)}), 'hex')"
    pair.source.sql(made, 1)
    daemon = pair.follow()
    assert daemon.said(f"binary={binary}")
    copied = peak(daemon)
    pair.source.sql(made, 2)
    pair.source.sql("UPDATE big SET n = 2; UPDATE big SET id = 3, b = b || '\\x00' WHERE id = 2")
    pair.wait_equal("public.big")
    streamed = peak(daemon)
    daemon.stop()
    assert copied <= MOST and streamed <= MOST, f"{copied / 1e6:.0f} MB after the copy, {streamed / 1e6:.0f} MB at last"
