"""Prints TYPES.md from the tables that the code itself goes by: `python -m tests.types_document > TYPES.md`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cdcd.model.types import binary, json, numbers, structured, text, time
from cdcd.model.types.family import Family
from connectors.jsonlines.values import EXPRESSIONS
from connectors.mysql.types import Native, logical
from connectors.postgres.translate import native_here
from connectors.postgres.types import KINDS, NATIVES

FAMILIES: tuple[Family, ...] = tuple(
    family for module in (numbers, text, binary, time, json, structured) for family in module.FAMILIES
)

FROM_MYSQL: Sequence[tuple[str, str]] = (
    ("tinyint(1)", "`BOOLEAN` is this type, and holds all of -128 to 127"),
    ("tinyint unsigned", ""),
    ("smallint", ""),
    ("smallint unsigned", ""),
    ("mediumint", ""),
    ("int", "display width and ZEROFILL are no part of a value"),
    ("int unsigned", ""),
    ("bigint", ""),
    ("bigint unsigned", "as a key, too"),
    ("decimal(65,30)", "all digits of the scale"),
    ("float", "all 24 bits, by load as by stream"),
    ("double", ""),
    ("bit(12)", ""),
    ("year", "0 is 0000"),
    ("date", "zero and partial dates, and the year 0, are refused by name; a target's column of text takes them"),
    ("datetime(6)", "as date"),
    ("timestamp(6)", "as date; UTC"),
    ("time(6)", "-838:59:59 to 838:59:59"),
    ("char(10)", "the server cuts blanks at its end"),
    ("char(0)", ""),
    ("varchar(40)", "from every character set that charsets.py names; PostgreSQL refuses a NUL"),
    ("longtext", "as varchar"),
    ("enum('a','b')", "the label; index 0, which a bad value became, is the empty string, as at the source"),
    ("set('a','b')", "members in the order of the definition, with commas"),
    ("binary(4)", "with the zeros at its end"),
    ("varbinary(10)", "text of the character set `binary` too"),
    ("longblob", ""),
    ("json", "numbers keep their digits; the sign of -0.0 goes; `\\u0000` is refused. MariaDB's is text"),
    ("geometry", "and its subtypes; MySQL's axes as stored: longitude first"),
    ("vector(3)", "an existing column of pgvector's type is filled too"),
    ("uuid", "MariaDB"),
    ("inet6", "MariaDB; inet4 too"),
)
"""Examples of each type of column, and what is special."""

HEAD = """\
# Types

Printed from the code by `python -m tests.types_document`; a test compares.

A column belongs to a *family*. A family has one canonical Python value, which is what source and target agree on
where they do not write a value alike. What plain Python cannot hold (infinite dates, years before 1 and after 9999,
24:00:00, months and days) has a small class in `cdcd/model/types/`. No mapping loses a value silently: a value that
a target cannot hold is an error that names table, column and value.

Between PostgreSQL servers no value is converted: the target receives what the source sent, in the server's own
binary or text form.
"""


def document() -> str:
    """The whole file."""
    families = (
        (f"`{f.name}`", f.value, f.parameters, EXPRESSIONS[f.name].json, f.note) for f in FAMILIES
    )
    types = ((f"`{n.name}`", f"`{n.family}`", n.note) for n in NATIVES.values())
    kinds = ((kind, family, note) for kind, family, note in KINDS)
    return "\n".join(
        [
            HEAD,
            "## Families\n",
            "*JSON* is what `cdcd tail` prints.\n",
            *_table(("family", "Python value", "parameters", "JSON", "notes"), families),
            "",
            "## PostgreSQL\n",
            "By the name in `pg_type`:\n",
            *_table(("type", "family", "notes"), types),
            "",
            "All others by their kind:\n",
            *_table(("kind", "family", "notes"), kinds),
            "",
            "## MySQL and MariaDB\n",
            "A column of another product's source is made at PostgreSQL by its family. A type that is not here keeps "
            "its table out, and `check` says so.\n",
            *_table(("type", "family", "at PostgreSQL", "notes"), map(_mysql, FROM_MYSQL)),
            "",
        ]
    )


def _mysql(example: tuple[str, str]) -> tuple[str, str, str, str]:
    type, note = example
    found = logical(Native.parse(type), "utf8mb4")
    return f"`{type}`", f"`{found.family}`", f"`{native_here(found)}`", note


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [_row(head), _row(["---"] * len(head)), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    print(document(), end="")
