"""A CREATE TABLE as the servers write it, taken apart: columns, keys and constraints as they stand there, and the
table's options. No parser of SQL: text between commas is never looked into further than to tell what it defines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_PIECE = re.compile(
    r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"|`(?:[^`]|``)*`|/\*.*?\*/|[(),]|[^'\"`/(),]+|/", re.DOTALL
)
_KEY = re.compile(r"(?:(UNIQUE|FULLTEXT|SPATIAL|VECTOR) )?(?:KEY|INDEX) (`(?:[^`]|``)*`)")
_CONSTRAINT = re.compile(r"CONSTRAINT (`(?:[^`]|``)*`) (FOREIGN KEY|CHECK)")
_NAME = re.compile(r"`((?:[^`]|``)*)`")
_HEAD = re.compile(r"CREATE TABLE ((?:`(?:[^`]|``)*`\.)?`(?:[^`]|``)*`) \(")


@dataclass(frozen=True, slots=True)
class Item:
    """`kind`: "column", "primary", "unique", "key" (also full-text and spatial ones), "foreign key", "check", "other".
    `name` is unquoted, "" where it has none; `text` is the whole of it."""

    kind: str
    name: str
    text: str

    @property
    def first(self) -> str:
        """Of a key, its first column; "": an expression."""
        found = re.match(r"[^(]*\(`((?:[^`]|``)*)`", self.text)
        return found[1].replace("``", "`") if found else ""


@dataclass(frozen=True, slots=True)
class Created:
    """`name` as it is written; `options` is what follows the last item."""

    name: str
    items: tuple[Item, ...]
    options: str

    @property
    def text(self) -> str:
        return f"CREATE TABLE {self.name} ({', '.join(item.text for item in self.items)}) {self.options}".rstrip()


def take_apart(text: str) -> Created:
    """ValueError where it is none."""
    head = _HEAD.match(text)
    if head is None:
        raise ValueError("no CREATE TABLE")
    parts, options = _split(text[head.end() :])
    return Created(head[1], tuple(map(_item, parts)), options)


def _split(text: str) -> tuple[list[str], str]:
    """What stands between commas up to the parenthesis that ends it all; what follows that."""
    parts, depth, start = [], 0, 0
    for found in _PIECE.finditer(text):
        piece = found[0]
        if piece in (",", ")") and not depth:
            parts.append(text[start : found.start()].strip())
            start = found.end()
            if piece == ")":
                return parts, text[start:].strip()
        depth += (piece == "(") - (piece == ")")
    raise ValueError("a CREATE TABLE without an end")


def _item(text: str) -> Item:
    if text.startswith("`"):
        return Item("column", name_of(text), text)
    if text.startswith("PRIMARY KEY"):
        return Item("primary", "", text)
    if (key := _KEY.match(text)) is not None:
        return Item("unique" if key[1] == "UNIQUE" else "key", name_of(key[2]), text)
    if (constraint := _CONSTRAINT.match(text)) is not None:
        return Item(constraint[2].lower(), name_of(constraint[1]), text)
    return Item("other", "", text)


def name_of(quoted: str) -> str:
    """The name at the beginning of a text, unquoted."""
    found = _NAME.match(quoted)
    if found is None:
        raise ValueError("no name")
    return found[1].replace("``", "`")


_KEYS = re.compile(
    r"CONSTRAINT `(?:[^`]|``)*` FOREIGN KEY \((?P<columns>(?:`(?:[^`]|``)*`(?:, ?)?)+)\) REFERENCES "
    r"(?:(?P<schema>`(?:[^`]|``)*`)\.)?(?P<table>`(?:[^`]|``)*`) "
    r"\((?P<others>(?:`(?:[^`]|``)*`(?:, ?)?)+)\)(?P<rest>.*)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key: `schema` is "" where the text names none; `actions`: what stands after ON DELETE, and ON UPDATE,
    "" where nothing does. `before` and `after`: what stands around the other table's name."""

    columns: tuple[str, ...]
    schema: str
    table: str
    others: tuple[str, ...]
    actions: tuple[str, str]
    before: str
    after: str

    def to(self, name: str) -> str:
        """Its text, with the table that it refers to called `name`."""
        return f"{self.before}{name}{self.after}"


def reference(item: Item) -> Reference:
    found = _KEYS.fullmatch(item.text)
    if found is None:
        raise ValueError("a foreign key that is written otherwise")
    deletes = re.search(r" ON DELETE (SET \w+|NO ACTION|\w+)", found["rest"])
    updates = re.search(r" ON UPDATE (SET \w+|NO ACTION|\w+)", found["rest"])
    begins, ends = found.start("schema") if found["schema"] else found.start("table"), found.end("table")
    return Reference(
        _names(found["columns"]),
        name_of(found["schema"]) if found["schema"] else "",
        name_of(found["table"]),
        _names(found["others"]),
        (deletes[1] if deletes else "", updates[1] if updates else ""),
        item.text[:begins],
        item.text[ends:],
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.replace("``", "`") for name in _NAME.findall(text))


def checks(item: Item) -> list[str]:
    """The conditions that an item sets, in parentheses: a column may have one beside it."""
    parts = list(pieces(item.text))
    return [
        "".join(parts[at + 1 : closing(parts, at + 1) + 1])
        for at, part in enumerate(parts[:-1])
        if part[0] not in "'\"`" and re.search(r"\bCHECK $", part) and parts[at + 1] == "("
    ]


def closing(parts: list[str], at: int) -> int:
    """Where the parenthesis ends that is opened at `at`."""
    depth = 0
    while True:
        depth += (parts[at] == "(") - (parts[at] == ")")
        if not depth:
            return at
        at += 1


def pieces(text: str) -> Iterator[str]:
    """Literals, names, comments, parentheses and commas, and what stands between these, in order."""
    return (found[0] for found in _PIECE.finditer(text))
