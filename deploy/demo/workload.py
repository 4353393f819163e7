"""pgbench, writing to the source for as long as the demo lasts."""

from __future__ import annotations

import re
import signal
import subprocess
import threading

from deploy.demo.processes import start
from deploy.demo.world import SQL, World

CLIENTS = 4
MIX = ("-b", "tpcb-like@12", *(f"-f{SQL / name}.sql@1" for name in ("documents", "keys", "visits")))
"""Mostly pgbench's own transaction (three updates, one insert); each fifth is one of ours."""

_PROGRESS = re.compile(r"progress: [\d.]+ s, ([\d.]+) tps")
_PROCESSED = re.compile(r"actually processed: (\d+)")


class Workload:
    """`tps` is the last second's; `transactions` is known after `stop`."""

    def __init__(self, world: World, rate: int) -> None:
        self.tps = 0.0
        self.transactions = 0
        self._said: list[str] = []
        self._process = start(
            [*world.pgbench[:-1], "-n", f"-c{CLIENTS}", "-T86400", "-P1", f"--rate={rate}", "--max-tries=20", *MIX,
             world.pgbench[-1]],
            world.environment, subprocess.PIPE,
        )
        self._thread = threading.Thread(target=self._listen, name="pgbench", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            text = line.decode(errors="replace")
            if found := _PROGRESS.search(text):
                self.tps = float(found[1])
            else:
                self._said.append(text)

    def check(self) -> None:
        """Raise what pgbench ended with, if it ended."""
        said = "".join(self._said)
        if self._process.poll() is not None or "aborted" in said:
            raise RuntimeError(f"pgbench failed: {said[:2000]}")

    def stop(self) -> None:
        """End after the transactions that are open: SIGALRM is what ends a pgbench run when its time is over."""
        self.check()
        self._process.send_signal(signal.SIGALRM)
        self._process.wait(30)
        self._thread.join(5)
        self.tps = 0.0
        said = "".join(self._said)
        found = _PROCESSED.search(said)
        if found is None or self._process.returncode != 0:
            raise RuntimeError(f"pgbench failed: {said[-2000:]}")
        self.transactions = int(found[1])

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
