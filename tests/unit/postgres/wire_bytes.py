"""pgoutput's messages and the frames around them, built byte by byte from the manual's message formats."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from cdcd.model.change import SchemaChange
from cdcd.model.group import Group, Rows, Truncate
from cdcd.model.table import Column, Table
from cdcd.model.types import LogicalType
from cdcd.rows import Field, Layout, RowForm
from connectors.postgres.relation import Relation, is_as_known
from connectors.postgres.stream import Stream
from connectors.postgres.tuples import TupleCode
from connectors.postgres.types_wire import WireType, choose
from connectors.postgres.wire import PAD

OIDS = {"int2": 21, "int4": 23, "int8": 20, "text": 25, "bool": 16, "uuid": 2950}
FAMILIES = {"int2": "int16", "int4": "int32", "int8": "int64", "text": "text", "bool": "bool", "uuid": "uuid"}
TYPES = {oid: WireType(name, "b", True, True) for name, oid in OIDS.items()}
U = object()
"""An unchanged value in a tuple."""

Value = bytes | None | object


def table(
    columns: dict[str, str], key: Sequence[str] = ("id",), full: bool = False, name: str = "t", oid: int = 100
) -> Table:
    made = (
        Column(name, number, LogicalType(FAMILIES[type]), type, type_id=OIDS[type])
        for number, (name, type) in enumerate(columns.items(), 1)
    )
    return Table("s", name, tuple(made), tuple(key), oid=oid, primary=tuple(key), full=full)


def binary_form(table: Table, columns: Sequence[str] | None = None) -> RowForm:
    names = tuple(columns or [column.name for column in table.carried])
    field = Field({f"pg-binary:{name}": "v" for name in OIDS})
    layout = Layout(struct.pack(">h", len(names)), b"", b"", b"\xff\xff\xff\xff")
    return RowForm("pg-copy-binary", table, names, (field,) * len(names), layout)


def text_form(table: Table, columns: Sequence[str] | None = None) -> RowForm:
    def escaped(v: bytes) -> bytes:
        return v.replace(b"\\", b"\\\\").replace(b"\t", b"\\t").replace(b"\n", b"\\n")

    names = tuple(columns or [column.name for column in table.carried])
    field = Field({"pg-text:int4": "v", "pg-text:*": "esc(v)"})
    return RowForm(
        "pg-copy-text", table, names, (field,) * len(names), Layout(b"", b"\t", b"\n", b"\\N"), {"esc": escaped}
    )


def json_form(table: Table) -> RowForm:
    """Canonical values, an expression that refuses some, and labels that look like a format."""
    names = tuple(column.name for column in table.carried)

    def write(value: object) -> bytes:
        if value == "refused":
            raise ValueError("not that word")
        return repr(value).encode()

    labels = tuple(b"%" + name.encode() + b":" for name in names)
    field = Field({"canonical": "write(v)"})
    layout = Layout(b"{", b",", b"}", b"null", labels)
    return RowForm("json", table, names, (field,) * len(names), layout, {"write": write})


def code(form: RowForm, wants_old: bool = False) -> TupleCode:
    return TupleCode(choose([form], TYPES, (True, False), 18), TYPES, wants_old)


def tuple_data(kind: bytes, values: Sequence[Value], mark: bytes = b"b") -> bytes:
    parts = [kind, struct.pack(">h", len(values))]
    for value in values:
        if value is None:
            parts.append(b"n")
        elif isinstance(value, bytes):
            parts.append(mark + struct.pack(">i", len(value)) + value)
        else:
            parts.append(b"u")
    return b"".join(parts)


def frame(body: bytes) -> bytes:
    return b"d" + struct.pack(">i", len(body) + 4) + body


def xlog(message: bytes) -> bytes:
    return frame(b"w" + struct.pack(">QQq", 1, 1, 0) + message)


def begin(final_lsn: int, xid: int = 7) -> bytes:
    return xlog(b"B" + struct.pack(">QqI", final_lsn, 0, xid))


def commit(end_lsn: int, time: int = 0) -> bytes:
    return xlog(b"C" + struct.pack(">BQQq", 0, end_lsn - 1, end_lsn, time))


def relation(table: Table, identity: bytes | None = None, oid: int | None = None, name: str | None = None) -> bytes:
    columns = b"".join(
        bytes([column.name in table.key]) + column.name.encode() + b"\0" + struct.pack(">Ii", column.type_id, -1)
        for column in table.carried
    )
    head = b"R" + struct.pack(">I", oid or table.oid) + table.schema.encode() + b"\0"
    kind = identity or (b"f" if table.full else b"d")
    return xlog(
        head + (name or table.name).encode() + b"\0" + kind + struct.pack(">h", len(table.carried)) + columns
    )


def change(letter: bytes, table: Table, *tuples: bytes) -> bytes:
    return xlog(letter + struct.pack(">I", table.oid) + b"".join(tuples))


def truncate(*oids: int, options: int = 0) -> bytes:
    return xlog(b"T" + struct.pack(f">IB{len(oids)}I", len(oids), options, *oids))


def message(prefix: bytes, content: bytes) -> bytes:
    return xlog(b"M" + struct.pack(">BQ", 1, 15) + prefix + b"\0" + struct.pack(">I", len(content)) + content)


def keepalive(wal_end: int, reply: bool = False) -> bytes:
    return frame(b"k" + struct.pack(">QqB", wal_end, 0, reply))


class Given:
    """A Wire whose bytes are given at once."""

    def __init__(self, data: bytes = b"") -> None:
        self.data, self.pos, self.limit = data + PAD, 0, len(data)
        self.arrivals = 0

    def add(self, data: bytes) -> None:
        rest = self.data[self.pos : self.limit]
        self.data, self.pos, self.limit = rest + data + PAD, 0, len(rest) + len(data)

    def start(self, statement: str) -> None: ...

    def more(self, timeout: float) -> bool:
        return False

    def send(self, body: bytes) -> None: ...

    def close(self) -> None: ...


def stream(*codes: TupleCode, place: int = 10, bound: int = 1 << 20, transactions: bool = False) -> Stream:
    return Stream(place, {code.table.id: code for code in codes}, look, bound, transactions)


def look(seen: Relation, known: Table, other: Table | None, xid: int) -> list[SchemaChange]:
    """Without a catalogue: a table that is not as known is gone."""
    return [] if is_as_known(seen, known) else [SchemaChange(known, None)]


def told(group: Group) -> list[tuple[object, ...]]:
    """(table, kind, key, row) of each change in order, and ("truncate", tables, cascade, restart)."""
    said: list[tuple[object, ...]] = []
    for step in group.steps:
        if isinstance(step, Truncate):
            tables = tuple(table.name for table in step.tables)
            said.append(("truncate", tables, step.cascade, step.restart_identity))
            continue
        assert isinstance(step, Rows)
        rows = {id(log): zip(log.ops, log.keys, log.rows, strict=True) for log in step.logs.values()}
        for log in step.order:
            op, key, row = next(rows[id(log)])
            said.append((log.table.name, chr(op), key, row))
    return said
