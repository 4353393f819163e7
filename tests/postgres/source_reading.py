"""Reading a PostgreSQL source in its own forms, binary and text, and telling what came."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from cdcd.contracts import Reading
from cdcd.model.group import Group, Rows, Truncate
from cdcd.model.position import Checkpoint
from cdcd.model.table import Table
from cdcd.rows import Field, Layout, RowForm
from connectors.postgres.position import Lsn
from connectors.postgres.source import PostgresSource
from tests.servers.database import Database
from tests.servers.matrix import HERE

NAME = "reading"
BUILT_IN = (
    *("bool", "int2", "int4", "int8", "float4", "float8", "numeric", "text", "varchar", "bpchar", "uuid", "date"),
    *("time", "timestamp", "timestamptz", "bytea", "json", "jsonb", "interval", "_int4", "_text", "oid"),
)

Event = tuple[object, ...]
FormOf = Callable[[Table], RowForm]


def binary_form(table: Table, major: int = HERE[1]) -> RowForm:
    """COPY's binary rows, as a PostgreSQL target takes them."""
    columns = tuple(column.name for column in table.carried)
    takes = {f"pg-binary{of}:{name}": "v" for name in (*BUILT_IN, "enum") for of in ("", f"/{major}")}
    layout = Layout(struct.pack(">h", len(columns)), b"", b"", b"\xff\xff\xff\xff")
    return RowForm("pg-copy-binary", table, columns, (Field(takes),) * len(columns), layout)


def text_form(table: Table) -> RowForm:
    """COPY's lines, with nothing escaped but tabs, newlines and backslashes."""

    def escaped(v: bytes) -> bytes:
        return v.replace(b"\\", b"\\\\").replace(b"\t", b"\\t").replace(b"\n", b"\\n")

    columns = tuple(column.name for column in table.carried)
    layout = Layout(b"", b"\t", b"\n", b"\\N")
    return RowForm(
        "pg-copy-text", table, columns, (Field({"pg-text:*": "esc(v)"}),) * len(columns), layout, {"esc": escaped}
    )


def told(group: Group) -> list[Event]:
    """(table, kind, key, row) of each change, ("truncate", tables)."""
    said: list[Event] = []
    for step in group.steps:
        if isinstance(step, Truncate):
            said.append(("truncate", tuple(sorted(table.name for table in step.tables))))
            continue
        assert isinstance(step, Rows)
        rows = {id(log): zip(log.ops, log.keys, log.rows, strict=True) for log in step.logs.values()}
        for log in step.order:
            op, key, row = next(rows[id(log)])
            said.append((log.table.name, chr(op), key, row))
    return said


@contextmanager
def pipeline(database: Database, tables: Sequence[str] | None = None, **options: object) -> Iterator[PostgresSource]:
    """A source whose slot and publication are made and go again; not opened."""
    source = PostgresSource(database.url, NAME, status_seconds=0.2, **options)  # type: ignore[arg-type]
    source.prepare(source.tables(tables), source.intent(), load=False).close()
    try:
        yield source
    finally:
        source.close()
        last = PostgresSource(database.url, NAME)
        last.drop()
        last.close()


def slot_place(database: Database) -> Lsn:
    text = "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = %s"
    return Lsn.of(str(database.admin(text, f"cdcd_{NAME}")[0][0]))


def open_at(source: PostgresSource, place: Lsn, form: FormOf, tables: Sequence[str] | None = None) -> list[Table]:
    found = source.tables(tables)
    source.open(Checkpoint(place), source.identity(), {table.id: [form(table)] for table in found})
    return found


def read_all(source: PostgresSource, limit: float = 20) -> Group:
    """One group with everything up to the head of the log."""
    group, head, end = Group(), source.head(), time.monotonic() + limit
    while time.monotonic() < end:
        reading = source.read(group, None, 0.1)
        if reading is Reading.IDLE and isinstance(group.position, Lsn) and group.position.covers(head):
            return group
    raise AssertionError(f"the stream did not reach {head}: {group.position}")
