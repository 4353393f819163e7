"""How names and values are written into statements of the source: always quoted, whatever a person called them."""

from __future__ import annotations

from cdcd.model.table import Table


def quote_identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """standard_conforming_strings may be off: a backslash is written so that it does not matter."""
    escaped = text.replace("'", "''").replace("\\", "\\\\")
    return f"E'{escaped}'" if "\\" in text else f"'{escaped}'"


def qualified(table: Table) -> str:
    return f"{quote_identifier(table.schema)}.{quote_identifier(table.name)}"


def relation(table: Table) -> str:
    """The table in FROM, without children by inheritance: they are tables of their own."""
    return qualified(table) if table.partitioned else f"ONLY {qualified(table)}"
