"""The source's schema as pg_dump tells it: a table of contents in an order that works, and the statements of entries.

What pg_dump writes is taken apart by pg_restore ("pg_restore", --list and --use-list). Of the sections before and after
the data; owners and grants are left out. No password is in a command line: it goes by the environment.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg2.extensions import make_dsn

from cdcd.errors import CdcdError, StateRefused, Unreachable, UsageError
from cdcd.secrets import hide
from cdcd.wake import Wake
from connectors.postgres.connect import address, parameters
from connectors.postgres.names import quote_identifier

PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")
"""Where packages put versions side by side, besides PATH."""

_LISTED = re.compile(r"^(\d+); (\d+) (\d+) (.*)$")
_NEEDS = re.compile(r"^;\s+depends on: ([\d ]+)$")
_SETTINGS = re.compile(r"(\s*^SET default_\w+ = [^;\n]*;$)+\s*\Z", re.MULTILINE)
"""What pg_restore says between two entries: it belongs to neither."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One of the table of contents. `catalogue`, `oid`: its row there, 0: none. `about`: what it is, for people.
    `needs`: numbers of others."""

    number: int
    catalogue: int
    oid: int
    about: str
    needs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Dump:
    """`entries` in an order that works; `texts` gives the statements of some, in that order, by number."""

    entries: Sequence[Entry]
    texts: Callable[[Collection[int]], dict[int, str]]


@contextmanager
def dumped(
    url: str, application: str, version: int, schemas: Sequence[str], tables: Sequence[tuple[str, str]], wake: Wake
) -> Iterator[Dump]:
    """For as long as the block lasts; without these schemas, and without these tables, which are not locked either.
    UsageError: no pg_dump that fits. `version`: the server's."""
    directory = program(version // 10000)
    wanted = parameters(url, application)
    if "sslpassword" in wanted:
        raise UsageError("sslpassword does not go with objects = all", hint="use a key without a passphrase")
    secret = {"PGPASSWORD": wanted.pop("password")} if "password" in wanted else {}
    where = address(wanted)
    with tempfile.TemporaryDirectory(prefix="cdcd-") as kept:
        archive, chosen = Path(kept) / "archive", Path(kept) / "list"
        words = [
            "--format=custom", "--schema-only", "--no-owner", "--no-privileges", "--no-security-labels",
            "--no-publications", "--no-subscriptions", "--no-tablespaces", "--encoding=UTF8", f"--file={archive}",
            *(f"--exclude-schema={_pattern(name)}" for name in schemas),
            *(f"--exclude-table={_pattern(*names)}" for names in tables),
        ]  # fmt: skip
        _run([str(directory / "pg_dump"), *words, f"--dbname={make_dsn(**wanted)}"], secret, wake, where)
        restore = str(directory / "pg_restore")
        entries = _read_list(_run([restore, "--list", "--verbose", str(archive)], {}, wake, where))
        by_number = {entry.number: entry for entry in entries}

        def texts(numbers: Collection[int]) -> dict[int, str]:
            its = [entry.number for entry in entries if entry.number in numbers]
            chosen.write_text("".join(f"{number};\n" for number in its))
            words = ["--verbose", "--no-owner", "--no-tablespaces", f"--use-list={chosen}", "--file=-"]
            text = _run([restore, *words, str(archive)], {}, wake, where)
            return split(text, [by_number[number] for number in its])

        yield Dump(entries, texts)


def program(major: int) -> Path:
    """The directory of a pg_dump that reads a server of this version; pg_restore is beside it."""
    found = []
    for directory in _places():
        dump = directory / "pg_dump"
        try:
            done = subprocess.run([dump, "--version"], capture_output=True, text=True, check=True, timeout=10)
        except (OSError, subprocess.SubprocessError):
            continue
        match = re.search(r"\) (\d+)", done.stdout)
        if match and int(match[1]) >= major and (directory / "pg_restore").exists():
            return directory
        found.append(f"{done.stdout.strip()} in {directory}")
    raise UsageError(
        f"objects = all needs pg_dump and pg_restore of PostgreSQL {major} or newer",
        why=f"found: {', '.join(found)}" if found else "there is no pg_dump in PATH",
        hint=f"install the client programs of PostgreSQL {major}, or choose objects = tables: cdcd plan lists the rest",
    )


def _places() -> Iterator[Path]:
    for name in os.environ.get("PATH", "").split(os.pathsep):
        if name and shutil.which("pg_dump", path=name):
            yield Path(name)
    for pattern in PLACES:
        yield from sorted(Path("/").glob(pattern[1:]))


def _pattern(*names: str) -> str:
    """Nothing in quotes is special to pg_dump."""
    return ".".join(map(quote_identifier, names))


def _run(words: Sequence[str], secret: dict[str, str], wake: Wake, where: str) -> str:
    """What the program says; ended when we are interrupted."""
    environment = {**os.environ, **secret, "LC_ALL": "C"}
    with (
        tempfile.TemporaryFile("w+") as said,
        tempfile.TemporaryFile("w+") as complained,
        subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=said, stderr=complained, env=environment, encoding="utf-8"
        ) as process,
    ):
        try:
            while process.poll() is None:
                wake.sleep(0.02)
        except BaseException:
            process.kill()
            raise
        if process.returncode == 0:
            said.seek(0)
            return said.read()
        complained.seek(0)
        raise _failed(Path(words[0]).name, hide(complained.read()), where)


def _failed(name: str, complaint: str, where: str) -> CdcdError:
    why = "; ".join(line for line in complaint.splitlines() if "error:" in line) or complaint.strip()[-500:]
    if re.search(r"connection to server|server closed|could not connect", complaint):
        return Unreachable(f"{name} failed", why=why, server=where)
    return StateRefused(f"{name} failed", why=why, server=where, hint="objects = tables does without it")


def _read_list(text: str) -> list[Entry]:
    entries: list[Entry] = []
    for line in text.splitlines():
        if listed := _LISTED.match(line):
            number, catalogue, oid = (int(listed[group]) for group in (1, 2, 3))
            entries.append(Entry(number, catalogue, oid, listed[4], ()))
        elif entries and (needs := _NEEDS.match(line)):
            last = entries.pop()
            numbers = tuple(map(int, needs[1].split()))
            entries.append(Entry(last.number, last.catalogue, last.oid, last.about, numbers))
    return entries


def split(text: str, entries: Sequence[Entry]) -> dict[int, str]:
    """The script that pg_restore made of these entries, entry by entry: cut where the next one's own number, catalogue
    and OID are told."""
    ends, at = [], 0
    for entry in entries:
        told = rf"^--\n-- TOC entry {entry.number} \(class {entry.catalogue} OID {entry.oid}\)\n(-- .*\n)*--\n\n"
        found = re.compile(told, re.MULTILINE).search(text, at)
        if found is None:
            raise CdcdError("what pg_restore wrote cannot be read: a bug in cdcd", entry=entry.about)
        ends.append((found.start(), found.end()))
        at = found.end()
    last = text.rfind("\n-- Completed on ")
    starts = [start for start, _ in ends[1:]] + [last if last > at else len(text)]
    return {
        entry.number: _SETTINGS.sub("", text[end:start]).strip().removesuffix(";")
        for entry, (_, end), start in zip(entries, ends, starts, strict=True)
    }
