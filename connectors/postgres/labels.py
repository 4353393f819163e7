"""Labels that were added to a source's enum: nothing in the stream tells of them, until a row has one."""

from __future__ import annotations

from collections.abc import Sequence

from cdcd.model.table import Column, Table
from connectors.postgres.ddl import labels_of
from connectors.postgres.names import quote_literal
from connectors.postgres.sessions import Session
from connectors.postgres.shape import find_shape

_LABELS = """
SELECT ARRAY(SELECT enumlabel::text FROM pg_enum WHERE enumtypid = t.oid ORDER BY enumsortorder)
FROM pg_type t WHERE t.oid = to_regtype(%s) AND t.typtype = 'e'
"""


def add_labels(session: Session, table: Table) -> list[str]:
    """Add to the enums of the target's table the labels that `table`, as it is now, has more; in their places. The
    statements that did it. A label that the source has no more was renamed there: that is left to people."""
    shape = find_shape(session, table.schema, table.name)
    if shape is None:
        return []
    statements: list[str] = []
    for column in table.carried:
        if labels_of(column) and column.name in shape.columns:
            # Of the target's column: a domain's, or an array's, enum.
            statements += _missing(session, column, shape.columns[column.name].staged.removesuffix("[]"))
    for statement in dict.fromkeys(statements):
        session.run(statement)
    return statements


def _missing(session: Session, column: Column, enum: str) -> Sequence[str]:
    row = session.row(_LABELS, (enum,))
    wanted = labels_of(column)
    if row is None or not set(row[0]) <= set(wanted):
        return []
    statements, there = [], set(row[0])
    after = ""
    for label in wanted:
        if label not in there:
            first = next((f" BEFORE {quote_literal(old)}" for old in row[0]), "")
            statements.append(f"ALTER TYPE {enum} ADD VALUE IF NOT EXISTS {quote_literal(label)}{after or first}")
        after = f" AFTER {quote_literal(label)}"
    return statements
