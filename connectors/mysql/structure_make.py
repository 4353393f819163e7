"""What another product's source tells of its tables, as statements of MySQL and MariaDB."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from cdcd.model.names import Named, alone
from cdcd.model.schema import NotCarried, Statement, sorted_out
from cdcd.model.structure import ForeignKey, Index, Structure
from cdcd.model.table import Table
from connectors.mysql.ddl import counting, plain, target_type
from connectors.mysql.names import quote
from connectors.mysql.sessions import Session
from connectors.mysql.types import Native

LONGEST = 64
"""Characters of a name."""

KEY_BYTES = 3072
"""Of an index of InnoDB, all columns together."""

LARGE = ("tinytext", "text", "mediumtext", "longtext", "tinyblob", "blob", "mediumblob", "longblob")
"""Types of which an index holds no more than a beginning."""

PREFIX = 255
"""Characters, or bytes, of such a beginning."""

Made = Iterator[Statement | NotCarried]
Types = Mapping[tuple[str, str], Native]
"""By id of the table and column, as they are here."""


def make_statements(session: Session, structure: Structure) -> tuple[list[Statement], list[NotCarried]]:
    """In the order of their stages; what cannot be had here. The index that rows are found by comes before the data."""
    tables = {table.id: _with_keys(table, structure) for table in structure.tables}
    types = {
        (table.id, column.name): Native.parse(target_type(session, table, column))
        for table in tables.values()
        for column in table.columns
    }
    comments = {(table.id, column): text for table, column, text in structure.comments}
    made: list[Statement | NotCarried] = []
    for table in tables.values():
        made += plain(session, table, comments)
        made += _counting(table)
    made += _indexes(session, structure, types)
    made += _foreign_keys(session, structure, types)
    return sorted_out(made)


def _with_keys(table: Table, structure: Structure) -> Table:
    """Columns of keys have types that a key takes: unique ones, and both ends of a foreign key."""
    mine = [one for one in structure.indexes if one.unique and one.table is table]
    unique = [tuple(part.column for part in one.parts) for one in mine]
    unique += [key.columns for key in structure.foreign_keys if key.table is table]
    unique += [key.other_columns for key in structure.foreign_keys if key.other is table]
    return replace(table, unique=(*table.unique, *unique))


def _counting(table: Table) -> Made:
    """Only one column counts, and it is the first of the primary key."""
    for column in table.columns:
        wanted = column.identity or (column.simple is not None and column.simple.kind == "next")
        if wanted and not counting(table, column):
            brings = "an application or a trigger that gives it numbers: AUTO_INCREMENT comes first in the primary key"
            yield NotCarried("identity", f"{table.id}.{column.name}", brings)


def _indexes(session: Session, structure: Structure, types: Types) -> Made:
    for index in structure.indexes:
        table = index.table
        parts, size = _parts(index, types)
        key = index.unique and {part.column for part in index.parts} == set(table.key) and not table.primary
        what = "UNIQUE INDEX" if index.unique else "INDEX"
        text = f"ALTER TABLE {session.homes.sql(table)} ADD {what} {quote(index.name)} ({', '.join(parts)})"
        large = [part.column for part in index.parts if types[table.id, part.column].name in (*LARGE, "json")]
        if size > KEY_BYTES or (index.unique and large) or any(types[table.id, c].name == "json" for c in large):
            why = "no index here holds so much" if size > KEY_BYTES else "no index here holds the whole of its values"
            yield NotCarried("index", f"{table.id}.{index.name}", f"{why}; with less of each: {text}")
            continue
        of = ("index", session.homes.of(table.schema), table.name, index.name)
        yield Statement("index", text, of, table.id, "before" if key else "after")


def _parts(index: Index, types: Types) -> tuple[list[str], int]:
    """The parts, and how many bytes an entry may have."""
    parts, size = [], 0
    for part in index.parts:
        type = types[index.table.id, part.column]
        length = f"({PREFIX})" if type.name in LARGE else ""
        characters = PREFIX if length else type.number(0, 1)
        size += characters * 4 if type.name in ("char", "varchar", "longtext") else min(characters, 3072) or 8
        parts.append(f"{quote(part.column)}{length}{' DESC' if part.descending else ''}")
    return parts, size


def _foreign_keys(session: Session, structure: Structure, types: Types) -> Made:
    names = alone([Named(key.table, key.name) for key in structure.foreign_keys], (), LONGEST, len)
    for key in structure.foreign_keys:
        table, name = key.table, names[key.table.id, key.name]
        text = f"ALTER TABLE {session.homes.sql(table)} ADD CONSTRAINT {quote(name)} {_refers(session, key)}"
        pairs = zip(key.columns, key.other_columns, strict=True)
        unlike = [one for one, other in pairs if not _alike(types[table.id, one], types[key.other.id, other])]
        why = f"{unlike[0]} has another type than what it refers to" if unlike else ""
        if "set default" in (key.on_delete, key.on_update):
            why = "InnoDB knows no SET DEFAULT"
        if why:
            yield NotCarried("foreign key", f"{table.id}.{key.name}", f"{why}; once that is changed: {text}")
            continue
        of = ("constraint", session.homes.of(table.schema), table.name, name)
        yield Statement("foreign key", text, of, table.id, "after")


def _alike(one: Native, other: Native) -> bool:
    """Texts may be of other lengths."""
    texts = ("char", "varchar", "binary", "varbinary")
    return replace(one, numbers=()) == replace(other, numbers=()) if one.name in texts else one == other


def _refers(session: Session, key: ForeignKey) -> str:
    columns, others = (", ".join(map(quote, names)) for names in (key.columns, key.other_columns))
    return f"FOREIGN KEY ({columns}) REFERENCES {session.homes.sql(key.other)} ({others}){key.actions}"
