"""Sets of MySQL's GTIDs, with tags and gaps; their text and their bytes ("GTID Format and Storage" in the manual)."""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

Interval = tuple[int, int]
"""First and last number, both in it."""

_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_TAG = re.compile(r"[a-z_][a-z0-9_]{0,31}")
_INTERVAL = re.compile(r"([1-9][0-9]{0,18})(?:-([1-9][0-9]{0,18}))?")
LAST: Final = (1 << 63) - 2
"""The greatest number a transaction may have."""

_TAGGED = 1 << 56 | 1


@dataclass(frozen=True, slots=True)
class Gtid:
    """One transaction: its origin is a server's UUID, or `UUID:tag`."""

    origin: str
    number: int

    def __str__(self) -> str:
        return f"{self.origin}:{self.number}"


@dataclass(frozen=True)
class GtidSet:
    """Transactions by origin, each with intervals in order, neither touching nor overlapping. Immutable."""

    intervals: Mapping[str, tuple[Interval, ...]]

    @staticmethod
    def parse(text: str) -> GtidSet:
        """From the server's text, as in @@gtid_executed; ValueError where it is none."""
        found: dict[str, list[Interval]] = {}
        for part in re.split(r"\s*,\s*", text.strip().lower()):
            if not part:
                continue
            uuid, *words = re.split(r"\s*:\s*", part)
            if not _UUID.fullmatch(uuid) or not words:
                raise ValueError(f"{part!r} is no part of a GTID set")
            origin = uuid
            for word in words:
                if _TAG.fullmatch(word):
                    origin = f"{uuid}:{word}"
                    continue
                match = _INTERVAL.fullmatch(word)
                first = int(match[1]) if match else 0
                last = int(match[2] or match[1]) if match else 0
                if not 0 < first <= last <= LAST:
                    raise ValueError(f"{word!r} is no interval of a GTID set")
                found.setdefault(origin, []).append((first, last))
        return GtidSet({origin: merged(its) for origin, its in found.items()})

    def __str__(self) -> str:
        """The server's own form: an origin's tags behind its untagged numbers."""
        parts: dict[str, str] = {}
        for origin in sorted(self.intervals):
            uuid, _, tag = origin.partition(":")
            numbers = ":".join(f"{a}-{b}" if b > a else f"{a}" for a, b in self.intervals[origin])
            parts[uuid] = f"{parts.get(uuid, uuid)}{f':{tag}' if tag else ''}:{numbers}"
        return ",".join(parts.values())

    def __contains__(self, gtid: Gtid) -> bool:
        return self.holds(gtid.origin, gtid.number)

    def holds(self, origin: str, number: int) -> bool:
        its = self.intervals.get(origin, ())
        at = bisect_right(its, (number, LAST + 1))
        return at > 0 and number <= its[at - 1][1]

    def covers(self, other: GtidSet) -> bool:
        """Whether all of `other` is in here."""
        return all(self.holds_all(origin, interval) for origin, interval in other)

    def holds_all(self, origin: str, interval: Interval) -> bool:
        its = self.intervals.get(origin, ())
        at = bisect_right(its, (interval[0], LAST + 1))
        return at > 0 and interval[1] <= its[at - 1][1]

    def __iter__(self) -> Iterator[tuple[str, Interval]]:
        return ((origin, interval) for origin, its in self.intervals.items() for interval in its)

    def __or__(self, other: GtidSet) -> GtidSet:
        joined = dict(self.intervals)
        for origin, its in other.intervals.items():
            joined[origin] = merged([*joined.get(origin, ()), *its])
        return GtidSet(joined)

    def __sub__(self, other: GtidSet) -> GtidSet:
        left: dict[str, tuple[Interval, ...]] = {}
        for origin, its in self.intervals.items():
            rest = tuple(_without(its, other.intervals.get(origin, ())))
            if rest:
                left[origin] = rest
        return GtidSet(left)

    def with_one(self, gtid: Gtid) -> GtidSet:
        return self | GtidSet({gtid.origin: ((gtid.number, gtid.number),)})

    @property
    def count(self) -> int:
        """How many transactions."""
        return sum(last - first + 1 for _, (first, last) in self)

    def encode(self) -> bytes:
        """As COM_BINLOG_DUMP_GTID takes it: with tags only where there are some (sql/rpl_gtid_set.cc, encode)."""
        origins = sorted(self.intervals)
        tagged = any(":" in origin for origin in origins)
        parts = [struct.pack("<Q", _TAGGED | len(origins) << 8 if tagged else len(origins))]
        for origin in origins:
            uuid, _, tag = origin.partition(":")
            its = self.intervals[origin]
            parts.append(UUID(uuid).bytes)
            if tagged:
                parts.append(bytes([len(tag) << 1]) + tag.encode())
            parts.append(struct.pack("<Q", len(its)))
            parts += [struct.pack("<QQ", first, last + 1) for first, last in its]
        return b"".join(parts)


NOTHING = GtidSet({})


def merged(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """The same numbers in as few intervals as can be, in order."""
    made: list[Interval] = []
    for first, last in sorted(intervals):
        if made and first <= made[-1][1] + 1:
            made[-1] = (made[-1][0], max(made[-1][1], last))
        else:
            made.append((first, last))
    return tuple(made)


def _without(intervals: Iterable[Interval], others: tuple[Interval, ...]) -> Iterator[Interval]:
    for first, last in intervals:
        for low, high in others:
            if high < first or low > last:
                continue
            if low > first:
                yield first, low - 1
            first = high + 1
        if first <= last:
            yield first, last


class Passed:
    """A GTID set that grows by one transaction after the other, cheaply while their numbers follow each other."""

    __slots__ = ("_last", "_origin", "_set", "_start")

    def __init__(self, start: GtidSet) -> None:
        self._set = start
        self._origin = ""
        self._start = self._last = 0

    def add(self, origin: str, number: int) -> None:
        if number == self._last + 1 and origin == self._origin:
            self._last = number
            return
        self._settle()
        self._origin, self._start, self._last = origin, number, number

    def _settle(self) -> None:
        if self._origin:
            self._set |= GtidSet({self._origin: ((self._start, self._last),)})
            self._origin = ""
            self._last = 0

    def set(self) -> GtidSet:
        self._settle()
        return self._set

    def holds(self, origin: str, number: int) -> bool:
        if origin == self._origin and self._start <= number <= self._last:
            return True
        return self._set.holds(origin, number)
