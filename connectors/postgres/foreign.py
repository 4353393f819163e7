"""Foreign keys of a table that is being read again (T-PT-7). Where our role cannot do without their triggers they are
taken off, listed in cdcd.postponed, and put back by `finish`; where it can, nobody checks them while rows are written,
and `finish` looks for rows that refer to none."""

from __future__ import annotations

from collections.abc import Sequence

from cdcd.errors import Conflict
from cdcd.log import get_logger
from cdcd.model.table import Table
from connectors.postgres.sessions import Session
from connectors.postgres.shape import Shape

log = get_logger("postgres.foreign")

_KEYS = """
SELECT conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(oid)
FROM pg_constraint WHERE contype = 'f' AND conparentid = 0 AND %s IN (conrelid, confrelid) ORDER BY 1, 2
"""

# One with PERIOD (version 18 on) is no equality.
_STAYED = """
SELECT quote_ident(k.conname), k.conrelid::regclass::text, k.confrelid::regclass::text, k.confmatchtype = 'f',
       array_agg(quote_ident(c.attname) ORDER BY u.n), array_agg(quote_ident(p.attname) ORDER BY u.n)
FROM pg_constraint k
CROSS JOIN unnest(k.conkey, k.confkey) WITH ORDINALITY AS u (child, parent, n)
JOIN pg_attribute c ON c.attrelid = k.conrelid AND c.attnum = u.child
JOIN pg_attribute p ON p.attrelid = k.confrelid AND p.attnum = u.parent
WHERE k.contype = 'f' AND k.convalidated AND k.conparentid = 0
  AND to_jsonb(k) ->> 'conperiod' IS DISTINCT FROM 'true'
  AND EXISTS (
      SELECT FROM pg_class r JOIN pg_namespace n ON n.oid = r.relnamespace
      WHERE r.oid IN (k.conrelid, k.confrelid) AND format('%%s.%%s', n.nspname, r.relname) = ANY(%s))
GROUP BY k.oid, 1, 2, 3, 4 ORDER BY 2, 1
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


def check_stayed(session: Session, tables: Sequence[Table]) -> None:
    """Conflict where a foreign key that stands at the target, from or to one of these tables, does not hold."""
    for name, child, parent, full, mine, theirs in session.rows(_STAYED, ([table.id for table in tables],)):
        pairs = zip(mine, theirs, strict=True)
        referred = " AND ".join(f"p.{its} = c.{own}" for own, its in pairs)
        asked = (" OR " if full else " AND ").join(f"c.{own} IS NOT NULL" for own in mine)
        orphans = f"FROM {child} c WHERE ({asked}) AND NOT EXISTS (SELECT FROM {parent} p WHERE {referred})"
        ((count,),) = session.rows(f"SELECT count(*) {orphans}")
        if count:
            raise Conflict(
                f"{child} has rows that refer to none of {parent}",
                why=f"foreign key {name} of the target does not hold: the source has none like it, or somebody else "
                "changed the target's rows",
                hint=f"look at them: SELECT * {orphans} -- or, if the source allows them: "
                f"ALTER TABLE {child} DROP CONSTRAINT {name}",
                table=child,
                constraint=name,
                rows=count,
            )
