"""PgBouncer in front of a server. In mode "transaction" each transaction may be on another session of the server."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import run
from tests.servers.address import Server
from tests.servers.binaries import Unavailable, debian_package
from tests.servers.roles import PASSWORDS
from tests.waiting import wait_until

PROGRAM = "/usr/sbin/pgbouncer"


@contextmanager
def pooled(server: Server, mode: str = "transaction") -> Iterator[Server]:
    """The address at which it listens; all of the tests' roles may log in there."""
    if shutil.which(PROGRAM) is None:
        debian_package("pgbouncer")
        if shutil.which(PROGRAM) is None:
            raise Unavailable(f"the package did not bring {PROGRAM}")
    place = run.place("pooler")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    users = place / "users"
    quoted = {role: password.replace('"', '""') for role, password in PASSWORDS.items()}
    users.write_text("".join(f'"{role}" "{password}"\n' for role, password in quoted.items()))
    settings = place / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n* = host={server.host} port={server.port}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\n"
        f"auth_file = {users}\npool_mode = {mode}\nserver_reset_query_always = 1\nlogfile = {place / 'log'}\n"
        "ignore_startup_parameters = extra_float_digits,options\n"
    )
    for path in (users, settings):
        run.give(path)
    process = subprocess.Popen([PROGRAM, "-q", settings], cwd="/", stderr=subprocess.DEVNULL, **run.credentials())
    try:
        wait_until(lambda: _listens(port), 10, f"PgBouncer to listen: {_log(place)}")
        yield Server("127.0.0.1", port, server.user, server.password)
    finally:
        process.terminate()
        process.wait(10)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _log(place: Path) -> str:
    log = place / "log"
    return log.read_text()[-500:] if log.exists() else ""
