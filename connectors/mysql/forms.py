"""The row form of a MySQL or MariaDB target, and how rows in it become statements.

One form serves both roads: a row is a line of LOAD DATA (fields with tabs between them, `\\` before what would be read
as something else, `\\N` for NULL, a newline at its end), and three replacements over a whole block make rows of VALUES
of it, as its escapes mean the same in a string literal. A tab or newline stands nowhere else; a quote is escaped.
Fields are bytes in the character set of the target's column (`collation_connection` is binary).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from ipaddress import ip_address
from math import isinf
from re import compile as pattern
from struct import pack
from typing import Any

from cdcd.errors import StateRefused
from cdcd.model.cell import UNCHANGED
from cdcd.model.table import Table
from cdcd.rows import CANONICAL, Field, Fields, Layout, Row, RowForm
from connectors.mysql.charsets import UTF8, encoder
from connectors.mysql.jsonb import number_text
from connectors.mysql.names import quote
from connectors.mysql.shape import Shape, ShapeColumn
from connectors.mysql.types import GEOMETRIES, INTEGERS

NAME = "mysql-text"
NULL = b"\\N"
LAYOUT = Layout(b"", b"\t", b"\n", NULL)

_SPECIAL = pattern(rb"[\\\n\t']")
_TIME = pattern(rb"-?\d+:\d\d:\d\d(\.\d{1,6})?")


def escape(value: bytes) -> bytes:
    if not _SPECIAL.search(value):
        return value
    value = value.replace(b"\\", b"\\\\").replace(b"'", b"\\'")
    return value.replace(b"\n", b"\\n").replace(b"\t", b"\\t")


# --- fields -----------------------------------------------------------------------------------------------------------

_NUMBERS = (
    *("pg-text:int2", "pg-text:int4", "pg-text:int8", "pg-text:oid", "pg-text:xid", "pg-text:xid8", "pg-text:cid"),
    *("pg-text:numeric", "pg-text:float4", "pg-text:float8"),
)
_NAMES: Mapping[str, Any] = {"esc": escape}
_MADE_UP = ("array", "range", "multirange", "map", "vector")
"""Families whose canonical values have no text but the source's own."""

_Takes = tuple[dict[str, str], dict[str, Any]]


def target_forms(table: Table, shape: Shape) -> list[RowForm]:
    """The form in which the target's table takes rows of `table`."""
    columns = tuple(column.name for column in table.carried)
    missing = [name for name in columns if name not in shape.columns or shape.columns[name].generated]
    if missing:
        raise StateRefused(
            f"the target's table cannot take the column {', '.join(missing)}",
            why="it is missing there, or computed there",
            hint="add the column at the target, or leave the table out",
            table=table.id,
        )
    fields, names = [], dict(_NAMES)
    for number, column in enumerate(table.carried):
        takes, its = _takes(shape.columns[column.name], table.product)
        if column.type.family in _MADE_UP and "pg-text:*" in takes:
            takes = {wire: made for wire, made in takes.items() if wire != CANONICAL}
        own = f"_t{number}_"
        fields.append(Field({wire: expression.replace("$", own) for wire, expression in takes.items()}))
        names |= {own + name: value for name, value in its.items()}
    return [RowForm(NAME, table, columns, tuple(fields), LAYOUT, names, split)]


def _takes(column: ShapeColumn, product: str) -> _Takes:
    """What a column takes from a source of a product; `$` stands before each name."""
    native = column.native
    name = native.name
    if name == "json":
        same = product == "mysql"
        texts = dict.fromkeys(("pg-text:json", "pg-text:jsonb", "pg-text:text", "pg-text:*"), f"esc($json(v, {same}))")
        return {**texts, CANONICAL: f"esc($json($text(v), {same}))"}, {"json": exact_json, "text": _text}
    if name in INTEGERS or name in ("decimal", "float", "double", "year"):
        form = "b'%04d' % int(v)" if name == "year" else "v"
        takes = {**dict.fromkeys(_NUMBERS, form), "pg-text:bool": "b'1' if v == b't' else b'0'"}
        if name == "float":  # the largest, whose shortest text is above it
            takes["pg-text:float4"] = "v.replace(b'3.4028235e+38', b'3.4028234e+38')"
        return {**takes, CANONICAL: "$number(v)"}, {"number": _number}
    if name in _DATES:
        return _DATES[name]
    if name == "bit":
        width = (native.number(0, 1) + 7) // 8
        return {
            "mysql-bytes": "esc(v)",
            "pg-text:bit": f"esc(int(v, 2).to_bytes({width}, 'big'))",
            "pg-text:bool": f"esc((v == b't').to_bytes({width}, 'big'))",
            CANONICAL: f"esc(v.value.to_bytes({width}, 'big'))",
        }, {}
    if name in GEOMETRIES:
        return {"mysql-bytes": "esc(v)"}, {}
    if name in ("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"):
        takes = {"mysql-bytes": "esc(v)", "pg-text:bytea": "esc($unhex(v))", "pg-text:uuid": "esc($uuid(v))"}
        return {**takes, CANONICAL: "esc(v)"}, {"unhex": _unhex, "uuid": _uuid}
    if name == "vector":
        return {"mysql-bytes": "esc(v)", CANONICAL: "esc($vector(v))"}, {"vector": _vector}
    if name == "uuid":
        return {"pg-text:uuid": "esc($uuid(v))", CANONICAL: "esc(v.bytes)"}, {"uuid": _uuid}
    if name in ("inet4", "inet6"):
        takes = {"pg-text:inet": f"esc(${name}(v.decode()))", CANONICAL: f"esc(${name}(v))"}
        return takes, {"inet4": _inet4, "inet6": _inet6}
    return _texts(column)


def _texts(column: ShapeColumn) -> _Takes:
    charset = column.charset
    if charset in UTF8:
        return {f"mysql-text:{charset}": "esc(v)", "pg-text:*": "esc(v)", **_ANY_TEXT, CANONICAL: "esc($text(v))"}, {
            "text": _text
        }
    takes = dict.fromkeys(("pg-text:*", *_ANY_TEXT), "esc($encode(v.decode()))")
    takes |= {f"mysql-text:{charset}": "esc(v)", CANONICAL: "esc($encode(str(v)))"}
    return takes, {"encode": encoder(charset)}


_ANY_TEXT = {
    f"pg-text:{type}": "esc(v)"
    for type in (
        *("text", "varchar", "name", "citext", "enum", "json", "jsonb", "uuid", "inet", "cidr", "macaddr", "macaddr8"),
        *("xml", "date", "time", "timetz", "timestamp", "timestamptz", "interval", "bit", "varbit", "int2", "int4"),
        *("int8", "oid", "numeric", "float4", "float8", "bool", "char", "money"),
    )
} | {"pg-text:bpchar": "esc(v.rstrip(b' '))"}
"""A text column takes the text of anything: what it says is what the source would show."""


def _text(value: Any) -> bytes:
    """A canonical value's text."""
    return (value if isinstance(value, str) else str(getattr(value, "text", value))).encode()


_FRACTION = pattern(rb"\d[.eE]|\d{19}")
"""What only a number can have that may be a double: a fraction, an exponent, or more digits than an integer has."""
_TOKEN = pattern(rb'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?')


def exact_json(value: bytes, same: bool) -> bytes:
    """The text, if no number in it becomes another: MySQL makes a double of each that has a fraction or an exponent, or
    is beyond 64 bits.
    `same`: it is MySQL's own text, of which nothing is to be written otherwise."""
    if _FRACTION.search(value):
        for found in _TOKEN.finditer(value):
            token = found[0]
            if token[:1] == b'"' or not _FRACTION.search(token):
                continue
            if token.lstrip(b"-").isdigit() and -(1 << 63) <= int(token) < 1 << 64:
                continue
            number = float(token)
            made = number_text(number)
            if made.encode() != token and (same or isinf(number) or Decimal(made) != Decimal(token.decode())):
                raise ValueError("a number in a JSON value, which the target would keep as another")
    return value


def _number(value: Any) -> bytes:
    return (repr(value) if isinstance(value, float) else format(value, "f") if hasattr(value, "as_tuple") else
            str(int(value))).encode()  # fmt: skip


def _unhex(value: bytes) -> bytes:
    if value[:2] != b"\\x":
        raise ValueError("bytes in another form than bytea_output = hex")
    return bytes.fromhex(value[2:].decode())


def _uuid(value: bytes) -> bytes:
    return bytes.fromhex(value.decode().replace("-", ""))


def _inet4(value: str) -> bytes:
    found = ip_address(value)
    if found.version != 4:
        raise ValueError("no address of IPv4")
    return found.packed


def _inet6(value: str) -> bytes:
    found = ip_address(value)
    return found.packed if found.version == 6 else b"\0" * 10 + b"\xff\xff" + found.packed


def _vector(value: Sequence[float]) -> bytes:
    return pack(f"<{len(value)}f", *value)


def _refused(value: bytes) -> bytes:
    raise ValueError("a date or time that the target has not")


def _date(value: bytes) -> bytes:
    """Of the years 0 to 9999; PostgreSQL's are longer beyond, and say BC or infinity."""
    return value if len(value) == 10 else _refused(value)


def _moment(value: bytes) -> bytes:
    """Without the offset of UTC."""
    value = value.removesuffix(b"+00")
    plain = value[10:11] == b" " and len(value) <= 26 and not value.endswith(b"C")
    return value if plain else _refused(value)


def _time(value: bytes) -> bytes:
    return value if _TIME.fullmatch(value) else _refused(value)


def _date_of(value: Any) -> bytes:
    """A canonical date, zero and partial ones too."""
    return b"%04d-%02d-%02d" % (value.year, value.month, value.day)


def _moment_of(value: Any) -> bytes:
    micros = value.microsecond if hasattr(value, "microsecond") else value.nanos // 1000
    clock = (value.hour, value.minute, value.second, micros)
    return _date_of(value) + b" %02d:%02d:%02d.%06d" % clock


def _time_of(value: Any) -> bytes:
    if hasattr(value, "hour"):
        return b"%02d:%02d:%02d.%06d" % (value.hour, value.minute, value.second, value.microsecond)
    if getattr(value, "months", 0) or getattr(value, "days", 0):
        raise ValueError("an interval of days or months is no time")
    seconds, micros = divmod(abs(value.micros), 1_000_000)
    sign = b"-" if value.micros < 0 else b""
    return sign + b"%02d:%02d:%02d.%06d" % (seconds // 3600, seconds // 60 % 60, seconds % 60, micros)


_DATES: Mapping[str, _Takes] = {
    "date": ({"mysql-text:date": "v", "pg-text:date": "$date(v)", CANONICAL: "$of(v)"},
             {"date": _date, "of": _date_of}),
    "time": ({"pg-text:interval": "$time(v)", "pg-text:time": "$time(v)", CANONICAL: "$of(v)"},
             {"time": _time, "of": _time_of}),
    **dict.fromkeys(("datetime", "timestamp"), (
        {"mysql-text:datetime": "v", "pg-text:timestamp": "$moment(v)", "pg-text:timestamptz": "$moment(v)",
         CANONICAL: "$of(v)"},
        {"moment": _moment, "of": _moment_of})),
}  # fmt: skip


def split(row: bytes) -> Fields:
    return tuple(row[:-1].split(b"\t"))


# --- rows in statements -----------------------------------------------------------------------------------------------


class Encoding:
    """How rows of a table, or of a temporary one like it, are written. `columns` are those of the target that take the
    fields, in order."""

    def __init__(self, columns: Sequence[ShapeColumn], mariadb: bool, first: bool = False) -> None:
        """`first`: there is a number before the fields."""
        # MySQL makes JSON of text only, and bytes are none.
        its = [number for number, one in enumerate(columns) if one.native.name == "json" and not mariadb]
        self._json = [number + first for number in its]

    def values(self, rows: bytes) -> bytes:
        """Whole lines as rows of VALUES."""
        if self._json:
            return b",".join(map(self._row, rows[:-1].split(b"\n")))
        made = rows[:-1].replace(b"\t", b"','").replace(b"\n", b"'),('")
        return (b"('" + made + b"')").replace(b"'\\N'", b"NULL")

    def _row(self, line: bytes) -> bytes:
        fields = [b"NULL" if field == NULL else b"'" + field + b"'" for field in line.split(b"\t")]
        for number in self._json:
            if fields[number] != b"NULL":
                fields[number] = b"_utf8mb4" + fields[number]
        return b"(" + b",".join(fields) + b")"

    def load(self, into: str, names: Sequence[str]) -> bytes:
        """The LOAD DATA LOCAL for lines; `names` are the columns, quoted."""
        places = [f"@j{number}" if number in self._json else name for number, name in enumerate(names)]
        sets = [f"{names[number]} = CONVERT(@j{number} USING utf8mb4)" for number in self._json]
        return (
            f"LOAD DATA LOCAL INFILE 'rows' INTO TABLE {into} CHARACTER SET binary"
            " FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' LINES TERMINATED BY '\\n'"
            f" ({', '.join(places)})" + (f" SET {', '.join(sets)}" if sets else "")
        ).encode()


def blocks(rows: Sequence[bytes], size: int) -> Iterator[bytes]:
    """The rows in blocks of at most about `size` bytes, and of one row at least."""
    taken: list[bytes] = []
    total = 0
    for row in rows:
        total += len(row) + 8
        if total > size and taken:
            yield b"".join(taken)
            taken, total = [], len(row) + 8
        taken.append(row)
    if taken:
        yield b"".join(taken)


def line(fields: Sequence[Any]) -> bytes:
    """Fields as a line; cells that are not known are NULL."""
    return b"\t".join([NULL if field is UNCHANGED else field for field in fields]) + b"\n"


def fields_of(row: Row) -> Fields:
    return split(row) if isinstance(row, bytes) else row


def names_of(columns: Sequence[str]) -> list[str]:
    return [quote(name) for name in columns]
