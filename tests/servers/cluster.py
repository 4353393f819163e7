"""A cluster of one node: MySQL with group replication, or MariaDB with Galera, of which Debian's package is fetched."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import run
from tests.servers.binaries import KEPT, Unavailable, fetching
from tests.servers.mysql import MySQL
from tests.servers.mysql_database import make_users
from tests.servers.postgres import free_port
from tests.waiting import wait_until

GROUP = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"


@contextmanager
def cluster(product: str) -> Iterator[MySQL]:
    server = {"mysql": _group, "mariadb": _galera}[product]()
    try:
        make_users(server)
        yield server
    finally:
        server.remove()


def _group() -> MySQL:
    here = f"127.0.0.1:{free_port()}"
    server = MySQL.start("mysql", {"plugin-load-add": "group_replication.so"})
    for name, value in (("group_name", GROUP), ("local_address", here), ("group_seeds", here)):
        server.execute(f"SET GLOBAL group_replication_{name} = '{value}'")
    server.execute("SET GLOBAL group_replication_bootstrap_group = ON")
    server.execute("START GROUP_REPLICATION")
    state = "SELECT MEMBER_STATE FROM performance_schema.replication_group_members"
    wait_until(lambda: server.execute(state) == [("ONLINE",)], 30, "the group")
    return server


def _galera() -> MySQL:
    port = free_port()
    options = [f"gmcast.listen_addr=tcp://127.0.0.1:{port}", f"ist.recv_addr=127.0.0.1:{free_port()}"]
    settings = {
        "wsrep-on": "ON", "wsrep-provider": _provider(), "wsrep-cluster-address": "gcomm://",
        "wsrep-node-address": "127.0.0.1", "wsrep-provider-options": ";".join([f"base_port={port}", *options]),
        "innodb-autoinc-lock-mode": 2,
    }  # fmt: skip
    return MySQL.start("mariadb", settings)


def _provider() -> Path:
    kept = KEPT / "galera"
    if not kept.exists():
        with fetching() as directory:
            if not kept.exists():
                done = subprocess.run(
                    "apt-get -q download galera-4 && dpkg -x galera-4*.deb root", shell=True, cwd=directory,
                    capture_output=True, text=True, check=False,
                )  # fmt: skip
                if done.returncode != 0:
                    raise Unavailable(f"galera-4 was not fetched from Debian: {done.stderr.strip()[-300:]}")
                (directory / "root").rename(kept)
    return run.reachable(kept) / "usr/lib/galera/libgalera_smm.so"
