"""Where the programs of MySQL and MariaDB are on this machine, fetching them when they can be fetched."""

import functools
import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.servers import run
from tests.servers.binaries import KEPT, Unavailable, debian_package, fetching

SID = {
    "mysql": ("mysql-server-core", "mysql-client-core"), "mariadb": ("mariadb-server-core", "mariadb-client-core")
}  # fmt: skip
"""The packages of Debian sid that hold MySQL 9.7 and MariaDB 11; sid moves on, so they are kept once they are here."""

WANTED = {product: os.environ.get(f"CDCD_{product.upper()}", "") for product in ("mysql", "mariadb")}
"""The version that is asked for: of CONTAINED by mysql_container.py, "11" MariaDB of Debian sid; else 9.7 and 10.11."""

CONTAINED = {"mysql": ("8.0", "8.4"), "mariadb": ("10.6",)}

VECTORS = WANTED["mysql"] not in CONTAINED["mysql"]
"""Whether MySQL has them: from 9.0 on."""


_PLAIN = ("--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")


@dataclass(frozen=True)
class Programs:
    """`serve` begins the command of the server, `install` that of what makes a data directory."""

    serve: tuple[str, ...]
    install: tuple[str, ...]


@functools.cache
def programs(product: str) -> Programs:
    """Of "mysql" (9.7) or "mariadb" (10.11, or 11 where that is asked for), as the servers' user can run them."""
    return {"mysql": _mysql, "mariadb": _newer_mariadb if WANTED["mariadb"] == "11" else _mariadb}[product]()


def _mariadb() -> Programs:
    server, install = Path("/usr/sbin/mariadbd"), Path("/usr/bin/mariadb-install-db")
    if not (server.exists() and install.with_name("my_print_defaults").exists()):
        debian_package("mariadb")
        if not server.exists():
            raise Unavailable(f"mariadb-server-core did not bring {server}")
    return Programs((str(server), "--no-defaults"), (str(install), "--no-defaults", *_PLAIN))


def _newer_mariadb() -> Programs:
    base = _kept("mariadb") / "usr"
    serve = (str(base / "sbin" / "mariadbd"), "--no-defaults", f"--basedir={base}")
    install = (str(base / "bin" / "mariadb-install-db"), "--no-defaults", f"--basedir={base}", "--force", *_PLAIN)
    return Programs(serve, install)


def _mysql() -> Programs:
    base = _kept("mysql") / "usr"
    command = (
        *(str(base / "sbin" / "mysqld"), "--no-defaults", f"--basedir={base}"),
        *(f"--lc-messages-dir={base / 'share' / 'mysql'}", "--secure-file-priv="),
    )
    return Programs(command, (*command, "--initialize-insecure"))


def _kept(product: str) -> Path:
    """Where the product's packages of sid are unpacked, as the servers' user can reach it."""
    kept = KEPT / f"{product}-of-sid"
    if not kept.exists():
        with fetching() as directory:
            if not kept.exists():
                _unpacked(product, directory / "root").rename(kept)
    return run.reachable(kept)


def _wrapped(base: Path) -> None:
    """sid's libc is newer than this system's, so its programs are started by a loader of their own: a script in the
    place of each does so, as other scripts call them by their names."""
    libraries = f"lib/{platform.machine()}-linux-gnu"
    for name in ("sbin/mysqld", "sbin/mariadbd", "bin/my_print_defaults", "bin/resolveip"):
        program = base / name
        if program.is_symlink() or not program.exists():
            continue
        program.rename(program.with_name(f"{program.name}.real"))
        program.write_text(
            f'#!/bin/sh\nlib=$(dirname "$0")/../{libraries}\n'
            'exec "$lib"/ld-linux*.so.* --library-path "$lib" "$0.real" "$@"\n'
        )
        program.chmod(0o755)


def _unpacked(product: str, directory: Path) -> Path:
    script = Path(__file__).with_name("sid.sh")
    done = subprocess.run(
        ["sh", str(script), str(directory), *SID[product]], capture_output=True, text=True, check=False
    )
    if done.returncode != 0 or not (directory / "usr/sbin/mysqld").exists():
        raise Unavailable(f"{product} was not fetched from Debian sid: {done.stderr.strip()[-300:]}")
    _wrapped(directory / "usr")
    return directory
