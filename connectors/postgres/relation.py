"""Relation messages: what the stream itself says of a table."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from cdcd.model.table import Column, Table
from connectors.postgres.cells import malformed

_column = struct.Struct(">Ii")


@dataclass(frozen=True, slots=True)
class WireColumn:
    name: str
    type_id: int
    typmod: int
    key: bool


@dataclass(frozen=True, slots=True)
class Relation:
    """A Relation message. `identity` is pg_class.relreplident: d, n, f or i."""

    oid: int
    schema: str
    name: str
    identity: str
    columns: tuple[WireColumn, ...]

    @property
    def id(self) -> str:
        return f"{self.schema}.{self.name}"


def parse_relation(body: bytes) -> Relation:
    """A Relation message from its type byte on."""
    try:
        oid = int.from_bytes(body[1:5], "big")
        schema, name, rest = body[5:].split(b"\0", 2)
        identity, count, at = rest[:1].decode(), int.from_bytes(rest[1:3], "big"), 3
        columns = []
        for _ in range(count):
            end = rest.index(b"\0", at + 1)  # after the flags, which may be zero
            type_id, typmod = _column.unpack_from(rest, end + 1)
            columns.append(WireColumn(rest[at + 1 : end].decode(), type_id, typmod, bool(rest[at] & 1)))
            at = end + 9
        if at != len(rest):
            raise ValueError("bytes are left over")
        # pg_catalog is sent as an empty name.
        return Relation(oid, schema.decode() or "pg_catalog", name.decode(), identity, tuple(columns))
    except (ValueError, IndexError, struct.error) as error:
        raise malformed(f"a Relation message: {error}") from error


def is_as_known(relation: Relation, table: Table) -> bool:
    """Whether the message says of the table what we know of it; attribute numbers, defaults and NOT NULL are not
    in it."""
    known = table.sent
    if relation.id != table.id or len(relation.columns) != len(known):
        return False
    if table.oid and relation.oid != table.oid:
        return False
    if any(not is_column(found, column) for found, column in zip(relation.columns, known, strict=True)):
        return False
    if table.full or relation.identity == "f":
        return table.full == (relation.identity == "f")
    return {column.name for column in relation.columns if column.key} == set(table.key)


def is_column(found: WireColumn, column: Column) -> bool:
    return found.name == column.name and is_type(found, column)


def is_type(found: WireColumn, column: Column) -> bool:
    return found.type_id == column.type_id and column.typmod in (None, found.typmod)
