"""What a table is: its columns, and the key by which the source names a row."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from cdcd.model.reference import Reference
from cdcd.model.types import LogicalType

Equality = Literal["exact", "server"]


@dataclass(frozen=True, slots=True)
class Default:
    """What a row gets whose INSERT leaves a column out, in no product's language. "value": `text`, as the source writes
    the column's values (numbers in decimal, times as ISO 8601, bytes in hexadecimal). "now": the time of the statement
    or transaction. "next": a number that was not given before."""

    kind: Literal["value", "now", "next"]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    `ident` is the source's own number for it (attnum, or what it counted itself), which a rename keeps. `type_id` is
    the source's number for the type (OID; 0 where it has none), `native` the type as the source writes it in DDL.
    `equality` says whether equal bytes on the wire are what the server calls equal ("exact"), or only the server can
    tell ("server": citext, non-deterministic collations, numeric without a fixed scale, floats).
    `default` is an expression of the source, `simple` the same where no language is needed to tell it.
    `generated` columns are computed by the target and never carried; `left_out` ones come from the source and are not
    carried either. `missing` is what rows have that are older than the column (text; None: NULL). `mark` is another
    whenever the source's record of the column is; "": unknown.
    """

    name: str
    ident: int
    type: LogicalType
    native: str
    type_id: int = 0
    nullable: bool = True
    default: str | None = None
    generated: str | None = None
    identity: str | None = None
    collation: str | None = None
    equality: Equality = "exact"
    typmod: int | None = field(default=None, compare=False)
    missing: str | None = field(default=None, compare=False)
    mark: str = field(default="", compare=False)
    left_out: bool = False
    simple: Default | None = field(default=None, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Versionless JSON form; the table that holds it carries the version."""
        return {
            "name": self.name, "ident": self.ident, "type": self.type.to_json(), "native": self.native,
            "type_id": self.type_id, "nullable": self.nullable, "default": self.default,
            "generated": self.generated, "identity": self.identity, "collation": self.collation,
            "equality": self.equality, "typmod": self.typmod, "missing": self.missing, "mark": self.mark,
            "left_out": self.left_out, "simple": [self.simple.kind, self.simple.text] if self.simple else None,
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> Column:
        simple = Default(*data["simple"]) if data.get("simple") else None
        return Column(**{**data, "type": LogicalType.from_json(data["type"]), "simple": simple})


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the source.

    `key` holds the names of the columns by which the source names an old row (PostgreSQL: the replica identity; the
    primary key only where that is the identity, or under FULL), in key order; empty: keyless, its rows are a multiset
    and an old row is named by all of its columns. `oid` is the source's number of the table (0: it has none, nor
    lasting ones of columns), `version` counts the shapes this pipeline has seen. `primary` is the primary key where
    there is one. `full` is true where the source sends whole old rows (REPLICA IDENTITY FULL). `bytes` and `rows` are
    the source's estimates for planning, never facts. `unique` are the columns of its other unique indexes, for checks.
    `leaves` name what holds the rows of a partitioned table, as the source compares them (see Source.watch).
    `attributes` is the highest number that a column ever had, `mark` names what holds the rows: it is another once they
    were rewritten. `product` is the database's in whose words types, defaults and collations are; "": the sink's own.
    `collation` is what a new column of text gets that says nothing itself; "": nobody asks. `references` are the
    foreign keys by which rows change that no event may tell of; a source whose log has all such rows gives none.
    """

    schema: str
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    oid: int = 0
    version: int = 1
    primary: tuple[str, ...] = ()
    full: bool = False
    partitioned: bool = False
    bytes: int = field(default=0, compare=False)
    rows: int = field(default=0, compare=False)
    unique: tuple[tuple[str, ...], ...] = field(default=(), compare=False)
    leaves: tuple[str, ...] = field(default=(), compare=False)
    attributes: int = field(default=0, compare=False)
    mark: str = field(default="", compare=False)
    product: str = ""
    collation: str = field(default="", compare=False)
    references: tuple[Reference, ...] = ()

    @property
    def id(self) -> str:
        """`schema.name`, unquoted: the name in patterns, logs and control rows."""
        return f"{self.schema}.{self.name}"

    @property
    def carried(self) -> tuple[Column, ...]:
        """The columns that travel: all but generated ones and those left out, in the source's order."""
        return tuple(column for column in self.columns if column.generated is None and not column.left_out)

    @property
    def sent(self) -> tuple[Column, ...]:
        """The columns that the source sends, carried or left out, in its order."""
        return tuple(column for column in self.columns if column.generated is None)

    @property
    def key_columns(self) -> tuple[Column, ...]:
        """The key's columns, in key order."""
        by_name = {column.name: column for column in self.columns}
        return tuple(by_name[name] for name in self.key)

    @property
    def foldable(self) -> bool:
        """Whether equal key bytes mean equal rows, so that changes may be folded by key (T-FO-3)."""
        return all(column.equality == "exact" for column in self.key_columns)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": self.schema, "name": self.name, "columns": [c.to_json() for c in self.columns],
            "key": list(self.key), "oid": self.oid, "version": self.version, "primary": list(self.primary),
            "full": self.full, "partitioned": self.partitioned, "leaves": list(self.leaves),
            "attributes": self.attributes, "mark": self.mark, "product": self.product, "collation": self.collation,
            "references": [reference.to_json() for reference in self.references],
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> Table:
        return Table(
            **{
                **data,
                "columns": tuple(Column.from_json(c) for c in data["columns"]),
                "key": tuple(data["key"]),
                "primary": tuple(data["primary"]),
                "leaves": tuple(data.get("leaves", ())),
                "references": tuple(map(Reference.from_json, data.get("references", ()))),
            }
        )
