"""Groups and loads as lines of JSON."""

from __future__ import annotations

import io
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from cdcd.contracts import Blocks
from cdcd.errors import Interrupted, UsageError
from cdcd.model.cell import UNCHANGED
from cdcd.model.chunk import Chunk, State
from cdcd.model.group import DELETE, INSERT, MOVE, UPDATE, Group, Transaction, Truncate
from cdcd.model.position import Checkpoint
from cdcd.model.table import Column, Table
from cdcd.model.types import LogicalType
from cdcd.rows import CANONICAL, RowForm
from connectors.jsonlines import JsonLinesSink
from connectors.jsonlines.form import key_object, key_of_row, row_form
from connectors.jsonlines.quoting import quoted
from connectors.jsonlines.values import EXPRESSIONS, NAMES
from connectors.postgres.types import canonical_expression, logical_type
from tests.waiting import wait_until


@dataclass(frozen=True, slots=True)
class Place:
    """A position that is a number."""

    at: int

    def covers(self, other: Place) -> bool:
        return self.at >= other.at

    def distance(self, other: Place) -> int:
        return self.at - other.at

    def to_json(self) -> dict[str, Any]:
        return {"at": self.at}

    def __str__(self) -> str:
        return f"0/{self.at}"


def make_table(name: str, columns: dict[str, str], *key: str) -> Table:
    made = tuple(
        Column(column, number, logical_type(type, "b", -1), type)
        for number, (column, type) in enumerate(columns.items(), 1)
    )
    return Table("public", name, made, key)


ITEMS = make_table("items", {"name": "text", "id": "int8", "price": "numeric"}, "id")
PAIRS = make_table("pairs", {"a": "text", "v": "text", "b": "jsonb"}, "a", "b")
LOG = make_table("log", {"line": "text"})


class Writer:
    """A group made as a source makes it: fields in the form's order, keys without labels."""

    def __init__(self, sink: JsonLinesSink) -> None:
        self.sink = sink
        self.group = Group()

    def begin(self, number: int) -> None:
        self.group.transactions.append(
            Transaction(self.group.changes, str(number), Place(number), number * 1_000_000)
        )

    def row(self, form: RowForm, values: dict[str, Any]) -> Any:
        fields = [self.field(form, name, values[name]) for name in form.columns]
        if UNCHANGED in fields:
            return tuple(fields)
        return b"{%b}" % b",".join(map(b"".join, zip(form.layout.labels, fields, strict=True)))

    def field(self, form: RowForm, name: str, value: Any) -> Any:
        if value is UNCHANGED:
            return value
        return b"null" if value is None else str(value).encode() if name == "id" else json.dumps(value).encode()

    def key(self, form: RowForm, values: dict[str, Any]) -> bytes:
        if not form.table.key:
            row: bytes = self.row(form, values)
            return row
        return b",".join(self.field(form, name, values[name]) for name in form.table.key)

    def change(self, op: int, table: Table, old: Any, new: Any, whole_old: bool = False) -> None:
        form = self.sink.forms(table)[0]
        rows = self.group.rows()
        log = rows.log(table, form)
        log.ops.append(op)
        log.keys.append(self.key(form, old or new))
        row = self.row(form, new) if new else None
        log.rows.append((self.key(form, new), row) if op == MOVE else row)
        log.olds.append(self.row(form, old) if whole_old else None)
        rows.order.append(log)
        self.group.changes += 1

    def insert(self, table: Table, **new: Any) -> None:
        self.change(INSERT, table, None, new)


@pytest.fixture
def stream() -> io.BytesIO:
    return io.BytesIO()


@pytest.fixture
def sink(stream: io.BytesIO) -> JsonLinesSink:
    return JsonLinesSink(stream)


def lines(stream: io.BytesIO) -> list[dict[str, Any]]:
    found = [json.loads(line, parse_float=Decimal) for line in stream.getvalue().splitlines()]
    stream.seek(0)
    stream.truncate()
    return found


def test_one_line_per_change_in_the_order_of_the_source(sink: JsonLinesSink, stream: io.BytesIO) -> None:
    writer = Writer(sink)
    writer.begin(1)
    writer.insert(ITEMS, id=1, name="a", price=1)
    writer.insert(ITEMS, id=2, name="b", price=2)
    writer.insert(LOG, line="x")
    writer.insert(ITEMS, id=3, name="c", price=3)
    writer.begin(2)
    writer.change(DELETE, ITEMS, {"id": 3}, None)
    assert sink.apply(writer.group, Checkpoint(Place(2))) is not None
    found = lines(stream)
    assert [(x["op"], x["table"], x["key"], x["tx"]) for x in found] == [
        ("c", "public.items", {"id": 1}, 1),
        ("c", "public.items", {"id": 2}, 1),
        ("c", "public.log", None, 1),
        ("c", "public.items", {"id": 3}, 1),
        ("d", "public.items", {"id": 3}, 2),
    ]
    assert found[0] == {
        "op": "c",
        "table": "public.items",
        "key": {"id": 1},
        "before": None,
        "after": {"id": 1, "name": "a", "price": 1},
        "unchanged": [],
        "position": "0/1",
        "tx": 1,
        "ts": "1970-01-01T00:00:01.000000Z",
    }
    assert list(found[0]["after"]) == ["id", "name", "price"], "the key's columns come first"


def test_updates_and_deletes(sink: JsonLinesSink, stream: io.BytesIO) -> None:
    writer = Writer(sink)
    writer.begin(1)
    old, new = {"id": 1, "name": "a", "price": 1}, {"id": 1, "name": "b", "price": None}
    moved = {"id": 2, "name": "b", "price": UNCHANGED}
    writer.change(UPDATE, ITEMS, old, new)
    writer.change(UPDATE, ITEMS, old, new, whole_old=True)
    writer.change(MOVE, ITEMS, new, moved)
    writer.change(MOVE, ITEMS, new, moved, whole_old=True)
    writer.change(DELETE, ITEMS, old, None, whole_old=True)
    writer.change(DELETE, ITEMS, old, None)
    sink.apply(writer.group, Checkpoint(Place(1)))
    after = {"id": 2, "name": "b"}
    assert [(x["op"], x["key"], x["before"], x["after"], x["unchanged"]) for x in lines(stream)] == [
        ("u", {"id": 1}, None, new, []),
        ("u", {"id": 1}, old, new, []),
        ("u", {"id": 2}, {"id": 1}, after, ["price"]),
        ("u", {"id": 2}, new, after, ["price"]),
        ("d", {"id": 1}, old, None, []),
        ("d", {"id": 1}, None, None, []),
    ]


def test_a_keyless_tables_rows_name_themselves(sink: JsonLinesSink, stream: io.BytesIO) -> None:
    writer = Writer(sink)
    writer.begin(1)
    writer.insert(LOG, line="a")
    writer.change(MOVE, LOG, {"line": "a"}, {"line": "b"}, whole_old=True)
    writer.change(DELETE, LOG, {"line": "b"}, None)
    sink.apply(writer.group, Checkpoint(Place(1)))
    assert [(x["op"], x["key"], x["before"], x["after"]) for x in lines(stream)] == [
        ("c", None, None, {"line": "a"}),
        ("u", None, {"line": "a"}, {"line": "b"}),
        ("d", None, {"line": "b"}, None),
    ]


def test_truncate_is_a_line_per_table_in_its_place(sink: JsonLinesSink, stream: io.BytesIO) -> None:
    writer = Writer(sink)
    writer.begin(1)
    writer.insert(ITEMS, id=1, name="a", price=1)
    writer.begin(2)
    writer.group.truncate(Truncate([ITEMS, LOG], cascade=False, restart_identity=False))
    writer.begin(3)
    writer.insert(ITEMS, id=2, name="a", price=1)
    sink.apply(writer.group, Checkpoint(Place(1)))
    assert [(x["op"], x["table"], x["tx"]) for x in lines(stream)] == [
        ("c", "public.items", 1),
        ("t", "public.items", 2),
        ("t", "public.log", 2),
        ("c", "public.items", 3),
    ]


def test_a_piece_goes_on_in_the_transaction_left_open(sink: JsonLinesSink, stream: io.BytesIO) -> None:
    writer = Writer(sink)
    writer.begin(7)
    writer.insert(ITEMS, id=1, name="a", price=1)
    assert sink.apply(writer.group, None) is None
    assert sink.claim("me", False).checkpoint is None, "a piece moves no checkpoint"
    writer = Writer(sink)
    writer.insert(ITEMS, id=2, name="a", price=1)
    writer.begin(8)
    writer.insert(ITEMS, id=3, name="a", price=1)
    sink.apply(writer.group, Checkpoint(Place(8)))
    assert [x["tx"] for x in lines(stream)] == [7, 7, 8]
    assert sink.claim("me", False).checkpoint == Checkpoint(Place(8)).to_json()


def test_two_keys_of_any_text(sink: JsonLinesSink, stream: io.BytesIO) -> None:
    text = 'x","v":"\\",{'
    first = {"a": text, "b": None, "v": "1"}
    writer = Writer(sink)
    form = sink.forms(PAIRS)[0]
    document = b'{"k": [1, 2, "a,b"], "v": 1}'
    key = quoted(text) + b"," + document
    row = b'{"a":%b,"b":%b,"v":"1"}' % (quoted(text), document)
    assert key_of_row(form)(row) == b'"a":%b,"b":%b' % (quoted(text), document)
    assert json.loads(key_object(form)(key)) == {"a": text, "b": json.loads(document)}
    writer.begin(1)
    writer.change(DELETE, PAIRS, first, None)
    sink.apply(writer.group, Checkpoint(Place(1)))
    assert lines(stream)[0]["key"] == {"a": text, "b": None}


def test_a_table_that_is_all_key() -> None:
    form = row_form(make_table("t", {"a": "int4", "b": "int4"}, "b", "a"))
    assert key_of_row(form)(b'{"b":1,"a":2}') == b'"b":1,"a":2'
    assert key_object(form)(b"1,2") == b'{"b":1,"a":2}'


def test_names_are_data() -> None:
    table = make_table('od"d%s\n', {'na"me%b\\': "int4", "😀": "int4"}, 'na"me%b\\', "😀")
    form = row_form(table)
    assert json.loads(key_object(form)(b"1,2")) == {'na"me%b\\': 1, "😀": 2}


def blocks(form: RowForm, *pieces: bytes) -> Blocks:
    return Blocks(form, iter(pieces))


def test_a_load_is_lines_of_rows_read(sink: JsonLinesSink, stream: io.BytesIO) -> None:
    form = sink.forms(ITEMS)[0]
    first = b'{"id":1,"name":"a","price":1.10}\n{"id":2,"name":"b","price":null}\n'
    data = blocks(form, first, b"", b'{"id":3,"name":"c","price":null}\n')
    chunk = Chunk("public.items", 0)
    sink.start(Checkpoint(Place(5)), [ITEMS], [chunk])
    assert sink.load(ITEMS, chunk, data, Checkpoint(Place(5))) == 3
    found = lines(stream)
    assert found[0] == {
        "op": "r",
        "table": "public.items",
        "key": {"id": 1},
        "before": None,
        "after": {"id": 1, "name": "a", "price": Decimal("1.10")},
        "unchanged": [],
        "position": "0/5",
        "tx": None,
        "ts": None,
    }
    assert [x["key"]["id"] for x in found] == [1, 2, 3]
    assert [chunk.state for chunk in sink.claim("me", False).chunks] == [State.IN]


def test_a_row_cut_in_two_is_refused(sink: JsonLinesSink) -> None:
    chunk = Chunk("public.items", 0)
    with pytest.raises(UsageError):
        sink.load(ITEMS, chunk, blocks(sink.forms(ITEMS)[0], b'{"id":1'), Checkpoint(Place(5)))


# --- values ---------------------------------------------------------------------------------------------------------

VALUES = [
    ("bool", "t", "true"),
    ("int8", "-9223372036854775808", "-9223372036854775808"),
    ("xid8", "18446744073709551615", "18446744073709551615"),
    ("numeric", "1.10", "1.10"),
    ("numeric", "-12345678901234567890123456789.0000000000001", "-12345678901234567890123456789.0000000000001"),
    ("numeric", "NaN", '"NaN"'),
    ("numeric", "-Infinity", '"-Infinity"'),
    ("numeric", "0.0000001", "0.0000001"),
    ("money", "-$1,234.50", "-1234.50"),
    ("float8", "1e+16", "1e+16"),
    ("float8", "0.1", "0.1"),
    ("float8", "NaN", '"NaN"'),
    ("float4", "0.1", "0.1"),
    ("float4", "1e-45", "1e-45"),
    ("float4", "16777216", "16777216"),
    ("float4", "3.4028235e+38", "3.4028235e+38"),
    ("float4", "-Infinity", '"-Infinity"'),
    ("text", 'a"\\\n\x01\u2028😀', '"a\\"\\\\\\n\\u0001\u2028😀"'),
    ("bpchar", "ab  ", '"ab"'),
    ("bytea", "\\x00ff", '"AP8="'),
    ("bytea", "\\x", '""'),
    ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", '"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"'),
    ("bit", "0010", '"0010"'),
    ("varbit", "", '""'),
    ("inet", "192.168.0.1/24", '"192.168.0.1/24"'),
    ("date", "0044-03-15 BC", '"0044-03-15 BC"'),
    ("date", "2024-02-29", '"2024-02-29"'),
    ("date", "infinity", '"infinity"'),
    ("time", "24:00:00", '"24:00:00"'),
    ("time", "12:00:00.500001", '"12:00:00.500001"'),
    ("time", "12:00:00.5", '"12:00:00.5"'),
    ("timetz", "12:00:00.5+05:30", '"12:00:00.5+05:30"'),
    ("timetz", "24:00:00-15:59:59", '"24:00:00-15:59:59"'),
    ("timestamp", "2024-02-29 12:00:00.5", '"2024-02-29T12:00:00.5"'),
    ("timestamp", "0044-03-15 00:00:00 BC", '"0044-03-15T00:00:00 BC"'),
    ("timestamp", "-infinity", '"-infinity"'),
    ("timestamptz", "2024-02-29 12:00:00+00", '"2024-02-29T12:00:00Z"'),
    ("timestamptz", "0044-03-15 00:00:00.1+00 BC", '"0044-03-15T00:00:00.1Z BC"'),
    ("timestamptz", "294276-12-31 23:59:59.999999+00", '"294276-12-31T23:59:59.999999Z"'),
    ("interval", "-1 years -2 mons +3 days -03:04:05.000006", '"-1 years -2 mons +3 days -03:04:05.000006"'),
    ("json", '{"a":\r\n [1e2, "\\n"]}', '{"a":   [1e2, "\\n"]}'),
    ("jsonb", '{"a": 1.10}', '{"a": 1.10}'),
    ("tsvector", "'a\"':1", '"\'a\\"\':1"'),
]


@pytest.mark.parametrize(("name", "text", "written"), VALUES)
def test_values(name: str, text: str, written: str) -> None:
    type = logical_type(name, "b", -1)
    takes = EXPRESSIONS[type.family].takes()
    expression, names = canonical_expression(Column("c", 1, type, ""))
    canonical = eval(expression, dict(names), {"v": text.encode()})
    from_canonical = eval(takes[CANONICAL], dict(NAMES), {"v": canonical}).decode()
    wire = f"pg-text:{name}" if f"pg-text:{name}" in takes else "pg-text:*"
    from_text = eval(takes[wire], dict(NAMES), {"v": text.encode()}).decode()
    assert (from_text, from_canonical) == (written, written)
    json.loads(written)


@pytest.mark.parametrize(
    ("name", "kind"), [("_text", "b"), ("int4range", "r"), ("int4multirange", "m"), ("hstore", "b")]
)
def test_what_json_has_no_form_for_is_the_servers_text(name: str, kind: str) -> None:
    element = LogicalType("text") if name == "_text" else None
    field = EXPRESSIONS[logical_type(name, kind, -1, element).family]
    assert eval(field.takes()["pg-text:*"], dict(NAMES), {"v": b'{"a",b}'}) == b'"{\\"a\\",b}"'


# --- the stream -----------------------------------------------------------------------------------------------------


@pytest.fixture
def pipe() -> Iterator[tuple[int, io.BufferedWriter]]:
    read, write = os.pipe()
    with os.fdopen(write, "wb") as stream:
        yield read, stream
    try:
        os.close(read)
    except OSError:
        pass


def full(sink: JsonLinesSink) -> Group:
    """More than a pipe holds."""
    writer = Writer(sink)
    writer.begin(1)
    for number in range(2000):
        writer.insert(ITEMS, id=number, name="x" * 100, price=1)
    return writer.group


def test_a_reader_that_has_gone_interrupts(pipe: tuple[int, io.BufferedWriter]) -> None:
    read, stream = pipe
    sink = JsonLinesSink(stream)
    os.close(read)
    with pytest.raises(Interrupted):
        sink.apply(full(sink), Checkpoint(Place(1)))
    with pytest.raises(Interrupted):
        sink.apply(full(sink), Checkpoint(Place(2)))


def test_a_reader_that_stands_still_cannot_hold_us_against_a_stop(pipe: tuple[int, io.BufferedWriter]) -> None:
    sink = JsonLinesSink(pipe[1])
    raised: list[BaseException] = []

    def apply() -> None:
        try:
            sink.apply(full(sink), Checkpoint(Place(1)))
        except Interrupted as error:
            raised.append(error)

    thread = threading.Thread(target=apply)
    thread.start()
    time.sleep(0.2)
    assert thread.is_alive()
    sink.interrupt()
    thread.join(5)
    assert raised
    assert sink.claim("me", False).checkpoint is None


def test_a_slow_reader_gets_everything(pipe: tuple[int, io.BufferedWriter]) -> None:
    read, stream = pipe
    sink = JsonLinesSink(stream)
    thread = threading.Thread(target=lambda: sink.apply(full(sink), Checkpoint(Place(1))))
    thread.start()
    data = b""
    while data.count(b"\n") < 2000:
        data += os.read(read, 3000)
    wait_until(lambda: not thread.is_alive(), limit=5, what="the writer to end")
    assert [json.loads(line)["key"]["id"] for line in data.splitlines()] == list(range(2000))
