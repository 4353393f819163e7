"""The places in a log: a GTID set of MySQL, MariaDB's last GTID of each domain, or file and offset without GTIDs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cdcd.errors import StateRefused, UsageError
from connectors.mysql.gtid import Gtid, GtidSet

_DOMAINS = re.compile(r"(\d{1,10})-(\d{1,10})-(\d{1,20})")
_FILE = re.compile(r"([^\s:/\\]+\.\d{6,}):(\d{1,20})")


@dataclass(frozen=True, slots=True)
class Last:
    """The last transaction before a place and when it was first committed (microseconds since 1970): what shows that a
    server has the same history, and not one that merely counts alike after a reset. `gtid`: without GTIDs, the place
    where it begins. `before`: at MariaDB, the one before it in its domain, behind which it comes once more; empty where
    it was read from a replica. `begun`: when the file that holds it was begun (seconds since 1970), 0: not told."""

    gtid: str
    stamp: int
    before: str = ""
    begun: int = 0


@dataclass(frozen=True, slots=True)
class Gtids:
    """A place of MySQL: everything in the set is before it."""

    set: GtidSet
    last: Last | None = field(default=None, compare=False)

    def covers(self, other: Gtids) -> bool:
        return self.set.covers(other.set)

    def distance(self, other: Gtids) -> int:
        return 0

    def to_json(self) -> dict[str, Any]:
        return {"gtids": str(self.set), **_last(self.last)}

    def __str__(self) -> str:
        return str(self.set) or "none"


@dataclass(frozen=True, slots=True)
class Domains:
    """A place of MariaDB: of each domain, everything up to this server's number is before it."""

    domains: Mapping[int, tuple[int, int]]
    last: Last | None = field(default=None, compare=False)

    @staticmethod
    def parse(text: str) -> Domains:
        """From the server's text, as in @@gtid_binlog_pos; ValueError where it is none."""
        found = {}
        for part in text.split(","):
            if not part.strip():
                continue
            if not (match := _DOMAINS.fullmatch(part.strip())):
                raise ValueError(f"{part!r} is no GTID of MariaDB")
            found[int(match[1])] = (int(match[2]), int(match[3]))
        return Domains(found)

    def holds(self, domain: int, number: int) -> bool:
        return number <= self.domains.get(domain, (0, 0))[1]

    def covers(self, other: Domains) -> bool:
        return all(self.holds(domain, number) for domain, (_, number) in other.domains.items())

    def distance(self, other: Domains) -> int:
        return 0

    def without_last(self, own: str) -> Domains | None:
        """The place before its last transaction, where that is known, and was made by the server of this number."""
        if self.last is None or not self.last.before or self.last.gtid.split("-")[1] != own:
            return None
        return Domains({**self.domains, **Domains.parse(self.last.before).domains})

    def to_json(self) -> dict[str, Any]:
        return {"domains": self.text, **_last(self.last)}

    @property
    def text(self) -> str:
        """As @slave_connect_state takes it."""
        return ",".join(f"{domain}-{server}-{number}" for domain, (server, number) in sorted(self.domains.items()))

    def __str__(self) -> str:
        return self.text or "none"


@dataclass(frozen=True, slots=True)
class Offset:
    """A place of one server without GTIDs: the next byte of one of its files. Names grow by their number."""

    file: str
    at: int
    last: Last | None = field(default=None, compare=False)

    @property
    def number(self) -> int:
        return int(self.file.rpartition(".")[2])

    def covers(self, other: Offset) -> bool:
        return (self.number, self.at) >= (other.number, other.at)

    def without_last(self) -> Offset | None:
        """The place before its last transaction, where that is known; it may be in an earlier file."""
        match = _FILE.fullmatch(self.last.gtid if self.last else "")
        return Offset(match[1], int(match[2])) if match else None

    def distance(self, other: Offset) -> int:
        return max(0, self.at - other.at) if self.file == other.file else 0

    def to_json(self) -> dict[str, Any]:
        return {"file": self.file, "offset": self.at, **_last(self.last)}

    def __str__(self) -> str:
        return f"{self.file}:{self.at}"


Place = Gtids | Domains | Offset


def place_of(data: Mapping[str, Any] | str, mariadb: bool) -> Place:
    """From `to_json`, or from what a person wrote (`mariadb`: at such a server)."""
    if isinstance(data, str):
        return _written(data, mariadb)
    try:
        last = Last(*data["last"]) if data.get("last") else None
        if "gtids" in data:
            return Gtids(GtidSet.parse(data["gtids"]), last)
        if "domains" in data:
            return Domains(Domains.parse(data["domains"]).domains, last)
        return Offset(data["file"], int(data["offset"]), last)
    except (KeyError, TypeError, ValueError):
        raise StateRefused(
            f"a stored position is not one of MySQL's or MariaDB's: {dict(data)!r}",
            why="the pipeline's control rows were written for another kind of source",
            hint="use another pipeline name, or cdcd drop",
        ) from None


def _written(text: str, mariadb: bool) -> Place:
    if match := _FILE.fullmatch(text.strip()):
        return Offset(match[1], int(match[2]))
    text = "" if text.strip() == "none" else text
    try:
        return Domains.parse(text) if mariadb else Gtids(GtidSet.parse(text))
    except ValueError as error:
        form = "0-1-1234" if mariadb else "@@gtid_executed, as UUID:1-34"
        raise UsageError(f"{text!r} is not a position: {error}", hint=f"write it as {form} or FILE:OFFSET") from None


def _last(last: Last | None) -> dict[str, Any]:
    if last is None:
        return {}
    more = [last.before, last.begun] if last.begun else [last.before] if last.before else []
    return {"last": [last.gtid, last.stamp, *more]}


def parse_gtid(text: str) -> Gtid:
    """`UUID:34` or `UUID:tag:34`, as `str` of it gave."""
    origin, _, number = text.rpartition(":")
    return Gtid(origin, int(number))
