"""Names of a source that a target may not give twice, or not as long: made other ones, always the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from cdcd.model.table import Table


class Named(NamedTuple):
    """A name that was given within a table, as those of MySQL's indexes and of PostgreSQL's constraints are."""

    table: Table
    name: str


def alone(
    named: Sequence[Named], taken: Collection[tuple[str, str]], limit: int, size: Callable[[str], int]
) -> Mapping[tuple[str, str], str]:
    """By id of the table and name: names that within each schema nothing else has, of all of `named` or of those
    `taken` (schema, name). Each is as it was, with the table's name before it where two would be called so; what still
    meets another, or is longer than `limit` by `size`, ends in a digest."""
    called = Counter((table.schema, name) for table, name in named)
    first = {
        (table.id, name): (
            table.schema, name if called[table.schema, name] == 1 and (table.schema, name) not in taken
            else f"{table.name}_{name}",
        )
        for table, name in named
    }  # fmt: skip
    again = Counter(first.values())
    return {of: fitted(place[1], of, limit, size, again[place] > 1 or place in taken) for of, place in first.items()}


def fitted(name: str, of: tuple[str, str], limit: int, size: Callable[[str], int], always: bool = False) -> str:
    """The name where it is short enough, and not to be cut `always`; else its beginning, with a digest of what it
    names."""
    if size(name) <= limit and not always:
        return name
    digest = sha256("\0".join(of).encode()).hexdigest()[:8]
    while size(name) > limit - 9:
        name = name[:-1]
    return f"{name}_{digest}"


def in_bytes(name: str) -> int:
    return len(name.encode())
