"""What tables are besides columns and keys, in no product's language: a source tells it to a sink that does not know
the source's own statements, and the sink makes statements of its own."""

from __future__ import annotations

from dataclasses import dataclass

from cdcd.model.reference import Action
from cdcd.model.schema import NotCarried
from cdcd.model.table import Table


@dataclass(frozen=True, slots=True)
class Part:
    """A column of an index; `length`: only so many of its first characters, or bytes."""

    column: str
    length: int | None = None
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Index:
    """A secondary index of `table`: rows in order of its parts. The name is as at the source, where another table may
    have an index of that name."""

    name: str
    table: Table
    parts: tuple[Part, ...]
    unique: bool = False


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Rows of `table` refer to rows of `other`, column by column. `exact` is false where the source takes more values
    for equal than those of equal bytes: rows may refer to others that elsewhere are none."""

    name: str
    table: Table
    columns: tuple[str, ...]
    other: Table
    other_columns: tuple[str, ...]
    on_delete: Action = "no action"
    on_update: Action = "no action"
    exact: bool = True

    @property
    def actions(self) -> str:
        """As SQL has them: ON UPDATE and ON DELETE, where there is something to do."""
        named = (("UPDATE", self.on_update), ("DELETE", self.on_delete))
        return "".join(f" ON {event} {action.upper()}" for event, action in named if action != "no action")


@dataclass(frozen=True, slots=True)
class Structure:
    """`tables` have their columns and keys, and `Column.simple` their defaults. `comments`: by table and column, "" for
    the table itself. `not_carried`: what cannot be told so."""

    tables: tuple[Table, ...]
    indexes: tuple[Index, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    comments: tuple[tuple[Table, str, str], ...] = ()
    not_carried: tuple[NotCarried, ...] = ()
