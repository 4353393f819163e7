"""The target is consistent: what a load and its restarts are better off without is built now; and, at cut-over, what
the target is better off without as long as we write there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from cdcd.errors import CdcdError
from cdcd.log import get_logger
from cdcd.model.schema import Stage, Statement
from cdcd.model.table import Table
from connectors.postgres.foreign import check_stayed, postponed, put_back
from connectors.postgres.missing import missing
from connectors.postgres.sessions import Session
from connectors.postgres.writer import Writer

log = get_logger("postgres.finish")

_THERE = ("42710", "42P07")
"""duplicate_object, duplicate_table: a constraint of that name is there."""

_TWINS = """
SELECT min(i.indexrelid)::regclass::text FROM pg_index i
JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
GROUP BY i.indkey::text, i.indclass::text, i.indcollation::text HAVING count(*) > 1
   AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = min(i.indexrelid))
"""

_MINE = """
SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname || '.' || c.relname = ANY (%s) AND pg_has_role(c.relowner, 'USAGE')
"""


def staged(session: Session, objects: Sequence[Statement], replica: bool) -> list[Statement]:
    """The objects with the stages that they have for our role: a trigger that would fire for what we write waits for
    the cut-over. Without the privileges that the server's version does not know."""
    known = [one for one in objects if one.kind != "grant" or one.needs <= session.version]
    if replica:
        return known
    triggers = {one.of for one in known if one.kind == "trigger" and one.table}
    return [replace(one, stage="cut-over") if one.of in triggers else one for one in known]


def plan_stage(session: Session, objects: Sequence[Statement], stage: Stage) -> list[Statement]:
    """What of a later stage is missing now, where all tables are there."""
    return missing(session, [one for one in objects if one.stage == stage])


def build(writer: Writer, pipeline: str, tables: Sequence[Table], objects: Sequence[Statement]) -> None:
    """Each object in a transaction of its own: what took an hour is not done again after a crash."""
    with writer.durably() as session:
        if writer.replica:
            check_stayed(session, tables)
        wanted = missing(session, [one for one in staged(session, objects, writer.replica) if _builds(one)])
        again = postponed(session, pipeline)
    for _, its in groupby(wanted, key=lambda one: one.of):
        with writer.durably() as session:
            for one in its:
                run_named(session, one.text)
    for text in again:
        with writer.durably() as session:
            _put_back(session, text)
    with writer.durably() as session:
        for table in tables:
            _drop_twins(session, table)
        put_back(session, pipeline)
        session.run("UPDATE cdcd.epochs SET finished = true WHERE pipeline = %s", (pipeline,))
    writer.look_again()


def _builds(statement: Statement) -> bool:
    """What is made after the data; and before it, views and functions: one that speaks of a table that joined and of an
    older one could not be made by the join, which knows its own tables alone."""
    return statement.stage == "after" or (statement.stage == "before" and statement.of[0] in ("object", "view body"))


def plan_hand_over(session: Session, objects: Sequence[Statement]) -> tuple[list[Statement], list[Statement]]:
    """What is missing for the application to write here: what our role may make, and what others must."""
    wanted = plan_stage(session, staged(session, objects, replica=False), "cut-over")
    mine = {row[0] for row in session.rows(_MINE, ([one.table for one in wanted],))}
    return [one for one in wanted if one.table in mine], [one for one in wanted if one.table not in mine]


def hand_over(session: Session, objects: Sequence[Statement]) -> list[Statement]:
    """All or nothing: who hands over behind a fence takes it down again where this fails."""
    wanted = plan_hand_over(session, objects)[0]
    session.run("BEGIN; SET LOCAL lock_timeout = '10s'; SET LOCAL synchronous_commit = on")
    for one in wanted:
        run_named(session, one.text)
    session.run("COMMIT")
    return wanted


def run_named(session: Session, text: str) -> None:
    """An error names the statement."""
    try:
        session.run(text)
    except CdcdError as error:
        error.where.setdefault("statement", text)
        raise
    log.info("built", statement=text)


def _put_back(session: Session, text: str) -> None:
    """A foreign key that was taken off; the source's may have been made by that name since."""
    session.defer("SAVEPOINT building")
    try:
        run_named(session, text)
    except CdcdError as error:
        if error.where.get("sqlstate") not in _THERE:
            raise
        session.run("ROLLBACK TO SAVEPOINT building")


def _drop_twins(session: Session, table: Table) -> None:
    """The index that `prepare` made for a key other than the primary one has a twin now, with the source's name."""
    if table.key == table.primary:
        return
    for (index,) in session.rows(_TWINS, (table.schema, table.name)):
        session.run(f"DROP INDEX {index}")
