"""From digests of large parts down to the keys whose rows differ.

A part is a span of the key's order, or the whole table where its rows have no order that both ends have. A part that
differs is cut into shares by the hash of the key: one query at each end, however the differences are spread; then
the keys of the shares that differ are sent, sorted by that hash, and merged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from heapq import merge
from itertools import groupby

from cdcd.contracts import Comparable
from cdcd.engine.compare_ends import Ends
from cdcd.model.digest import Digest, Entry, Key, Shares, Span
from cdcd.model.table import Table

PART = 1 << 16
"""Rows of a span: about a tenth of a second of each server's time."""
SHARE = 1 << 6
"""Rows of a share, about."""
MOST = 1 << 14
"""Shares of any part: the list of all stays small."""

Suspect = tuple[Key, Digest, Digest]
"""A key whose rows seem to differ, and what the source and the target said of them."""

WHOLE = Span()
NOTHING = Digest()


class Counts:
    """Rows seen at each end; `told` hears the source's after each part."""

    def __init__(self, told: Callable[[int], None] = lambda rows: None) -> None:
        self.source = 0
        self.target = 0
        self._told = told

    def add(self, mine: int, theirs: int) -> None:
        self.source += mine
        self.target += theirs
        self._told(self.source)


def by_order(ends: Ends, table: Table, counts: Counts) -> Iterator[Suspect]:
    """Keys that seem to differ, of a table that both ends have in one order."""
    for span in _walk(ends.source, table, PART):
        mine, theirs = _digest(ends, table, span)
        counts.add(mine.rows, theirs.rows)
        if mine != theirs:
            of = min(MOST, 1 << (max(mine.rows, theirs.rows) // SHARE).bit_length())
            yield from _narrow(ends, table, span, of, *_digests(ends, table, span, of))


def by_hash(ends: Ends, table: Table, counts: Counts) -> Iterator[Suspect]:
    """The same for any other table: each pass reads all of it."""
    mine, theirs = _digests(ends, table, WHOLE, MOST)
    counts.add(_rows(mine), _rows(theirs))
    yield from _narrow(ends, table, WHOLE, MOST, mine, theirs)


def _walk(end: Comparable, table: Table, rows: int) -> Iterator[Span]:
    """All keys, cut by what one end holds now; whatever the other holds falls into one of the spans."""
    low: Key | None = None
    while (bound := end.step(table, Span(low), rows)) is not None and bound != low:
        yield Span(low, bound)
        low = bound
    yield Span(low)


def _digest(ends: Ends, table: Table, span: Span) -> tuple[Digest, Digest]:
    return ends.both(lambda end: end.digest(table, span))


def _digests(ends: Ends, table: Table, span: Span, of: int) -> tuple[Mapping[int, Digest], Mapping[int, Digest]]:
    return ends.both(lambda end: end.digests(table, span, of))


def _rows(digests: Mapping[int, Digest]) -> int:
    return sum(digest.rows for digest in digests.values())


def _narrow(
    ends: Ends, table: Table, span: Span, of: int, mine: Mapping[int, Digest], theirs: Mapping[int, Digest]
) -> Iterator[Suspect]:
    shares = mine.keys() | theirs.keys()
    chosen = tuple(sorted(share for share in shares if mine.get(share) != theirs.get(share)))
    if not chosen:
        return
    entries = [end.entries(table, span, Shares(of, chosen)) for end in (ends.source, ends.target)]
    yield from unequal(*entries)


def unequal(mine: Iterable[Entry], theirs: Iterable[Entry]) -> Iterator[Suspect]:
    """The keys whose digests differ, of two streams sorted by hash; holds no more than the keys of one hash."""
    for _, together in groupby(merge(_of(0, mine), _of(1, theirs), key=_hash), key=_hash):
        found: dict[Key, list[Digest]] = {}
        for entry, side in together:
            found.setdefault(entry.key, [NOTHING, NOTHING])[side] = entry.digest
        for key, (here, there) in found.items():
            if here != there:
                yield key, here, there


def _of(side: int, entries: Iterable[Entry]) -> Iterator[tuple[Entry, int]]:
    return ((entry, side) for entry in entries)


def _hash(item: tuple[Entry, int]) -> int:
    return item[0].hash
