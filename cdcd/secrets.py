"""Secrets: where they come from, read anew at each connect, and how they are kept out of all that is said."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from cdcd.errors import Unreachable, UsageError

HIDDEN = "***"

_NAME = re.compile(r"\$\{([^}]*)\}")
_HOST = re.compile(r"(\[[^\]@]*\]|[^:\[\]@]*)(:\d*)?")
_IN_URL = re.compile(r"(\w[\w+.-]*://[^\s:/@]*):(?!\$\{\w+\}@)[^\s]*@")
_IN_WORDS = re.compile(r"""(?i)\b((?:ssl)?password|pwd)(\s*=\s*|%3d)('[^']*'|"[^"]*"|[^\s&,;'"]+)""")

_known: set[str] = set()
_known_lock = threading.Lock()
_SHORTEST_KNOWN = 8
"""A shorter password is hidden by its place only: replacing it everywhere would deface ordinary words."""


def hide(text: str) -> str:
    """The text without any password: in URLs, in `password=…`, and wherever one resolved here appears."""
    text = _IN_URL.sub(rf"\1:{HIDDEN}@", text)
    text = _IN_WORDS.sub(rf"\1\2{HIDDEN}", text)
    for secret in tuple(_known):
        text = text.replace(secret, HIDDEN)
    return text


def _remember(secret: str, besides: tuple[str | None, ...]) -> None:
    if len(secret) >= _SHORTEST_KNOWN and secret not in besides:
        with _known_lock:
            _known.update({secret, quote(secret, safe="")})


def expand(text: str, key: str, environment: Mapping[str, str] | None = None) -> str:
    """`${NAME}` replaced from the environment, literally; `key` says where the text stood, for the error."""
    values = os.environ if environment is None else environment

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise UsageError(
                f"{key}: '${{{name}}}' names no environment variable",
                why="a name is made of letters, digits and _",
            )
        if name not in values:
            raise UsageError(
                f"{key}: the environment variable {name} is not set",
                why=f"${{{name}}} stands in its value",
                hint=f"set it before the start: export {name}=…, or EnvironmentFile= in the systemd unit",
            )
        return values[name]

    return _NAME.sub(value, text)


def _stray(parts: SplitResult) -> bool:
    """Whether an @ stands where only a badly written password puts it."""
    outside = parts.path + parts.fragment + ("" if "@" in parts.netloc else parts.query)
    return "@" in outside or parts.netloc.count("@") > 1


def _split(host: str) -> tuple[str, str]:
    """`HOST:PORT` → host, in small letters, and port ("": none)."""
    found = _HOST.fullmatch(host)
    assert found is not None, "checked when the URL was taken apart"
    return found[1].lower(), (found[2] or "").removeprefix(":")


@dataclass(frozen=True, slots=True, repr=False)
class Address:
    """Where a server is, as it was written: `${NAME}` not yet replaced, the password's file not yet read.

    `url()` does both, each time it is asked, so that a rotated password is met at the next connect (OP-06).
    Everything that prints an Address prints `shown`.
    """

    text: str
    password_file: str | None = None
    key: str = "URL"

    def __post_init__(self) -> None:
        scheme, separator, _ = self.text.partition("://")
        if not separator or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
            raise UsageError(
                f"{self.key}: not a URL: {self.shown}",
                hint="write it as scheme://user@host:port/database, for example postgresql://cdcd@db1/shop",
            )

    @property
    def scheme(self) -> str:
        return self.text.partition("://")[0].lower()

    @property
    def shown(self) -> str:
        """The URL without its password; `${NAME}` stays as it is written."""
        return hide(self.text)

    @property
    def database(self) -> str:
        """The database's name, "" where the URL has none. Reads no file."""
        parts = self._parts()
        asked = dict(parse_qsl(parts.query)).get("dbname", "")
        return unquote(parts.path.lstrip("/")) or asked

    def same_server(self, other: Address) -> bool:
        """Whether both URLs name the same hosts; a port that only one of them names may be the other's default."""
        hosts = [one._parts().netloc.rpartition("@")[2].split(",") for one in (self, other)]
        mine, theirs = (list(map(_split, its)) for its in hosts)
        return len(mine) == len(theirs) and all(
            a == b and (p == q or not (p and q)) for (a, p), (b, q) in zip(mine, theirs, strict=True)
        )

    @property
    def bare_password(self) -> bool:
        """Whether a password stands in the text itself, where `ps` shows it."""
        _, _, rest = self.text.partition("://")
        user, at, _ = rest.rpartition("@")
        password = user.partition(":")[2] if at else ""
        return bool(_NAME.sub("", password)) or bool(re.search(r"[?&]password=(?!\$\{)", self.text))

    def require_secret(self) -> None:
        """UsageError where the password's file cannot be read now, which is a mistake until it was read once."""
        try:
            self.url()
        except Unreachable as error:
            raise UsageError(
                error.what,
                why=error.why,
                hint="it holds the password and nothing else, and is read at each connect; else leave out "
                "password_file: ${NAME} in the URL, PGPASSWORD and ~/.pgpass hold one too",
            ) from None

    def url(self) -> str:
        """The whole URL, secrets in it, as of now. For the driver only."""
        parts = self._parts()
        url = expand(self.text, self.key)
        hosts = parts.netloc.rpartition("@")[2]
        if self.password_file is not None:
            user = parts.netloc.rpartition("@")[0].partition(":")[0]
            password = self._read_password()
            url = parts._replace(netloc=f"{user}:{quote(password, safe='')}@{hosts}").geturl()
        elif (password := parts.password or dict(parse_qsl(parts.query)).get("password", "")) != "":
            password = unquote(password)
        _remember(password, (parts.username, hosts, parts.path.lstrip("/")))
        return url

    def _parts(self) -> SplitResult:
        """Refuses what a driver, or we, would take a piece of the password for a host, a port or a database in."""
        try:
            parts = urlsplit(expand(self.text, self.key))
        except ValueError:
            raise self._broken() from None
        hosts = parts.netloc.rpartition("@")[2].split(",")
        if not all(map(_HOST.fullmatch, hosts)) or _stray(parts):
            raise self._broken()
        return parts

    def _broken(self) -> UsageError:
        return UsageError(
            f"{self.key}: the URL cannot be taken apart: {self.shown}",
            why="in a password, / @ : # ? % must be written %2F %40 %3A %23 %3F %25, in a variable's value too",
            hint="a password_file, PGPASSWORD and ~/.pgpass hold it as it is",
        )

    def _read_password(self) -> str:
        path = Path(expand(str(self.password_file), f"{self.key}: password_file"))
        try:
            # A file written by hand ends with a newline that is no part of the password.
            return path.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            # It may be in the middle of a rotation: the engine tries again.
            why = "it is not UTF-8" if isinstance(error, ValueError) else error.strerror or str(error)
            raise Unreachable(f"{self.key}: the password file cannot be read: {path}", why=why) from None

    def __repr__(self) -> str:
        return f"<{self.shown}>"

    def __str__(self) -> str:
        return self.shown
