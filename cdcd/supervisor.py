"""Several pipelines: one child process for each, started again with back-off, so that one failing never stops another.

What becomes of a child goes by its exit code:

    0            done                   (its run was finite)
    1, 4, -n     started again          back-off with jitter; a finite run is not
    2, 3, 5, 6   left until a person acts

The supervisor ends when no child is left, with the worst of their codes in the order of `WORST_FIRST`, or at a signal
with 0. While any pipeline runs, one that stopped shows in /readyz, /status and the log only.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cdcd.config import HttpSettings, Pipeline
from cdcd.daemon import LEAVE_AFTER, STEP, Clockwork, Signals, Watch
from cdcd.log import get_logger
from cdcd.progress import Progress, duration
from cdcd.status import serving

log = get_logger("supervisor")

WORST_FIRST = (6, 2, 3, 5, 1, 4, 0)
RESTARTED = {1, 4}

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
CALM = 60.0
"""A child that ran this long has earned a short pause again."""
SILENT = 30.0
"""A child that has told nothing for so long is not healthy, whatever it told last."""

Command = Callable[[Pipeline, int], Sequence[str]]
"""The command line of a child, given the file descriptor on which it reports."""


@dataclass(slots=True)
class Child:
    """One pipeline's process, or the wait for the next one."""

    pipeline: Pipeline
    process: subprocess.Popen[str] | None = None
    code: int | None = None
    """The exit code it stays with; None while it runs or will."""
    told: dict[str, Any] = field(default_factory=dict)
    told_at: float = 0.0
    began: float = 0.0
    due: float = 0.0
    failures: int = 0
    restarts: int = 0

    def snapshot(self) -> dict[str, Any]:
        """What it told last, and what the supervisor knows better."""
        told = self.told or Progress(name=self.pipeline.name).snapshot()
        known: dict[str, Any] = {"restarts": self.restarts, "running": self.process is not None}
        if self.process is not None:
            silent = time.monotonic() - self.told_at
            if silent > SILENT:
                known["unhealthy"] = f"its process has told nothing for {duration(silent)}"
            return told | known
        error = str(told.get("last_error", "")).partition("\n")[0]
        if self.code is None:
            state = f"to be started again in {duration(max(0.0, self.due - time.monotonic()))}"
        else:
            state = "done" if self.code == 0 else f"stopped until a person acts (exit {self.code})"
        known |= {"phase": "waiting" if self.code is None else "stopping", "exit_code": self.code, "unhealthy": ""}
        return told | known | {"sentence": f"{state}: {error}" if error else state}


class Supervisor:
    """`relay`: children's stderr passes through ours, where a live display is on the terminal."""

    def __init__(self, pipelines: Sequence[Pipeline], command: Command, relay: bool = False) -> None:
        self.children = [Child(pipeline) for pipeline in pipelines]
        self._command = command
        self._relay = relay

    def snapshots(self) -> list[dict[str, Any]]:
        return [child.snapshot() for child in self.children]

    def run(self, http: HttpSettings, watch: Watch) -> int:
        """Until nothing is left to run, or a signal; the exit code."""
        with serving(http.listen, self.snapshots), Signals(self._kill) as signals:
            clockwork = Clockwork(watch)
            try:
                while not signals.count:
                    self._step()
                    if clockwork.due():
                        clockwork.tick(self.snapshots())
                    if all(child.code is not None for child in self.children):
                        codes = {child.code for child in self.children}
                        return next(code for code in WORST_FIRST if code in codes)
                    time.sleep(STEP)
                clockwork.stopping()
                self._drain()
                return 0
            finally:
                watch.close()
                self._kill()
                for child in self.children:
                    if child.process is not None:
                        child.process.wait()

    def _step(self) -> None:
        for child in self.children:
            if child.process is not None:
                code = child.process.poll()
                if code is not None:
                    self._ended(child, code)
            elif child.code is None and time.monotonic() >= child.due:
                self._start(child)

    def _start(self, child: Child) -> None:
        ours, theirs = os.pipe()
        unseen = {name: value for name, value in os.environ.items() if name not in ("NOTIFY_SOCKET", "WATCHDOG_USEC")}
        try:
            child.process = subprocess.Popen(
                self._command(child.pipeline, theirs),
                pass_fds=(theirs,),
                # Ctrl-C reaches the whole foreground group: a child would take ours, passed on, for the second one.
                process_group=0,
                env=unseen,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE if self._relay else None,
                text=True,
                errors="replace",
            )
        finally:
            os.close(theirs)
        child.began = child.told_at = time.monotonic()
        threading.Thread(target=_listen, args=(child, ours), name=f"listen {child.pipeline.name}", daemon=True).start()
        if child.process.stderr is not None:
            threading.Thread(target=_pass_on, args=(child.process,), name="relay", daemon=True).start()
        log.info("started", pipeline=child.pipeline.name, pid=child.process.pid, restarts=child.restarts)

    def _ended(self, child: Child, code: int) -> None:
        child.process = None
        again = (code < 0 or code in RESTARTED) and not child.pipeline.settings.finite
        if not again:
            # A bug's traceback or an unknown code counts as a failure.
            child.code = code if code in WORST_FIRST else 1
            said = log.info if code == 0 else log.error
            said("ended", pipeline=child.pipeline.name, exit_code=code, again=False)
            return
        calm = time.monotonic() - child.began > CALM
        child.failures = 1 if calm else child.failures + 1
        child.restarts += 1
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (child.failures - 1)) * random.uniform(0.5, 1.0)
        child.due = time.monotonic() + pause
        log.warning("ended", pipeline=child.pipeline.name, exit_code=code, again_in=round(pause, 1))

    def _drain(self) -> None:
        """Pass the signal on and wait; children leave by themselves in time."""
        running = [child.process for child in self.children if child.process is not None]
        until = time.monotonic() + LEAVE_AFTER + 0.2
        for process in running:
            process.send_signal(signal.SIGTERM)
        while time.monotonic() < until and any(process.poll() is None for process in running):
            time.sleep(STEP)

    def _kill(self) -> None:
        for child in self.children:
            if child.process is not None:
                child.process.kill()


def _listen(child: Child, descriptor: int) -> None:
    """A thread: the child's reports, until it ends."""
    with open(descriptor, encoding="utf-8", errors="replace") as reports:
        for line in reports:
            try:
                told = json.loads(line)
            except ValueError:
                continue  # Written while the pipe was full: cut off.
            child.told, child.told_at = told, time.monotonic()


def _pass_on(process: subprocess.Popen[str]) -> None:
    """A thread: the child's stderr, line by line."""
    assert process.stderr is not None
    for line in process.stderr:
        sys.stderr.write(line)


def child_command(file: str, options: Sequence[str]) -> Command:
    """`cdcd run -c FILE NAME …` as this very Python runs it."""

    def command(pipeline: Pipeline, descriptor: int) -> Sequence[str]:
        words = [sys.executable, "-m", "cdcd", "run", "-c", file, *options]
        return [*words, "--report", str(descriptor), "--", pipeline.name]

    return command
