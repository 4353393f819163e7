"""The daemon as its users run it: `cdcd run`, a process of its own, asked over HTTP what it is doing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from deploy.demo.processes import start
from deploy.demo.world import World
from tests.servers import run
from tests.servers.postgres import free_port

NAME = "demo"


class DaemonFailed(Exception):
    """It ended although nobody told it to, or with another exit code than it should have."""


class Daemon:
    """One pipeline, run by one process after another. `status` is what the process that runs now said last, {} before
    it said anything; `last` is what the one before it did. `changes` goes on over all of them."""

    def __init__(self, world: World) -> None:
        self.status: dict[str, Any] = {}
        self.last: dict[str, Any] = {}
        self.log = run.directory() / "cdcd.log"
        self._world = world
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._changes_before = 0

    @property
    def command(self) -> list[str]:
        world = self._world
        return [
            "cdcd", "run", "--from", world.address(world.source, "SOURCE_PASSWORD"),
            "--to", world.address(world.target, "TARGET_PASSWORD"), "--name", NAME,
        ]

    def start(self, *options: str) -> None:
        self._port = free_port()
        script = Path(sys.executable).with_name("cdcd")
        with self.log.open("ab") as log:
            self._process = start(
                [str(script), *self.command[1:], "--http", f"127.0.0.1:{self._port}", *options],
                self._world.environment, log,
            )

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def changes(self) -> int:
        """Applied, by all processes so far, as last seen."""
        return self._changes_before + int(self.status.get("changes", 0))

    def look(self) -> None:
        """Ask for its status. A process that does not answer yet, or no more, is left as last seen."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/status", timeout=1) as answer:
                self.status = json.load(answer)["pipelines"][0]
        except (OSError, ValueError, LookupError):
            return

    def check(self) -> None:
        if not self.running:
            code = self._process.returncode if self._process else None
            raise DaemonFailed(f"cdcd ended with exit code {code}:\n{self.tail()}")

    def pause(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL: no handler runs, nothing is said good-bye to."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._forget()

    def stop(self) -> None:
        """SIGTERM, which it has ten seconds for; exit code 0 is expected."""
        assert self._process is not None
        self.check()
        self._process.terminate()
        self.wait(12)

    def wait(self, seconds: float) -> None:
        """Until it ends by itself, with exit code 0."""
        assert self._process is not None
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise DaemonFailed(f"cdcd still runs after {seconds:g} s:\n{self.tail()}") from None
        if code != 0:
            raise DaemonFailed(f"cdcd ended with exit code {code}:\n{self.tail()}")
        self._forget()

    def _forget(self) -> None:
        self._changes_before, self.last, self.status = self.changes, self.status, {}

    def tail(self, lines: int = 30) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
