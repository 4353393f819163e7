"""A backend held at one of its functions by gdb, as a loaded host would hold it for a moment at any place."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.servers import run
from tests.waiting import wait_until

INSTALL = Path(__file__).parent.parent / "servers" / "debian.sh"


def gdb() -> str:
    """gdb's path; Debian's package is installed where there is none."""
    if shutil.which("gdb") is None:
        subprocess.run(["sh", str(INSTALL), "gdb"], check=True, capture_output=True)
    found = shutil.which("gdb")
    assert found, "gdb is needed to hold a backend between two steps of its commit"
    return found


class Debugger:
    """Holds process `pid` when it next calls `function`, until `release`. Runs as the servers' user, who may trace its
    own processes wherever a container lets anybody do it."""

    def __init__(self, pid: int, function: str) -> None:
        self._output = tempfile.TemporaryFile()  # noqa: SIM115
        commands = [
            "set pagination off", "set confirm off", "handle SIGUSR1 SIGURG SIGALRM nostop noprint pass",
            f"attach {pid}", f"break {function}", "echo armed\\n", "continue",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            [gdb(), "-q", "-nx", *(word for command in commands for word in ("-ex", command))],
            stdin=subprocess.PIPE, stdout=self._output, stderr=subprocess.STDOUT, cwd="/", env={"HOME": "/"},
            **run.credentials(),
        )  # fmt: skip
        self._wait("armed")

    def text(self) -> str:
        self._output.seek(0)
        return self._output.read().decode(errors="replace")

    def _wait(self, words: str) -> None:
        wait_until(lambda: words in self.text() or self._process.poll() is not None, what=f"gdb to say {words!r}")
        assert words in self.text(), f"gdb ended: {self.text()}"

    def wait_held(self) -> None:
        """Until the process stands at the function."""
        self._wait("\nBreakpoint 1, ")

    def release(self) -> None:
        """Let the process go on, as if nothing had been."""
        self.close()

    def close(self) -> None:
        if self._process.poll() is None:
            assert self._process.stdin is not None
            self._process.stdin.write(b"delete\ndetach\nquit\n")
            self._process.stdin.close()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:  # the process was never held: the prompt does not come
                self._process.terminate()
                self._process.wait(10)
        self._output.close()

    def __enter__(self) -> Debugger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
