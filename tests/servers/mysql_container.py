"""`python -m tests.servers.mysql_container`: the tests on versions of MySQL and MariaDB that no package brings, from
their official images, where there is Docker. A container shares this machine's network and keeps its data in the run's
directory: so it is reached, restarted and looked into as any other server, and reaches others."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

from tests.servers.mysql import MySQL
from tests.servers.mysql_binaries import CONTAINED, WANTED
from tests.servers.postgres import free_port
from tests.waiting import wait_until

FOLDERS = ("tests/mysql", "tests/contract", "tests/pairs")
OF = {"mysql": "not mariadb", "mariadb": "mariadb"}
"""Which of their tests are of a product."""


def obtain(product: str, settings: Mapping[str, Any]) -> MySQL:
    """A new server of the product, in the version that the environment asks for."""
    return (Contained if WANTED[product] in CONTAINED[product] else MySQL).start(product, settings)


class Contained(MySQL):
    """In a container of its own, which is another one after each stop: what it was started with stays with it."""

    _container: Any = None

    def _make(self) -> None:
        self.data.mkdir()
        self.socket = self.data / "mysqld.sock"

    def launch(self) -> None:
        from testcontainers.core.container import DockerContainer

        self.port = self.port or free_port()
        given = {**self.settings, "port": self.port, "socket": "/var/lib/mysql/mysqld.sock"}
        self._container = (
            DockerContainer(f"{self.product}:{WANTED[self.product]}", network_mode="host")
            .with_env("MYSQL_ALLOW_EMPTY_PASSWORD", "yes")
            .with_volume_mapping(self.data, "/var/lib/mysql", "rw")
            .with_command([f"--{name}={value}" for name, value in given.items()])
            .start()
        )
        try:
            wait_until(partial(self._answers), limit=180, what=f"{self.product} to start")
        except StopIteration:
            raise RuntimeError(f"the server ended while it started: {self.log_text()[-3000:]}") from None

    def _knock(self) -> None:
        """Where the server that makes the data does not listen."""
        socket.create_connection((self.host, self.port), 1).close()

    @property
    def running(self) -> bool:
        if self._container is None:
            return False
        self._container.reload()
        return bool(self._container.status in ("created", "running", "paused"))

    def _end(self, number: int) -> None:
        container, self._container = self._container, None
        if container is None:
            return
        wrapped = container.get_wrapped_container()
        with contextlib.suppress(Exception):  # it is not paused, or it has ended by itself
            wrapped.unpause()
        with contextlib.suppress(Exception):
            wrapped.kill(signal.Signals(number).name)
            wrapped.wait(timeout=60)
        with self.log.open("ab") as log:
            log.write(wrapped.logs())
        container.stop()

    def pause(self) -> None:
        self._container.get_wrapped_container().pause()

    def resume(self) -> None:
        self._container.get_wrapped_container().unpause()

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def log_text(self) -> str:
        now = self._container.get_wrapped_container().logs() if self._container is not None else b""
        return super().log_text() + now.decode(errors="replace")


def missing() -> str:
    """Why there are no containers, "" where there are."""
    from testcontainers.core.docker_client import DockerClient

    try:
        DockerClient().client.ping()
    except Exception as error:
        return f"there is no Docker here ({type(error).__name__})"
    return ""


def main() -> int:
    """All of them, one after the other; 1: tests have failed."""
    reason, failed = missing(), False
    for product, versions in CONTAINED.items():
        for version in versions:
            if reason:
                print(f"{product} {version} was left out: {reason}")
                continue
            print(f"{product} {version}")
            words = ["-n", "2", "--dist", "loadfile", "-k", OF[product], *FOLDERS]
            asked = {**os.environ, f"CDCD_{product.upper()}": version}
            failed |= subprocess.run([sys.executable, "-m", "pytest", *words], env=asked, check=False).returncode != 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
