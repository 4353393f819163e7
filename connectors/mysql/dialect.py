"""Statements that make tables of one server, as another one takes them: databases of other names, collations that are
not there, and what MySQL and MariaDB write differently. On a server like the source's nothing is changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

from cdcd.model.schema import NotCarried, Statement
from connectors.mysql.names import quote
from connectors.mysql.show_create import Created, Item, closing, pieces, take_apart

_LANGUAGES = {
    "de_pb": "german2", "is": "icelandic", "lv": "latvian", "ro": "romanian", "sl": "slovenian", "pl": "polish",
    "et": "estonian", "es": "spanish", "es_trad": "spanish2", "sv": "swedish", "tr": "turkish", "cs": "czech",
    "da": "danish", "lt": "lithuanian", "sk": "slovak", "la": "roman", "eo": "esperanto", "hu": "hungarian",
    "hr": "croatian", "vi": "vietnamese",
}  # fmt: skip
"""MySQL's word for a language's order → MariaDB's."""

_MYSQL = re.compile(r"utf8mb4_(?:(\w+)_)?0900_(ai_ci|as_ci|as_cs)")
_MARIADB = re.compile(r"utf8mb4_uca1400_(?:(\w+?)_)?(?:nopad_)?(ai_ci|as_ci|as_cs|ai_cs)")
_OTHERS = {"utf8mb4_0900_bin": "utf8mb4_nopad_bin", "utf8mb4_nopad_bin": "utf8mb4_0900_bin"}


def collation_here(name: str, there: Collection[str]) -> str:
    """The collation of the server, of which `there` are all, that comes nearest; the same where it has it. None that
    is near: the one that compares bytes, under which no two keys become one."""
    charset = name.partition("_")[0]
    for near in (name, *_near(name), name.replace("_nopad_", "_"), f"{charset}_bin"):
        if near in there:
            return near
    return name


def _near(name: str) -> Iterable[str]:
    if name in _OTHERS:
        yield _OTHERS[name]
    if (found := _MYSQL.fullmatch(name)) is not None:
        language = "" if found[1] is None else _LANGUAGES.get(found[1], found[1]) + "_"
        yield f"utf8mb4_uca1400_{language}nopad_{found[2]}"
        yield f"utf8mb4_{language or 'unicode_520_'}nopad_ci"
        yield f"utf8mb4_{language or 'unicode_520_'}ci"
    if (found := _MARIADB.fullmatch(name)) is not None:
        words = {theirs: ours for ours, theirs in _LANGUAGES.items()}
        language = "" if found[1] is None else words.get(found[1], found[1]) + "_"
        yield f"utf8mb4_{language}0900_{found[2]}"
        yield "utf8mb4_unicode_520_ci"
    if name.startswith(("utf8mb3_uca1400_", "ucs2_uca1400_", "utf16_uca1400_", "utf32_uca1400_")):
        yield f"{name.partition('_')[0]}_unicode_520_ci"


# --- what each of the two does not know ------------------------------------------------------------------------------

_TO_MARIADB = (
    (re.compile(r"/\*!80023 INVISIBLE \*/"), "INVISIBLE"),
    (re.compile(r"/\*!80000 INVISIBLE \*/"), "IGNORED"),
    (re.compile(r" /\*!800\d\d .*?\*/"), ""),
)
_TO_MYSQL = ((re.compile(r"\bIGNORED$"), "INVISIBLE"), (re.compile(r" ?/\*M!\d+ .*?\*/"), ""))
_OPTIONS_MYSQL_ONLY = re.compile(
    r" (?:COMPRESSION|SECONDARY_ENGINE|(?:SECONDARY_)?ENGINE_ATTRIBUTE|AUTOEXTEND_SIZE)=(?:'(?:[^'\\]|\\.|'')*'|\S+)"
)
_OPTIONS_MARIADB_ONLY = re.compile(
    r" (?:PAGE_CHECKSUM=\d|TRANSACTIONAL=\d|WITH SYSTEM VERSIONING|`?(?:PAGE_COMPRESS|ENCRYPT|IETF_QUOTES)\w*`?=\S+)",
    re.IGNORECASE,
)
_COLLATE = re.compile(r"(COLLATE[ =])(\w+)", re.IGNORECASE)
_MARIADB_TYPES = {"uuid": "char(36)", "inet4": "varchar(43)", "inet6": "varchar(43)"}
_NOT_NULL = re.compile(r"(\) (?:STORED|VIRTUAL)) NOT NULL")
"""MariaDB does not let a computed column say so."""
_TYPE = re.compile(r"(`(?:[^`]|``)*` )(\w+)(\(\d+\))?")
_LARGE = re.compile(r"`(?:[^`]|``)*` (?:tiny|medium|long)?(?:text|blob)|`(?:[^`]|``)*` (?:json|geometry|point)")


@dataclass(frozen=True, slots=True)
class Dialect:
    """Of a server: its product, its collations, and which of its databases takes a schema of the source."""

    mariadb: bool
    collations: Collection[str]
    home: Callable[[str], str]

    def here(self, statements: Iterable[Statement]) -> tuple[list[Statement], list[NotCarried]]:
        """As this server takes them; and what it has no words for."""
        made: list[Statement] = []
        left: list[NotCarried] = []
        for one in statements:
            if one.kind == "table":
                one = replace(one, text=self._table(one, left))
            elif one.kind == "index":
                if not self._knows(one.text):
                    left.append(NotCarried("index", f"{one.table}.{one.of[-1]}", f"of the other product: {one.text}"))
                    continue
                one = replace(one, text=self._words(one.text))
            schema = self.home(one.of[1])
            made.append(replace(one, text=self._names(one.text), of=(one.of[0], schema, *one.of[2:])))
        return made, left

    def _table(self, one: Statement, left: list[NotCarried]) -> str:
        created = take_apart(one.text)
        items = []
        for item in created.items:
            if item.kind == "check" and self.mariadb and "NOT ENFORCED" in item.text:
                left.append(NotCarried("check", f"{one.table}.{item.name}", f"not enforced at the source: {item.text}"))
            elif item.kind in ("unique", "key") and not self._knows(item.text):
                left.append(NotCarried("index", f"{one.table}.{item.name}", f"of the other product: {item.text}"))
            else:
                items.append(replace(item, text=self._item(item)))
        options = (_OPTIONS_MYSQL_ONLY if self.mariadb else _OPTIONS_MARIADB_ONLY).sub("", f" {created.options}")
        if "VERSIONING" in created.options.upper() and not self.mariadb:
            left.append(NotCarried("system versioning", one.table, "no other row than the present ones is carried"))
        return self._words(Created(created.name, tuple(items), options.strip()).text)

    def _item(self, item: Item) -> str:
        if item.kind != "column":
            return item.text
        found = _TYPE.match(item.text)
        if found is None:
            return item.text
        text, type = item.text, found[2].lower()
        if self.mariadb:
            text = f"{found[1]}longblob{text[found.end() :]}" if type == "vector" else text
            return _NOT_NULL.sub(r"\1", text) if " GENERATED ALWAYS AS (" in text else text
        if type in _MARIADB_TYPES:
            text = f"{found[1]}{_MARIADB_TYPES[type]}{text[found.end() :]}"
        return _in_parentheses(text)

    def _knows(self, key: str) -> bool:
        """MariaDB has no keys of expressions, and no parsers of full text."""
        parts = list(pieces(key))
        computed = any(before == "(" == after for before, after in pairwise(parts))
        return not self.mariadb or not (computed or any("WITH PARSER" in part for part in parts if part[0] == "/"))

    def _words(self, text: str) -> str:
        if self.mariadb:
            text = _without_introducers(text)
        for pattern, word in _TO_MARIADB if self.mariadb else _TO_MYSQL:
            text = _outside(text, pattern, word)
        return _outside(text, _COLLATE, lambda found: found[1] + collation_here(found[2], self.collations))

    def _names(self, text: str) -> str:
        """Names of databases are those that a dot follows."""
        parts = list(pieces(text))
        for at, piece in enumerate(parts[:-1]):
            if piece.startswith("`") and parts[at + 1].startswith("."):
                parts[at] = quote(self.home(piece[1:-1].replace("``", "`")))
        return "".join(parts)


def _outside(text: str, pattern: re.Pattern[str], put: str | Callable[[re.Match[str]], str]) -> str:
    """The text, with what the pattern finds replaced, but not in literals and quoted names."""
    parts = [""]
    for piece in pieces(text):
        if piece[0] in "'\"`":
            parts += [piece, ""]
        else:
            parts[-1] += piece
    return "".join(part if at % 2 else pattern.sub(put, part) for at, part in enumerate(parts))


def _without_introducers(text: str) -> str:
    """Our sessions speak utf8mb4 anyway, and MariaDB reads a default or check with an introduced literal back wrong
    where that has a quote or an escape."""
    parts = list(pieces(text))
    for at, piece in enumerate(parts[:-1]):
        if piece[0] not in "'\"`" and parts[at + 1].startswith("'"):
            parts[at] = re.sub(r"(?<!\w)_utf8mb[34]$", "", piece)
    return "".join(parts)


def _in_parentheses(text: str) -> str:
    """MySQL wants them around a default that is an expression, and around any of a large type."""
    large = _LARGE.match(text) is not None
    parts = list(pieces(text))
    for at, piece in enumerate(parts[:-1]):
        found = None if piece[0] in "'\"`" else re.search(r" DEFAULT (\w*)$", piece, re.IGNORECASE)
        if found is None:
            continue
        after = parts[at + 1]
        if found[1] and found[1].lower() != "current_timestamp" and after == "(":
            parts[at] = f"{piece[: found.start()]} DEFAULT ({found[1]}"
            parts[closing(parts, at + 1)] += ")"
        elif not found[1] and large and after.startswith("'"):
            parts[at + 1] = f"({after})"
    return "".join(parts)
