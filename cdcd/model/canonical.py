"""Rows as texts that are the same at every product, so that ends of two products can be compared.

A row is hashed as its columns' cells with commas between them, that of a NULL being empty. A cell has no comma and is
never empty: digits, a date, the bits of a float, or of what may be long or hold anything, its SHA-256 in hex. Each
connector says in SQL what the cell of a column is; what both say is written down in TYPES.md.

JSON has no such text in SQL: its numbers, the order of its keys and its blanks are each product's own. A table that has
some is read, and its rows are hashed here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from math import nan
from typing import Any

from cdcd.model.digest import Digest, Entry, Found, Key, Shares
from cdcd.model.table import Table

HASH = "canonical sha256"
"""Its name: the first 64 bits of a row's SHA-256, as a signed number."""

READ = ("json", "jsonb")
"""Families whose values are hashed here."""


@dataclass(frozen=True, slots=True)
class Word:
    """How SQL writes a column. `text`: for people, and of a key; `cell`: its part of a hashed row; `find`: what makes a
    value of the column of a key's text, which stands for {}, so that an index serves; "": none, the texts are compared.
    """

    text: str
    cell: str
    find: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row that was read to be hashed here. `hash` and `key` are the key's (of a keyless row 0 and empty), `cells` the
    text of all cells that SQL makes, `read` the values of the columns it makes none of."""

    hash: int
    key: Key
    cells: str
    read: Sequence[str | None]

    @property
    def number(self) -> int:
        return number(",".join([self.cells, *map(cell, self.read)]))


def untold(table: Table, told: Iterable[str]) -> frozenset[str]:
    """The carried columns that are not among `told`."""
    return frozenset(column.name for column in table.carried) - frozenset(told)


def number(text: str) -> int:
    """The hash of a text, as SQL makes it at every product."""
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big", signed=True)


def cell(text: str | None) -> str:
    """That of a JSON value."""
    return "" if text is None else sha256(json_text(text).encode()).hexdigest()


def json_text(text: str) -> str:
    """Equal for equal values, whoever wrote them: of equal keys the last counts, numbers are what they amount to. It is
    no JSON, and for hashing only. What is none either stands for itself."""
    try:
        value = json.loads(text, parse_int=_number, parse_float=_number, parse_constant=_refused)
        return json.dumps(value, sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        return f"text {text.encode(errors='surrogatepass').hex()}"


def _number(text: str) -> list[Any]:
    """Digits and exponent, beside NaN, which JSON cannot hold: so nothing else looks alike."""
    mantissa, _, exponent = text.lower().partition("e")
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits = (whole + fraction).lstrip("0")
    short = digits.rstrip("0")
    power = int(exponent or 0) - len(fraction) + len(digits) - len(short)
    sign = "-" if mantissa.startswith("-") else ""
    return [nan, f"{sign}{short}e{power}" if short else "0"]


def _refused(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


# --- what the servers do for all other tables -------------------------------------------------------------------------


def digest(rows: Iterable[Row]) -> Digest:
    count, total = 0, 0
    for row in rows:
        count, total = count + 1, total + row.number
    return Digest(count, str(total) if count else "")


def digests(table: Table, rows: Iterable[Row], of: int) -> Mapping[int, Digest]:
    counts: Counter[int] = Counter()
    sums: Counter[int] = Counter()
    for row in rows:
        made = row.number
        share = (row.hash if table.key else made) & (of - 1)
        counts[share] += 1
        sums[share] += made
    return {share: Digest(count, str(sums[share])) for share, count in counts.items()}


def entries(table: Table, rows: Iterable[Row], shares: Shares) -> Iterator[Entry]:
    """`rows` of a keyed table are those of the shares, sorted by the key's hash; of another one they are all there are,
    and the hashes of those that are wanted are held in memory."""
    if table.key:
        for (hash, key), some in groupby(rows, key=lambda row: (row.hash, row.key)):
            yield Entry(hash, key, digest(some))
        return
    chosen = frozenset(shares.chosen)
    found = Counter(made for row in rows if (made := row.number) & (shares.of - 1) in chosen)
    for made in sorted(found):
        yield Entry(made, (str(made),), Digest(found[made], str(made * found[made])))


def looked(
    table: Table, rows: Iterable[tuple[Key, str, Sequence[int], Sequence[str | None], int]]
) -> Mapping[Key, Found]:
    """What is under keys, of rows (key, cells, hash of each, what is read, version; 0: the end cannot tell)."""
    places = [place for place, column in enumerate(table.carried) if column.type.family in READ]
    sums: dict[Key, list[int]] = {}
    for key, cells, hashes, read, version in rows:
        made = list(hashes)
        for place, text in zip(places, read, strict=True):
            made.insert(place, number(cell(text)))
        counted = [1, Row(0, key, cells, read).number, version, *made]
        before = sums.get(key)
        sums[key] = counted if before is None else [one + other for one, other in zip(before, counted, strict=True)]
    return {
        key: Found(count, str(total), tuple(map(str, cells)), str(version or ""))
        for key, (count, total, version, *cells) in sums.items()
    }


def found(keys: Iterable[Key], rows: Iterable[Row]) -> Mapping[Key, Found]:
    """Of a keyless table, all of whose rows these are."""
    wanted = {int(key[0]): key for key in keys}
    counts = Counter(made for row in rows if (made := row.number) in wanted)
    return {wanted[made]: Found(count, str(made * count)) for made, count in counts.items()}
