"""A container's limit is a quota of time, not fewer cores; as the kernel's documentation writes it."""

import os
from pathlib import Path

import pytest

from connectors.mysql.cores import cores, quotas

LAYOUTS: tuple[tuple[str, dict[str, str], list[float]], ...] = (
    ("0::/\n", {"cpu.max": "100000 100000\n"}, [1.0]),
    ("0::/\n", {"cpu.max": "max 100000\n"}, []),
    ("0::/a/b\n", {"a/cpu.max": "150000 100000\n", "a/b/cpu.max": "max 100000\n"}, [1.5]),
    ("0::/../host/x\n", {"cpu.max": "50000 100000\n"}, [0.5]),
    ("4:cpu,cpuacct:/docker/x\n3:cpuset:/\n0::/\n",
     {"cpu,cpuacct/cpu.cfs_quota_us": "100000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"}, [1.0]),
    ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, []),
    ("1:cpu:/\n", {}, []),
)  # fmt: skip


@pytest.mark.parametrize(("groups", "files", "found"), LAYOUTS)
def test_quotas(tmp_path: Path, groups: str, files: dict[str, str], found: list[float]) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        file = tmp_path / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert list(quotas(tmp_path)) == found


def test_of_this_process() -> None:
    before = os.sched_getaffinity(0)
    assert 0 < cores() <= len(before)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert cores() <= 1
    finally:
        os.sched_setaffinity(0, before)
    assert list(quotas(Path("/nowhere"))) == []
