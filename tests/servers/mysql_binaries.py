"""Where the programs of MySQL and MariaDB are on this machine, fetching them when they can be fetched."""

import functools
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.servers import run
from tests.servers.binaries import KEPT, Unavailable, debian_package, fetching

SID = ("mysql-server-core", "mysql-client-core")
"""The packages of Debian sid that hold MySQL 9.7; sid moves on, so they are kept once they are here."""


@dataclass(frozen=True)
class Programs:
    """`serve` begins the command of the server, `install` that of what makes a data directory."""

    serve: tuple[str, ...]
    install: tuple[str, ...]


@functools.cache
def programs(product: str) -> Programs:
    """Of "mysql" (9.7) or "mariadb" (10.11), as the servers' user can run them."""
    return {"mysql": _mysql, "mariadb": _mariadb}[product]()


def _mariadb() -> Programs:
    server, install = Path("/usr/sbin/mariadbd"), Path("/usr/bin/mariadb-install-db")
    if not (server.exists() and install.with_name("my_print_defaults").exists()):
        debian_package("mariadb")
        if not server.exists():
            raise Unavailable(f"mariadb-server-core did not bring {server}")
    plain = ("--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
    return Programs((str(server), "--no-defaults"), (str(install), "--no-defaults", *plain))


def _mysql() -> Programs:
    kept = KEPT / "mysql-sid"
    if not kept.exists():
        with fetching() as directory:
            if not kept.exists():
                _unpacked(directory / "root").rename(kept)
    base = run.reachable(kept) / "usr"
    # sid's libc is newer than this system's, so the programs are started by a loader of their own.
    libraries = base / "lib" / f"{platform.machine()}-linux-gnu"
    loader = next(iter(sorted(libraries.glob("ld-linux*.so.*"))))
    command = (
        *(str(loader), "--library-path", str(libraries), str(base / "sbin" / "mysqld"), "--no-defaults"),
        *(f"--basedir={base}", f"--lc-messages-dir={base / 'share' / 'mysql'}", "--secure-file-priv="),
    )
    return Programs(command, (*command, "--initialize-insecure"))


def _unpacked(directory: Path) -> Path:
    script = Path(__file__).with_name("sid.sh")
    done = subprocess.run(["sh", str(script), str(directory), *SID], capture_output=True, text=True, check=False)
    if done.returncode != 0 or not (directory / "usr/sbin/mysqld").exists():
        raise Unavailable(f"MySQL was not fetched from Debian sid: {done.stderr.strip()[-300:]}")
    return directory
