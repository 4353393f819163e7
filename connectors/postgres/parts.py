"""Only some rows of a table, or other values of some columns: what a person's SQL asks of a copy, and whether the
server understands it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cdcd.contracts import Finding
from cdcd.errors import CdcdError
from cdcd.model.table import Column, Table
from connectors.postgres.ask import Asker
from connectors.postgres.findings import finding
from connectors.postgres.names import quote_identifier, relation


@dataclass(frozen=True, slots=True)
class Parts:
    """`where`: a condition by table. `mask`: an expression by table.column. A line break ends a comment in either."""

    where: Mapping[str, str] = field(default_factory=dict)
    mask: Mapping[str, str] = field(default_factory=dict)

    def tests(self, table: Table) -> list[str]:
        """Conditions that a row must fulfil to be copied."""
        wanted = self.where.get(table.id)
        return [f"({wanted}\n)"] if wanted is not None else []

    def value(self, table: Table, column: Column) -> str:
        """What is copied as the column: itself, or another value of its type."""
        expression = self.mask.get(f"{table.id}.{column.name}")
        return quote_identifier(column.name) if expression is None else f"CAST(({expression}\n) AS {column.native})"

    def touch(self, table: Table) -> bool:
        """Whether the table is not copied as it is."""
        return table.id in self.where or any(f"{table.id}.{column.name}" in self.mask for column in table.carried)


EVERYTHING = Parts()


def check_parts(asker: Asker, tables: Sequence[Table], parts: Parts) -> Iterator[Finding]:
    """One for each condition and expression that the server refuses."""
    for table in tables:
        for test in parts.tests(table):
            if refused := _said(asker, f"SELECT FROM {relation(table)} WHERE {test}"):
                yield finding("PG-WHERE", f"the condition on {table.id} is refused", refused)
        for column in table.carried:
            name = f"{table.id}.{column.name}"
            if name in parts.mask and (
                refused := _said(asker, f"SELECT {parts.value(table, column)} FROM {relation(table)}")
            ):
                yield finding("PG-MASK", f"the mask of {name} is refused", refused)


def _said(asker: Asker, query: str) -> str:
    """What the server says to it, "" where it takes it: prepared, it is understood and not run."""
    try:
        asker.ask(f"PREPARE cdcd_part AS {query}")
    except CdcdError as error:
        if error.retryable:
            raise
        return error.what
    asker.ask("DEALLOCATE cdcd_part")
    return ""
