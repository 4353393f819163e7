"""Rows of tables without a key: equal ones are counted, and one of equal rows is as good as another (T-FO-4)."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.postgres.names import quote_identifier
from connectors.postgres.sessions import Session
from connectors.postgres.shape import Shape

_SWITCHES = ("enable_hashjoin", "enable_mergejoin", "enable_seqscan")
"""Off in the writer's session, which plans for look-ups by key (T-PF-5). Here there is none: one scan per statement."""


def whole_row(alias: str, columns: Sequence[str]) -> str:
    """A row as one text. Equal bytes on the wire are equal texts, and types without = (json, point) have one too."""
    return f"ROW({', '.join(f'{alias}.{column}' for column in columns)})::text"


def delete_rows(session: Session, shape: Shape, columns: Sequence[str], stage: str, where: str = "true") -> int:
    """Delete, for each row of the stage (its c1…) that meets `where`, one row of the table that equals it; the
    number deleted."""
    staged = {name: f"c{number}" for number, name in enumerate(columns, 1)}
    # Where a column is never NULL = holds as well, and the planner may use its index.
    indexed = [name for name in columns if name in shape.operators and not shape.columns[name].nullable]
    whole = whole_row("t", [quote_identifier(name) for name in columns])
    same = " AND ".join([f"{whole} = w.whole", *(shape.equals(name, f"w.{staged[name]}") for name in indexed)])
    kept = "".join(f", s.{staged[name]}" for name in indexed)
    for switch in _SWITCHES:
        session.defer(f"SET LOCAL {switch} = on")
    count = session.run(f"""
        WITH wanted AS (
            SELECT {whole_row("s", list(staged.values()))} AS whole{kept}, count(*) AS times
            FROM {stage} s WHERE {where} GROUP BY 1{kept}),
        found AS (
            SELECT t.tableoid, t.ctid, w.times, row_number() OVER (PARTITION BY w.whole) AS number
            FROM {shape.only} t JOIN wanted w ON {same})
        DELETE FROM {shape.only} t USING found f
        WHERE t.tableoid = f.tableoid AND t.ctid = f.ctid AND f.number <= f.times""")
    for switch in _SWITCHES:
        session.defer(f"SET LOCAL {switch} = off")
    return count
