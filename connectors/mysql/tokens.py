"""The words of a statement in the log, as the server that ran it took them apart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["word", "name", "string", "number", "sign"]


@dataclass(frozen=True, slots=True)
class Token:
    """`text` without quotes and escapes; `at`: where in the statement it begins."""

    kind: Kind
    text: str
    at: int


class NotUnderstood(ValueError):
    """`at`: where in the statement it was no more what we know."""

    def __init__(self, what: str, at: int) -> None:
        super().__init__(what)
        self.at = at


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the session that ran a statement read it: its product and version (as a number, 80036), and of its sql_mode
    what changes words or values. `explicit`: explicit_defaults_for_timestamp."""

    mariadb: bool
    version: int
    sql_mode: int = 0
    explicit: bool = True

    @property
    def ansi_quotes(self) -> bool:
        return bool(self.sql_mode & 4)

    @property
    def oracle(self) -> bool:
        """MariaDB: other types under the same names."""
        return self.mariadb and bool(self.sql_mode & 512)

    @property
    def escapes(self) -> bool:
        return not self.sql_mode & 1 << 20

    @property
    def strict(self) -> bool:
        return bool(self.sql_mode & (1 << 21 | 1 << 22))

    @property
    def zero_is_zero(self) -> bool:
        return bool(self.sql_mode & 1 << 19)

    def runs(self, mark: str) -> bool:
        """Whether what stands in `/*!NNNNNN … */` is part of the statement, by what stands behind the slash."""
        own, _, digits = mark.partition("!")
        if own and not self.mariadb:
            return False
        number = int(digits or 0)
        if self.mariadb and not own and 50700 <= number <= 99999:
            return False  # what only MySQL knows
        return number <= self.version


_SPACE = re.compile(r"\s+|--(?=[\s\x00-\x1f]|\Z)[^\n]*|\#[^\n]*")
_MARK = re.compile(r"/\*(M?!\d{0,6})")
_NUMBER = re.compile(r"(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?(?![\w$])")
_WORD = re.compile(r"[\w$\u0080-\U0010ffff]+")
_QUOTED = {
    quote: re.compile(rf"{quote}(?:[^{quote}\\]|\\.|{quote}{quote})*{quote}", re.DOTALL) for quote in "'\""
}
_PLAIN = {quote: re.compile(rf"{quote}(?:[^{quote}]|{quote}{quote})*{quote}") for quote in "'\"`"}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a", "%": "\\%", "_": "\\_"}


def tokenize(text: str, dialect: Dialect) -> Iterator[Token]:
    """Without comments; what stands in one that the server runs is part of the statement."""
    at = 0
    while at < len(text):
        if match := _SPACE.match(text, at):
            at = match.end()
        elif text.startswith("/*", at):
            mark = _MARK.match(text, at)
            if mark is not None and dialect.runs(mark[1]):
                at = mark.end()
            elif (end := text.find("*/", at + 2)) >= 0:
                at = end + 2
            else:
                raise NotUnderstood("a comment does not end", at)
        elif text.startswith("*/", at):
            at += 2
        else:
            token, at = _token(text, at, dialect)
            yield token


def _token(text: str, at: int, dialect: Dialect) -> tuple[Token, int]:
    first = text[at]
    if first in "'\"`":
        is_name = first == "`" or (first == '"' and dialect.ansi_quotes)
        escapes = dialect.escapes and not is_name
        match = (_QUOTED if escapes else _PLAIN)[first].match(text, at)
        if match is None:
            raise NotUnderstood("a quote does not end", at)
        inner = match[0][1:-1].replace(first * 2, first) if not escapes else _unescaped(match[0][1:-1], first)
        return Token("name" if is_name else "string", inner, at), match.end()
    of_a_name = first == "." and at and (text[at - 1] in "`\"" or _WORD.match(text, at - 1))
    if not of_a_name and (match := _NUMBER.match(text, at)):
        return Token("number", match[0], at), match.end()
    if match := _WORD.match(text, at):
        return Token("word", match[0], at), match.end()
    return Token("sign", first, at), at + 1


def _unescaped(text: str, quote: str) -> str:
    """Escapes and doubled quotes in one go, from left to right."""
    if "\\" not in text:
        return text.replace(quote * 2, quote)
    parts = re.split(r"(\\.)", text, flags=re.DOTALL)
    return "".join(
        _ESCAPE.sub(lambda found: _ESCAPES.get(found[1], found[1]), part) if part.startswith("\\")
        else part.replace(quote * 2, quote)
        for part in parts
    )  # fmt: skip


class Words:
    """Tokens read one after the other. Words are compared in capitals; what is quoted is never one of the language."""

    def __init__(self, tokens: list[Token], length: int, at: int = 0) -> None:
        self._tokens = tokens
        self._length = length
        self.at = at

    @staticmethod
    def of(text: str, dialect: Dialect) -> Words:
        return Words(list(tokenize(text, dialect)), len(text))

    @property
    def done(self) -> bool:
        return self.at >= len(self._tokens)

    def peek(self, ahead: int = 0) -> Token | None:
        place = self.at + ahead
        return self._tokens[place] if place < len(self._tokens) else None

    def word(self, ahead: int = 0) -> str:
        """The next word or sign in capitals; "": none, or something quoted."""
        token = self.peek(ahead)
        return token.text.upper() if token is not None and token.kind in ("word", "sign", "number") else ""

    def accept(self, *words: str) -> bool:
        """Pass these words, if they are what comes, all of them."""
        if any(self.word(ahead) != word for ahead, word in enumerate(words)):
            return False
        self.at += len(words)
        return True

    def any_of(self, *words: str) -> str:
        """Pass the next word if it is one of these."""
        word = self.word()
        if word and word in words:
            self.at += 1
            return word
        return ""

    def expect(self, *words: str) -> None:
        if not self.accept(*words):
            raise self.lost(f"{' '.join(words)} is missing")

    def take(self, *kinds: Kind) -> Token:
        token = self.peek()
        if token is None or (kinds and token.kind not in kinds):
            raise self.lost(f"no {' or '.join(kinds)}" if kinds else "nothing")
        self.at += 1
        return token

    def name(self) -> str:
        """An identifier, quoted or bare; those of only digits are quoted."""
        return self.take("name", "word").text

    def table(self, database: str) -> tuple[str, str]:
        """`[database.]table`."""
        first = self.name()
        if not self.accept("."):
            return database, first
        return first, self.name()

    def parentheses(self) -> Words:
        """What stands between the parenthesis that comes and its own end."""
        self.expect("(")
        begin, depth = self.at, 1
        while depth:
            sign = self.take()
            if sign.kind == "sign":
                depth += (sign.text == "(") - (sign.text == ")")
        return Words(self._tokens[begin : self.at - 1], self._length)

    def rest(self) -> None:
        """Nothing of what follows matters."""
        self.at = len(self._tokens)

    def lost(self, what: str) -> NotUnderstood:
        token = self.peek()
        return NotUnderstood(what, token.at if token is not None else self._length)
