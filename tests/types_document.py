"""Prints TYPES.md from the tables that the code itself goes by: `python -m tests.types_document > TYPES.md`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cdcd.model.types import binary, json, numbers, structured, text, time
from cdcd.model.types.family import Family
from connectors.jsonlines.values import EXPRESSIONS
from connectors.postgres.types import KINDS, NATIVES

FAMILIES: tuple[Family, ...] = tuple(
    family for module in (numbers, text, binary, time, json, structured) for family in module.FAMILIES
)

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
        ]
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [_row(head), _row(["---"] * len(head)), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    print(document(), end="")
