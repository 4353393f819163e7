"""Which wire forms a column's values have on PostgreSQL's wire, and which row form of a sink is filled from them.

A binary field of pgoutput is a kind byte and then exactly a field of COPY BINARY, so `pg-binary/MAJOR:TYPE` is offered
with its length before it and costs nothing; text is offered without. TYPE is the base type's `pg_type.typname`:
domains resolve, every enum is `enum`. Where all versions from 13 on read and write the same bytes it is
`pg-binary:TYPE`. A type that is not built in has no name that both ends could trust: it is `pg-text:*` only, or
canonical.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cdcd.errors import Stopped
from cdcd.model.table import Column
from cdcd.rows import CANONICAL, RowForm
from connectors.postgres.connect import Connection
from connectors.postgres.types import canonical_expression

WIDTHS: Mapping[str, int] = {
    "bool": 1, "char": 1, "int2": 2, "int4": 4, "oid": 4, "xid": 4, "cid": 4, "float4": 4, "date": 4,
    "int8": 8, "xid8": 8, "pg_lsn": 8, "float8": 8, "time": 8, "timestamp": 8, "timestamptz": 8,
    "macaddr": 6, "macaddr8": 8, "timetz": 12, "uuid": 16, "interval": 16, "tid": 6,
}  # fmt: skip
"""Bytes of a binary value, where all of the type's values have the same."""

NEVER_BINARY = frozenset(
    {"money", "record", "regproc", "regprocedure", "regoper", "regoperator", "regclass", "regtype"}
    | {"regconfig", "regdictionary", "regnamespace", "regrole", "regcollation", "regdatabase"}
    | {"tsquery", "int2vector", "oidvector"}
)
"""Their binary form means something at one server only: an OID, or an amount whose scale is a setting. Of the last
three the server does not read back what it writes of an empty one."""

_STABLE = (
    {"bool", "char", "name", "int2", "int4", "int8", "float4", "float8", "numeric", "text", "varchar", "bpchar"}
    | {"bytea", "uuid", "date", "time", "timetz", "timestamp", "timestamptz", "json", "jsonb", "bit", "varbit"}
    | {"inet", "cidr", "macaddr", "macaddr8", "point", "box", "lseg", "path", "polygon", "circle", "line", "pg_lsn"}
)
SAME_IN_ALL = frozenset(_STABLE | {f"_{name}" for name in _STABLE} | {"enum", "citext"})
"""Types whose binary form has not changed since version 13, or is refused where a version lacks the value (numeric's
infinities). Not interval: before 17 its infinities are ordinary numbers."""

_PINNED = 10000
"""OIDs below are the same in every cluster (transam.h, FirstGenbkiObjectId)."""

_TYPES = """
WITH RECURSIVE chain AS (
    SELECT oid AS asked, oid, typtype, typbasetype FROM pg_type WHERE oid = ANY (%s::oid[])
    UNION ALL
    SELECT c.asked, t.oid, t.typtype, t.typbasetype
    FROM chain c JOIN pg_type t ON t.oid = c.typbasetype WHERE c.typtype = 'd')
SELECT c.asked::int8, t.typname, t.typtype::text, t.oid::int8, t.typsend <> 0,
       CASE WHEN t.typcategory = 'A' AND t.typelem <> 0 THEN e.typname END
FROM chain c JOIN pg_type t ON t.oid = c.oid LEFT JOIN pg_type e ON e.oid = t.typelem
WHERE c.typtype <> 'd'
"""


@dataclass(frozen=True, slots=True)
class WireType:
    """What the wire has to know of a column's type: its base type, and whether both ends would call it the same."""

    name: str
    kind: str
    portable: bool
    """Built in: its name means the same at every server."""
    sends: bool
    """It has a binary form, and that means the same at every server of this major version."""

    @property
    def text(self) -> tuple[str, ...]:
        if self.kind == "e":
            return ("pg-text:enum",)
        return (f"pg-text:{self.name}",) if self.portable or self.name == "citext" else ()

    def binary(self, major: int) -> tuple[str, ...]:
        name = "enum" if self.kind == "e" else self.name
        if self.kind != "e" and not (self.sends and (self.portable or name == "citext")):
            return ()
        return (f"pg-binary:{name}" if name in SAME_IN_ALL else f"pg-binary/{major}:{name}",)

    @property
    def width(self) -> int | None:
        return WIDTHS.get(self.name) if self.portable else None


def wire_types(connection: Connection, oids: Iterable[int]) -> dict[int, WireType]:
    """The wire types of type OIDs; one that is gone is missing."""
    with connection.cursor() as cursor:
        cursor.execute(_TYPES, (sorted(set(oids)),))
        return {
            asked: WireType(
                name, kind, oid < _PINNED, sends and name not in NEVER_BINARY and element not in NEVER_BINARY
            )
            for asked, name, kind, oid, sends, element in cursor.fetchall()
        }


UNKNOWN = WireType("unknown", "p", False, False)


@dataclass(frozen=True, slots=True)
class Filling:
    """A row form with the wire form chosen for each of its columns."""

    form: RowForm
    binary: bool
    wires: tuple[str, ...]


def offers(column: Column, type: WireType, binary: bool, major: int) -> tuple[str, ...]:
    """The wire forms of a column, best first."""
    if binary:
        return type.binary(major)
    canonical: tuple[str, ...] = (CANONICAL,)
    try:
        canonical_expression(column)
    except ValueError:
        canonical = ()
    return (*type.text, *canonical, "pg-text:*")


def fill(form: RowForm, types: Mapping[int, WireType], binary: bool, major: int) -> Filling | None:
    """How `form` is filled from this wire; None where one of its columns cannot be."""
    by_name = {column.name: column for column in form.table.carried}
    wires = []
    for name, field in zip(form.columns, form.fields, strict=True):
        column = by_name[name]
        offered = offers(column, types.get(column.type_id, UNKNOWN), binary, major)
        chosen = next((wire for wire in offered if wire in field.takes), None)
        if chosen is None:
            return None
        wires.append(chosen)
    return Filling(form, binary, tuple(wires))


def choose(
    forms: Sequence[RowForm], types: Mapping[int, WireType], modes: Sequence[bool], major: int
) -> Filling:
    """The first form that can be filled, in the first of `modes` (True: binary) that fills it."""
    for form in forms:
        for binary in modes:
            if filling := fill(form, types, binary, major):
                return filling
    table = forms[0].table.id if forms else None
    raise Stopped(
        "the target takes none of the forms in which this table's values come",
        why="no row form of the sink lists a wire form for every column",
        hint="leave the table or the column out",
        table=table,
    )
