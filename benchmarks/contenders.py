"""Who streams: cdcd, and PostgreSQL's own logical replication."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Protocol

from benchmarks.servers import Ends, Pair, environment
from deploy.demo.processes import start
from tests.servers import run as place
from tests.waiting import wait_until

PUBLICATION = "bench"
CDCD = str(Path(sys.executable).with_name("cdcd"))


class Contender(Protocol):
    """One program, on databases of one piece of work; `run` numbers its turns, each with a slot of its own."""

    name: str

    def prepare(self, run: int) -> None:
        """Before the backlog: make the slot."""
        ...

    def slot(self, run: int) -> str: ...

    def start(self, run: int) -> None: ...

    def check(self) -> None:
        """Raise if it has ended by itself."""
        ...

    def stop(self, run: int) -> None: ...


class Cdcd:
    """`cdcd run` with its default settings, a pipeline per turn; making its slot is no part of the turn."""

    name = "cdcd"

    def __init__(self, ends: Ends) -> None:
        self._ends = ends
        self._process: subprocess.Popen[bytes] | None = None
        self.log = place.directory() / "cdcd.log"

    def slot(self, run: int) -> str:
        return f"cdcd_bench_{run}"

    def prepare(self, run: int) -> None:
        self.launch(run, "--from-now", "--until", "caught-up")
        self.wait()

    def start(self, run: int) -> None:
        self.launch(run)

    def launch(self, run: int, *options: str, load: str = "skip") -> None:
        """`cdcd run`, as the least privileged roles."""
        target = ("--target-tables", "use") if load == "skip" else ()
        command = [CDCD, "run", "--name", f"bench_{run}", *self._between, "--tables", self._ends.tables]
        with self.log.open("wb") as log:
            self._process = start([*command, "--load", load, *target, *options], environment(), log)

    @property
    def _between(self) -> tuple[str, ...]:
        return "--from", self._ends.source, "--to", self._ends.target

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def wait(self, seconds: float = 600) -> None:
        """Until it ends by itself."""
        assert self._process is not None
        self._ended(self._process.wait(seconds))

    def check(self) -> None:
        assert self._process is not None
        code = self._process.poll()
        if code is not None:
            raise RuntimeError(f"cdcd ended with exit code {code}:\n{self.log.read_text(errors='replace')[-4000:]}")

    def stop(self, run: int) -> None:
        assert self._process is not None
        self.check()
        self._process.terminate()
        self._ended(self._process.wait(15))

    def drop(self, run: int) -> None:
        """Forget the pipeline, slot and all."""
        command = [CDCD, "drop", "--yes", "--force", "--name", f"bench_{run}", *self._between]
        subprocess.run(command, env=environment(), check=True, capture_output=True)

    def _ended(self, code: int) -> None:
        if code != 0:
            raise RuntimeError(f"cdcd ended with exit code {code}:\n{self.log.read_text(errors='replace')[-4000:]}")


class Native:
    """A subscription with PostgreSQL's defaults, but for `synchronous_commit` where it is given."""

    def __init__(self, pair: Pair, synchronous_commit: str | None = None) -> None:
        self.name = "native" if synchronous_commit is None else f"native, synchronous_commit {synchronous_commit}"
        self._pair = pair
        self._setting = synchronous_commit

    def slot(self, run: int) -> str:
        return f"native_{self._setting or 'default'}_{run}"

    def prepare(self, run: int) -> None:
        self._pair.source.admin(f"SELECT pg_create_logical_replication_slot('{self.slot(run)}', 'pgoutput')")

    def start(self, run: int) -> None:
        source, target = self._pair.source, self._pair.target
        options = f"create_slot = false, copy_data = false, enabled = false, slot_name = {self.slot(run)}"
        if self._setting:
            options += f", synchronous_commit = {self._setting}"
        target.admin(
            f"CREATE SUBSCRIPTION bench CONNECTION %s PUBLICATION {PUBLICATION} WITH ({options})", source.admin_url
        )
        # Owned by the tables' owner, else the worker changes its role for every row.
        target.admin("ALTER SUBSCRIPTION bench SET (password_required = false)")
        target.admin(f"ALTER SUBSCRIPTION bench OWNER TO {target.owner}")
        target.admin("ALTER SUBSCRIPTION bench ENABLE")

    def check(self) -> None:
        pass

    def stop(self, run: int) -> None:
        target = self._pair.target
        target.admin("ALTER SUBSCRIPTION bench DISABLE")
        target.admin("ALTER SUBSCRIPTION bench SET (slot_name = NONE)")
        target.admin("DROP SUBSCRIPTION bench")
        wait_until(
            lambda: not self._pair.source.admin("SELECT 1 FROM pg_replication_slots WHERE active"),
            what="the subscription's walsender to end",
        )
