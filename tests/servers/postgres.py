"""A PostgreSQL server of our own: initdb, start, stop, kill, restart, in the directory of the run."""

import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg2

from tests.servers import run
from tests.servers.address import Server
from tests.servers.binaries import binaries
from tests.waiting import wait_until

PASSWORD = "postgres: 100% @home/?#&+='"

DEFAULTS: Mapping[str, Any] = {
    "listen_addresses": "127.0.0.1",
    "wal_level": "logical",
    "max_replication_slots": 60,
    "max_wal_senders": 60,
    "max_connections": 200,
    "shared_buffers": "64MB",
    "logging_collector": "off",
    "log_connections": "on",
    "log_line_prefix": "%m [%p] %q%a %u@%d ",
    "restart_after_crash": "on",
}

_MIGHTY = re.compile(r"connection authorized: user=postgres .*application_name=cdcd(?! cutover).*")
"""A session of cdcd's as superuser, but for the fence of a cut-over, whose role a person names."""


def free_port() -> int:
    """A TCP port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Postgres(Server):
    """A running server. Its data outlive `kill`: the operating system holds what was not fsynced."""

    def __init__(self, version: int, directory: Path, settings: Mapping[str, Any]) -> None:
        super().__init__("127.0.0.1", 0, "postgres", PASSWORD)
        self.bin = binaries(version)
        self.directory = directory
        self.data = directory / "data"
        self.log = directory / "log"
        self.settings = dict(settings)
        self.process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(
        cls,
        version: int = 18,
        settings: Mapping[str, Any] | None = None,
        directory: Path | None = None,
        durable: bool = False,
        locale: str = "C.UTF-8",
        initdb: tuple[str, ...] = (),
    ) -> "Postgres":
        """A new server, or the one whose data are in `directory`, which the servers' user must own.

        `durable` leaves fsync on, for what a power cut would take; `initdb` adds options to that program.
        """
        given = dict(DEFAULTS)
        if not durable:
            given["fsync"] = "off"
        if version >= 16:  # each login would cost both ends 4,096 of them, and tests log in for each statement
            given["scram_iterations"] = 1
        given.update(settings or {})
        server = cls(version, directory or run.place(f"pg{version}"), given)
        if fresh := not (server.data / "PG_VERSION").exists():
            server._initdb(locale, initdb)
        try:
            server.launch()
            if fresh:
                server.execute("ALTER ROLE CURRENT_USER PASSWORD %s", PASSWORD)
        except BaseException:
            server.remove()
            raise
        return server

    @classmethod
    def from_base_backup(cls, backup: Path, version: int, settings: Mapping[str, Any]) -> "Postgres":
        """A second server on a directory `DIR/data` that pg_basebackup or a copy made."""
        server = cls(version, backup.parent, {**DEFAULTS, "fsync": "off", **settings})
        server.launch()
        return server

    def _initdb(self, locale: str, options: tuple[str, ...]) -> None:
        secret = self.directory / "password"
        secret.write_text(PASSWORD + "\n")
        secret.chmod(0o600)
        run.give(secret)
        self.run(
            *("initdb", "-D", self.data, "-U", "postgres", "-E", "UTF8", f"--locale={locale}", "--no-sync"),
            *("--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={secret}", *options),
        )
        secret.unlink()

    def run(self, program: str, *arguments: object) -> str:
        """Run one of the version's programs as the servers' user; its output."""
        done = subprocess.run(
            [str(self.bin / program), *map(str, arguments)],
            cwd=self.directory,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            **run.credentials(),
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program} failed with {done.returncode}: {done.stdout[-2000:]}")
        return str(done.stdout)

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        # Without a server's own service or password files, and with messages that tests can read.
        return {**kept, "LC_MESSAGES": "C", "HOME": str(self.directory)}

    # Start and stop

    def launch(self) -> None:
        """Start the server process and wait until it answers; on the port it had, if it had one."""
        for _ in range(5):
            port = self.port or free_port()
            self._spawn(port)
            try:
                wait_until(partial(self._answers, port), limit=60, what=f"{self.bin.parent} to start")
            except StopIteration:
                if "Address already in use" in self.log_tail() and not self.port:
                    continue
                raise RuntimeError(f"the server ended while it started: {self.log_tail()}") from None
            self.port = port
            return
        raise RuntimeError("no free port was found in five tries")

    def _spawn(self, port: int) -> None:
        command = [str(self.bin / "postgres"), "-D", str(self.data)]
        command += ["-p", str(port), "-k", str(self.directory)]
        for name, value in self.settings.items():
            command += ["-c", f"{name}={value}"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.directory,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **run.credentials(),
            )
        run.own_processes.add(self.process.pid)

    def _answers(self, port: int) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise StopIteration
        try:
            psycopg2.connect(host=str(self.directory), port=port, user=self.user, dbname="postgres").close()
        except psycopg2.OperationalError:
            return False
        return True

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        assert self.process is not None, "the server is not running"
        return self.process.pid

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: smart, fast or immediate."""
        signals = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signals[mode])
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        self._forget()

    def kill(self) -> None:
        """SIGKILL the postmaster and its children at once, as a crash of the machine would end them."""
        if self.process is not None and self.process.poll() is None:
            os.kill(self.pid, signal.SIGSTOP)  # no new children while the old ones are killed
            children = _children(self.pid)
            for pid in [self.pid, *children]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.wait(30)
            wait_until(lambda: not any(map(_alive, children)), what="killed backends to end")
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        self._forget()

    def _forget(self) -> None:
        if self.process is not None:
            run.own_processes.discard(self.process.pid)
            self.process = None

    def restart(self, mode: str = "fast", settings: Mapping[str, Any] | None = None) -> None:
        """Stop if it runs, change settings if any are given, and start on the same port."""
        self.stop(mode)
        self.settings.update(settings or {})
        self.launch()

    def pause(self) -> None:
        """SIGSTOP the postmaster and every child: a server that is there and does not answer."""
        for pid in [self.pid, *_children(self.pid)]:
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """End a pause."""
        for pid in [*_children(self.pid), self.pid]:
            os.kill(pid, signal.SIGCONT)

    def reload(self) -> None:
        """Let the server read its configuration again, e.g. after ALTER SYSTEM."""
        before = self.execute("SELECT pg_conf_load_time()")
        os.kill(self.pid, signal.SIGHUP)
        wait_until(
            lambda: self.execute("SELECT pg_conf_load_time()") != before, what="the configuration to load"
        )

    def promote(self) -> None:
        """Make a standby the primary of a new timeline."""
        self.execute("SELECT pg_promote(true, 60)")

    def remove(self) -> None:
        """Stop the server at once and delete its directory."""
        self.stop("immediate")
        mighty = _MIGHTY.findall(self.log_text())
        shutil.rmtree(self.directory, ignore_errors=True)
        assert not mighty, f"cdcd ran as a superuser, {len(mighty)} times: {mighty[0]}"

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def log_tail(self, lines: int = 40) -> str:
        return "\n".join(self.log_text().splitlines()[-lines:])

    def __enter__(self) -> "Postgres":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(word) for word in task.read_text().split()]
    return found


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False
