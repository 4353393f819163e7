"""`cdcd` as a process of its own that is forked, not started: a process that has imported cdcd waits to be copied.

Importing takes a second of processor time, which each of a run's hundreds of daemons would pay. A forked one is as
real: it has its own pid, signals, files and connections, and a kill is a kill. What differs is its command line.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import importlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from tests.servers.run import own_processes

_IMPORTED = ("cdcd.cli", "connectors.postgres.connector", "connectors.mysql.connector")
_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of prctl(2): what our descendants leave behind becomes our child, to be waited for."""


class Forked:
    """The part of subprocess.Popen that the tests use, of `cdcd ARGUMENTS…`."""

    def __init__(
        self,
        arguments: Sequence[str],
        output: int,
        errors: int,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> None:
        order = json.dumps({
            "arguments": arguments, "directory": str(directory or Path.cwd()),
            "environment": dict(os.environ if environment is None else environment),
        }).encode()  # fmt: skip
        line = _mother()
        socket.send_fds(line, [len(order).to_bytes(4, "big")], [output, errors])
        line.sendall(order)
        self.pid = int.from_bytes(_exactly(line, 4), "big")
        self.returncode: int | None = None
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        with self._lock:
            if self.returncode is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self.returncode = os.waitstatus_to_exitcode(status)
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        end = None if timeout is None else time.monotonic() + timeout
        pause = 0.001
        while (code := self.poll()) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired("cdcd", timeout or 0)
            time.sleep(pause)
            pause = min(2 * pause, 0.02)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@functools.cache
def _mother() -> socket.socket:
    """The line to the process that is copied, which ends with it."""
    ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, 1, 0, 0, 0)
    ours, its = socket.socketpair()
    command = [sys.executable, "-m", "tests.forked", str(its.fileno())]
    process = subprocess.Popen(
        command, cwd=Path(__file__).parents[1], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        pass_fds=[its.fileno()], start_new_session=True,
    )  # fmt: skip
    its.close()
    own_processes.add(process.pid)
    owner = os.getpid()

    def end() -> None:
        if os.getpid() == owner:
            ours.close()
            process.wait()

    atexit.register(end)
    return ours


def _exactly(line: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        if not (piece := line.recv(size - len(found))):
            raise EOFError("the process that is copied has ended")
        found += piece
    return found


def _serve(line: socket.socket) -> None:
    """Fork as often as it is asked for, until nobody is there."""
    for module in _IMPORTED:
        importlib.import_module(module)
    assert threading.active_count() == 1, "a thread would be lost by a fork"
    while True:
        head, files, _, _ = socket.recv_fds(line, 4, 2)
        if not head:
            return
        order = json.loads(_exactly(line, int.from_bytes(head, "big")))
        reading, writing = os.pipe()
        # Forked twice: the one between ends at once, and the daemon becomes the test process's child.
        if (between := os.fork()) == 0:
            if (pid := os.fork()) == 0:
                _become(order["arguments"], order["directory"], order["environment"], files)
            os.write(writing, pid.to_bytes(4, "big"))
            os._exit(0)
        os.waitpid(between, 0)
        for file in files:
            os.close(file)
        line.sendall(os.read(reading, 4))
        os.close(reading)
        os.close(writing)


def _become(arguments: list[str], directory: str, environment: dict[str, str], files: list[int]) -> NoReturn:
    """What a process started anew would have."""
    code: object = 1
    try:
        for place, file in enumerate(files, start=1):
            os.dup2(file, place)
        os.closerange(3, 256)
        os.chdir(directory)
        os.environ.clear()
        os.environ.update(environment)
        sys.path[:0] = environment.get("PYTHONPATH", "").split(":")
        time.tzset()
        random.seed()
        sys.argv = ["cdcd", *arguments]
        importlib.import_module("cdcd.cli").main()
    except SystemExit as left:
        code = left.code
    finally:
        threading._shutdown()  # type: ignore[attr-defined]  # as the interpreter waits for threads when it ends
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
