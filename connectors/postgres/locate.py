"""Between which bounds a key lies: compared here where Python's order is the server's, else asked (T-PG-11)."""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from cdcd.errors import CdcdError
from cdcd.model.chunk import Bound
from cdcd.model.table import Table
from cdcd.rows import RowForm
from connectors.postgres.ask import Asker
from connectors.postgres.copy_out import COPY_BINARY, COPY_TEXT, unescape
from connectors.postgres.order import Ordered, key_order
from connectors.postgres.replication import Session

TEXT, TEXT_ARRAY = 25, 1009

_length = struct.Struct(">i")
_CIVIL = re.compile(rb"(\d+)-(\d\d)-(\d\d)(?: (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?(?:\+00)?)?( BC)?")
_ENDS = {b"infinity": float("inf"), b"-infinity": float("-inf")}


def _days(year: int, month: int, day: int) -> int:
    """Days of the proleptic Gregorian calendar, from any fixed day on, for any year."""
    year -= month <= 2
    era, of_era = divmod(year, 400)
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year


_DAY_2000 = _days(2000, 1, 1)


def _moment(text: bytes) -> float:
    """A timestamp's or date's text → microseconds since 2000, as its binary form counts them."""
    if text in _ENDS:
        return _ENDS[text]
    if not (match := _CIVIL.fullmatch(text)):
        raise ValueError(f"not a time: {text!r}")
    year, month, day = (int(match[i]) for i in (1, 2, 3))
    days = _days(1 - year if match[8] else year, month, day) - _DAY_2000
    hour, minute, second = (int(match[i] or 0) for i in (4, 5, 6))
    return (days * 86400 + hour * 3600 + minute * 60 + second) * 1_000_000 + int((match[7] or b"").ljust(6, b"0"))


def _signed(value: bytes) -> int:
    return int.from_bytes(value, "big", signed=True)


def _ended(bits: int, scale: int) -> Callable[[bytes], float]:
    highest, lowest = (1 << bits - 1) - 1, -1 << bits - 1

    def read(value: bytes) -> float:
        number = _signed(value)
        if number in (highest, lowest):
            return _ENDS[b"infinity" if number == highest else b"-infinity"]
        return number * scale

    return read


FROM_TEXT: Mapping[str, Callable[[bytes], Any]] = {
    "int2": int, "int4": int, "int8": int, "oid": int,
    "uuid": lambda v: bytes.fromhex(v.decode().replace("-", "")),
    "bytea": lambda v: bytes.fromhex(v[2:].decode()),
    "bool": lambda v: v in (b"t", b"true"),
    "date": _moment, "timestamp": _moment, "timestamptz": _moment, "text": bytes, "varchar": bytes,
}  # fmt: skip
FROM_BINARY: Mapping[str, Callable[[bytes], Any]] = {
    "int2": _signed, "int4": _signed, "int8": _signed, "oid": lambda v: int.from_bytes(v, "big"),
    "uuid": bytes, "bytea": bytes, "bool": lambda v: v == b"\1", "text": bytes, "varchar": bytes,
    "date": _ended(32, 86_400_000_000), "timestamp": _ended(64, 1), "timestamptz": _ended(64, 1),
}  # fmt: skip


class Locator:
    """One table's bounds, ready to be searched. `session`: for the questions that only the server can answer."""

    def __init__(
        self,
        asker: Asker,
        session: Callable[[], Session],
        table: Table,
        columns: tuple[str, ...],
        bounds: Sequence[Bound],
        form: RowForm,
    ) -> None:
        if form.name not in (COPY_BINARY, COPY_TEXT):
            raise CdcdError(f"keys in the form {form.name} cannot be ordered: a bug in cdcd", table=table.id)
        self._session = session
        self._binary = form.name == COPY_BINARY
        self._given = (columns, list(bounds), form)
        order = key_order(asker, table)
        self._order: list[Ordered] = [order[name] for name in columns]
        self._here = all(column.here for column in self._order)
        if self._here:
            read = [FROM_TEXT[column.type] for column in self._order]
            self._bounds = [
                tuple(f(text.encode()) for f, text in zip(read, bound, strict=True)) for bound in bounds
            ]

    def serves(self, columns: tuple[str, ...], bounds: Sequence[Bound], form: RowForm) -> bool:
        known_columns, known_bounds, known_form = self._given
        return known_columns == columns and known_form is form and known_bounds == list(bounds)

    def locate(self, keys: Sequence[bytes]) -> list[int]:
        if not self._here:
            return self._ask(keys)
        table = FROM_BINARY if self._binary else FROM_TEXT
        read = [table[column.type] for column in self._order]
        bounds = self._bounds
        return [
            bisect_right(bounds, tuple(f(field) for f, field in zip(read, self._fields(key), strict=False)))
            for key in keys
        ]

    def _fields(self, key: bytes) -> Iterable[bytes]:
        """The values of the key's columns."""
        if not self._binary:
            return (unescape(field) for field in key.split(b"\t"))
        fields, at = [], 0
        while at < len(key):
            end = at + 4 + _length.unpack_from(key, at)[0]
            fields.append(key[at + 4 : end])
            at = end
        return fields

    def _ask(self, keys: Sequence[bytes]) -> list[int]:
        """The server's own comparison, of the first column: a round trip for a group."""
        column = self._order[0]
        collated = f" COLLATE {column.collation}" if column.collation else ""
        bounds = [bound[0].encode() for bound in self._given[1]]
        given, element = (column.array, None) if self._binary else (TEXT_ARRAY, TEXT)
        session = self._session()
        if element is None:
            ((text,),) = session.run(f"SELECT typelem FROM pg_type WHERE oid = {column.array}")
            element = int(text or 0)
        statement = f"""
            SELECT width_bucket(CAST(k AS {column.native}){collated}, CAST($2 AS {column.native}[]))
            FROM unnest($1) WITH ORDINALITY u (k, n) ORDER BY n"""
        values = [next(iter(self._fields(key))) for key in keys]
        rows = session.run_binary(
            statement, [given, TEXT_ARRAY], [_array(element, values), _array(TEXT, bounds)]
        )
        return [int(row[0] or 0) for row in rows]


def _array(element: int, values: Sequence[bytes]) -> bytes:
    """A one-dimensional array in its binary form (array_recv)."""
    head = struct.pack(">iiIii", 1 if values else 0, 0, element, len(values), 1)
    if not values:
        return head[:12]
    return head + b"".join(_length.pack(len(value)) + value for value in values)
