"""Foreign keys of a table that is being read again, where our role cannot do without their triggers: taken off, listed
in cdcd.postponed, and put back by `finish` (T-PT-7)."""

from __future__ import annotations

from cdcd.log import get_logger
from connectors.postgres.sessions import Session
from connectors.postgres.shape import Shape

log = get_logger("postgres.foreign")

_KEYS = """
SELECT conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(oid)
FROM pg_constraint WHERE contype = 'f' AND conparentid = 0 AND %s IN (conrelid, confrelid) ORDER BY 1, 2
"""

_LIST = "INSERT INTO cdcd.postponed (pipeline, statement) VALUES (%s, %s) ON CONFLICT DO NOTHING"


def take_off(session: Session, pipeline: str, shape: Shape) -> bool:
    """Whether there were any. Else deleting the table's rows is refused, or followed by the rows that refer to them."""
    keys = session.rows(_KEYS, (shape.oid,))
    if keys:
        session.run("SET CONSTRAINTS ALL IMMEDIATE")  # what is checked at commit would be in the way of ALTER
    for table, name, text in keys:
        statement = f"ALTER TABLE {table} ADD CONSTRAINT {name} {text}"
        session.run(_LIST, (pipeline, statement))
        session.run(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        log.info("foreign key taken off until the table is read again", statement=statement)
    return bool(keys)


def postponed(session: Session, pipeline: str) -> list[str]:
    """The statements that put them back."""
    return [row[0] for row in session.rows("SELECT statement FROM cdcd.postponed WHERE pipeline = %s", (pipeline,))]


def put_back(session: Session, pipeline: str) -> None:
    """All were made again."""
    session.run("DELETE FROM cdcd.postponed WHERE pipeline = %s", (pipeline,))
