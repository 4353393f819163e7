"""The one form in which the memory sink takes rows: every value as text, ASCII's own separators between
them."""

from __future__ import annotations

from cdcd.model.table import Table
from cdcd.rows import CANONICAL, Field, Fields, Layout, RowForm
from connectors.memory.order import Values

TEXT = "memory text"
"""The wire form of this connector's own source: a value as the server keeps it."""

BETWEEN, TAIL, NULL = b"\x1f", b"\x1e\n", b"\x00"
RESERVED = frozenset("\x00\x1e\x1f")


def encode(value: str) -> bytes:
    """A value's field. Raises ValueError on what would be taken for a separator."""
    if not RESERVED.isdisjoint(value):
        raise ValueError(f"{value!r} holds a separator of the memory server's rows")
    return value.encode()


def decode(field: bytes) -> str | None:
    return None if field == NULL else field.decode()


def split(row: bytes) -> Fields:
    return tuple(row.removesuffix(TAIL).split(BETWEEN))


def fields_of_key(table: Table, key: bytes) -> list[bytes]:
    """A key as it stands in a TableLog: bare fields, or in a keyless table a whole row."""
    return list(split(key)) if not table.key else key.split(BETWEEN)


def values(fields: Fields | list[bytes]) -> Values:
    return tuple(map(decode, fields))


def form(table: Table) -> RowForm:
    columns = tuple(column.name for column in table.carried)
    takes = Field({TEXT: "encode(v)", CANONICAL: "encode(str(v))"})
    return RowForm(
        name="memory",
        table=table,
        columns=columns,
        fields=(takes,) * len(columns),
        layout=Layout(head=b"", between=BETWEEN, tail=TAIL, null=NULL),
        names={"encode": encode},
        split=split,
    )
