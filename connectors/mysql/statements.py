"""Statements of the log: which tables one speaks of, and what it does to them. No parser of all of SQL: of a statement
that is about a carried table everything is understood that can matter to its rows, or it is a stop, never a guess."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from connectors.mysql.tokens import Dialect, NotUnderstood, Words, tokenize

Name = tuple[str, str]
"""Database and table, as the statement writes them."""


@dataclass(frozen=True, slots=True)
class Truncated:
    table: str


@dataclass(frozen=True, slots=True)
class Touched:
    """Its rows were changed by a statement, and are not in the log. Not `named`: or may have been, through a trigger, a
    function or a view, as the statement is about its database."""

    table: str
    named: bool = True


@dataclass(frozen=True, slots=True)
class Gone:
    table: str


@dataclass(frozen=True, slots=True)
class Renamed:
    """From one name to another, one after the other, of carried tables and others."""

    names: tuple[tuple[Name, Name], ...]


@dataclass(frozen=True, slots=True)
class Altered:
    """`words`: the actions of ALTER TABLE. `ignore`: rows that are in the way are deleted."""

    table: str
    words: Words
    ignore: bool = False


@dataclass(frozen=True, slots=True)
class Replaced:
    """Another table stands under its name, or its rows are others; `why` in words."""

    table: str
    why: str


Effect = Truncated | Touched | Gone | Renamed | Altered | Replaced
Find = Callable[[Name], str | None]
"""The id of the carried table that is called so."""

_DML = ("INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "CALL", "WITH", "TABLE", "DO", "SELECT")
"""In a log of rows none of them stands but for a session that logs statements: SELECT and DO for functions."""
_EMPTIED = re.compile(r"DELETE FROM `(?:[^`]|``)+`\.`(?:[^`]|``)+`")
"""How a server that was started again says that a table in memory has lost its rows."""
_DDL = ("ALTER", "CREATE", "DROP", "RENAME", "TRUNCATE")


def effects(text: str, database: str, dialect: Dialect, carried: Collection[str], find: Find) -> list[Effect]:
    """What a statement, run with that default database, does to the carried tables (ids), in order. NotUnderstood only
    where it may speak of one."""
    try:
        tokens = list(tokenize(text, dialect))
    except NotUnderstood:
        if text.lstrip()[:10].upper().startswith(_DDL) and _mentions(text, carried):
            raise
        return _near(re.split(r"\W+", text), database, carried) if text.lstrip()[:10].upper().startswith(_DML) else []
    words = Words(tokens, len(text))
    if words.accept("SET", "STATEMENT"):
        while not words.done and not words.accept("FOR"):
            words.take()
    verb = words.any_of(*_DDL, *_DML)
    if verb in _DML:
        found = {id for id in _every_name(words, database, find) if id}
        if found or _EMPTIED.fullmatch(text.strip()):
            return [Touched(id) for id in sorted(found)]
        return _near([token.text for token in tokens], database, carried)
    if not verb:
        return []
    return _Ddl(words, database, carried, find).read(verb)


def _near(words: Collection[str], database: str, carried: Collection[str]) -> list[Effect]:
    """Of the carried tables in the databases that a statement of these words is about."""
    schemas = {database.lower(), *(word.lower() for word in words)}
    return [Touched(id, False) for id in sorted(carried) if id.partition(".")[0].lower() in schemas]


def _mentions(text: str, carried: Collection[str]) -> bool:
    return any(id.rpartition(".")[2].lower() in text.lower() for id in carried)


def _every_name(words: Words, database: str, find: Find) -> list[str | None]:
    """Whatever may be a table's name: too many do no harm, as only carried ones count."""
    found = []
    while not words.done:
        token = words.take()
        if token.kind in ("name", "word"):
            following = words.peek(1)
            if words.word() == "." and following is not None and following.kind in ("name", "word"):
                found.append(find((token.text, following.text)))
            found.append(find((database, token.text)))
    return found


class _Ddl:
    def __init__(self, words: Words, database: str, carried: Collection[str], find: Find) -> None:
        self._words = words
        self._database = database
        self._carried = carried
        self._find = find

    def read(self, verb: str) -> list[Effect]:
        words = self._words
        if verb == "TRUNCATE":
            words.accept("TABLE")
            return [Truncated(id) for id in self._known([words.table(self._database)])]
        ignore = temporary = unique = replaces = False
        while word := words.any_of(
            "OR", "REPLACE", "IGNORE", "ONLINE", "OFFLINE", "TEMPORARY", "UNIQUE", "FULLTEXT", "SPATIAL", "VECTOR"
        ):
            ignore, temporary = ignore or word == "IGNORE", temporary or word == "TEMPORARY"
            replaces, unique = replaces or word == "REPLACE", unique or word == "UNIQUE"
        what = words.any_of("TABLE", "TABLES", "INDEX", "DATABASE", "SCHEMA")
        if not what or temporary:
            return []
        unless = words.accept("IF", "NOT", "EXISTS")
        words.accept("IF", "EXISTS")
        if what in ("DATABASE", "SCHEMA"):
            return self._database_gone() if verb == "DROP" else []
        if what == "INDEX":
            return self._index(verb)
        if verb == "DROP":
            return [Gone(id) for id in self._known(self._list())]
        if verb == "RENAME":
            return self._rename()
        name = words.table(self._database)
        id = self._find(name)
        if verb == "CREATE":
            made = id is not None and not unless
            return [Replaced(id, "it was made anew")] if made and id is not None else []
        if words.any_of("WAIT"):
            words.take("number", "word")
        words.accept("NOWAIT")
        return [Altered(id, words, ignore)] if id is not None else self._of_another(name)

    def _known(self, names: Sequence[Name]) -> list[str]:
        return [id for name in names if (id := self._find(name)) is not None]

    def _list(self) -> list[Name]:
        names = [self._words.table(self._database)]
        while self._words.accept(","):
            names.append(self._words.table(self._database))
        return names

    def _database_gone(self) -> list[Effect]:
        name = self._words.name()
        inside = [id for id in self._carried if self._find((name, id.partition(".")[2])) == id]
        return [Gone(id) for id in sorted(inside)]

    def _index(self, verb: str) -> list[Effect]:
        """DROP INDEX is an action of ALTER TABLE; to make one changes no row and no name."""
        words, name = self._words, self._words.name()
        while not words.done and words.word() != "ON":
            words.take()
        words.expect("ON")
        id = self._find(words.table(self._database))
        if verb != "DROP" or id is None:
            return []
        return [Altered(id, Words.of(f"DROP INDEX `{name.replace('`', '``')}`", Dialect(False, 0)))]

    def _rename(self) -> list[Effect]:
        words, names = self._words, []
        while True:
            old = words.table(self._database)
            if words.accept("WAIT"):
                words.take()
            words.accept("NOWAIT")
            words.expect("TO")
            names.append((old, words.table(self._database)))
            if not words.accept(","):
                break
        return self._renamed(names)

    def _renamed(self, names: list[tuple[Name, Name]]) -> list[Effect]:
        if any(self._find(name) for pair in names for name in pair):
            return [Renamed(tuple(names))]
        return []

    def _of_another(self, name: Name) -> list[Effect]:
        """ALTER TABLE of a table that is not carried may speak of one that is, and may take a name."""
        words = self._words
        found: list[Effect] = []
        while not words.done:
            if words.accept("EXCHANGE", "PARTITION"):
                words.name()
                words.expect("WITH", "TABLE")
                found += [Replaced(id, "it was exchanged for a partition")
                          for id in self._known([words.table(self._database)])]  # fmt: skip
            elif words.accept("CONVERT", "TABLE"):
                found += [Gone(id) for id in self._known([words.table(self._database)])]
            else:
                words.take()
        return found
