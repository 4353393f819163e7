"""What statements of the log make of a table's foreign keys, as far as these act on rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from cdcd.model.change import paired
from cdcd.model.reference import Reference
from cdcd.model.table import Table
from connectors.mysql.references import ACTIONS
from connectors.mysql.tokens import NotUnderstood, Words

_GIVEN = re.compile(r"_ibfk_\d+$", re.IGNORECASE)
"""Ends the names that the servers give."""


class ForeignKeys:
    """Of one table, through one ALTER TABLE."""

    def __init__(self, table: Table) -> None:
        self._its = list(table.references)

    def read(self, words: Words, name: str, database: str) -> None:
        """Behind FOREIGN: KEY [IF NOT EXISTS] [index] (a, b) REFERENCES other (c, d) [ON DELETE …] [ON UPDATE …]."""
        words.expect("KEY")
        words.accept("IF", "NOT", "EXISTS")
        if words.word() != "(":
            words.name()
        columns = _names(words.parentheses())
        words.expect("REFERENCES")
        other = ".".join(words.table(database))
        others = _names(words.parentheses())
        actions = {"DELETE": "", "UPDATE": ""}
        while not words.done and words.word() != ",":
            if words.accept("ON"):
                event = words.any_of(*actions)
                actions[event] = words.take("word").text.upper()
                if actions[event] in ("SET", "NO"):
                    actions[event] += " " + words.take("word").text.upper()
            else:
                words.take()
        deletes, updates = (ACTIONS.get(action, "no action") for action in actions.values())
        made = Reference(name, columns, other, others, deletes, updates)
        if made.acts and all(one.name.lower() != name.lower() for one in self._its if name):
            self._its.append(made)

    def drop(self, name: str) -> None:
        """One that the server named may be gone again before anybody could ask for its name."""
        unnamed = [one for one in self._its if not one.name]
        if unnamed and _GIVEN.search(name) and all(one.name.lower() != name.lower() for one in self._its):
            if len(unnamed) > 1:
                raise NotUnderstood(f"which foreign key {name} is", 0)
            self._its.remove(unnamed[0])
        self._its = [one for one in self._its if not name or one.name.lower() != name.lower()]

    def renamed(self, names: Mapping[str, str]) -> tuple[Reference, ...]:
        """Those that are left, their own columns as they are called now."""
        return tuple(replace(one, columns=tuple(names.get(name, name) for name in one.columns)) for one in self._its)


def _names(words: Words) -> tuple[str, ...]:
    names = []
    while not words.done:
        names.append(words.name())
        words.accept(",")
    return tuple(names)


def named(made: Table, now: Table | None) -> Table:
    """With the names that the server gave where the statement gave none."""
    known = {replace(one, name=""): one for one in (now.references if now is not None else ())}
    return replace(made, references=tuple(known.get(one, one) for one in made.references))


def spelled(table: Table, tables: Mapping[str, Table]) -> Table:
    """With columns as the tables spell them: letters' case does not count."""

    def spell(id: str, names: tuple[str, ...]) -> tuple[str, ...]:
        known = table if id == table.id else tables.get(id)
        by_name = {column.name.lower(): column.name for column in known.columns} if known is not None else {}
        return tuple(by_name.get(name.lower(), name) for name in names)

    return replace(table, references=tuple(
        replace(one, columns=spell(table.id, one.columns), other_columns=spell(one.other, one.other_columns))
        for one in table.references
    ))  # fmt: skip


def followed(old: Table, new: Table, tables: Mapping[str, Table]) -> Iterator[tuple[Table, Table]]:
    """The other tables that refer to one which has another name now, or its columns have, each as it is from then on.
    """
    names = {was.name: now.name for was, now in paired(old, new) if was is not None and now is not None}
    for table in tables.values():
        its = tuple(pointed(one, old.id, new.id, names) for one in table.references)
        if its != table.references and table.id != old.id:
            yield table, replace(table, references=its, version=table.version + 1)


def pointed(one: Reference, old: str, new: str, names: Mapping[str, str]) -> Reference:
    """A reference to a table that is called otherwise now, as are its columns."""
    if one.other != old:
        return one
    return replace(one, other=new, other_columns=tuple(names.get(name, name) for name in one.other_columns))
