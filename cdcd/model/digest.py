"""What a comparison of two ends is made of: parts of a table, their digests, and what is found under a key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Key = tuple[str, ...]
"""The key columns' values in the end's text form. Of a keyless row: one item, the hash of the whole row."""


@dataclass(frozen=True, slots=True)
class Span:
    """The rows with low <= key < high in the order of the key; None: no bound on that side."""

    low: Key | None = None
    high: Key | None = None


@dataclass(frozen=True, slots=True)
class Shares:
    """The rows for which the hash of the key (of a keyless row: its own), modulo `of`, is in `chosen`.

    `of` is a power of two.
    """

    of: int
    chosen: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Digest:
    """Of a multiset of rows: how many, and the sum of their hashes, as text. Equal digests mean equal rows, but for an
    accident of odds 1 in 2**64."""

    rows: int = 0
    sum: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a part: `hash` is the key's (by which entries come sorted), `digest` that of its rows: one, unless
    the end lacks the unique index."""

    hash: int
    key: Key
    digest: Digest


@dataclass(frozen=True, slots=True)
class Found:
    """What an end holds under one key now: how many rows, the sum of their hashes, and one for each carried column
    (none in keyless tables).

    `version` changes with every write to the row, also one that brings back an earlier content; it says nothing at
    another end, so it takes no part in ==. "": the end cannot tell.
    """

    rows: int = 0
    sum: str = ""
    cells: tuple[str, ...] = ()
    version: str = field(default="", compare=False)


ABSENT = Found()


@dataclass(frozen=True, slots=True)
class Layout:
    """A table as it is at one end. `columns`: their names. `order` names the order in which an index gives the key;
    two ends whose names are equal order all keys alike; None: there is no such index, or its order cannot be named.
    `keyed`: no key of it can be NULL here. `untold`: the carried columns of which the chosen hash has no text here."""

    columns: frozenset[str]
    order: str | None
    keyed: bool
    untold: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Standing:
    """What the target's control rows say of a pipeline: its checkpoint's position in a form that the source's
    `position` reads (None: nothing was begun), and of each table, by id, how many chunks are not in. `life`: another
    number every 5 s while a process runs the pipeline."""

    position: Mapping[str, Any] | str | None
    unread: Mapping[str, int]
    life: int = 0
