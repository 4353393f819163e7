"""A column as SQL writes it in a comparison: cdcd.model.canonical says what every product's text is to be.

Numbers as they are written without zeros at either end, a float as the bits of its double (GIS functions hold one as
it is; its text would be rounded, or another at each product; -0 is 0, as MariaDB has none), days and clocks without
zeros at the end of a fraction, text as UTF-8, bytes as they are; the last two by their SHA-256.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cdcd.model.canonical import Word
from cdcd.model.types import LogicalType
from connectors.mysql.types import BLOBS, GEOMETRIES, INTEGERS, TEXTS, Native

WORDS = ("char", *TEXTS, "enum", "set", "inet4", "inet6", "uuid")
"""Types whose value is a text."""
NUMBERS = (*INTEGERS, "year")
FLOATS = ("float", "double")
MOMENTS = ("datetime", "timestamp")
BYTES = ("binary", *BLOBS, *GEOMETRIES)
TEXT_FAMILIES = (
    "text", "citext", "enum", "xml", "inet", "cidr", "macaddr", "macaddr8", "opaque", "timetz", "varbit", "array",
    "range", "multirange", "map",
)  # fmt: skip
"""Families that both ends write as the source's text: what is no text here has no word."""


def word(family: LogicalType, native: Native, charset: str, name: str) -> Word | None:
    """Of a value of that family in a column `name`, as SQL names it; None: there is none that other products share."""
    if native.name in ("char", *TEXTS) and charset == "binary":
        native = Native("blob", native.numbers)
    made = _FAMILIES.get(family.family)
    return made(name, native) if made else None


def _text(name: str, native: Native) -> Word | None:
    if native.name not in WORDS:
        return None
    text = f"CONVERT({name} USING utf8mb4)"
    return Word(text, f"SHA2({text}, 256)", "{}")


def _padded(name: str, native: Native) -> Word | None:
    if native.name not in WORDS:
        return None
    text = f"TRIM(TRAILING ' ' FROM CONVERT({name} USING utf8mb4))"
    return Word(text, f"SHA2({text}, 256)", "{}")


def _bytes(name: str, native: Native) -> Word | None:
    if native.name not in BYTES:
        return None
    return Word(f"LOWER(HEX({name}))", f"SHA2({name}, 256)", "UNHEX({})")


def _trimmed(text: str) -> str:
    """Of a number or a clock with a fraction."""
    return f"TRIM(TRAILING '.' FROM TRIM(TRAILING '0' FROM {text}))"


def _number(name: str, native: Native) -> Word | None:
    if native.name in (*NUMBERS, "bit"):
        text = f"CAST({name} + 0 AS CHAR)"  # neither bits nor ZEROFILL
        return Word(text, text, "CAST({} AS UNSIGNED)" if native.unsigned else "CAST({} AS SIGNED)")
    if native.name == "decimal":
        text = f"CAST({name} + 0 AS CHAR)"
        if native.number(1, 0):
            text = _trimmed(text)
        return Word(text, text, f"CAST({{}} AS DECIMAL({native.number(0, 10)}, {native.number(1, 0)}))")
    if native.name in WORDS:
        text = f"CONVERT({name} USING utf8mb4)"
        text = f"IF(LOCATE('.', {text}) > 0, {_trimmed(text)}, {text})"
        return Word(text, text)
    return None


def _float(name: str, native: Native) -> Word | None:
    if native.name not in FLOATS:
        return None
    text = f"LOWER(HEX(REVERSE(SUBSTR(POINT({name} + 0e0, 0), 10, 8))))"
    return Word(text, text)


def _date(name: str, native: Native) -> Word | None:
    return _plain(name, "{}") if native.name == "date" else None


def _moment(name: str, native: Native) -> Word | None:
    return _clock(name, native) if native.name in MOMENTS else None


def _time(name: str, native: Native) -> Word | None:
    if native.name in WORDS:
        return _plain(f"CONVERT({name} USING utf8mb4)")
    return _clock(name, native) if native.name == "time" else None


def _clock(name: str, native: Native) -> Word:
    text = f"CAST({name} AS CHAR)"
    text = _trimmed(text) if native.number(0, 0) else text
    return Word(text, text, "{}")


def _plain(name: str, find: str = "") -> Word:
    text = f"CAST({name} AS CHAR)"
    return Word(text, text, find)


def _bits(name: str, native: Native) -> Word | None:
    if native.name == "bit":
        width = native.number(0, 1)
        text = f"LPAD(BIN({name} + 0), {width}, '0')"
        return Word(text, text)
    if native.name in INTEGERS:
        return _number(name, native)
    return _plain(f"CONVERT({name} USING utf8mb4)") if native.name in WORDS else None


def _uuid(name: str, native: Native) -> Word | None:
    if native.name == "binary":
        return Word(f"LOWER(HEX({name}))", f"LOWER(HEX({name}))", "UNHEX({})")
    if native.name in WORDS:
        text = f"LOWER(REPLACE(CONVERT({name} USING utf8mb4), '-', ''))"
        return Word(text, text, "{}" if native.name == "uuid" else "")
    return None


def _vector(name: str, native: Native) -> Word | None:
    if native.name not in ("vector", *BYTES):
        return None
    # The numbers as other products write their bits, the last one first.
    text = f"REVERSE(UNHEX(HEX({name})))"
    return Word(f"LOWER(HEX({text}))", f"SHA2({text}, 256)")


def _geometry(name: str, native: Native) -> Word | None:
    """As extended WKB, in which the number of the system stands behind the type, and only where there is one."""
    if native.name not in GEOMETRIES:
        return None
    plain, srid = f"SUBSTR({name}, 5)", f"SUBSTR({name}, 1, 4)"
    extended = f"CONCAT(SUBSTR({name}, 5, 4), X'20', {srid}, SUBSTR({name}, 10))"
    text = f"IF({srid} = X'00000000', {plain}, {extended})"
    return Word(f"LOWER(HEX({text}))", f"SHA2({text}, 256)")


def _json(name: str, native: Native) -> Word | None:
    """Not its own text, but what is read to be hashed."""
    if native.name not in ("json", *WORDS):
        return None
    text = f"CONVERT({name} USING utf8mb4)"
    return Word(text, f"SHA2({text}, 256)")


_FAMILIES: Mapping[str, Callable[[str, Native], Word | None]] = {
    **dict.fromkeys(("bool", "int16", "int32", "int64", "uint32", "uint64", "decimal"), _number),
    **dict.fromkeys(("float32", "float64"), _float),
    **dict.fromkeys(TEXT_FAMILIES, _text),
    **dict.fromkeys(("json", "jsonb"), _json),
    **dict.fromkeys(("timestamp", "timestamptz"), _moment),
    **dict.fromkeys(("time", "interval"), _time),
    "char": _padded, "bytes": _bytes, "date": _date, "bit": _bits, "uuid": _uuid,
    "vector": _vector, "geometry": _geometry,
}  # fmt: skip
