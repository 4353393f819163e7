"""Names and texts in SQL of MySQL and MariaDB."""

from __future__ import annotations

from cdcd.model.table import Table


def quote(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def quote_table(table: Table) -> str:
    return f"{quote(table.schema)}.{quote(table.name)}"


def literal(text: str) -> str:
    """A string literal, under sql_mode ''."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
