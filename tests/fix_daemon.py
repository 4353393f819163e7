"""The daemon as its users run it: a process of its own, whose output never holds a password."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.forked import Forked
from tests.servers.roles import PASSWORDS
from tests.waiting import wait_until


class Daemon:
    """One process of `cdcd`, its output in files. One with an environment of its own is started anew."""

    def __init__(self, directory: Path, number: int, *arguments: str, environment: dict[str, str] | None = None):
        self.log = directory / f"cdcd-{number}.log"
        self.output = directory / f"cdcd-{number}.out"
        with self.log.open("wb") as log, self.output.open("wb") as output:
            self.process: Forked | subprocess.Popen[bytes] = (
                Forked(arguments, output.fileno(), log.fileno())
                if environment is None
                else subprocess.Popen(
                    [sys.executable, "-m", "cdcd", *arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=log,
                    env={**os.environ, **environment},
                )
            )

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def text(self) -> str:
        """What it wrote to stderr."""
        return self.log.read_text(errors="replace")

    def said(self, words: str) -> bool:
        return words in self.text()

    def wait_said(self, words: str, limit: float = 30) -> None:
        def seen() -> bool:
            return self.said(words) or not self.running

        wait_until(seen, limit, what=f"the daemon to say {words!r}")
        assert self.said(words), f"exit {self.process.returncode} before {words!r}:\n{self.text()}"

    def wait(self, code: int | None = 0, limit: float = 60) -> str:
        """Until it ends; its stderr. `code` None: any exit code is fine."""
        try:
            self.process.wait(limit)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"cdcd still runs after {limit:g} s:\n{self.text()[-4000:]}") from None
        ended = self.process.returncode
        assert code is None or ended == code, f"exit {ended}:\n{self.text()[-4000:]}"
        return self.text()

    def kill(self) -> None:
        """SIGKILL: no handler runs, nothing is closed."""
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stop(self, limit: float = 10) -> str:
        """SIGTERM; it has ten seconds."""
        self.process.terminate()
        return self.wait(0, limit)

    def json(self) -> Any:
        told = self.output.read_text()
        assert told, f"exit {self.process.returncode}, and nothing on stdout:\n{self.text()[-4000:]}"
        return json.loads(told)

    def most_memory(self) -> int:
        """The most memory that its processes ever held, added up, in bytes."""
        statuses = (Path(f"/proc/{pid}/status").read_text() for pid in _family(self.process.pid))
        return sum(1024 * int(re.findall(r"^VmHWM:\s+(\d+) kB", one, re.MULTILINE)[0]) for one in statuses)


def _family(pid: int) -> list[int]:
    children = [child for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()]
    return [pid, *(member for child in children for member in _family(int(child)))]


@pytest.fixture
def cdcd(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Start `cdcd ARGUMENTS…`; what still runs at the end is killed, and no output may hold a password."""
    made: list[Daemon] = []

    def start(*arguments: str, environment: dict[str, str] | None = None) -> Daemon:
        made.append(Daemon(tmp_path, len(made), *arguments, environment=environment))
        return made[-1]

    yield start
    for daemon in made:
        if daemon.running:
            daemon.resume()
            daemon.kill()
    for daemon in made:
        written = daemon.text() + daemon.output.read_text(errors="replace")
        for password in PASSWORDS.values():
            assert password not in written, "a password was written"
        assert "Traceback" not in written, f"a traceback was written:\n{written[-6000:]}"


@pytest.fixture
def run_cdcd(cdcd: Callable[..., Daemon]) -> Callable[..., Daemon]:
    """Run `cdcd ARGUMENTS…` to its end and expect exit code `code`."""

    def run(*arguments: str, code: int | None = 0, limit: float = 60) -> Daemon:
        daemon = cdcd(*arguments)
        daemon.wait(code, limit)
        return daemon

    return run
