"""A page's fenced blocks, and a shell in which they mean what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from tests.house import ROOT
from tests.servers.binaries import binaries
from tests.servers.roles import PASSWORDS, SOURCE, TARGET

_FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Page:
    """The blocks of one file, taken in their order; `places`: what stands in it → what it is here."""

    def __init__(self, name: str, directory: Path, places: Mapping[str, str]) -> None:
        self._blocks = _FENCED.findall((ROOT / "docs" / name).read_text())
        self._directory = directory
        self.places = dict(places)

    def __len__(self) -> int:
        """How many are left."""
        return len(self._blocks)

    def take(self, language: str) -> str:
        """The next block, which is of this language."""
        found, text = self._blocks.pop(0)
        assert found == language, f"a block of {found} comes next:\n{text}"
        for place, here in self.places.items():
            text = text.replace(place, here)
        return str(text)

    def psql(self, urls: Mapping[str, str]) -> str:
        """The next block is SQL for the server that its first line names: run it there; what it printed."""
        text = self.take("sql")
        where = re.match(r"-- at (\w+), as superuser\n", text)
        assert where, text
        done = subprocess.run(
            ["psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-f", "-", urls[where[1]]], input=text,
            env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, f"psql says of\n{text}\n{done.stdout}"
        return done.stdout

    def settings(self) -> dict[str, str]:
        """The next block is a part of postgresql.conf."""
        lines = (line.split(" = ", 1) for line in self.take("ini").splitlines())
        return {name: value.removeprefix("'").removesuffix("'") for name, value in lines}

    def write(self, name: str) -> None:
        """The next block is a configuration: save it."""
        (self._directory / name).write_text(self.take("toml"))

    def run(self, code: int = 0) -> str:
        """The next block is commands: run them; what they said."""
        return self.shell(self.take("sh"), code)

    def shell(self, text: str, code: int = 0) -> str:
        done = subprocess.run(
            ["bash", "-euc", f'cdcd() {{ "{sys.executable}" -m cdcd "$@"; }}\n{text}'], cwd=self._directory,
            env=self.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == code, f"exit {done.returncode} of\n{text}\n{done.stdout}"
        assert not any(password in done.stdout for password in PASSWORDS.values()), "a password was written"
        return done.stdout

    def environment(self) -> dict[str, str]:
        """With the passwords that the pages speak of, and cdcd and psql to be found."""
        return {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PATH": f"{binaries(18)}:{os.environ['PATH']}",
            "SOURCE_PASSWORD": quote(PASSWORDS[SOURCE], safe=""),
            "TARGET_PASSWORD": quote(PASSWORDS[TARGET], safe=""),
        }
