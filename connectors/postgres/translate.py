"""Tables of another product's source as this server has them: their types by the family of each column, whatever they
are called at the source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cdcd.errors import Stopped
from cdcd.model.table import Column, Table
from cdcd.model.types import LogicalType
from connectors.postgres.defaults import expression

TYPES: Mapping[str, str] = {
    "bool": "boolean", "int16": "smallint", "int32": "integer", "int64": "bigint",
    "uint32": "bigint", "uint64": "numeric(20,0)", "decimal": "numeric", "float32": "real",
    "float64": "double precision", "text": "text", "enum": "text", "bytes": "bytea", "geometry": "bytea",
    "date": "date", "time": "time without time zone", "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone", "interval": "interval", "uuid": "uuid", "json": "json", "jsonb": "jsonb",
    "bit": "bit", "inet": "inet", "vector": "real[]",
}  # fmt: skip
"""Family → type, without its parameters. A family that is not here is refused."""


def foreign(table: Table) -> bool:
    """Whether the table's words are another product's."""
    return table.product not in ("", "postgresql")


def as_here(table: Table) -> Table:
    """The table in this server's words: types that hold all values, defaults that are simple. Stopped for a type that
    none holds."""
    if not foreign(table):
        return table
    columns = tuple(_column(column) for column in table.columns if column.generated is None)
    return replace(table, columns=columns, product="")


def all_here(tables: Sequence[Table]) -> list[Table]:
    return [as_here(table) for table in tables]


def foldable(table: Table) -> bool:
    """Whether equal key bytes mean equal rows here: collations that call more than that equal are the source's."""
    return as_here(table).foldable


def _column(column: Column) -> Column:
    native = native_here(column.type)
    if native is None:
        raise Stopped(
            f"the target has no type that holds the values of {column.name}, which is {column.native}",
            hint="leave the table or the column out",
            column=column.name,
        )
    floats = column.type.family in ("float32", "float64")  # 0 and -0 are two texts, and one value
    counts = column.identity if native in ("smallint", "integer", "bigint") else None
    return replace(
        column,
        type=LogicalType("text") if column.type.family == "enum" else column.type,
        native=native,
        default=expression(column),
        collation=None,
        identity=counts,
        equality="server" if floats else "exact",
    )


def native_here(type: LogicalType) -> str | None:
    """The type for values of a logical type; None: there is none."""
    match type.family:
        case "decimal" if type.precision is not None:
            return f"numeric({type.precision},{type.scale or 0})"
        case "text" if type.length:
            return f"character varying({type.length})"
        case "char":
            return f"character({type.length})" if type.length else "text"
        case "bit":
            return f"bit({type.length or 1})"
        case "timestamp" | "timestamptz" | "time" if type.precision is not None:
            name, rest = TYPES[type.family].split(" ", 1)
            return f"{name}({type.precision}) {rest}"
        case "interval" if type.precision is not None:
            return f"interval({type.precision})"
    return TYPES.get(type.family)
