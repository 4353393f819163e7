"""A column as SQL writes it in a comparison with another product: cdcd.model.canonical says what each text is to be.

Numbers as they are written without zeros at either end, floats as the bits of a double (-0 as 0: MariaDB has none),
days and clocks as the server writes them under our settings, moments in UTC without their zone, text as UTF-8, bytes
as they are; the last two by their SHA-256.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cdcd.model.canonical import Word
from cdcd.model.types import LogicalType

INTEGERS = ("smallint", "integer", "bigint", "oid", "xid", "xid8")
TEXTS = ("text", "character varying")
TEXT_FAMILIES = (
    "text", "citext", "enum", "xml", "inet", "cidr", "macaddr", "macaddr8", "opaque", "timetz", "varbit", "array",
    "range", "multirange", "map",
)  # fmt: skip
"""Families that both ends write as the source's text."""


def word(family: LogicalType, type: str, name: str) -> Word | None:
    """Of a value of that family in a column `name`, as SQL names it, of a type without modifiers; None: there is none
    that other products share."""
    made = _FAMILIES.get(family.family)
    return made(name, type) if made else None


def _digest(bytes: str) -> str:
    return f"encode(sha256({bytes}), 'hex')"


def _text(name: str, type: str) -> Word | None:
    if type in ("bytea", "json", "jsonb"):
        return None
    # What the output function writes, of any type: a cast of inet would add the length of its mask.
    text = f"CASE WHEN {name} IS DISTINCT FROM NULL THEN concat({name}) END"
    text = f"{name}::text" if type in ("text", "character varying") else text
    return Word(text, _digest(f"convert_to({text}, 'UTF8')"), f"{{}}::{type}")


def _padded(name: str, type: str) -> Word | None:
    text = f"rtrim({name}::text, ' ')"
    return Word(text, _digest(f"convert_to({text}, 'UTF8')"), f"{{}}::{type}" if type == "bpchar" else "")


def _bytes(name: str, type: str) -> Word | None:
    if type != "bytea":
        return None
    return Word(f"encode({name}, 'hex')", _digest(name), "decode({}, 'hex')")


def _number(name: str, type: str) -> Word | None:
    text = {
        **dict.fromkeys(INTEGERS, f"{name}::text"),
        "boolean": f"{name}::int::text",
        "numeric": f"trim_scale({name})::text",
        "money": f"trim_scale({name}::numeric)::text",
    }.get(type)
    return Word(text, text, f"{{}}::{type}") if text else None


def _float(name: str, type: str) -> Word | None:
    if type not in ("real", "double precision"):
        return None
    text = f"encode(float8send({name}::float8 + 0), 'hex')"
    return Word(text, text)


def _as(*types: str) -> Callable[[str, str], Word | None]:
    """As the server writes it."""
    return lambda name, type: Word(f"{name}::text", f"{name}::text", f"{{}}::{type}") if type in types else None


def _instant(name: str, type: str) -> Word | None:
    if type in TEXTS:
        text = f"regexp_replace({name}::text, '[+]00$', '')"
        return Word(text, text)
    if type != "timestamp with time zone":
        return None
    text = f"({name} AT TIME ZONE 'UTC')::text"
    return Word(text, text, "{}::timestamp AT TIME ZONE 'UTC'")


def _bits(name: str, type: str) -> Word | None:
    if type == "boolean":
        return _number(name, type)
    return _as('"bit"', "bit varying")(name, type)


def _uuid(name: str, type: str) -> Word | None:
    text = f"replace({name}::text, '-', '')"
    return Word(text, text, "{}::uuid") if type == "uuid" else None


def _vector(name: str, type: str) -> Word | None:
    if type not in ("real[]", "vector"):
        return None
    bits = "string_agg(float4send(x), ''::bytea ORDER BY n DESC)"
    bits = f"CASE WHEN {name} IS NOT NULL THEN (SELECT {bits} FROM unnest({name}::real[]) WITH ORDINALITY u (x, n)) END"
    return Word(f"encode({bits}, 'hex')", _digest(bits))


def _json(name: str, type: str) -> Word | None:
    """Not its own text, but what is read to be hashed."""
    return Word(f"{name}::text", f"{name}::text") if type in ("json", "jsonb") else None


_FAMILIES: Mapping[str, Callable[[str, str], Word | None]] = {
    **dict.fromkeys(("bool", "int16", "int32", "int64", "uint32", "uint64", "decimal"), _number),
    **dict.fromkeys(("float32", "float64"), _float),
    **dict.fromkeys(TEXT_FAMILIES, _text),
    **dict.fromkeys(("json", "jsonb"), _json),
    "char": _padded, "bytes": _bytes, "date": _as("date", *TEXTS),
    "timestamp": _as("timestamp without time zone", *TEXTS), "geometry": _bytes, "vector": _vector,
    "timestamptz": _instant, "time": _as("time without time zone"), "bit": _bits, "uuid": _uuid,
    "interval": _as("interval", "time without time zone"),
}  # fmt: skip
