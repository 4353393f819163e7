"""What another product's source tells of its tables, as statements of PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cdcd.model.names import Named, alone, fitted, in_bytes
from cdcd.model.schema import NotCarried, Statement, sorted_out
from cdcd.model.structure import ForeignKey, Part, Structure
from cdcd.model.table import Table
from connectors.postgres.ddl import plain
from connectors.postgres.names import qualified, quote_identifier, quote_literal
from connectors.postgres.objects_types import comment_on, schema_statement
from connectors.postgres.translate import as_here

LONGEST = 63
"""Bytes of a name; the server cuts longer ones without a word."""

Made = Iterator[Statement | NotCarried]


def make_statements(structure: Structure) -> tuple[list[Statement], list[NotCarried]]:
    """In the order of their stages; what cannot be had here. The index that rows are found by comes before the data."""
    return sorted_out([*_before(structure), *_indexes(structure), *_foreign_keys(structure)])


def _before(structure: Structure) -> Made:
    for table in structure.tables:
        here = as_here(table)
        counted = [column for column in table.columns if column.identity and not _counts(here, column.name)]
        for one in counted:
            yield from _sequence(table, one.name)
        yield from plain(here)
        for one in counted:
            yield from _from_sequence(table, one.name)
    for table, column, comment in structure.comments:
        of, name = ("table", table.schema, table.name), qualified(table)
        what, name = ("COLUMN", f"{name}.{quote_identifier(column)}") if column else ("TABLE", name)
        yield from comment_on(what, name, comment, of, table.id)


def _counts(table: Table, name: str) -> bool:
    return any(column.identity and column.name == name for column in table.columns)


def _sequence(table: Table, column: str) -> Made:
    """An identity column holds no more than a bigint, and some hold more elsewhere: a sequence serves these."""
    yield from schema_statement(table.schema)
    name = _sequence_name(table, column)
    text = f"CREATE SEQUENCE {quote_identifier(table.schema)}.{quote_identifier(name)}"
    yield Statement("sequence", text, ("sequence", table.schema, name))


def _from_sequence(table: Table, column: str) -> Made:
    of, name = ("table", table.schema, table.name), quote_identifier(column)
    sequence = f"{quote_identifier(table.schema)}.{quote_identifier(_sequence_name(table, column))}"
    default = f"ALTER TABLE {qualified(table)} ALTER {name} SET DEFAULT nextval({quote_literal(sequence)})"
    yield Statement("default", default, of, table.id)
    owner = f"ALTER SEQUENCE {sequence} OWNED BY {qualified(table)}.{name}"
    yield Statement("owner", owner, of, table.id)


def _sequence_name(table: Table, column: str) -> str:
    return cut(f"{table.name}_{column}_seq", (table.id, column))


def _indexes(structure: Structure) -> Made:
    names = index_names(structure)
    seen = set()
    for index in structure.indexes:
        table, parts = index.table, ", ".join(map(_part, index.parts))
        unique = "UNIQUE " if index.unique else ""
        text = f"CREATE {unique}INDEX {quote_identifier(names[table.id, index.name])} ON {qualified(table)} ({parts})"
        if any(part.length is not None for part in index.parts):
            yield NotCarried("index", f"{table.id}.{index.name}", f"of parts of values, at the target: {text}")
            continue
        of = ("parts", table.schema, table.name, unique + parts)
        if of not in seen:  # the second of two that do the same
            key = index.unique and {part.column for part in index.parts} == set(table.key)
            yield Statement("index", text, of, table.id, "before" if key and not table.primary else "after")
        seen.add(of)


def _part(part: Part) -> str:
    name = quote_identifier(part.column)
    text = name if part.length is None else f"left({name}, {part.length})"
    return f"{text} DESC" if part.descending else text


def _foreign_keys(structure: Structure) -> Made:
    unique = {(index.table.id, frozenset(p.column for p in index.parts)) for index in structure.indexes if index.unique}
    unique |= {(table.id, frozenset(table.primary)) for table in structure.tables}
    for key in structure.foreign_keys:
        table, name = key.table, quote_identifier(cut(key.name, (key.table.id, key.name)))
        text = f"ALTER TABLE {qualified(table)} ADD CONSTRAINT {name} {_refers(key)}"
        if (key.other.id, frozenset(key.other_columns)) not in unique:
            what = "it refers to columns that are not unique; with a unique index on them, at the target"
            yield NotCarried("foreign key", f"{table.id}.{key.name}", f"{what}: {text}")
            continue
        of = ("constraint", table.schema, table.name, cut(key.name, (table.id, key.name)))
        yield Statement("foreign key", text if key.exact else f"{text} NOT VALID", of, table.id, "after")
        if not key.exact:
            valid = f"at the target, where no row refers in other letters: ALTER TABLE {qualified(table)} VALIDATE"
            yield NotCarried("validity", f"{table.id}.{key.name}", f"{valid} CONSTRAINT {name}")


def _refers(key: ForeignKey) -> str:
    columns = ", ".join(map(quote_identifier, key.columns))
    others = ", ".join(map(quote_identifier, key.other_columns))
    return f"FOREIGN KEY ({columns}) REFERENCES {qualified(key.other)} ({others}){key.actions}"


def index_names(structure: Structure) -> Mapping[tuple[str, str], str]:
    """By table and name at the source. Indexes share one space of names with the tables of their schema."""
    tables = {(table.schema, table.name) for table in structure.tables}
    return alone([Named(index.table, index.name) for index in structure.indexes], tables, LONGEST, in_bytes)


def cut(name: str, of: tuple[str, str]) -> str:
    return fitted(name, of, LONGEST, in_bytes)
