"""The directory of this run: where servers live, whom they run as, and that they end when the run ends.

Everything lies below one temporary directory that the servers' user can reach; no other directory's mode is
ever changed. A watcher process waits for the end of this process, however it ends, then stops the servers
that are left and removes the directory.
"""

import atexit
import contextlib
import functools
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

UNPRIVILEGED = "nobody"
MEMORY = "/dev/shm"
ROOM = 12 << 30
"""Bytes that must be free there: three runs side by side, whose servers hold a few GB at their most."""

_parents: list[str] = []

own_processes: set[int] = set()
"""Children of this process that belong to the run: the servers and the watcher."""


def credentials() -> dict[str, Any]:
    """Arguments for subprocess that give up root, which servers refuse; nothing when we are not root."""
    if os.geteuid() != 0:
        return {}
    account = pwd.getpwnam(UNPRIVILEGED)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def give(path: Path) -> None:
    """Hand one path to the servers' user."""
    who = credentials()
    if who:
        os.chown(path, who["user"], who["group"])


def can_run(command: Sequence[str | Path]) -> bool:
    """Whether the servers' user can run this command, found out by running it."""
    try:
        done = subprocess.run(
            [str(word) for word in command], cwd="/", capture_output=True, check=False, **credentials()
        )
    except PermissionError:
        return False
    return done.returncode == 0


def in_memory() -> None:
    """Let the directory of this run be in memory, where there is room: what servers flush takes no time then. To be
    said before it is made."""
    with contextlib.suppress(OSError):
        there = os.statvfs(MEMORY)
        _, _, free = Path("/proc/meminfo").read_text().partition("MemAvailable:")
        room = min(there.f_bavail * there.f_frsize, int(free.split()[0]) << 10)
        if room >= ROOM and not there.f_flag & os.ST_NOEXEC:
            _parents.insert(0, MEMORY)


@functools.cache
def directory() -> Path:
    """The directory of this run, made at first use."""
    for parent in dict.fromkeys([*_parents, tempfile.gettempdir(), "/tmp", "/var/tmp"]):
        try:
            made = Path(tempfile.mkdtemp(prefix="cdcd-", dir=parent))
        except OSError:
            continue
        made.chmod(0o711)
        if can_run(["test", "-x", made]):
            _watch(made)
            return made
        made.rmdir()
    raise RuntimeError(f"no temporary directory that {UNPRIVILEGED!r} can reach: set TMPDIR to one")


def _watch(run: Path) -> None:
    """Start the process that outlives this one and tidies up: it reads a pipe that ends when we do."""
    watcher = subprocess.Popen(
        [sys.executable, "-I", str(Path(__file__).with_name("watcher.py")), str(run)],
        stdin=subprocess.PIPE,
        cwd="/",
        start_new_session=True,
    )
    own_processes.add(watcher.pid)
    owner = os.getpid()

    def end() -> None:
        if os.getpid() == owner and watcher.stdin is not None:
            with contextlib.suppress(OSError):
                watcher.stdin.close()
            watcher.wait()

    atexit.register(end)


def place(name: str) -> Path:
    """A new directory in the run, owned by the servers' user."""
    made = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=directory()))
    give(made)
    return made


def reachable(tree: Path) -> Path:
    """The tree, or where the servers' user cannot read it a copy in the directory of the run."""
    return tree if can_run(["test", "-r", tree]) else copied(tree)


def copied(tree: Path) -> Path:
    """A copy of a tree in the directory of the run, where everyone may read it; made once per name."""
    copy = directory() / "copied" / tree.name
    if not copy.exists():
        shutil.copytree(tree, copy, symlinks=True)
        copy.parent.chmod(0o755)
    return copy
