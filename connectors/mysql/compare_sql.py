"""The queries of a comparison: what is hashed, and how a part of a table is asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cdcd.model.canonical import READ, Word
from cdcd.model.digest import Key, Shares, Span
from cdcd.model.table import Column, Table
from connectors.mysql.compare_place import Place
from connectors.mysql.names import quote

HASH = "CAST(CAST(CONV(LEFT(SHA2({}, 256), 16), 16, 10) AS UNSIGNED) AS SIGNED)"
"""MD5 would be faster, and MySQL 9.6 no longer has it."""

SUM = "COALESCE(CAST(SUM({}) AS CHAR), '')"

Params = list[object]

_WHOLE = re.compile(r"-?\d+")


@dataclass(frozen=True, slots=True)
class Query:
    text: str
    params: Params


class Queries:
    """Of one table at one end. All texts go through the driver's parameters, so that % in a name is doubled. `read`:
    JSON values are read, as both ends have no common text of them; else they are compared as they are."""

    def __init__(self, table: Table, place: Place, read: bool) -> None:
        self._place = place
        self._from = f"FROM {doubled(place.name)} t"
        self._table = table
        self.read = tuple(column for column in table.carried if read and column.type.family in READ)
        self._columns = [self._word(column) for column in table.carried if column not in self.read]
        self._read = [self._word(column).text for column in self.read]
        self.key = [self._word(column) for column in table.key_columns]
        self._cells = _joined([word.cell for word in self._columns])
        self._h = HASH.format(self._cells)
        self._k = HASH.format(_joined([word.cell for word in self.key])) if self.key else self._h

    def _word(self, column: Column) -> Word:
        word = self._place.words[column.name]
        return Word(doubled(word.text), doubled(word.cell), doubled(word.find))

    def step(self, span: Span, rows: int) -> Query:
        where, params = self._within(span)
        order = ", ".join(f"t.{_quoted(name)}" for name in self._table.key)
        texts = ", ".join(word.text for word in self.key)
        return Query(f"SELECT {texts} {self._from}{where} ORDER BY {order} LIMIT 1 OFFSET {int(rows)}", params)

    def digest(self, span: Span) -> Query:
        """Rows (count, sum, count of hashes)."""
        where, params = self._within(span)
        return Query(f"SELECT COUNT(*), {SUM.format('h')}, COUNT(h) FROM (SELECT {self._h} AS h {self._from}{where}) q",
                     params)  # fmt: skip

    def digests(self, span: Span, of: int) -> Query:
        """Rows (share, count, sum, count of hashes)."""
        inner, params = self._hashed(span)
        text = f"SELECT CAST(k & {of - 1} AS SIGNED) AS share, COUNT(*), {SUM.format('h')}, COUNT(h) FROM ({inner}) q"
        return Query(f"{text} GROUP BY share", params)

    def entries(self, span: Span, shares: Shares) -> Query:
        """Rows (hash, count, sum, count of hashes, the key's columns in hex); of a keyless table the key is the hash.

        MySQL 9.7 encodes a text twice that was converted from latin1 and is taken the least of in a group."""
        inner, params = self._hashed(span)
        keys = ", ".join(f"MIN(k{number})" for number in range(len(self.key))) or "HEX(CAST(k AS CHAR))"
        text = f"SELECT k, COUNT(*), {SUM.format('h')}, COUNT(h), {keys} FROM ({inner}) q{_chosen(shares)}"
        return Query(f"{text} GROUP BY k ORDER BY k", params)

    def look(self, keys: Sequence[Key]) -> Query:
        """Rows (place of the key in `keys` from 1, count, sum, count of hashes, sums of the cells)."""
        cells = [SUM.format(HASH.format(f"IFNULL({word.cell}, '')")) for word in self._columns] if self.key else []
        asked, params = self._asked(keys)
        sums = ", ".join(["COUNT(*)", SUM.format(self._h), f"COUNT({self._h})", *cells])
        return Query(f"SELECT a.n, {sums} FROM {asked} GROUP BY a.n", params)

    def texts(self, keys: Sequence[Key], length: int) -> Query:
        """Rows (place, the columns' texts); more than one for a key that is there more than once."""
        asked, params = self._asked(keys)
        every = (self._word(column).text for column in self._table.carried)
        return Query(f"SELECT a.n, {', '.join(f'LEFT({text}, {int(length)})' for text in every)} FROM {asked}", params)

    # --- where rows are hashed by us ----------------------------------------------------------------------------------

    def rows(self, span: Span, shares: Shares | None = None) -> Query:
        """Rows (hash of the key, cells, the key's columns, what is read); sorted by the hash where `shares` are."""
        where, params = self._within(span)
        k = self._k if self.key else "0"
        keys = [f"{word.text} AS k{number}" for number, word in enumerate(self.key)]
        columns = ", ".join([f"{k} AS k", f"{self._cells} AS cells", *keys, *self._read])
        text = f"SELECT {columns} {self._from}{where}"
        if shares is None or not self.key:
            return Query(text, params)
        return Query(f"SELECT * FROM ({text}) q{_chosen(shares)} ORDER BY k", params)

    def look_rows(self, keys: Sequence[Key]) -> Query:
        """Rows (place, cells, hashes of the cells, what is read)."""
        asked, params = self._asked(keys)
        cells = [HASH.format(f"IFNULL({word.cell}, '')") for word in self._columns]
        return Query(f"SELECT a.n, {', '.join([self._cells, *cells, *self._read])} FROM {asked}", params)

    # --- parts of them ------------------------------------------------------------------------------------------------

    def _hashed(self, span: Span) -> tuple[str, Params]:
        """The span's rows as their hashes: `h`, that of the key, `k`, and the key's texts in hex."""
        where, params = self._within(span)
        keys = [f"HEX({word.text}) AS k{number}" for number, word in enumerate(self.key)]
        return f"SELECT {', '.join([f'{self._h} AS h', f'{self._k} AS k', *keys])} {self._from}{where}", params

    def _asked(self, keys: Sequence[Key]) -> tuple[str, Params]:
        """The rows of these keys, beside `a.n`. The index finds what the collation calls equal, the texts decide."""
        columns = ", ".join(
            f"k{number} LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PATH '$[{number}]'"
            for number in range(max(1, len(self.key)))
        )
        asked = f"JSON_TABLE(%s, '$[*]' COLUMNS (n FOR ORDINALITY, {columns})) a"
        if self.key:
            on = [f"CAST({word.text} AS BINARY) = CAST(a.k{number} AS BINARY)" for number, word in enumerate(self.key)]
            on += [
                f"t.{_quoted(column.name)} = {self._value(column, word.find.format(f'a.k{number}'))}"
                for number, (column, word) in enumerate(zip(self._table.key_columns, self.key, strict=True))
                if word.find
            ]
        else:
            on = [f"{self._h} = CAST(a.k0 AS SIGNED)"]
        return f"{asked} STRAIGHT_JOIN {self._from[5:]} ON {' AND '.join(on)}", [json.dumps(keys)]

    def _value(self, column: Column, text: str) -> str:
        """`text` as a value that the column's index can be asked for."""
        here = self._place.columns[column.name]
        if here.collation and here.collation != "binary" and here.native.name not in ("enum", "set"):
            return f"CONVERT({text} USING {here.charset}) COLLATE {here.collation}"
        return text

    def _within(self, span: Span) -> tuple[str, Params]:
        """For two columns, in a form that a range of an index serves: a >= x AND (a > x OR b >= y)."""
        conditions: list[str] = []
        params: Params = []
        for bound, sign in (span.low, ">"), (span.high, "<"):
            if bound is not None:
                made, values = self._beyond(bound, sign, "=" if sign == ">" else "")
                conditions.append(made)
                params += values
        return (" WHERE " + " AND ".join(conditions) if conditions else ""), params

    def _beyond(self, bound: Key, sign: str, equal: str) -> tuple[str, Params]:
        made = ""
        values: Params = []
        text: str | int
        for column, word, text in reversed(list(zip(self._table.key_columns, self.key, bound, strict=True))):
            name, value = f"t.{_quoted(column.name)}", self._value(column, word.find.format("%s"))
            if _WHOLE.fullmatch(text):
                value, text = "%s", int(text)  # a cast would have to know the sign of what is here
            if not made:
                made, values = f"{name} {sign}{equal} {value}", [text]
            else:
                made = f"({name} {sign}= {value} AND ({name} {sign} {value} OR {made}))"
                values = [text, text, *values]
        return made, values


def _joined(cells: Sequence[str]) -> str:
    made = ", ".join(f"IFNULL({cell}, '')" for cell in cells)
    return f"CONCAT_WS(',', {made})" if cells else "''"


def _chosen(shares: Shares) -> str:
    if len(shares.chosen) == shares.of:
        return ""
    return f" WHERE (k & {shares.of - 1}) IN ({', '.join(map(str, shares.chosen))})"


def _quoted(name: str) -> str:
    return doubled(quote(name))


def doubled(text: str) -> str:
    return text.replace("%", "%%")
