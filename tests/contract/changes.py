"""What a test does to a source, whatever product it is: tables and changes as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cdcd.model.reference import Reference

Text = str | None


@dataclass(frozen=True)
class Spec:
    """A table in schema `menu`: column name → family, "int64" or "text"; `key` in order, none: keyless. `references`:
    what the source's foreign keys do to its rows, and none at a target does."""

    name: str
    columns: Mapping[str, str]
    key: tuple[str, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()
    references: tuple[Reference, ...] = ()

    @property
    def id(self) -> str:
        return f"menu.{self.name}"


@dataclass(frozen=True)
class Insert:
    table: Spec
    row: tuple[Text, ...]


@dataclass(frozen=True)
class Update:
    """Set columns of the row that has this key (or, keyless, of one row that equals it)."""

    table: Spec
    key: tuple[Text, ...]
    to: Mapping[str, Text]


@dataclass(frozen=True)
class Delete:
    table: Spec
    key: tuple[Text, ...]


@dataclass(frozen=True)
class Truncate:
    tables: tuple[Spec, ...]


Change = Insert | Update | Delete | Truncate

ITEMS = Spec("items", {"id": "int64", "v": "text", "big": "text"}, ("id",))
LINES = Spec("lines", {"line": "text"})
USERS = Spec("users", {"id": "int64", "email": "text"}, ("id",), unique=(("email",),))
OTHERS = Spec("others", {"id": "int64"}, ("id",))
PAIRS = Spec(
    "pairs", {"item": "int64", "place": "int64"}, ("item", "place"),
    references=(Reference("of", ("item",), ITEMS.id, ("id",), "cascade", "cascade"),),
)  # fmt: skip
NOTES = Spec(
    "notes", {"line": "text", "item": "int64", "place": "int64"},
    references=(Reference("on", ("item", "place"), PAIRS.id, ("item", "place"), "set null", "cascade"),),
)  # fmt: skip
BIG = "".join(f"{number:x}" for number in range(3000))
"""A value that every product keeps out of line, and sends only when it changes."""


def item(number: int, v: Text = "v", big: Text = None) -> Insert:
    return Insert(ITEMS, (str(number), v, big))


def line(text: str) -> Insert:
    return Insert(LINES, (text,))
