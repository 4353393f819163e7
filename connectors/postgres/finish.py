"""The target is consistent: what a load and its restarts are better off without is built now."""

from __future__ import annotations

from collections.abc import Sequence

from cdcd.errors import CdcdError
from cdcd.log import get_logger
from cdcd.model.table import Table
from connectors.postgres.foreign import check_stayed, postponed, put_back
from connectors.postgres.sessions import Session
from connectors.postgres.writer import Writer

log = get_logger("postgres.finish")

_THERE = ("42710", "42P07")
"""duplicate_object, duplicate_table: an index or constraint of that name is there."""

_TWINS = """
SELECT min(i.indexrelid)::regclass::text FROM pg_index i
JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
GROUP BY i.indkey::text, i.indclass::text, i.indcollation::text HAVING count(*) > 1
   AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = min(i.indexrelid))
"""


def build(writer: Writer, pipeline: str, tables: Sequence[Table], statements: Sequence[str]) -> None:
    """Each statement in a transaction of its own: what took an hour is not done again after a crash."""
    with writer.durably() as session:
        if writer.replica:
            check_stayed(session, tables)
        statements = [*statements, *postponed(session, pipeline)]
    for statement in statements:
        with writer.durably() as session:
            _run(session, statement)
    with writer.durably() as session:
        for table in tables:
            _drop_twins(session, table)
        put_back(session, pipeline)
        session.run("UPDATE cdcd.epochs SET finished = true WHERE pipeline = %s", (pipeline,))
    writer.look_again()


def _run(session: Session, statement: str) -> None:
    session.defer("SAVEPOINT building")
    try:
        session.run(statement)
    except CdcdError as error:
        if error.where.get("sqlstate") not in _THERE:
            error.where["statement"] = statement
            raise
        session.run("ROLLBACK TO SAVEPOINT building")
    else:
        log.info("built", statement=statement)


def _drop_twins(session: Session, table: Table) -> None:
    """The index that `prepare` made for a key other than the primary one has a twin now, with the source's name."""
    if table.key == table.primary:
        return
    for (index,) in session.rows(_TWINS, (table.schema, table.name)):
        session.run(f"DROP INDEX {index}")
