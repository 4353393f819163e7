"""How many cores there are for this process: a second one is of use where it has more than one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath


def cores() -> float:
    """Those it may run on, or the time that quotas of control groups leave it, in cores: a container's limit."""
    return min([float(len(os.sched_getaffinity(0))), *quotas(Path("/"))])


def quotas(root: Path) -> Iterator[float]:
    """Of its groups and of those above them, in both versions of control groups (Documentation/admin-guide/cgroup-v2
    and scheduler/sched-bwc in the kernel's). In a container their paths may be the host's, of which it sees its own
    group alone, as the highest. `root`: of the file system."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            group = PurePosixPath(path.lstrip("/"))
            for folder in (group, *group.parents):
                if not controllers:
                    yield from _quota(root / "sys/fs/cgroup" / folder / "cpu.max")
                elif "cpu" in controllers.split(","):
                    at = root / "sys/fs/cgroup" / controllers / folder
                    yield from _quota(at / "cpu.cfs_quota_us", at / "cpu.cfs_period_us")


def _quota(*files: Path) -> list[float]:
    """Files that hold a quota and its period, in microseconds; none where there is no limit: `max`, or -1."""
    with suppress(OSError, ValueError):
        quota, period = (int(word) for file in files for word in file.read_text().split())
        return [quota / period] if quota > 0 else []
    return []
