"""pgloader, from its Debian package: installed by `make bench-peers`, and one run of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.servers import Absent

SCRIPT = Path(__file__).parents[2] / "tests" / "servers" / "debian.sh"

COMMANDS = """\
LOAD DATABASE FROM {source} INTO {target}
INCLUDING ONLY TABLE NAMES MATCHING 'mixed'
;
"""


def install() -> None:
    """Have it here; where it cannot be had, its row of the table says so."""
    if shutil.which("pgloader") is None and subprocess.run(["sh", str(SCRIPT), "pgloader"], check=False).returncode:
        print("pgloader is not here: it is a package of Debian's", file=sys.stderr)


def require() -> None:
    if shutil.which("pgloader") is None:
        raise Absent("pgloader is not installed: make bench-peers")


def start(source: str, target: str, directory: Path, log: Path) -> subprocess.Popen[bytes]:
    """With its defaults; the URLs hold passwords of letters, as it reads no others."""
    file = directory / "mixed.load"
    file.write_text(COMMANDS.format(source=source, target=target))
    file.chmod(0o600)
    with log.open("wb") as out:
        return subprocess.Popen(
            ["pgloader", "--root-dir", str(directory / "pgloader"), str(file)], stdout=out, stderr=out
        )


if __name__ == "__main__":
    install()
