"""Statements of the log: which tables one names, and what it means for their rows. No parser of all of SQL: a
statement about a carried table that is not understood is a stop, never a guess."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

Token = tuple[str, bool]
"""Its text (without quotes), and whether it was quoted as a name."""

_TOKEN = re.compile(
    r"""(?P<space>\s+|--\s[^\n]*|\#[^\n]*|/\*(?!M?!).*?\*/)|/\*M?!\d*|\*/|
    (?P<name>`(?:[^`]|``)*`)|(?P<string>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*")|
    (?P<word>[\w$\u0080-\U0010ffff]+)|(?P<sign>.)""",
    re.VERBOSE | re.DOTALL,
)

_DML = ("INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "CALL", "WITH", "TABLE", "DO")
_HARMLESS = {
    "ADD": ("INDEX", "KEY", "UNIQUE", "FULLTEXT", "SPATIAL", "CONSTRAINT", "FOREIGN", "CHECK"),
    "DROP": ("INDEX", "KEY", "FOREIGN", "CONSTRAINT", "CHECK"),
    "RENAME": ("INDEX", "KEY"),
    "ALTER": ("INDEX", "CHECK", "CONSTRAINT"),
    "ENABLE": ("KEYS",),
    "DISABLE": ("KEYS",),
    "ANALYZE": ("PARTITION",),
    "OPTIMIZE": ("PARTITION",),
    "REBUILD": ("PARTITION",),
}
"""Actions of ALTER TABLE that leave all rows and columns as they are: first word → second words."""

_OPTIONS = {
    "ENGINE", "COMMENT", "AUTO_INCREMENT", "ALGORITHM", "LOCK", "FORCE", "ROW_FORMAT", "KEY_BLOCK_SIZE",
    "STATS_PERSISTENT", "STATS_AUTO_RECALC", "STATS_SAMPLE_PAGES", "COMPRESSION", "ENCRYPTION", "ORDER", "CHECKSUM",
    "AVG_ROW_LENGTH", "MAX_ROWS", "MIN_ROWS", "PACK_KEYS", "DELAY_KEY_WRITE", "INSERT_METHOD", "WAIT", "NOWAIT",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Meaning:
    """`kind`: "nothing" that matters to rows; "truncate" or "change" of `tables`; "statement" that changed rows of
    them, which are not in the log. `tables` are carried ones' ids."""

    kind: str
    tables: tuple[str, ...] = ()


NOTHING = Meaning("nothing")


def meaning(text: str, database: str, carried: Collection[str]) -> Meaning:
    """What a statement, run with that default database, means for the carried tables (ids `database.name`)."""
    tokens = tokenize(text)
    if not tokens:
        return NOTHING
    verb = _word(tokens, 0)
    if verb == "TRUNCATE":
        return _about("truncate", [_name(tokens, 2 if _word(tokens, 1) == "TABLE" else 1, database)[0]], carried)
    if verb in _DML:
        return _about("statement", _every_name(tokens, database), carried)
    if verb == "RENAME":
        return _about("change", _every_name(tokens, database), carried)
    if verb not in ("ALTER", "DROP", "CREATE"):
        return NOTHING
    at = 1
    while _word(tokens, at) in ("OR", "REPLACE", "IGNORE", "ONLINE", "TEMPORARY", "UNIQUE", "FULLTEXT", "SPATIAL"):
        at += 1
    what = _word(tokens, at)
    if what in ("TABLE", "TABLES") and _word(tokens, at - 1) != "TEMPORARY":
        at += 1
        while _word(tokens, at) in ("IF", "NOT", "EXISTS"):
            at += 1
        if verb == "DROP":
            return _about("change", _every_name(tokens[at:], database), carried)
        name, at = _name(tokens, at, database)
        if verb == "ALTER" and all(map(_harmless, _actions(tokens[at:]))):
            return NOTHING
        return _about("change", [name], carried)
    if what in ("DATABASE", "SCHEMA") and verb == "DROP":
        prefix = _name(tokens, at + (3 if _word(tokens, at + 1) == "IF" else 1), "")[0].removeprefix(".") + "."
        return Meaning("change", tuple(sorted(table for table in carried if table.startswith(prefix))))
    return NOTHING


def tokenize(text: str) -> list[Token]:
    """Without comments; what stands in /*! … */ is part of the statement."""
    found: list[Token] = []
    for match in _TOKEN.finditer(text):
        if (name := match["name"]) is not None:
            found.append((name[1:-1].replace("``", "`"), True))
        elif match["string"] is not None:
            found.append((match["string"], False))
        elif (rest := match["word"] or match["sign"]) is not None:
            found.append((rest, False))
    return found


def _word(tokens: Sequence[Token], at: int) -> str:
    return tokens[at][0].upper() if at < len(tokens) and not tokens[at][1] else ""


def _name(tokens: Sequence[Token], at: int, database: str) -> tuple[str, int]:
    """The table named at `at`, as an id, and where its name ends."""
    if at >= len(tokens):
        return "", at
    if _word(tokens, at + 1) == "." and at + 2 < len(tokens):
        return f"{tokens[at][0]}.{tokens[at + 2][0]}", at + 3
    return f"{database}.{tokens[at][0]}", at + 1


def _every_name(tokens: Sequence[Token], database: str) -> list[str]:
    """Whatever may be a table's name: too many do no harm, as only carried ones count."""
    return [_name(tokens, at, database)[0] for at in range(len(tokens))]


def _about(kind: str, names: Sequence[str], carried: Collection[str]) -> Meaning:
    tables = tuple(dict.fromkeys(name for name in names if name in carried))
    return Meaning(kind, tables) if tables else NOTHING


def _actions(tokens: Sequence[Token]) -> list[list[Token]]:
    """What stands between the commas of an ALTER TABLE, outside of parentheses."""
    actions: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        text = token[0] if not token[1] else ""
        depth += (text == "(") - (text == ")")
        if text == "," and not depth:
            actions.append([])
        else:
            actions[-1].append(token)
    return actions


def _harmless(action: Sequence[Token]) -> bool:
    first = _word(action, 0)
    if first in _HARMLESS:
        return _word(action, 1) in _HARMLESS[first]
    return first in _OPTIONS
