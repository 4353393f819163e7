"""Whether a table is under a snapshot what it is now: a table rewritten since then reads as empty, without an error
(T-PG-6). One query, asked in the snapshot and outside of it, must have one answer."""

from __future__ import annotations

from collections.abc import Sequence

from cdcd.errors import Outgrown, SnapshotLost
from cdcd.model.table import Table
from connectors.postgres.ask import Asker
from connectors.postgres.names import relation
from connectors.postgres.replication import Session

# The rows of the catalogue, not its functions: these would answer from now in both.
_FACE = """
WITH RECURSIVE tree AS (
    SELECT {oid}::oid AS oid
    UNION ALL
    SELECT i.inhrelid FROM tree t JOIN pg_catalog.pg_inherits i ON i.inhparent = t.oid
    WHERE {partitioned} AND NOT {detached})
SELECT c.oid::text, c.relfilenode::text, n.nspname || '.' || c.relname,
       (SELECT string_agg(concat_ws(' ', a.attnum, a.atttypid, a.atttypmod, a.attname), ', ' ORDER BY a.attnum)
        FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
FROM tree JOIN pg_catalog.pg_class c USING (oid) JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
ORDER BY c.oid
"""

_COLUMNS = """
SELECT a.attname, a.attnum::text, a.atttypid::text, pg_catalog.format_type(a.atttypid, a.atttypmod)
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = {oid} AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
ORDER BY a.attnum
"""

Face = list[list[str | None]]
"""Table and leaves: OID, file node, name, columns."""


def _statement(table: Table, version: int) -> str:
    # A partition that is being detached concurrently is marked (14+).
    detached = "i.inhdetachpending" if version >= 140000 else "false"
    partitioned = str(table.partitioned).lower()
    return _FACE.format(oid=table.oid, partitioned=partitioned, detached=detached)


def lock_and_compare(session: Session, asker: Asker, table: Table) -> Face:
    """In a session that has just imported: lock, as COPY does, then SnapshotLost unless the table is still what the
    snapshot holds, Outgrown unless that is what we know."""
    session.run(f"LOCK TABLE {relation(table)} IN ACCESS SHARE MODE")
    face = session.run(_statement(table, session.version))
    compare_with_now(face, asker, table, session.version)
    known = [[c.name, str(c.ident), str(c.type_id), c.native] for c in table.sent]
    found = session.run(_COLUMNS.format(oid=table.oid))
    if found != known:
        raise Outgrown(
            f"{table.id} is no longer the table that was planned",
            why=f"its columns are {_names(found)}, and were {_names(known)}",
            table=table.id,
        )
    return face


def compare_with_now(then: Face, asker: Asker, table: Table, version: int) -> None:
    """SnapshotLost unless `then` is what the table is now."""
    now = [list(row) for row in asker.ask(_statement(table, version))]
    if then != now or not then:
        raise SnapshotLost(
            "the table was rewritten, truncated or altered after the snapshot",
            why="file nodes, partitions or columns differ; under the snapshot it may read as empty",
            table=table.id,
        )


def _names(columns: Sequence[Sequence[str | None]]) -> str:
    return ", ".join(f"{name} {native}" for name, _, _, native in columns)
