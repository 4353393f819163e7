"""How far a stream has come: what each transaction's end adds to its place, in each of the three ways to count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

from cdcd.errors import StateRefused
from connectors.mysql.gtid import GtidSet, Passed
from connectors.mysql.malformed import malformed
from connectors.mysql.position import Domains, Gtids, Last, Offset, Place

Proof = bytes | int
"""When a transaction was first committed: microseconds since 1970, or the body of the GTID that tells it."""

Name = tuple[Any, Any]
"""Of a transaction, as Track.add takes it; (None, the place in the log where it begins) where it has no GTID."""


class File:
    """The file of a log that is read, and how far. Its events tell the lower four bytes of where they end, and a file
    is longer that holds a huge transaction: so each place is looked at less than 4 GB behind the one before."""

    def __init__(self) -> None:
        self.begin("", 4)

    def begin(self, name: str, at: int) -> None:
        self.name, self.at = name, at

    def reach(self, end: int) -> int:
        """An event ends there, by its four bytes; where that is."""
        self.at += (end - self.at) & 0xFFFFFFFF
        return self.at


class Track(Protocol):
    """A transaction is named by two values: origin and number · domain and (server, number) · file and its end."""

    def add(self, one: Any, other: Any) -> None:
        """It is passed."""
        ...

    def holds(self, one: Any, other: Any) -> bool:
        """Whether the transaction of this Name, which begins now, was passed already."""
        ...

    def enter(self, file: str, at: int) -> None:
        """What a file of the log begins with, up to there, is passed: no transaction."""
        ...

    def place(self, last: Last | None) -> Place: ...


class GtidTrack:
    def __init__(self, start: GtidSet) -> None:
        passed = Passed(start)
        self._passed = passed
        self.add = passed.add
        self.holds = passed.holds

    def enter(self, file: str, at: int) -> None:
        """It tells no place."""

    def place(self, last: Last | None) -> Gtids:
        return Gtids(self._passed.set(), last)


class DomainTrack:
    """`own`: the server's number. Its replicas give its transactions other times, so that only those are compared that
    were read where they were made."""

    def __init__(self, start: Domains, own: str) -> None:
        self._domains = dict(start.domains)
        self._own = own
        self._before: tuple[str, str] = ("", "")  # the last one added, and the one before it

    def add(self, domain: int, at: tuple[int, int]) -> None:
        was = self._domains.get(domain) if str(at[0]) == self._own else None
        self._before = (text_of((domain, at)), text_of((domain, was)) if was is not None else "")
        self._domains[domain] = at

    def holds(self, domain: int, at: tuple[int, int]) -> bool:
        return at[1] <= self._domains.get(domain, (0, 0))[1]

    def enter(self, file: str, at: int) -> None:
        """It tells no place."""

    def place(self, last: Last | None) -> Domains:
        if last is not None and last.gtid == self._before[0]:
            last = replace(last, before=self._before[1])
        return Domains(dict(self._domains), last)


class OffsetTrack:
    """`file`: as read up to the event that is looked at."""

    def __init__(self, start: Offset, file: File) -> None:
        self._at = start
        self._file = file

    def add(self, file: str, end: int) -> None:
        self._at = Offset(file, end)

    def holds(self, none: None, begin: str) -> bool:
        return self._covers(self._file.name, self._file.at)

    def enter(self, file: str, at: int) -> None:
        if not self._covers(file, at):
            self._at = Offset(file, at)

    def _covers(self, file: str, at: int) -> bool:
        return at <= self._at.at if file == self._at.file else self._at.covers(Offset(file, at))

    def place(self, last: Last | None) -> Offset:
        return Offset(self._at.file, self._at.at, last)


def track(start: Place, own: str, file: File) -> Track:
    """`own`: as Server.uuid."""
    if isinstance(start, Gtids):
        return GtidTrack(start.set)
    if isinstance(start, Domains):
        return DomainTrack(start, own)
    return OffsetTrack(start, file)


def passed(place: Place, name: Name) -> bool:
    """Whether the transaction that Track.add takes so ends before the place."""
    if isinstance(place, Offset):
        return place.covers(Offset(*name))
    return track(place, "", File()).holds(*name)


def covers(place: Place, other: Place) -> bool:
    """Place.covers, of places that must be of one kind."""
    if type(place) is not type(other):
        raise StateRefused(
            f"places of two kinds: {place} and {other}",
            why="the server began or ceased to use GTIDs since the checkpoint",
            hint="set gtid_mode as it was, or cdcd drop and load anew",
        )
    return place.covers(other)  # type: ignore[arg-type]


def named_by(track: Track, name: Name) -> Name:
    """A transaction's name as `track` counts. A server without GTIDs may begin to use them while its files are read."""
    if name[0] is None and not isinstance(track, OffsetTrack):
        raise malformed("a transaction without a GTID", transaction=text_of(name))
    if name[0] is not None and isinstance(track, OffsetTrack):
        return None, text_of(name)
    if name[0] is not None and isinstance(name[1], tuple) != isinstance(track, DomainTrack):
        raise malformed("a GTID of the other product", transaction=text_of(name))
    return name


def text_of(name: Name) -> str:
    """A GTID in its product's form."""
    one, other = name
    if one is None:
        return str(other)
    return f"{one}-{other[0]}-{other[1]}" if isinstance(other, tuple) else f"{one}:{other}"


def only_here(name: Name) -> bool:
    """Whether a transaction is known by this name at one server: MariaDB's are compared where they were made alone."""
    return name[0] is None or isinstance(name[1], tuple)
