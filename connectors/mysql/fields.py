"""A column's value: where its bytes lie in a row image, and the expressions that make each wire form of it.

Every expression is over `v`, the raw value: a number as struct unpacks it, else bytes. Wire forms that are texts are
those of PostgreSQL's connector, as their names promise: `pg-text:int4` is a number in decimal, whoever wrote it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from socket import AF_INET, AF_INET6, inet_ntop
from struct import pack, unpack
from typing import Any
from uuid import UUID

from cdcd.errors import SchemaChanged, Stopped
from cdcd.model.table import Column, Table
from cdcd.model.types.binary import Bits
from cdcd.model.types.json import Json
from cdcd.model.types.time import XDate, XTimestamp
from cdcd.rows import CANONICAL, RowForm
from connectors.mysql import tablemap as m
from connectors.mysql import temporal
from connectors.mysql.binary import Pack, raw_packs
from connectors.mysql.charsets import decoder
from connectors.mysql.decimals import decimal_text, size_of
from connectors.mysql.jsonb import json_text
from connectors.mysql.malformed import malformed
from connectors.mysql.tablemap import Slot
from connectors.mysql.types import BLOBS, GEOMETRIES, INTEGERS, TEXTS, Native, charset_of, native_of

ANY_TEXT = "pg-text:*"

_INTS = {
    m.TINY: ("b", "B"), m.SHORT: ("h", "H"), m.LONG: ("i", "I"), m.LONGLONG: ("q", "Q"), m.INT24: ("3s", "3s"),
}  # fmt: skip
_TEXT_NAME = {"int16": "int2", "int32": "int4", "int64": "int8", "uint32": "int8", "uint64": "numeric"}
"""Family → the type whose text its decimal digits are."""

TYPES: Mapping[str, tuple[int, ...]] = {
    "tinyint": (m.TINY,), "smallint": (m.SHORT,), "mediumint": (m.INT24,), "int": (m.LONG,), "bigint": (m.LONGLONG,),
    "float": (m.FLOAT,), "double": (m.DOUBLE,), "decimal": (m.NEWDECIMAL,), "year": (m.YEAR,), "bit": (m.BIT,),
    "date": (m.DATE,), "time": (m.TIME2,), "datetime": (m.DATETIME2,), "timestamp": (m.TIMESTAMP2,),
    "char": (m.STRING,), "binary": (m.STRING,), "varchar": (m.VARCHAR,), "varbinary": (m.VARCHAR,),
    "enum": (m.ENUM,), "set": (m.SET,), "json": (m.JSON,), "vector": (m.VECTOR, m.BLOB), "uuid": (m.STRING,),
    "inet6": (m.STRING,), "inet4": (m.STRING,),
    **dict.fromkeys((*TEXTS[1:], *BLOBS[1:]), (m.BLOB,)), **dict.fromkeys(GEOMETRIES, (m.GEOMETRY,)),
}  # fmt: skip
"""Type → what the table map may call it."""


@dataclass(frozen=True, slots=True)
class Offer:
    """The wire forms of a column, best first: name → expression over `v`; `names` are what they use. `packs`: of those
    that are packed, how."""

    wires: Mapping[str, str]
    names: Mapping[str, Any]
    packs: Mapping[str, Pack]


def offer(column: Column) -> Offer:
    """What this source can make of a column's values."""
    native = native_of(column)
    try:
        wires, names = _offer(column, native)
        text = wires.get("pg-text:text", wires.get("pg-text:enum", wires[ANY_TEXT]))
        packs, more = raw_packs(column, native, wires[CANONICAL], text)
    except LookupError:
        raise Stopped(
            f"the character set {charset_of(column)} is not known to cdcd",
            hint="convert the column, or leave its table out",
            column=column.name,
        ) from None
    return offered(column, wires, packs, {**names, **more})


def offered(column: Column, wires: Mapping[str, str], packs: Mapping[str, Pack], names: Mapping[str, Any]) -> Offer:
    """With all names made the column's own, as columns share one namespace."""
    own = f"_{column.ident}_"
    wires, names = dict(wires), dict(names)
    for mark, made in packs.items():
        wires[f"pg-binary{mark}"], more = made.field
        names |= more
    return Offer(
        {wire: expression.replace("$", own) for wire, expression in wires.items()},
        {own + name: value for name, value in names.items()},
        {f"pg-binary{mark}": replace(made, value=made.value.replace("$", own)) for mark, made in packs.items()},
    )


_Offer = tuple[dict[str, str], dict[str, Any]]


def _offer(column: Column, native: Native) -> _Offer:
    """`$` stands before each name."""
    name, family = native.name, column.type.family
    if name in INTEGERS or name == "year":
        value = "v"
        if name == "year":
            value = "(v + 1900 if v else 0)"
        elif name == "mediumint":
            value = f"$int(v, 'little', signed={not native.unsigned})"
        text = f"b'%d' % {value}"
        return {f"pg-text:{_TEXT_NAME[family]}": text, CANONICAL: value, ANY_TEXT: text}, {"int": int.from_bytes}
    if name == "float":
        return {CANONICAL: "v", "pg-text:float4": "$text(v)", ANY_TEXT: "$text(v)"}, {"text": float_text}
    if name == "double":
        return {CANONICAL: "v", "pg-text:float8": "repr(v).encode()", ANY_TEXT: "repr(v).encode()"}, {}
    if name == "decimal":
        made = decimal_text(native.number(0, 10), native.number(1, 0))
        wires = dict.fromkeys(("digits:numeric", "pg-text:numeric", ANY_TEXT), "$text(v)")
        return {**wires, CANONICAL: "$Decimal($text(v).decode())"}, {"text": made, "Decimal": Decimal}
    if name in _TEMPORAL:
        type, text_of, value_of = _TEMPORAL[name]
        names: dict[str, Any] = {"text": text_of, "value": value_of, "any": any_text(text_of, value_of)}
        texts = {f"pg-text:{type}": "$text(v)"}
        if name in ("datetime", "timestamp"):
            texts = {}
            for form, middle, zone in (("iso", "T", "Z"), ("pg", " ", "+00")):
                end = zone if name == "timestamp" else ""
                expression, more = temporal.moment(form, name, native.number(0, 0), middle, end)
                texts[f"{form}-text:{type}"] = expression
                names |= more
        wires = {**texts, CANONICAL: "$value(v)", ANY_TEXT: "$any(v)"}
        if name in temporal.PLAIN:
            wires = {f"mysql-text:{'date' if name == 'date' else 'datetime'}": "$plain(v)", **wires}
            names["plain"] = temporal.PLAIN[name]
        return wires, names
    if name == "bit":
        length = native.number(0, 1)
        text = f"format($int(v, 'big'), '0{length}b').encode()"
        return {"pg-text:bit": text, CANONICAL: f"$Bits($int(v, 'big'), {length})", ANY_TEXT: text}, {
            "int": int.from_bytes, "Bits": Bits,
        }  # fmt: skip
    if name in ("enum", "set"):
        label = enum_label(native.labels) if name == "enum" else set_label(native.labels)
        text = "$label(v).encode()"
        return {f"pg-text:{'enum' if name == 'enum' else 'text'}": text, CANONICAL: "$label(v)", ANY_TEXT: text}, {
            "label": label
        }
    if name == "json":
        wires = {"pg-text:jsonb": "$text(v)", CANONICAL: "$Json($text(v).decode())", ANY_TEXT: "$text(v)"}
        return wires, {"text": json_text, "Json": Json}
    if name == "uuid":
        return _by_value("uuid", "$UUID(bytes=$plain(v))", {"UUID": UUID, "plain": uuid_bytes})
    if name in ("inet4", "inet6"):
        size, kind = (4, AF_INET) if name == "inet4" else (16, AF_INET6)
        return _by_value("inet", f"$text({int(kind)}, v.ljust({size}, b'\\0'))", {"text": inet_ntop})
    if name == "vector":
        wires = {"mysql-bytes": "v", CANONICAL: "$value(v)", ANY_TEXT: "$text(v)"}
        return wires, {"value": vector_value, "text": vector_text}
    if family == "geometry":
        return geometry(), {"ewkb": ewkb}
    if family == "bytes":
        value = f"v.ljust({native.number(0, 1)}, b'\\0')" if name == "binary" else "v"
        text = f"b'\\\\x' + {value}.hex().encode()"
        return {"mysql-bytes": value, CANONICAL: value, "pg-text:bytea": text, ANY_TEXT: text}, {}
    return _text(family, charset_of(column))


def _by_value(type: str, value: str, names: dict[str, Any]) -> _Offer:
    """Types whose text is that of their value."""
    text = f"str({value}).encode()"
    return {f"pg-text:{type}": text, CANONICAL: value, ANY_TEXT: text}, names


def _text(family: str, charset: str) -> _Offer:
    type = "bpchar" if family == "char" else "text"
    if charset in ("utf8mb4", "utf8mb3", "utf8", "ascii"):
        return {f"pg-text:{type}": "v", CANONICAL: "v.decode()", ANY_TEXT: "v"}, {}
    text = "$decode(v).encode()"
    return {f"pg-text:{type}": text, CANONICAL: "$decode(v)", ANY_TEXT: text}, {"decode": decoder(charset)}


_TEMPORAL: Mapping[str, tuple[str, Callable[[bytes], bytes], Callable[[bytes], Any]]] = {
    "date": ("date", temporal.date_text, temporal.date_value),
    "datetime": ("timestamp", temporal.datetime_text, temporal.datetime_value),
    "timestamp": ("timestamptz", temporal.timestamp_text, temporal.timestamp_value),
    "time": ("interval", temporal.time_text, temporal.time_value),
}


def any_text(text_of: Callable[[bytes], bytes], value_of: Callable[[bytes], Any]) -> Callable[[bytes], bytes]:
    """For a column of text, which takes the zero and partial dates too."""

    def text(value: bytes) -> bytes:
        try:
            return text_of(value)
        except ValueError:
            return _digits(value_of(value))

    return text


def _digits(value: XDate | XTimestamp) -> bytes:
    """As the server writes what no calendar has."""
    text = b"%04d-%02d-%02d" % (value.year, value.month, value.day)
    if isinstance(value, XDate):
        return text
    text += b" %02d:%02d:%02d" % (value.hour, value.minute, value.second)
    return text + (b".%06d" % (value.nanos // 1000)).rstrip(b"0") if value.nanos else text


def geometry() -> dict[str, str]:
    """The wire forms of a geometry, over the server's own bytes of it."""
    text = "$ewkb(v).hex().encode()"
    return {
        "mysql-bytes": "v",
        "pg-text:geometry": text,
        CANONICAL: "$ewkb(v)",
        ANY_TEXT: f"b'\\\\x' + {text}",
    }


def ewkb(value: bytes) -> bytes:
    """The server keeps an SRID before the WKB; extended WKB has it inside, where it is not 0."""
    if len(value) < 9 or value[4] != 1:
        raise ValueError("no geometry in little-endian WKB")
    if value[:4] == b"\0\0\0\0":
        return value[4:]
    return value[4:8] + bytes([value[8] | 0x20]) + value[:4] + value[9:]


def float_text(value: float) -> bytes:
    """The shortest text that is still this value when read into 32 bits."""
    bits = pack("f", value)
    for digits in range(6, 9):
        if pack("f", float(text := f"{value:.{digits}g}")) == bits:
            return text.encode()
    return f"{value:.9g}".encode()


def enum_label(labels: tuple[str, ...]) -> Callable[[int], str]:
    """Number → label; 0 is what a bad value became, and reads as the empty string."""
    known = ("", *labels)

    def label(number: int) -> str:
        if number >= len(known):
            raise ValueError(f"the enum has no label {number}")
        return known[number]

    return label


def set_label(labels: tuple[str, ...]) -> Callable[[bytes], str]:
    """Bits, as a little-endian number → members in the order of the definition, with commas."""

    def members(value: bytes) -> str:
        bits = int.from_bytes(value, "little")
        if bits >> len(labels):
            raise ValueError(f"the set has no member {bits.bit_length()}")
        return ",".join(label for number, label in enumerate(labels) if bits >> number & 1)

    return members


def uuid_bytes(value: bytes) -> bytes:
    """MariaDB keeps the groups of versions below 6 in reverse order, so that those of version 1 sort by their time
    (sql/sql_type_uuid.h); zeros at the end are cut."""
    value = value.ljust(16, b"\0")
    if value[6] & 0x80 and 0 < value[8] < 0x60:
        return value[12:16] + value[10:12] + value[8:10] + value[6:8] + value[:6]
    return value


def vector_value(value: bytes) -> tuple[float, ...]:
    if len(value) % 4:
        raise ValueError("no vector: its bytes are no multiple of four")
    return unpack(f"<{len(value) // 4}f", value)


def vector_text(value: bytes) -> bytes:
    return b"[" + b",".join(map(float_text, vector_value(value))) + b"]"


# --- where the bytes lie ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cell:
    """One column of a row image, in the log's order: `place` in the row form (None: not wanted); `code` of struct and
    `width` of a value that has the same bytes always, else `prefix` bytes of length before it; `steps` over `v`, `pack`
    where they come to no more than that."""

    name: str
    place: int | None
    nullable: bool
    code: str
    width: int
    prefix: int
    steps: tuple[str, ...]
    pack: Pack | None = None


@dataclass(frozen=True, slots=True)
class Filling:
    """A row form with the wire form chosen for each of its columns, and the expressions that make its fields."""

    form: RowForm
    steps: Mapping[str, tuple[str, ...]]
    names: Mapping[str, Any]
    wires: Mapping[str, str]
    packs: Mapping[str, Pack]


def choose(forms: Sequence[RowForm], binary: bool = True) -> Filling:
    """The first form that can be filled. `binary`: by packed values, too."""
    for form in forms:
        by_name = {column.name: column for column in form.table.carried}
        steps: dict[str, tuple[str, ...]] = {}
        names, wires = dict(form.names), {}
        packs: dict[str, Pack] = {}
        for name, field in zip(form.columns, form.fields, strict=True):
            offered = offer(by_name[name])
            some = (wire for wire in offered.wires if binary or wire not in offered.packs)
            wire = next((wire for wire in some if wire in field.takes), None)
            if wire is None:
                break
            both = (offered.wires[wire], field.takes[wire])
            steps[name] = tuple(step for step in both if step != "v")
            wires[name] = wire
            names |= offered.names
            if wire in offered.packs and field.takes[wire] == "v":
                packs[name] = offered.packs[wire]
        else:
            return Filling(form, steps, names, wires, packs)
    raise Stopped(
        "the target takes none of the forms in which this table's values come",
        why="no row form of the sink lists a wire form for every column",
        hint="leave the table or the column out",
        table=forms[0].table.id if forms else None,
    )


def cells(filling: Filling, slots: Sequence[Slot]) -> list[Cell]:
    """The cells of a table whose rows come in `slots`; SchemaChanged where these are not the table's columns."""
    table = filling.form.table
    places = {name: place for place, name in enumerate(filling.form.columns)}
    if len(slots) != len(table.columns):
        raise changed(table, f"rows have {len(slots)} columns, not {len(table.columns)}")
    made = []
    for column, slot in zip(table.columns, slots, strict=True):
        native = native_of(column)
        if slot.type not in TYPES.get(native.name, ()):
            raise changed(table, f"{column.name} is {column.native}, and comes as type {slot.type}")
        code, width, prefix = _layout(column, native, slot, table)
        if not code and prefix not in (1, 2, 3, 4):
            raise malformed(f"lengths of {prefix} bytes", table=table.id, column=column.name)
        place = places.get(column.name)
        steps = filling.steps[column.name] if place is not None else ()
        pack = filling.packs.get(column.name)
        made.append(Cell(column.name, place, column.nullable, code, width, prefix, steps, pack))
    return made


def changed(table: Table, why: str) -> SchemaChanged:
    return SchemaChanged(
        f"the columns of {table.id} changed at the source",
        why=why,
        hint="alter the target in the same way, or `cdcd reload` the table; begin a tail behind the change",
        table=table.id,
    )


_FIXED = {m.FLOAT: ("f", 4), m.DOUBLE: ("d", 8), m.YEAR: ("B", 1), m.DATE: ("3s", 3)}
_MOMENTS = {m.TIMESTAMP2: 4, m.DATETIME2: 5, m.TIME2: 3}


def _layout(column: Column, native: Native, slot: Slot, table: Table) -> tuple[str, int, int]:
    """struct's code and the width, or else the bytes of a length."""
    type, meta = slot.type, slot.meta
    if type in _INTS:
        code = _INTS[type][native.unsigned]
        return code, {"b": 1, "h": 2, "i": 4, "q": 8}.get(code.lower(), 3), 0
    if type in _FIXED:
        code, width = _FIXED[type]
        return code, width, 0
    if type in _MOMENTS:
        if meta[0] != native.number(0, 0):
            raise changed(table, f"{column.name} is {column.native}, and comes with {meta[0]} digits of a second")
        width = _MOMENTS[type] + (meta[0] + 1) // 2
        return f"{width}s", width, 0
    if type == m.NEWDECIMAL:
        if tuple(meta) != (native.number(0, 10), native.number(1, 0)):
            raise changed(table, f"{column.name} is {column.native}, and comes as decimal({meta[0]},{meta[1]})")
        width = size_of(*meta)
        return f"{width}s", width, 0
    if type == m.BIT:
        width = meta[1] + (meta[0] > 0)
        if meta[1] * 8 + meta[0] != native.number(0, 1):
            raise changed(table, f"{column.name} is {column.native}, and comes as bit({meta[1] * 8 + meta[0]})")
        return f"{width}s", width, 0
    if type == m.ENUM:
        return ("B", 1, 0) if meta[0] == 1 else ("H", 2, 0)
    if type == m.SET:
        return f"{meta[0]}s", meta[0], 0
    if type in (m.STRING, m.VARCHAR):
        return "", 0, 2 if int.from_bytes(meta, "little") > 255 else 1
    return "", 0, meta[0]
