"""The table of PostgreSQL's types: the family of each, and how its text becomes the canonical value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from cdcd.model.table import Column
from cdcd.model.types import LogicalType
from cdcd.model.types.binary import Bits
from cdcd.model.types.json import Json
from cdcd.rows import compile_function
from connectors.postgres import text


@dataclass(frozen=True, slots=True)
class Native:
    """One type of PostgreSQL: `name` as pg_type has it. `element`: a range's subtype."""

    name: str
    family: str
    note: str = ""
    element: str = ""


NATIVES: Mapping[str, Native] = {
    native.name: native
    for native in (
        Native("bool", "bool"),
        Native("int2", "int16"),
        Native("int4", "int32"),
        Native("int8", "int64"),
        Native("oid", "uint32"),
        Native("xid", "uint32"),
        Native("cid", "uint32"),
        Native("xid8", "uint64"),
        Native("numeric", "decimal", "NaN fits any; scale from -1000 to 1000, also above the precision"),
        Native("money", "decimal", "precision 19, scale 2; currency and separators are removed"),
        Native("float4", "float32", "shortest exact text"),
        Native("float8", "float64", "shortest exact text"),
        Native("text", "text"),
        Native("varchar", "text"),
        Native("name", "text", "length 63, in bytes"),
        Native("char", "text", 'the one-byte "char"; bytes from 0x80 on as \\ooo'),
        Native("bpchar", "char", "char(n); the padding is removed"),
        Native("citext", "citext"),
        Native("bytea", "bytes"),
        Native("date", "date"),
        Native("time", "time"),
        Native("timetz", "timetz"),
        Native("timestamp", "timestamp"),
        Native("timestamptz", "timestamptz"),
        Native("interval", "interval", "nanoseconds do not exist; infinity since PostgreSQL 17"),
        Native("uuid", "uuid"),
        Native("json", "json"),
        Native("jsonb", "jsonb"),
        Native("xml", "xml", "the server drops the declaration"),
        Native("bit", "bit"),
        Native("varbit", "varbit"),
        Native("inet", "inet"),
        Native("cidr", "cidr"),
        Native("macaddr", "macaddr"),
        Native("macaddr8", "macaddr8"),
        Native("int4range", "range", element="int4"),
        Native("int8range", "range", element="int8"),
        Native("numrange", "range", element="numeric"),
        Native("tsrange", "range", element="timestamp"),
        Native("tstzrange", "range", element="timestamptz"),
        Native("daterange", "range", element="date"),
        Native("int4multirange", "multirange", element="int4"),
        Native("int8multirange", "multirange", element="int8"),
        Native("nummultirange", "multirange", element="numeric"),
        Native("tsmultirange", "multirange", element="timestamp"),
        Native("tstzmultirange", "multirange", element="timestamptz"),
        Native("datemultirange", "multirange", element="date"),
        Native("hstore", "map"),
        Native("vector", "vector", "pgvector; float32"),
        Native("halfvec", "vector", "pgvector; float16"),
        # These have an element type in pg_type and are no arrays.
        Native("point", "opaque", "coordinates may be NaN and infinite, which other geometries cannot hold"),
        Native("line", "opaque"),
        Native("lseg", "opaque"),
        Native("box", "opaque", "in arrays its delimiter is ;"),
        Native("int2vector", "opaque"),
        Native("oidvector", "opaque"),
    )
}
"""Types that are not here go by their kind (`typtype`), see `logical_type`; unknown base types are opaque."""

KINDS = (
    ("enum", "enum", "labels in enumsortorder"),
    ("array", "array", ""),
    ("range, multirange", "range, multirange", "of the type's own subtype"),
    ("domain", "that of its base type", "through all levels"),
    ("composite", "opaque", ""),
    ("any other type, of an extension for example", "opaque", "its text is what its output function writes"),
)
"""What `logical_type` makes of kinds of types, for TYPES.md."""


def logical_type(
    typname: str,
    typtype: str,
    typmod: int,
    element: LogicalType | None = None,
    labels: tuple[str, ...] = (),
) -> LogicalType:
    """The type of a column. `typname`, `typtype` as in pg_type, `typmod` the column's atttypmod (-1: none).

    `element`: of an array its element, of a range or multirange its subtype, of a domain its base type.
    `labels`: of an enum.
    """
    match typtype:
        case "d":
            return element or _opaque(typname)
        case "e":
            return LogicalType("enum", labels=labels)
        case "r" | "m":
            native = NATIVES.get(typname)
            if element is None and native is not None and native.element:
                element = logical_type(native.element, "b", -1)
            family = "range" if typtype == "r" else "multirange"
            return LogicalType(family, element=element) if element else _opaque(typname)
        case "b" if typname in NATIVES:
            return _parameters(typname, NATIVES[typname].family, typmod)
        case "b" if element is not None:
            return LogicalType("array", element=element)
    return _opaque(typname)


def _opaque(typname: str) -> LogicalType:
    return LogicalType("opaque", labels=(typname,))


def _parameters(typname: str, family: str, typmod: int) -> LogicalType:
    if family == "opaque":
        return _opaque(typname)
    match typname:
        case "money":
            return LogicalType(family, precision=19, scale=2)
        case "name":
            return LogicalType(family, length=63)
        case "char":
            return LogicalType(family, length=1)
    if typmod < 0:
        return LogicalType(family)
    match typname:
        case "numeric":
            # Precision in the upper half; scale in 11 bits, two's complement.
            packed = typmod - 4
            scale = ((packed & 0x7FF) ^ 0x400) - 0x400
            return LogicalType(family, precision=packed >> 16 & 0xFFFF, scale=scale)
        case "varchar" | "bpchar":
            return LogicalType(family, length=typmod - 4)
        case "bit" | "varbit" | "vector" | "halfvec":
            return LogicalType(family, length=typmod)
        case "time" | "timetz" | "timestamp" | "timestamptz":
            return LogicalType(family, precision=typmod)
        case "interval":
            precision = typmod & 0xFFFF
            return LogicalType(family, precision=None if precision == 0xFFFF else precision)
    return LogicalType(family)


_SCALARS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "bool": ("read_bool(v)", {"read_bool": text.read_bool}),
    "int16": ("int(v)", {}),
    "int32": ("int(v)", {}),
    "int64": ("int(v)", {}),
    "uint32": ("int(v)", {}),
    "uint64": ("int(v)", {}),
    "decimal": ("read_decimal(v)", {"read_decimal": text.read_decimal}),
    "float32": ("float(v)", {}),
    "float64": ("float(v)", {}),
    "text": ("v.decode()", {}),
    "char": ("v.decode().rstrip(' ')", {}),
    "citext": ("v.decode()", {}),
    "enum": ("v.decode()", {}),
    "xml": ("v.decode()", {}),
    "inet": ("v.decode()", {}),
    "cidr": ("v.decode()", {}),
    "macaddr": ("v.decode()", {}),
    "macaddr8": ("v.decode()", {}),
    "opaque": ("v.decode()", {}),
    "bytes": ("read_bytea(v)", {"read_bytea": text.read_bytea}),
    "uuid": ("UUID(v.decode())", {"UUID": UUID}),
    "bit": ("Bits.of(v.decode())", {"Bits": Bits}),
    "varbit": ("Bits.of(v.decode())", {"Bits": Bits}),
    "date": ("read_date(v)", {"read_date": text.read_date}),
    "time": ("read_time(v)", {"read_time": text.read_time}),
    "timetz": ("read_timetz(v)", {"read_timetz": text.read_timetz}),
    "timestamp": ("read_timestamp(v)", {"read_timestamp": text.read_timestamp}),
    "timestamptz": ("read_timestamptz(v)", {"read_timestamptz": text.read_timestamptz}),
    "interval": ("read_interval(v)", {"read_interval": text.read_interval}),
    "json": ("Json(v.decode())", {"Json": Json}),
    "jsonb": ("Json(v.decode())", {"Json": Json}),
    "map": ("read_hstore(v)", {"read_hstore": text.read_hstore}),
    "vector": ("read_vector(v)", {"read_vector": text.read_vector}),
}
_MONEY = ("read_money(v)", {"read_money": text.read_money})


def canonical_expression(column: Column) -> tuple[str, dict[str, Any]]:
    """A Python expression over `v` (a value's text, as bytes, never NULL) giving the canonical value, and the
    names it uses; ValueError on what cannot be held. A table's columns may share one namespace: a name means
    the same in all of them, and an array's reader is named by its column's number."""
    if column.type.element is not None:
        name = f"read_{column.ident}"
        return f"{name}(v)", {name: _reader(column.type)}
    return _expression(column.type)


def _expression(type: LogicalType) -> tuple[str, dict[str, Any]]:
    # money and numeric(19,2) are one type to us: only money's text has separators, its reader does for both.
    if type.family == "decimal" and (type.precision, type.scale) == (19, 2):
        return _MONEY
    if type.family not in _SCALARS:
        raise ValueError(f"PostgreSQL has no type of the family {type.family}")
    return _SCALARS[type.family]


def _reader(type: LogicalType) -> text.Reader:
    """The same as a function, for elements of arrays and ranges."""
    match type.family:
        case "array" if type.element:
            delimiter = b";" if type.element.labels == ("box",) else b","
            return text.array_reader(_reader(type.element), delimiter)
        case "range" if type.element:
            return text.range_reader(_reader(type.element))
        case "multirange" if type.element:
            return text.multirange_reader(_reader(type.element))
    expression, names = _expression(type)
    return compile_function("read", ["def read(v):", f"    return {expression}"], names)
