"""From digests of large parts down to the keys whose rows differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from itertools import groupby

from cdcd.contracts import Comparable
from cdcd.engine.compare_ends import Ends
from cdcd.model.digest import Digest, Entry, Key, Shares, Span
from cdcd.model.table import Table

PART = 1 << 16
"""Rows of a first part: about a tenth of a second of each server's time."""
LEAF = 1 << 10
"""Rows of a part small enough to have its keys sent."""
FAN = 64

NOTHING = Digest()


class Counts:
    """Rows seen at each end; `told` hears the source's after each part."""

    def __init__(self, told: Callable[[int], None] = lambda rows: None) -> None:
        self.source = 0
        self.target = 0
        self._told = told

    def add(self, mine: Digest, theirs: Digest) -> None:
        self.source += mine.rows
        self.target += theirs.rows
        self._told(self.source)


def by_spans(ends: Ends, table: Table, counts: Counts) -> Iterator[Key]:
    """Keys that differ, of a table that both ends have in one order."""
    for span in _walk(ends.source, table, Span(), PART):
        mine, theirs = _digests(ends, table, span)
        counts.add(mine, theirs)
        yield from _descend(ends, table, span, mine, theirs)


def by_shares(ends: Ends, table: Table, counts: Counts) -> Iterator[Key]:
    """Keys that differ, of any other table: one pass for the digests of all shares, one for the shares that differ."""
    mine, theirs = ends.both(lambda end: end.digests(table))
    differing = []
    for share in sorted(mine.keys() | theirs.keys()):
        pair = mine.get(share, NOTHING), theirs.get(share, NOTHING)
        counts.add(*pair)
        if pair[0] != pair[1]:
            differing.append(share)
    if differing:
        yield from _read(ends, table, Shares(tuple(differing)))


def _walk(end: Comparable, table: Table, span: Span, rows: int) -> Iterator[Span]:
    """The span, cut by what one end holds now; whatever the other holds falls into one of the pieces."""
    low = span.low
    while (bound := end.step(table, Span(low, span.high), rows)) is not None and bound != low:
        yield Span(low, bound)
        low = bound
    yield Span(low, span.high)


def _descend(ends: Ends, table: Table, span: Span, mine: Digest, theirs: Digest) -> Iterator[Key]:
    if mine == theirs:
        return
    rows = max(mine.rows, theirs.rows)
    if rows <= 2 * LEAF:
        yield from _read(ends, table, span)
        return
    # The end that has more rows there cuts: the other may have none.
    fuller = ends.source if mine.rows >= theirs.rows else ends.target
    for part in _walk(fuller, table, span, max(LEAF, rows // FAN)):
        if part == span:
            yield from _read(ends, table, span)
        else:
            yield from _descend(ends, table, part, *_digests(ends, table, part))


def _digests(ends: Ends, table: Table, span: Span) -> tuple[Digest, Digest]:
    return ends.both(lambda end: end.digest(table, span))


def _read(ends: Ends, table: Table, part: Span | Shares) -> Iterator[Key]:
    return unequal(ends.source.entries(table, part), ends.target.entries(table, part))


def unequal(mine: Iterable[Entry], theirs: Iterable[Entry]) -> Iterator[Key]:
    """The keys whose digests differ, of two streams sorted by hash; holds no more than the keys of one hash."""
    for _, together in groupby(merge(_of(0, mine), _of(1, theirs), key=_hash), key=_hash):
        found: dict[Key, list[Digest]] = {}
        for entry, side in together:
            found.setdefault(entry.key, [NOTHING, NOTHING])[side] = entry.digest
        for key, (here, there) in found.items():
            if here != there:
                yield key


def _of(side: int, entries: Iterable[Entry]) -> Iterator[tuple[Entry, int]]:
    return ((entry, side) for entry in entries)


def _hash(item: tuple[Entry, int]) -> int:
    return item[0].hash
