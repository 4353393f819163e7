"""Schema changes that the source's log tells of itself: event triggers of ours write each into it, in the transaction
and at the place of the statement, with the table as it is from there on ("Event Triggers", pg_logical_emit_message).

They are a person's to install, as only a superuser may; nothing here needs them. They never write to a table and leave
alone what is temporary. TRUNCATE, VACUUM FULL and CLUSTER fire no event trigger.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cdcd.model.table import Table
from connectors.postgres.ask import Asker
from connectors.postgres.catalogue import COLUMNS, OURS, TABLES, described
from connectors.postgres.connect import SESSION

PREFIX = "cdcd.ddl"
SINCE = 140000
"""pgoutput hands messages on from version 14."""

_EVENTS = {"cdcd_ddl": "ddl_command_end", "cdcd_drop": "sql_drop", "cdcd_rewrite": "table_rewrite"}


_SHOWN = ("TimeZone", "DateStyle", "IntervalStyle", "extra_float_digits", "bytea_output", "quote_all_identifiers")
"""Settings of our sessions by which a default's value, or an expression, is shown; whatever the application's are."""


_TABLE = (int, str, str, bool, str, int | float, int | float, list, list, list, list | None, bool, int, str)
_COLUMN = (int, str, int, int, int, str, bool, str | None, bool, str | None, str | None, bool, str | None, str)
"""What rows of TABLES and COLUMNS have."""


def _rows(query: str, width: int, touched: str) -> str:
    """The query's rows as JSON objects {"c0": …}, about the tables in an array of theirs."""
    for parameter, value in (
        ("%(oids)s", touched), ("%(wanted)s", "NULL::text[]"), ("%(leaves)s", "false"), ("%(ours)s", f"'{OURS}'"),
    ):  # fmt: skip
        query = query.replace(parameter, value)
    names = ", ".join(f"c{number}" for number in range(width))
    return f"coalesce((SELECT jsonb_agg(to_jsonb(q)) FROM ({query.strip()}) q ({names})), '[]')"


# Of reasons to rewrite, those by which values may change: 2 a default, 4 a column's type.
_BODY = f"""
DECLARE
    cdcd_touched int8[];
    cdcd_said jsonb;
BEGIN
    IF TG_EVENT = 'table_rewrite' THEN
        IF pg_event_trigger_table_rewrite_reason() & 6 <> 0 THEN
            cdcd_said := jsonb_build_object('rewritten', ARRAY[pg_event_trigger_table_rewrite_oid()::int8]);
        END IF;
    ELSIF TG_EVENT = 'sql_drop' THEN
        SELECT jsonb_build_object('dropped', jsonb_agg(DISTINCT e.objid::int8)) INTO cdcd_said
        FROM pg_event_trigger_dropped_objects() e
        WHERE e.classid = 'pg_class'::regclass AND e.objsubid = 0 AND e.object_type = 'table' AND NOT e.is_temporary
        HAVING count(*) > 0;
    ELSE
        SELECT array_agg(DISTINCT o.oid) INTO cdcd_touched
        FROM pg_event_trigger_ddl_commands() e
        JOIN pg_class c ON e.classid = 'pg_class'::regclass AND c.oid = e.objid
                        OR e.classid = 'pg_namespace'::regclass AND c.relnamespace = e.objid,
        LATERAL (SELECT c.oid::int8 UNION SELECT pg_partition_root(c.oid)::oid::int8 UNION
                 SELECT l.relid::oid::int8 FROM pg_partition_tree(c.oid) l
                 WHERE EXISTS (SELECT FROM pg_publication_rel r WHERE r.prrelid = l.relid)) o (oid)
        WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND o.oid IS NOT NULL;
        IF cdcd_touched IS NOT NULL THEN
            cdcd_said := jsonb_build_object(
                'tables', {_rows(TABLES, len(_TABLE), "cdcd_touched")},
                'columns', {_rows(COLUMNS, len(_COLUMN), "cdcd_touched")});
        END IF;
    END IF;
    IF cdcd_said IS NOT NULL THEN
        PERFORM pg_logical_emit_message(true, '{PREFIX}', convert_to(cdcd_said::text, 'UTF8'));
    END IF;
END
"""

_DIGEST = hashlib.md5(_BODY.encode(), usedforsecurity=False).hexdigest()

SCRIPT = f"""\
-- Has this database write each schema change into its log, for cdcd to find in its place. To be run by a superuser, or
-- the role that a service has in its stead. Once more after an update of cdcd that asks for it. To take it away:
-- {" ".join(f"DROP EVENT TRIGGER {name};" for name in _EVENTS)} DROP FUNCTION {OURS}.announce();
BEGIN;
CREATE SCHEMA IF NOT EXISTS {OURS};
{" ".join(f"DROP EVENT TRIGGER IF EXISTS {name};" for name in _EVENTS)}
CREATE OR REPLACE FUNCTION {OURS}.announce() RETURNS event_trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp {" ".join(f"SET {name} = '{SESSION[name]}'" for name in _SHOWN)}
AS $cdcd${_BODY}$cdcd$;
{
    "".join(
        f"CREATE EVENT TRIGGER {name} ON {event} EXECUTE FUNCTION {OURS}.announce();{chr(10)}"
        for name, event in _EVENTS.items()
    )
}COMMIT;
-- Who began before that announces nothing: only when all of these have ended is it relied on.
DO $cdcd$
DECLARE begun xid8 := pg_snapshot_xmax(pg_current_snapshot());
BEGIN
    COMMIT;
    WHILE pg_snapshot_xmin(pg_current_snapshot()) < begun LOOP
        PERFORM pg_sleep(0.1);
        COMMIT;
    END LOOP;
END
$cdcd$;
BEGIN;
{" ".join(f"ALTER EVENT TRIGGER {name} ENABLE ALWAYS;" for name in _EVENTS)}
COMMIT;
"""

_INSTALLED = """
SELECT string_agg(format('%%s:%%s:%%s', t.oid, t.xmin, p.xmin), ',' ORDER BY t.evtname),
       bool_and(age(t.xmin) > age(s.catalog_xmin) AND age(p.xmin) > age(s.catalog_xmin))
FROM pg_event_trigger t JOIN pg_proc p ON p.oid = t.evtfoid
LEFT JOIN pg_replication_slots s ON s.slot_name = %s
WHERE t.evtname = ANY (%s) AND t.evtenabled = 'A' AND t.evttags IS NULL AND md5(p.prosrc) = %s
HAVING count(*) = %s
"""


@dataclass(frozen=True, slots=True)
class Announcement:
    """`tables` as they are from here on; OIDs of what was `dropped`; of those whose rows are being `rewritten`, or
    of which nobody can tell any more what they were."""

    tables: Sequence[Table] = ()
    dropped: frozenset[int] = field(default_factory=frozenset)
    rewritten: frozenset[int] = field(default_factory=frozenset)


    def about(self, known: Table) -> bool:
        leaves = {int(leaf.partition(":")[0]) for leaf in known.leaves}
        return bool(
            {known.oid} & {table.oid for table in self.tables}
            or ({known.oid} | leaves) & (self.dropped | self.rewritten)
        )


def read(asker: Asker, content: bytes) -> Announcement:
    """ValueError and its like: it is none of ours. Who wrote it is not known: texts of types, defaults and expressions
    in it must reach no statement."""
    said = json.loads(content)
    if not isinstance(said, dict):
        raise ValueError("not an object")
    tables: Sequence[Table] = ()
    rewritten = set(said.get("rewritten", ()))
    if "tables" in said:
        rows, columns = _checked(said["tables"], _TABLE), _checked(said["columns"], _COLUMN)
        with asker.connection() as connection:
            tables = described(connection, rows, columns)
        rewritten |= {row[0] for row in rows} - {table.oid for table in tables}
    return Announcement(tables, frozenset(said.get("dropped", ())), frozenset(rewritten))


def _checked(rows: Sequence[Mapping[str, Any]], kinds: Sequence[Any]) -> list[list[Any]]:
    found = [[row[f"c{number}"] for number in range(len(kinds))] for row in rows]
    for row in found:
        if not all(isinstance(value, kind) for value, kind in zip(row, kinds, strict=True)):
            raise ValueError("a row of other types")
    return found


class Announcer:
    """Whether the triggers are there, as they should be. `since`: what marks them, as a stream begins; "": they are
    not."""

    def __init__(self, asker: Asker, slot: str, version: int) -> None:
        self._asker = asker
        self._slot = slot
        self.since = self._ask()[0] if version >= SINCE else ""

    @property
    def exact(self) -> bool:
        """Whether every change from where the slot stands on is announced. They are older than all transactions that
        the slot has still to decode, which the server knows by catalog_xmin, and are the same as at the beginning."""
        if not self.since:
            return False
        mark, older = self._ask()
        return mark == self.since and older

    def _ask(self) -> tuple[str, bool]:
        rows = self._asker.ask(_INSTALLED, self._slot, list(_EVENTS), _DIGEST, len(_EVENTS))
        return (str(rows[0][0]), bool(rows[0][1])) if rows else ("", False)


def offer(asker: Asker, slot: str) -> str:
    """The script, where the server could use it and has not."""
    with asker.connection() as connection:
        version = connection.server_version
    return SCRIPT if version >= SINCE and not Announcer(asker, slot, version).since else ""
