"""A file system of a few megabytes, which a test fills."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import run

SIZE = 24 << 20


@pytest.fixture
def small() -> Iterator[Path]:
    """Where it is mounted, for the servers' user."""
    place = run.place("small")
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0777", "tmpfs", str(place)]
    mounted = subprocess.run(command, capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(small: Path, keep: int) -> Path:
    """A file that leaves `keep` bytes free."""
    ballast = small / "ballast"
    free = shutil.disk_usage(small).free - keep
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free)
    return ballast
