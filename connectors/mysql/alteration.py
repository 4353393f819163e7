"""ALTER TABLE of the log, applied to a table as it was before: what it is from there on, as the server makes it.

The server first drops and changes the columns that are there, by their names of before; then it places what is new or
moved, in the order of the statement, by the names of after (mysql_prepare_alter_table in sql/sql_table.cc).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cdcd.model.table import Column, Table
from connectors.mysql.catalogue import equality
from connectors.mysql.collations import Collations
from connectors.mysql.constants import Unsure, older_rows, simple
from connectors.mysql.convert import keeps_values
from connectors.mysql.definition import Default, Definition, has_text, native, read_default, read_definition
from connectors.mysql.foreign_keys import ForeignKeys
from connectors.mysql.period import is_hidden, is_period, period
from connectors.mysql.tokens import Dialect, NotUnderstood, Words
from connectors.mysql.types import Native, charset_of, logical


class Unfit(ValueError):
    """The statement is understood, and cannot have been run on the table as it is known."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a statement's meaning depends on beside its text."""

    dialect: Dialect
    database: str
    collations: Collations


_Name = tuple[str, str]
_OPTIONS = {
    "ENGINE", "TYPE", "COMMENT", "AUTO_INCREMENT", "ALGORITHM", "LOCK", "ROW_FORMAT", "KEY_BLOCK_SIZE",
    "STATS_PERSISTENT", "STATS_AUTO_RECALC", "STATS_SAMPLE_PAGES", "COMPRESSION", "ENCRYPTION", "CHECKSUM",
    "TABLE_CHECKSUM", "PAGE_CHECKSUM", "AVG_ROW_LENGTH", "MAX_ROWS", "MIN_ROWS", "PACK_KEYS", "DELAY_KEY_WRITE",
    "INSERT_METHOD", "TABLESPACE", "STORAGE",
    "CONNECTION", "PASSWORD", "SECONDARY_ENGINE", "ENGINE_ATTRIBUTE", "SECONDARY_ENGINE_ATTRIBUTE", "WAIT",
    "AUTOEXTEND_SIZE", "TRANSACTIONAL",
}  # fmt: skip
_PARTITION_ALONE = {
    "ANALYZE", "CHECK", "COALESCE", "OPTIMIZE", "REBUILD", "REORGANIZE", "REPAIR", "REMOVE", "PARTITION",
    "SECONDARY_LOAD", "SECONDARY_UNLOAD",
}  # fmt: skip
_INDEX = ("INDEX", "KEY", "FULLTEXT", "SPATIAL", "CHECK")


class Alteration:
    """One ALTER TABLE. Afterwards: `table`, as it is from then on; `reload`: why its rows are not what they were, where
    no event tells; `others`: tables whose rows changed with it; `gone`: those that became a part of it."""

    def __init__(self, table: Table, words: Words, setting: Setting, ignore: bool = False) -> None:
        self.table = table
        self.reload = "rows that were in the way of an index are gone" if ignore else ""
        self.others: list[_Name] = []
        self.gone: list[_Name] = []
        self._name = (table.schema, table.name)
        self._words = words
        self._setting = setting
        self._columns = list(table.columns)
        self._keys = ForeignKeys(table)
        self._next = max([table.attributes, *(column.ident for column in table.columns)]) + 1
        self._collation = table.collation
        self._dropped: set[str] = set()
        self._changed: dict[str, Column] = {}  # by name of before
        self._placed: list[tuple[Column, str | None]] = []  # what is new or moved; behind which, "": first
        self._moved: set[int] = set()
        self._primary: list[str] | None = None
        self._no_primary = False
        self._converted = False
        while not words.done:
            self._action()
            words.accept(",")
        self._finish()

    # --- reading --------------------------------------------------------------------------------------------------

    def _action(self) -> None:
        words = self._words
        if words.accept("ADD"):
            self._add()
        elif words.accept("DROP"):
            self._drop()
        elif words.accept("MODIFY"):
            maybe = self._if("COLUMN")
            name = self._column_name()
            self._change(name, name, maybe)
        elif words.accept("CHANGE"):
            maybe = self._if("COLUMN")
            name = self._column_name()
            self._change(name, words.name(), maybe)
        elif words.accept("RENAME"):
            self._rename()
        elif words.accept("ALTER"):
            self._alter()
        elif words.accept("CONVERT"):
            self._convert()
        elif words.accept("EXCHANGE", "PARTITION"):
            words.name()
            words.expect("WITH", "TABLE")
            self.others.append(words.table(self._setting.database))
            self.reload = "a partition was exchanged"
            words.rest()
        elif words.accept("TRUNCATE", "PARTITION"):
            self.reload = "a partition was emptied"
            words.rest()
        elif words.accept("IMPORT"):
            self.reload = "its rows were imported"
            words.rest()
        elif words.accept("DISCARD") or words.any_of(*_PARTITION_ALONE):
            words.rest()
        else:
            self._option()

    def _if(self, what: str = "") -> bool:
        """[COLUMN] [IF [NOT] EXISTS]; whether there was an IF."""
        if what:
            self._words.accept(what)
        return self._words.accept("IF", "NOT", "EXISTS") or self._words.accept("IF", "EXISTS")

    def _column_name(self) -> str:
        """Perhaps with its table's, and its database's."""
        words = self._words
        words.accept(".")
        name = words.name()
        while words.accept("."):
            name = words.name()
        return name

    def _add(self) -> None:
        words = self._words
        if words.accept("PARTITION"):
            words.rest()
        elif words.accept("SYSTEM", "VERSIONING"):
            self._version()
        elif (words.word(), words.word(1)) == ("PERIOD", "FOR"):
            words.expect("PERIOD", "FOR")
            words.take("word", "name")
            words.parentheses()
        elif not self._key(words):
            maybe = self._if("COLUMN")
            if words.word() == "(":
                inside = words.parentheses()
                while not inside.done:
                    if not self._key(inside):
                        self._define(inside, maybe)
                    inside.accept(",")
            else:
                self._define(words, maybe)

    def _key(self, words: Words) -> bool:
        """An index or a constraint; whether it is one."""
        named, name = words.accept("CONSTRAINT"), ""
        if named and words.word() not in ("PRIMARY", "UNIQUE", "FOREIGN", "CHECK"):
            name = words.name()
        if words.accept("PRIMARY", "KEY"):
            self._primary = _key_columns(words)
        elif words.accept("UNIQUE"):
            words.any_of("INDEX", "KEY")
            _skip(words)
        elif words.accept("FOREIGN"):
            self._keys.read(words, name, self._setting.database)
        elif words.any_of(*_INDEX) or words.accept("VECTOR", "INDEX") or words.accept("VECTOR", "KEY"):
            _skip(words)
        elif named:
            raise words.lost("a constraint of an unknown kind")
        else:
            return False
        return True

    def _define(self, words: Words, maybe: bool) -> None:
        """A new column."""
        start = words.at
        words.accept(".")
        name = words.name()
        while words.accept("."):
            name = words.name()
        definition = read_definition(words, name, self._setting.dialect)
        place = _position(words)
        if self._find(name) is not None and name.lower() not in self._dropped | set(self._changed):
            if maybe:
                return
            raise Unfit(f"it has a column {name} already")
        column = self._made(definition, self._next, start)
        self._next += 1
        if definition.auto:
            self._again(f"rows were numbered in {name}")
        elif column.generated is None:
            try:
                column = replace(column, missing=older_rows(column, definition.default))
            except Unsure as unsure:
                self._again(f"what older rows have in {name} is not in the log: {unsure}")
        self._placed.append((column, place))

    def _again(self, why: str) -> None:
        self.reload = self.reload or why

    def _drop(self) -> None:
        words = self._words
        if words.accept("PARTITION"):
            self._again("a partition was dropped")
            words.rest()
        elif words.accept("PRIMARY", "KEY"):
            self._no_primary = True
        elif words.accept("SYSTEM", "VERSIONING"):
            self._dropped |= {column.name.lower() for column in self._columns if is_period(column)}
        elif (words.word(), words.word(1)) == ("PERIOD", "FOR"):
            words.expect("PERIOD", "FOR")
            words.take("word", "name")
        elif what := words.any_of("INDEX", "KEY", "CONSTRAINT"):
            self._if()
            name = words.name()
            self._keys.drop(name if what == "CONSTRAINT" else "")
            if name.upper() == "PRIMARY":
                self._no_primary = True
            elif self.table.key and not self.table.primary:
                self._again(f"{name} may be what named its rows")
        elif words.accept("FOREIGN", "KEY") or words.accept("CHECK"):
            self._if()
            self._keys.drop(words.name())
        else:
            maybe = self._if("COLUMN")
            name = self._column_name()
            words.any_of("RESTRICT", "CASCADE")
            if self._find(name) is not None:
                self._dropped.add(name.lower())
            elif not maybe:
                raise Unfit(f"it has no column {name}")

    def _change(self, name: str, new: str, maybe: bool) -> None:
        was = self._find(name)
        start = self._words.at
        definition = read_definition(self._words, new, self._setting.dialect)
        place = _position(self._words)
        if was is None:
            if maybe:
                return
            raise Unfit(f"it has no column {name}")
        now = self._made(definition, was.ident, start)
        self._changed[name.lower()] = now
        if place is not None:
            self._moved.add(now.ident)
            self._placed.append((now, place))
        if now.generated is None and was.generated is None:
            if not keeps_values(was, now):
                self._again(f"the values of {name} were converted from {was.native} to {now.native}")
            if was.nullable and not now.nullable and not self._setting.dialect.strict:
                self._again(f"what was NULL in {name} became something else")
            if now.identity and not was.identity and not self._setting.dialect.zero_is_zero:
                self._again(f"rows were numbered in {name}")

    def _rename(self) -> None:
        words = self._words
        if words.accept("COLUMN"):
            self._if()
            name = self._column_name()
            words.expect("TO")
            new = words.name()
            if (was := self._find(name)) is None:
                raise Unfit(f"it has no column {name}")
            self._changed[name.lower()] = replace(self._changed.get(name.lower(), was), name=new)
        elif words.any_of("INDEX", "KEY"):
            self._if()
            words.name()
            words.expect("TO")
            words.name()
        else:
            words.any_of("TO", "AS", "=")
            self._name = words.table(self._setting.database)

    def _alter(self) -> None:
        words = self._words
        if words.any_of("INDEX", "KEY", "CHECK", "CONSTRAINT"):
            self._if()
            words.name()
            _skip(words)
            return
        self._if("COLUMN")
        name = self._column_name()
        if (was := self._find(name)) is None:
            raise Unfit(f"it has no column {name}")
        was = self._changed.get(name.lower(), was)
        if words.accept("SET", "DEFAULT"):
            default = read_default(words)
            self._changed[name.lower()] = replace(was, default=default.sql, simple=simple(was, default))
        elif words.accept("DROP", "DEFAULT"):
            self._changed[name.lower()] = replace(was, default=None, simple=None)
        else:
            words.expect("SET")
            if not words.any_of("VISIBLE", "INVISIBLE"):
                raise words.lost("SET what")

    def _convert(self) -> None:
        words = self._words
        if words.accept("PARTITION"):
            self._again("a partition became a table")
            words.rest()
        elif words.accept("TABLE"):
            self.gone.append(words.table(self._setting.database))
            self._again("a table became a partition")
            words.rest()
        else:
            words.expect("TO")
            if not words.accept("CHARACTER", "SET") and not words.accept("CHARSET"):
                raise words.lost("CONVERT TO what")
            self._charset()
            self._converted = True
            self._again("its text was converted")

    def _charset(self) -> None:
        """The table's own, from then on."""
        words = self._words
        words.accept("=")
        charset, collate = words.take("word", "name", "string").text.lower(), None
        charset = "utf8mb3" if charset == "utf8" else charset
        if words.accept("COLLATE"):
            words.accept("=")
            collate = words.take("word", "name", "string").text.lower()
        if charset == "default":
            raise words.lost("the database's character set")
        self._collation = self._collate(charset, collate, False)

    def _option(self) -> None:
        words = self._words
        words.accept("DEFAULT")
        if words.accept("CHARACTER", "SET") or words.accept("CHARSET"):
            self._charset()
        elif words.accept("COLLATE"):
            words.accept("=")
            self._collation = self._collate(None, words.take("word", "name", "string").text.lower(), False)
        elif words.accept("ORDER", "BY"):
            words.rest()
        elif words.any_of("ENABLE", "DISABLE"):
            words.expect("KEYS")
        elif words.any_of("WITH", "WITHOUT"):
            words.expect("VALIDATION")
        elif words.any_of("DATA", "INDEX"):
            words.expect("DIRECTORY")
            words.accept("=")
            words.take("string")
        elif words.accept("UNION"):
            words.accept("=")
            words.parentheses()
        elif not words.any_of("FORCE", "NOWAIT"):
            token = words.take("word", "name")
            if not words.accept("=") and token.text.upper() not in _OPTIONS:
                raise NotUnderstood(f"{token.text} is not known", token.at)
            words.take("word", "name", "string", "number")

    # --- making ---------------------------------------------------------------------------------------------------

    def _find(self, name: str) -> Column | None:
        """By a name of before; letters' case does not count."""
        return next((column for column in self._columns if column.name.lower() == name.lower()), None)

    def _collate(self, charset: str | None, collate: str | None, binary: bool) -> str:
        try:
            return self._setting.collations.of(charset, collate, binary, self._collation)
        except LookupError as error:
            raise NotUnderstood(f"the collation {error} is not known", 0) from None

    def _made(self, definition: Definition, ident: int, at: int) -> Column:
        dialect = self._setting.dialect
        collation = None
        if definition.type == "json" and dialect.mariadb:
            collation = "utf8mb4_bin"
        elif has_text(definition, dialect):
            collation = self._collate(definition.charset, definition.collate, definition.bin)
        charset = self._setting.collations.charsets.get(collation or "", "")
        text = native(definition, charset, dialect)
        collation = None if charset == "binary" else collation
        try:
            parsed = Native.parse(text)
            family = logical(parsed, charset or "binary")
        except ValueError as error:
            raise NotUnderstood(str(error), at) from None
        nullable, default = definition.nullable, definition.default
        if definition.type == "timestamp" and not dialect.explicit and nullable is None:
            nullable = False
            if default is None:
                default = definition.default = Default("CURRENT_TIMESTAMP", varies=True)
        if definition.primary:
            self._primary = [definition.name]
        keeps = nullable if nullable is not None else not (definition.primary or definition.auto)
        column = Column(
            definition.name, ident, family, text, nullable=keeps,
            default=default.sql if default is not None else None, generated=definition.generated,
            identity="d" if definition.auto else None, collation=collation, equality=equality(parsed, collation),
        )  # fmt: skip
        return replace(column, simple=simple(column, default))

    def _version(self) -> None:
        """WITH SYSTEM VERSIONING, which adds two columns that no catalogue lists, unless the table has its own."""
        placed = (column for column, _ in self._placed)
        if any(map(is_period, [*self._columns, *placed])):
            return
        for column in period(self._next):
            self._placed.append((column, None))
        self._next += 2

    def _finish(self) -> None:
        names = {column.ident: column.name for column in self._columns}
        kept = [column for column in self._columns if column.name.lower() not in self._dropped]
        columns = [self._changed.get(column.name.lower(), column) for column in kept]
        last = {column.ident: column for column in columns}
        columns = [column for column in columns if column.ident not in self._moved]
        for column, place in self._placed:
            _place(columns, last.get(column.ident, column), place)
        if self._converted:
            columns = [self._in_table_charset(column) for column in columns]
        now = {names[column.ident]: column.name for column in columns if column.ident in names}
        primary = tuple(now[name] for name in self.table.primary if name in now)
        key = tuple(now[name] for name in self.table.key if name in now)
        if len(key) < len(self.table.key) and not self.table.primary:
            self._again("a column that named its rows is gone")
        if self._no_primary and self.table.primary:
            primary = key = ()
        if self._primary is not None:
            primary = key = self._named(columns, self._primary)
            could = any(column.nullable for column in self._columns if now.get(column.name) in primary)
            if could and not self._setting.dialect.strict:
                self._again("what was NULL in its key became something else")
        elif self.table.primary:
            key = primary
        columns = [replace(column, nullable=False) if column.name in primary else column for column in columns]
        if any(column.nullable for column in columns if column.name in key):
            key = ()
            self._again("what named its rows may be NULL")
        self.table = replace(
            self.table, schema=self._name[0], name=self._name[1], columns=tuple(columns), primary=primary, key=key,
            collation=self._collation, attributes=self._next - 1, references=self._keys.renamed(now),
            unique=tuple(tuple(now[name] for name in its if name in now) for its in self.table.unique),
        )  # fmt: skip

    def _named(self, columns: list[Column], names: list[str]) -> tuple[str, ...]:
        """As the columns spell them."""
        by_name = {column.name.lower(): column.name for column in columns}
        for name in names:
            if name.lower() not in by_name:
                raise Unfit(f"it has no column {name}")
        return tuple(by_name[name.lower()] for name in names)

    def _in_table_charset(self, column: Column) -> Column:
        if column.collation is None or charset_of(column) == "binary":
            return column
        collation = self._collation
        return replace(column, collation=collation, equality=equality(Native.parse(column.native), collation))


def _place(columns: list[Column], column: Column, place: str | None) -> None:
    if place is None:
        # What the server adds itself stays behind.
        hidden = next((number for number, other in enumerate(columns) if is_hidden(other)), len(columns))
        columns.insert(hidden if not is_hidden(column) else len(columns), column)
    elif not place:
        columns.insert(0, column)
    else:
        at = next((number for number, other in enumerate(columns) if other.name.lower() == place.lower()), None)
        if at is None:
            raise Unfit(f"it has no column {place}")
        columns.insert(at + 1, column)


def _position(words: Words) -> str | None:
    """FIRST: "", AFTER x: x; None: where it is, or at the end."""
    if words.accept("FIRST"):
        return ""
    return words.name() if words.accept("AFTER") else None


def _key_columns(words: Words) -> list[str]:
    """Of PRIMARY KEY [name] [USING x] (a, b(3) DESC) and its options."""
    while words.word() != "(":
        words.take("word", "name")
    inside, names = words.parentheses(), []
    while not inside.done:
        names.append(inside.name())
        if inside.word() == "(":
            inside.parentheses()
        inside.any_of("ASC", "DESC")
        if not inside.done:
            inside.expect(",")
    _skip(words)
    return names


def _skip(words: Words) -> None:
    """Up to the comma that ends this action."""
    while not words.done and words.word() != ",":
        if words.word() == "(":
            words.parentheses()
        else:
            words.take()
