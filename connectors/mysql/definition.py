"""Definitions of columns, as DDL in the log has them: the type as information_schema would spell it, and the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from connectors.mysql.names import literal
from connectors.mysql.tokens import Dialect, NotUnderstood, Token, Words
from connectors.mysql.types import GEOMETRIES

_WIDTHS: Mapping[str, tuple[int, int]] = {
    "tinyint": (4, 3), "smallint": (6, 5), "mediumint": (9, 8), "int": (11, 10), "bigint": (20, 20),
}  # fmt: skip
"""Digits shown of a signed one, of an unsigned one."""

_NAMES: Mapping[str, str] = {
    "INT1": "tinyint", "INT2": "smallint", "INT3": "mediumint", "MIDDLEINT": "mediumint", "INT4": "int",
    "INTEGER": "int", "INT8": "bigint", "DEC": "decimal", "NUMERIC": "decimal", "FIXED": "decimal",
    "FLOAT4": "float", "FLOAT8": "double", "CHARACTER": "char", "VARCHARACTER": "varchar",
    "BOOL": "tinyint", "BOOLEAN": "tinyint",
}  # fmt: skip
_KNOWN = {
    *_WIDTHS, "decimal", "float", "double", "bit", "year", "date", "time", "datetime", "timestamp", "char", "varchar",
    "binary", "varbinary", "tinytext", "text", "mediumtext", "longtext", "tinyblob", "blob", "mediumblob", "longblob",
    "enum", "set", "json", "uuid", "inet4", "inet6", "vector", *GEOMETRIES,
}  # fmt: skip
_LARGE = ("tiny", "", "medium", "long")
_BINARY = {"char": "binary", "varchar": "varbinary", **{f"{size}text": f"{size}blob" for size in _LARGE}}
_TEXTS = (*_BINARY, "enum", "set")
_WIDE = {"utf8mb4": 4, "utf8mb3": 3, "utf8": 3, "ucs2": 2, "utf16": 4, "utf16le": 4, "utf32": 4, "gb18030": 4,
         "big5": 2, "cp932": 2, "eucjpms": 3, "euckr": 2, "gb2312": 2, "gbk": 2, "sjis": 2, "ujis": 3}  # fmt: skip
"""Most bytes of a character; of other sets one."""


@dataclass(slots=True)
class Default:
    """`value`: a constant's text; None: NULL. `sql`: as DDL says it. `varies`: each row may get another value."""

    sql: str | None = None
    value: str | None = None
    varies: bool = False


@dataclass(slots=True)
class Definition:
    """What a definition says; None: nothing of it. `type` and `numbers` are those of the text, before charsets."""

    name: str
    type: str = ""
    numbers: list[int] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    unsigned: bool = False
    zerofill: bool = False
    charset: str | None = None
    collate: str | None = None
    bin: bool = False  # its set's binary collation
    nullable: bool | None = None
    default: Default | None = None
    touched: bool = False  # on update: another default than none for TIMESTAMP
    generated: str | None = None
    auto: bool = False
    primary: bool = False
    unique: bool = False


def read_definition(words: Words, name: str, dialect: Dialect) -> Definition:
    """What follows the column's name, up to a comma, FIRST, AFTER or what is no part of it."""
    made = Definition(name)
    _type(words, made, dialect)
    while not words.done and words.word() not in (",", "FIRST", "AFTER", ")") and not _table_words(words):
        _attribute(words, made)
    return made


def _table_words(words: Words) -> bool:
    """Partitioning may follow without a comma."""
    return (words.word(), words.word(1)) in (("PARTITION", "BY"), ("REMOVE", "PARTITIONING"))


# --- types ------------------------------------------------------------------------------------------------------------


def _type(words: Words, made: Definition, dialect: Dialect) -> None:
    if dialect.oracle:
        raise words.lost("types of sql_mode ORACLE")
    national = words.accept("NATIONAL")
    word = words.take("word").text.upper()
    if word in ("NCHAR", "NVARCHAR"):
        national, word = True, word[1:]
    if national:
        made.charset = "utf8mb3"
    name = _NAMES.get(word, word.lower())
    if word == "SERIAL":
        name = "bigint"
        made.unsigned = made.auto = made.unique = True
        made.nullable = False
    elif word in ("BOOL", "BOOLEAN"):
        made.numbers = [1]
    elif word == "REAL":
        name = "float" if dialect.sql_mode & 1 else "double"
    elif word == "LONG":
        name = "mediumblob" if words.accept("VARBINARY") else "mediumtext"
        _ = words.accept("CHAR", "VARYING") or words.any_of("VARCHAR", "VARCHARACTER")
    elif name == "char" and words.any_of("VARYING", "VARCHAR", "VARCHARACTER"):
        name = "varchar"
    elif name == "double":
        words.accept("PRECISION")
    if name not in _KNOWN:
        raise words.lost(f"the type {word} is not known")
    made.type = name
    if name in ("enum", "set"):
        inside = words.parentheses()
        while not inside.done:
            if inside.word().startswith("_"):
                inside.take()  # the character set of what follows
            made.labels.append(inside.take("string").text.rstrip(" "))
            inside.accept(",")
    elif words.word() == "(":
        inside = words.parentheses()
        made.numbers = [int(token.text) for token in _numbers(inside)]


def _numbers(inside: Words) -> list[Token]:
    found = []
    while not inside.done:
        found.append(inside.take("number"))
        inside.accept(",")
    return found


def native(made: Definition, charset: str, dialect: Dialect) -> str:
    """COLUMN_TYPE, of a column whose text is in `charset`; what is declared longer than its type is another type."""
    name, numbers = made.type, made.numbers
    first = numbers[0] if numbers else None
    sign = " unsigned zerofill" if made.zerofill else " unsigned" if made.unsigned else ""
    if name in _WIDTHS:
        return _whole(made, first, sign, dialect)
    if name == "decimal":
        return f"decimal({first or 10},{numbers[1] if len(numbers) > 1 else 0}){sign}"
    if name in ("float", "double"):
        if len(numbers) == 2:
            return f"{name}({numbers[0]},{numbers[1]}){sign}"
        return ("double" if (first or 0) > 24 else name) + sign
    if name in ("enum", "set"):
        return f"{name}({','.join(map(_label, made.labels))})"
    if name in ("bit", "char", "binary"):
        numbers = [first if first is not None else 1]
    elif name == "vector":
        numbers = [first or 2048]
    elif name == "year":
        return "year(4)" if dialect.mariadb or dialect.version < 80019 else "year"
    elif name in ("time", "datetime", "timestamp"):
        numbers = [first] if first else []
    elif name in ("text", "blob"):
        name, numbers = _sized(name, first, charset), []
    elif name == "json" and dialect.mariadb:
        return "longtext"
    elif name in ("geomcollection", "geometrycollection"):
        return "geometrycollection" if dialect.mariadb else "geomcollection"
    if charset == "binary" and name in _BINARY:
        name = _BINARY[name]
    return name + (f"({numbers[0]})" if numbers else "")


def _whole(made: Definition, width: int | None, sign: str, dialect: Dialect) -> str:
    name = made.type
    shown = width or _WIDTHS[name][bool(sign)]
    if dialect.mariadb or dialect.version < 80019 or made.zerofill or (name == "tinyint" and width == 1 and not sign):
        return f"{name}({shown}){sign}"
    return name + sign


def _sized(name: str, length: int | None, charset: str) -> str:
    """TEXT(n) and BLOB(n): the smallest that holds so many."""
    if length is None:
        return name
    size = length * (_WIDE.get(charset, 1) if name == "text" else 1)
    sizes = (255, 65535, 16777215)
    return _LARGE[sum(size > most for most in sizes)] + name


def _label(text: str) -> str:
    """As information_schema writes it."""
    for plain, escaped in (("\\", "\\\\"), ("\0", "\\0"), ("\n", "\\n"), ("\r", "\\r"), ("'", "''")):
        text = text.replace(plain, escaped)
    return f"'{text}'"


def has_text(made: Definition, dialect: Dialect) -> bool:
    """Whether it has a character set."""
    return made.type in _TEXTS or (made.type == "json" and dialect.mariadb)


# --- attributes -------------------------------------------------------------------------------------------------------

_ALONE = {"SIGNED", "VISIBLE", "INVISIBLE", "VIRTUAL", "STORED", "PERSISTENT", "ENFORCED"}
_WITH_VALUE = {"COMMENT", "COLUMN_FORMAT", "STORAGE", "SRID"}
_NOW = ("CURRENT_TIMESTAMP", "NOW", "LOCALTIME", "LOCALTIMESTAMP")


def _attribute(words: Words, made: Definition) -> None:
    if words.accept("NOT"):
        made.nullable = False if words.accept("NULL") else made.nullable
        words.any_of("SECONDARY", "ENFORCED")
    elif words.accept("NULL"):
        made.nullable = True
    elif words.accept("UNSIGNED"):
        made.unsigned = True
    elif words.accept("ZEROFILL"):
        made.unsigned = made.zerofill = True
    elif words.accept("BINARY"):
        made.bin = True
    elif words.accept("BYTE"):
        made.charset = "binary"
    elif words.accept("ASCII"):
        made.charset = "latin1"
    elif words.accept("UNICODE"):
        made.charset = "ucs2"
    elif words.accept("CHARACTER", "SET") or words.accept("CHARSET") or words.accept("CHAR", "SET"):
        made.charset = _charset(words)
    elif words.accept("COLLATE"):
        words.accept("=")
        made.collate = words.take("word", "name", "string").text.lower()
    elif words.accept("DEFAULT"):
        made.default = read_default(words)
    elif words.accept("SERIAL", "DEFAULT", "VALUE"):
        made.auto = made.unique = True
        made.nullable = False
    elif words.accept("ON", "UPDATE"):
        made.touched = True
        words.take("word")
        _ = words.parentheses() if words.word() == "(" else None
    elif words.accept("AUTO_INCREMENT"):
        made.auto = True
    elif words.accept("UNIQUE"):
        made.unique = True
        words.accept("KEY")
    elif words.accept("PRIMARY", "KEY") or words.accept("PRIMARY") or words.accept("KEY"):
        made.primary = True
    elif words.accept("GENERATED", "ALWAYS", "AS") or words.accept("AS"):
        made.generated = _expression(words)
    elif words.accept("CONSTRAINT"):
        if words.word() != "CHECK":
            words.name()
    elif words.accept("CHECK"):
        words.parentheses()
    elif words.accept("REFERENCES"):
        _references(words)
    elif words.any_of("WITH", "WITHOUT"):
        words.expect("SYSTEM", "VERSIONING")
    elif words.any_of(*_WITH_VALUE):
        words.take("string", "word", "number")
    elif not words.any_of(*_ALONE):
        _engine_attribute(words)


def _charset(words: Words) -> str:
    words.accept("=")
    name = words.take("word", "name", "string").text.lower()
    return "utf8mb3" if name == "utf8" else name


def _engine_attribute(words: Words) -> None:
    """`name = value`, which engines define; MariaDB's COMPRESSED changes what rows look like."""
    token = words.take("word", "name")
    if token.text.upper() == "COMPRESSED":
        raise NotUnderstood("a compressed column", token.at)
    if not words.accept("=") and token.text.upper() not in ("ENGINE_ATTRIBUTE", "SECONDARY_ENGINE_ATTRIBUTE"):
        raise NotUnderstood(f"{token.text} is not known", token.at)
    words.take("string", "word", "number")


def _expression(words: Words) -> str:
    """Of a generated column; what it is exactly nobody asks of the log."""
    if words.accept("ROW"):
        return f"ROW {words.take('word').text.upper()}"
    words.parentheses()
    return "expression"


def _references(words: Words) -> None:
    words.table("")
    if words.word() == "(":
        words.parentheses()
    if words.accept("MATCH"):
        words.take("word")
    while words.accept("ON", "DELETE") or words.accept("ON", "UPDATE"):
        if not (words.accept("SET", "NULL") or words.accept("SET", "DEFAULT") or words.accept("NO", "ACTION")):
            words.take("word")


# --- defaults ---------------------------------------------------------------------------------------------------------


def read_default(words: Words) -> Default:
    """The value that follows DEFAULT."""
    if words.word() == "(":
        words.parentheses()
        return Default("expression", varies=True)
    if words.accept("NULL"):
        return Default()
    if sign := words.any_of("+", "-"):
        number = ("-" if sign == "-" else "") + words.take("number").text
        return Default(number, number)
    token = words.take("string", "number", "word", "name")
    word = token.text.upper()
    if token.kind == "number":
        return Default(token.text, token.text)
    if token.kind == "string":
        return Default(literal(token.text), token.text)
    if word in ("TRUE", "FALSE"):
        number = "1" if word == "TRUE" else "0"
        return Default(number, number)
    if word in _NOW or token.kind == "name":
        inside = words.parentheses() if words.word() == "(" else None
        digits = "" if inside is None or inside.done else f"({inside.take('number').text})"
        return Default(f"CURRENT_TIMESTAMP{digits}", varies=True)
    following = words.peek()
    if following is not None and following.kind == "string":
        words.take()
        return _introduced(word, following.text)
    if word.startswith("0X"):
        return Default(word, str(int(word, 16)))
    if word.startswith("0B"):
        return Default(word, str(int(word, 2)))
    if words.word() == "(":  # a function, bare in MariaDB
        words.parentheses()
    elif words.accept("VALUE", "FOR"):
        words.table("")
    return Default("expression", varies=True)


def _introduced(word: str, text: str) -> Default:
    """b'…', x'…', n'…' and _charset'…'."""
    if word in ("B", "X"):
        return Default(f"{word.lower()}'{text}'", str(int(text or "0", 2 if word == "B" else 16)))
    return Default(literal(text), text)
