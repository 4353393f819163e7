"""Relation messages, and whether a table on the wire is still the one the pipeline knows (T-SC: stop, never guess)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from cdcd.errors import SchemaChanged
from cdcd.model.table import Table
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


def verify(relation: Relation, table: Table, format_type: Callable[[int, int], str]) -> None:
    """SchemaChanged unless `relation` is `table` as we know it; `format_type` is the server's function of that name."""
    differences = _differences(relation, table, format_type)
    if differences:
        raise SchemaChanged(
            f"the source's table {table.id} is no longer the one that was copied",
            why="; ".join(differences),
            hint=f"change the target's table alike and run: cdcd reload {table.id} "
            "(reads the table again), or begin a new pipeline",
            table=table.id,
        )


def _differences(
    relation: Relation, table: Table, format_type: Callable[[int, int], str]
) -> list[str]:
    if relation.id != table.id:
        return [f"it is called {relation.id} now"]
    if table.oid and relation.oid != table.oid:
        return [f"it was dropped and made again: its OID was {table.oid} and is {relation.oid}"]
    found, known = {c.name: c for c in relation.columns}, {c.name: c for c in table.carried}
    said = [f"column {name} is new" for name in found if name not in known]
    said += [f"column {name} is gone" for name in known if name not in found]
    if not said and list(found) != list(known):
        said.append("its columns stand in another order")
    for name in found.keys() & known.keys():
        type_id, native = found[name].type_id, known[name].native
        now = format_type(type_id, found[name].typmod)
        if now != native or type_id != known[name].type_id:
            said.append(f"column {name} was {native} and is {now}")
    if (relation.identity == "f") != table.full:
        said.append(f"REPLICA IDENTITY FULL was {'set' if relation.identity == 'f' else 'taken away'}")
    elif not table.full:
        keys = {column.name for column in relation.columns if column.key}
        if keys != set(table.key):
            was, now = ", ".join(sorted(table.key)) or "none", ", ".join(sorted(keys)) or "none"
            said.append(f"the columns of its replica identity were {was} and are {now}")
    return said
