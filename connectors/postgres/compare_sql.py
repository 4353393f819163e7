"""The queries of a comparison: what is hashed, and how a part of a table is asked for.

A row is hashed as the text the server makes of ROW(…): NULL and '' differ in it, no two rows share one, and it is
what the session's settings say, the same at both ends. Blanks at the end of char(n) are no part of its value. Another
product has no such text: with that, rows are hashed cell by cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cdcd.model.canonical import READ
from cdcd.model.digest import Key, Shares, Span
from cdcd.model.table import Column, Table
from connectors.postgres.compare_order import Place
from connectors.postgres.names import quote_identifier

FAST = 'hashtextextended(({})::text COLLATE "C", 0)'
"""Hashes the bytes as the server holds them: for ends of one encoding."""
PORTABLE = "('x' || left(encode(sha256(convert_to(({})::text, 'UTF8')), 'hex'), 16))::bit(64)::int8"
"""For all others, and where machines of different byte order would disagree."""

VERSION = FAST.format("concat(t.tableoid, t.ctid, t.xmin)")

BY_INDEX = "SET LOCAL enable_seqscan = off; "
"""Before a query that has bounds: a table nobody has analysed yet would be read whole for each part."""

Params = list[object]


@dataclass(frozen=True, slots=True)
class Query:
    """`before` is sent ahead of the text, in its transaction."""

    text: str
    params: Params
    before: str = ""


class Queries:
    """Of one table at one end. All texts go through the driver's parameters, so that % in a name is doubled. `shared`:
    with an end of another product, so rows are hashed as cdcd.model.canonical says."""

    def __init__(self, table: Table, place: Place, hash: str, shared: bool = False) -> None:
        self._hash = hash
        self._place = place
        self._shared = shared
        only = "" if place.partitioned else "ONLY "
        self._from = f"FROM {only}{quoted(table.schema)}.{quoted(table.name)} t"
        self.read = tuple(column for column in table.carried if self._shared and column.type.family in READ)
        self._every = [self._text(column) for column in table.carried]
        self._columns = [self._cell(column) for column in table.carried if column not in self.read]
        self._read = [self._text(column) for column in self.read]
        self._key = [f"{self._text(column)}::text" for column in table.key_columns]
        self._bare = [f"t.{quoted(column.name)}" for column in table.key_columns]
        self._key_cells = [self._cell(column) for column in table.key_columns] if self._shared else self._key
        self._find = [self._finds(column) for column in table.key_columns]
        self._types = [place.types[column.name].replace("%", "%%") for column in table.key_columns]
        self._row_hash = self._of(self._columns)
        self._k = "k" if self._key else "h"

    def step(self, span: Span, rows: int) -> Query:
        where, params = self._within(span)
        order = ", ".join(self._bare)
        text = f"SELECT ARRAY[{', '.join(self._key)}] {self._from}{where} ORDER BY {order} OFFSET %s LIMIT 1"
        return Query(text, [*params, rows], BY_INDEX if params else "")

    def digest(self, span: Span) -> Query:
        where, params = self._within(span)
        text = f"SELECT count(*), coalesce(sum({self._row_hash})::text, '') {self._from}{where}"
        return Query(text, params, BY_INDEX if params else "")

    def digests(self, span: Span, of: int) -> Query:
        """Rows (share, count, sum)."""
        inner, params = self._hashed(span)
        text = f"SELECT ({self._k} & {of - 1})::int, count(*), sum(h)::text FROM ({inner}) q GROUP BY 1"
        return Query(text, params, BY_INDEX if params else "")

    def entries(self, span: Span, shares: Shares) -> Query:
        """Rows (hash, key as an array, count, sum); of a keyless table the key is the hash."""
        names = [f"k{number}" for number in range(len(self._key))]
        inner, params = self._hashed(span, *(f"{key} AS {name}" for key, name in zip(self._key, names, strict=True)))
        where, chosen = "", list(shares.chosen)
        if len(chosen) < shares.of:
            where = f" WHERE ({self._k} & {shares.of - 1}) = ANY (%s::int8[])"
        text = (
            f"SELECT {self._k}, ARRAY[{', '.join(names) or 'h::text'}], count(*), sum(h)::text FROM ({inner}) q{where}"
            f" GROUP BY {', '.join([self._k, *names])} ORDER BY 1"
        )
        return Query(text, [*params, chosen] if where else params, BY_INDEX if params else "")

    def look(self, keys: Sequence[Key]) -> Query:
        """Rows (place of the key in `keys` from 1, count, sum, cells, version)."""
        cells = [f"sum({self._of([column])})::text" for column in self._columns] if self._key else []
        asked, params = self._asked(keys)
        sums = f"sum({self._row_hash})::text, ARRAY[{', '.join(cells)}]::text[], sum({VERSION})::text"
        text = f"SELECT a.n, count(*), {sums} {self._from} JOIN {asked} GROUP BY a.n"
        return Query(text, params)

    def texts(self, keys: Sequence[Key], length: int) -> Query:
        asked, params = self._asked(keys)
        values = ", ".join(f"left({column}::text, %s)" for column in self._every)
        text = f"SELECT DISTINCT ON (a.n) a.n, ARRAY[{values}] {self._from} JOIN {asked} ORDER BY a.n"
        return Query(text, [*[length] * len(self._every), *params])

    # --- where rows are hashed by us ----------------------------------------------------------------------------------

    def rows(self, span: Span, shares: Shares | None = None) -> Query:
        """Rows (hash of the key, the key as an array, cells, what is read as an array); sorted by the hash where
        `shares` are."""
        where, params = self._within(span)
        k = self._of(self._key_cells) if self._key else "0"
        text = (
            f"SELECT {k} AS k, {self._array(self._key)} AS key, {self._joined(self._columns)} AS cells,"
            f" {self._array(self._read)} AS read {self._from}{where} OFFSET 0"
        )
        if shares is not None and self._key:
            chosen = "" if len(shares.chosen) == shares.of else f" WHERE (k & {shares.of - 1}) = ANY (%s::int8[])"
            text = f"SELECT * FROM ({text}) q{chosen} ORDER BY k"
            params = [*params, list(shares.chosen)] if chosen else params
        return Query(text, params, BY_INDEX if span.low or span.high else "")

    def look_rows(self, keys: Sequence[Key]) -> Query:
        """Rows (place, cells, hashes of the cells, what is read, version)."""
        hashes = [self._of([column]) for column in self._columns]
        asked, params = self._asked(keys)
        text = (
            f"SELECT a.n, {self._joined(self._columns)}, ARRAY[{', '.join(hashes)}]::int8[], {self._array(self._read)},"
            f" {VERSION} {self._from} JOIN {asked}"
        )
        return Query(text, params)

    # --- parts of them ------------------------------------------------------------------------------------------------

    def _array(self, texts: Sequence[str]) -> str:
        return f"ARRAY[{', '.join(texts)}]::text[]"

    def _joined(self, cells: Sequence[str]) -> str:
        return f"array_to_string({self._array(cells)}, ',', '')"

    def _text(self, column: Column) -> str:
        return self._place.words[column.name].text if self._shared else _text(column)

    def _cell(self, column: Column) -> str:
        return self._place.words[column.name].cell if self._shared else _text(column)

    def _finds(self, column: Column) -> str:
        """A value of the column, of a key's text that stands for {}; "": the texts are compared."""
        if self._shared:
            return self._place.words[column.name].find
        return f"{{}}::{self._place.types[column.name]}".replace("%", "%%")

    def _of(self, expressions: Sequence[str]) -> str:
        return self._hash.format(self._joined(expressions) if self._shared else f"ROW({', '.join(expressions)})")

    def _hashed(self, span: Span, *more: str) -> tuple[str, Params]:
        """The span's rows as their hashes: `h`, and that of the key as `k` where there is one."""
        where, params = self._within(span)
        hashes = [f"{self._row_hash} AS h", *([f"{self._of(self._key_cells)} AS k"] if self._key else [])]
        # OFFSET 0 keeps the planner from making each hash once for every place it is named in.
        return f"SELECT {', '.join([*hashes, *more])} {self._from}{where} OFFSET 0", params

    def _asked(self, keys: Sequence[Key]) -> tuple[str, Params]:
        """`unnest(…) a ON …`, joined to the keys in their own types, so that the key's index serves."""
        arrays: Params = [list(column) for column in zip(*keys, strict=True)]
        names = [f"k{number}" for number in range(len(arrays))]
        if self._key:
            every = zip(self._bare, self._key, names, self._find, strict=True)
            on = " AND ".join(
                f"{column} = {find.replace('{}', f'a.{name}')}" if find else f"{text} = a.{name}"
                for column, text, name, find in every
            )
        else:
            on = f"{self._row_hash} = a.k0::int8"
        unnested = ", ".join(["%s::text[]"] * len(arrays))
        return f"unnest({unnested}) WITH ORDINALITY a ({', '.join(names)}, n) ON {on}", arrays

    def _within(self, span: Span) -> tuple[str, Params]:
        conditions: list[str] = []
        params: Params = []
        values = ", ".join(f"%s::{type}" for type in self._types)
        for bound, sign in (span.low, ">="), (span.high, "<"):
            if bound is not None:
                conditions.append(f"({', '.join(self._bare)}) {sign} ({values})")
                params += bound
        return (" WHERE " + " AND ".join(conditions) if conditions else ""), params


def quoted(name: str) -> str:
    return quote_identifier(name).replace("%", "%%")


def _text(column: Column) -> str:
    name = f"t.{quoted(column.name)}"
    return f"rtrim({name}::text, ' ')" if column.type.family == "char" else name
