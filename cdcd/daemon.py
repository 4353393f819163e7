"""The life of the process that runs one pipeline: signals, the last resort, systemd, and what is told outside.

The pipeline runs in a thread of its own. The main thread only waits, in short steps, because Python runs a signal's
handler between two steps of the main thread and never during a blocking call of it: so SIGTERM is heard during COPY.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any, Protocol

from cdcd.config import HttpSettings
from cdcd.engine.task import Outcome, Task
from cdcd.errors import CdcdError
from cdcd.health import Health
from cdcd.log import get_logger
from cdcd.status import serving

log = get_logger("daemon")

STEP = 0.1
LOOK = 1.0
ABORT_AFTER = 8.0
LEAVE_AFTER = 9.5
"""Seconds after the first signal: connections are cut; the process leaves. A kill is as safe as a stop."""
MOURN = 10.0
"""Seconds a dead thread is given for the engine to notice by itself, and then for its attempt to end."""


class Watch(Protocol):
    """Who looks on: a terminal, or the log."""

    def show(self, snapshots: Sequence[Mapping[str, Any]]) -> None: ...

    def close(self) -> None: ...


class Signals:
    """Counts SIGTERM and SIGINT while the block runs. The second one ends the process where it stands, after `last`."""

    def __init__(self, last: Callable[[], None] = lambda: None) -> None:
        self.count = 0
        self._last = last
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Signals:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._arrived)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.count > 1:
            self._last()
            os._exit(0)


def notify(state: str) -> None:
    """Tell systemd (sd_notify(3)); nothing where it did not start us."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
            try:
                door.sendto(state.encode(), "\0" + address[1:] if address[0] == "@" else address)
            except OSError as error:
                log.debug("systemd does not hear us", error=str(error))


class Clockwork:
    """What every process of ours does each second while it runs."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._next = 0.0
        notify("READY=1")

    def due(self) -> bool:
        if (now := time.monotonic()) < self._next:
            return False
        self._next = now + LOOK
        return True

    def tick(self, snapshots: Sequence[Mapping[str, Any]]) -> None:
        self._watch.show(snapshots)
        status = "; ".join(f"{s['name']}: {s['sentence']}" for s in snapshots)
        notify(f"WATCHDOG=1\nSTATUS={status.splitlines()[0] if status else ''}")

    def stopping(self) -> None:
        notify("STOPPING=1")


class Report:
    """What a supervised process tells its supervisor: a line of JSON each second, on a pipe.

    A supervisor that has gone is noticed by the pipe, so no pipeline outlives it unseen.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        if descriptor is not None:
            os.set_inheritable(descriptor, False)
            os.set_blocking(descriptor, False)

    def send(self, snapshot: Mapping[str, Any]) -> bool:
        """False: nobody is there any more."""
        if self._descriptor is None:
            return True
        try:
            os.write(self._descriptor, json.dumps(snapshot).encode() + b"\n")
        except BlockingIOError:
            pass  # The supervisor does not read at the moment: it will have the next one.
        except OSError:
            return False
        return True


class Mourning:
    """What is done about threads that have failed while the one that is to be told waits for a server: it is cut off,
    so that the pipeline tries again; where that does not help, the process ends."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._since: float | None = None
        self._broken_off = False

    def look(self, dead: Sequence[str]) -> None:
        """Every second or so."""
        if not dead:
            self._since, self._broken_off = None, False
            return
        self._since = self._since or time.monotonic()
        passed = time.monotonic() - self._since
        if passed > 2 * MOURN:
            raise CdcdError(f"a thread of this process has died: {', '.join(dead)}")
        if passed > MOURN and not self._broken_off:
            self._broken_off = True
            self._task.break_off(f"{', '.join(dead)} failed, and a server was waited for")


@dataclass(slots=True)
class Ended:
    """How the pipeline's thread ended."""

    outcome: Outcome | None = None
    error: BaseException | None = None


def run(
    task: Task, http: HttpSettings, watch: Watch, report: int | None = None
) -> tuple[Outcome, Mapping[str, Any]]:
    """Run one pipeline here until it ends, fails or is told to stop; raises what it failed with. Gives the last
    snapshot too. `report`: the file descriptor on which a supervisor listens."""
    progress = task.progress
    health = Health(progress, http.stuck_after)
    teller = Report(report)

    def snapshot() -> dict[str, Any]:
        return progress.snapshot() | {"unhealthy": health.reason}

    with serving(http.listen, lambda: [snapshot()]), Signals() as signals:
        ended, thread = _start(task)
        clockwork = Clockwork(watch)
        stopping = False
        mourning = Mourning(task)
        try:
            while thread.is_alive():
                thread.join(STEP)
                if signals.count and not stopping:
                    stopping = True
                    _stop(task, clockwork)
                if not clockwork.due():
                    continue
                health.look()
                clockwork.tick([snapshot()])
                if not teller.send(snapshot()) and not stopping:
                    log.warning("the supervisor has gone: stopping")
                    stopping = True
                    _stop(task, clockwork)
                mourning.look(progress.dead)
        finally:
            watch.close()
        if ended.error is not None and not stopping:
            progress.phase, progress.last_error = "stopping", str(ended.error)
            teller.send(snapshot())
            raise ended.error
        if ended.error is not None:
            log.info("stopped", on_the_way=str(ended.error))
        teller.send(snapshot())
        return (Outcome.STOPPED if stopping else ended.outcome or Outcome.STOPPED), snapshot()


def _start(task: Task) -> tuple[Ended, threading.Thread]:
    ended = Ended()

    def body() -> None:
        try:
            ended.outcome = task.run()
        except BaseException as error:
            ended.error = error

    # A daemon thread: one that hangs must not keep the process from leaving.
    thread = threading.Thread(target=body, name="writer", daemon=True)
    thread.start()
    return ended, thread


def _stop(task: Task, clockwork: Clockwork) -> None:
    clockwork.stopping()
    threading.Thread(target=_last_resort, args=(task,), name="last resort", daemon=True).start()
    task.stop()


def _last_resort(task: Task) -> None:
    """Out within ten seconds of the first signal, whatever runs. It also outlasts a slow end of the interpreter."""
    begun = time.monotonic()
    time.sleep(ABORT_AFTER)
    aborting = threading.Thread(target=task.abort, name="abort", daemon=True)
    aborting.start()
    time.sleep(max(0.0, LEAVE_AFTER - (time.monotonic() - begun)))
    os._exit(0)
