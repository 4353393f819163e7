"""`cdcd` as a process of its own, with the connector of populated.py known to it as any third party's is."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from tests.forked import Forked

ROOT = Path(__file__).parents[2]


class Cdcd:
    """Runs commands with a directory on the path where an entry point is declared."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        declared = directory / "busy-1.0.dist-info"
        declared.mkdir()
        (declared / "METADATA").write_text("Metadata-Version: 2.1\nName: busy\nVersion: 1.0\n")
        (declared / "entry_points.txt").write_text("[cdcd.connectors]\nbusy = tests.unit.populated\n")
        self.environment = os.environ | {"PYTHONPATH": f"{directory}:{ROOT}"}

    def file(self, text: str, name: str = "cdcd.toml") -> str:
        path = self.directory / name
        path.write_text(text)
        return str(path)

    def run(self, *words: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """To its end."""
        with TemporaryFile("w+") as out, TemporaryFile("w+") as err:
            given = self.environment | (environment or {})
            process = Forked(words, out.fileno(), err.fileno(), given, self.directory)
            try:
                code = process.wait(60)
            finally:
                process.kill()
                process.wait()
            for file in (out, err):
                file.seek(0)
            return subprocess.CompletedProcess(words, code, out.read(), err.read())

    @contextmanager
    def running(self, *words: str) -> Iterator[Running]:
        process = Running(self, *words)
        try:
            yield process
        finally:
            process.kill()


class Running:
    def __init__(self, cdcd: Cdcd, *words: str) -> None:
        self._log = cdcd.directory / f"{time.monotonic_ns()}.log"
        with self._log.open("wb") as log:
            self.process = Forked(words, log.fileno(), log.fileno(), cdcd.environment, cdcd.directory)

    @property
    def text(self) -> str:
        return self._log.read_text()

    def wait_said(self, words: str, times: int = 1, limit: float = 20) -> None:
        until = time.monotonic() + limit
        while self.text.count(words) < times:
            assert time.monotonic() < until and self.process.poll() is None, f"never said {words!r}:\n{self.text}"
            time.sleep(0.05)

    def wait(self, limit: float = 15) -> int:
        return self.process.wait(limit)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
