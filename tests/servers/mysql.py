"""A MySQL or MariaDB server of our own: made, started, stopped, killed, restarted, in the directory of the run."""

import itertools
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import pymysql
import pytest
from pymysql.cursors import Cursor

from connectors.mysql.login import Connection
from tests.servers import run
from tests.servers.mysql_binaries import programs
from tests.servers.postgres import free_port
from tests.waiting import wait_until

PASSWORD = "mysql: 100% @home/?#&+='"

Rows = list[tuple[Any, ...]]

_DEFAULTS: Mapping[str, Any] = {
    "bind-address": "127.0.0.1",
    "skip-name-resolve": "ON",
    "log-bin": "binlog",
    "binlog-format": "ROW",
    "sync-binlog": 0,
    "innodb-flush-log-at-trx-commit": 2,
    "innodb-flush-method": "nosync",
    "innodb-buffer-pool-size": "64M",
    "max-allowed-packet": "256M",
    "max-connections": 200,
    # Not UTC, so that a session that forgets to ask for it is seen.
    "default-time-zone": "+05:30",
    "character-set-server": "utf8mb4",
}

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "mysql": {**_DEFAULTS, "gtid-mode": "ON", "enforce-gtid-consistency": "ON", "mysqlx": "OFF"},
    "mariadb": {**_DEFAULTS, "log-slave-updates": "ON"},
}

_ids = itertools.count(1)


class MySQL:
    """A running server of either product. Its data outlive `kill`: the operating system holds what was not synced."""

    host = "127.0.0.1"
    user = "admin"

    def __init__(self, product: str, directory: Path, settings: Mapping[str, Any]) -> None:
        self.product = product
        self.directory = directory
        self.data = directory / "data"
        self.log = directory / "log"
        self.socket = directory / "sock"
        self.port = 0
        self.settings = dict(settings)
        self.process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls, product: str = "mysql", settings: Mapping[str, Any] | None = None) -> "MySQL":
        """A new server of "mysql" or "mariadb"."""
        given = {**DEFAULTS[product], "server-id": 1000 + next(_ids), **(settings or {})}
        server = cls(product, run.place(product), given)
        try:
            server._make()
            server.launch()
            server._make_admin()
        except BaseException:
            server.remove()
            raise
        return server

    def _make(self) -> None:
        command = [*programs(self.product).install, f"--datadir={self.data}"]
        if (case := self.settings.get("lower-case-table-names")) is not None:  # which MySQL asks for once and for all
            command.append(f"--lower-case-table-names={case}")
        if self.product == "mariadb":
            self.data.mkdir()
            run.give(self.data)
        done = subprocess.run(
            command, cwd=self.directory, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            env=self._environment, **run.credentials(),
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"{self.product} was not made: {(done.stdout + done.stderr)[-2000:]}")

    @property
    def _environment(self) -> dict[str, str]:
        """A server that starts deletes the temporary tables that it finds, those of other servers too."""
        return {**os.environ, "TMPDIR": str(self.directory)}

    def _make_admin(self) -> None:
        with self._local() as cursor:
            cursor.execute("CREATE USER admin@'%%' IDENTIFIED BY %s", (PASSWORD,))
            cursor.execute("GRANT ALL ON *.* TO admin@'%' WITH GRANT OPTION")

    @contextmanager
    def _local(self, timeout: int = 10) -> Iterator[Cursor]:
        connection = pymysql.connect(
            unix_socket=str(self.socket), user="root", autocommit=True, connect_timeout=timeout, ssl_disabled=True
        )
        try:
            yield connection.cursor()
        finally:
            connection.close()

    # Start and stop

    def launch(self) -> None:
        """Start the server process and wait until it answers; on the port it had, if it had one."""
        for _ in range(5):
            port = self.port or free_port()
            self._spawn(port)
            try:
                wait_until(partial(self._answers), limit=90, what=f"{self.product} to start")
            except StopIteration:
                if "Address already in use" in self.log_text() and not self.port:
                    continue
                raise RuntimeError(f"the server ended while it started: {self.log_text()[-3000:]}") from None
            self.port = port
            return
        raise RuntimeError("no free port was found in five tries")

    def _spawn(self, port: int) -> None:
        command = [*programs(self.product).serve, f"--datadir={self.data}", f"--port={port}"]
        command += [f"--socket={self.socket}", f"--pid-file={self.directory / 'mysqld.pid'}"]
        command += [f"--{name}={value}" for name, value in self.settings.items()]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, env=self._environment, **run.credentials(),
            )  # fmt: skip
        run.own_processes.add(self.process.pid)

    def _answers(self) -> bool:
        if not self.running:
            raise StopIteration
        try:
            self._knock()
            with self._local():
                return True
        except (OSError, pymysql.err.OperationalError):
            return False

    def _knock(self) -> None:
        """First without PyMySQL, which forgets to close a socket that it could not connect."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(self.socket))

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """End it in good order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: what a crash would do."""
        self._end(signal.SIGKILL)

    def _end(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(30)
                raise
        if self.process is not None:
            run.own_processes.discard(self.process.pid)
            self.process = None

    def restart(self, settings: Mapping[str, Any] | None = None) -> None:
        """Stop it if it runs, change settings if any are given, and start on the same port."""
        self.stop()
        self.settings.update(settings or {})
        self.launch()

    def pause(self) -> None:
        """A server that is there and does not answer."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)

    def remove(self) -> None:
        """Kill the server and delete its directory."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    # What is asked of it

    def url(self, database: str = "", user: str | None = None, password: str | None = None) -> str:
        """A TCP URL: the administrator's, or another user's."""
        if user is None:
            user, password = self.user, PASSWORD
        who = quote(user, safe="") + ("" if password is None else ":" + quote(password, safe=""))
        return f"{self.product}://{who}@{self.host}:{self.port}/{quote(database, safe='')}"

    def connect(
        self, database: str | None = None, user: str | None = None, password: str | None = None, autocommit: bool = True
    ) -> Connection:
        """A connection of the administrator, or of another user; close it."""
        if user is None:
            user, password = self.user, PASSWORD
        return pymysql.connect(
            host=self.host, port=self.port, user=user, password=password or "", database=database,
            autocommit=autocommit, charset="utf8mb4", connect_timeout=10, ssl_disabled=True,
        )  # fmt: skip

    def execute(self, text: str, *params: object, database: str | None = None) -> Rows:
        """Run one statement as administrator in autocommit; its rows, or none."""
        return execute(self.connect(database), text, *params)

    @property
    def version(self) -> str:
        return str(self.execute("SELECT VERSION()")[0][0])

    @property
    def number(self) -> tuple[int, ...]:
        """As in (9, 7)."""
        return tuple(map(int, self.version.split(".")[:2]))

    def needs(self, number: tuple[int, int], what: str) -> None:
        """`what` the test is of came to MySQL with this version."""
        if self.product == "mysql" and self.number < number:
            pytest.skip(f"{what}: not before MySQL {number[0]}.{number[1]}")

    @property
    def reset(self) -> str:
        """What begins its log anew."""
        older = self.product == "mariadb" or self.number < (8, 2)
        return "RESET MASTER" if older else "RESET BINARY LOGS AND GTIDS"

    def __enter__(self) -> "MySQL":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


def execute(connection: Connection, text: str, *params: object) -> Rows:
    """Run one statement on a connection and close it; the statement's rows, or none."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(text, params or None)
            return list(cursor.fetchall())
    finally:
        connection.close()
