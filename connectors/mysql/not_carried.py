"""What the source has around the tables and cdcd does not carry, each with what brings it."""

from __future__ import annotations

from collections.abc import Sequence

from cdcd.model.schema import NotCarried
from cdcd.model.table import Table
from connectors.mysql.ask import rows
from connectors.mysql.login import Connection

BY_HAND = "at the target, in its own words"

_AROUND = """
SELECT 'view', CONCAT(TABLE_SCHEMA, '.', TABLE_NAME), '' FROM information_schema.VIEWS WHERE TABLE_SCHEMA IN %(schemas)s
UNION ALL
SELECT 'trigger', CONCAT(EVENT_OBJECT_SCHEMA, '.', EVENT_OBJECT_TABLE, '.', TRIGGER_NAME),
       CONCAT(EVENT_OBJECT_SCHEMA, '.', EVENT_OBJECT_TABLE)
FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA IN %(schemas)s
UNION ALL
SELECT 'event', CONCAT(EVENT_SCHEMA, '.', EVENT_NAME), '' FROM information_schema.EVENTS
WHERE EVENT_SCHEMA IN %(schemas)s
UNION ALL
SELECT LOWER(ROUTINE_TYPE), CONCAT(ROUTINE_SCHEMA, '.', ROUTINE_NAME), '' FROM information_schema.ROUTINES
WHERE ROUTINE_SCHEMA IN %(schemas)s
UNION ALL
SELECT 'sequence', CONCAT(TABLE_SCHEMA, '.', TABLE_NAME), '' FROM information_schema.TABLES
WHERE TABLE_SCHEMA IN %(schemas)s AND TABLE_TYPE = 'SEQUENCE'
ORDER BY 1, 2"""

_SHOWN_BY = {"trigger": "TRIGGER", "event": "EVENT", "routine": "EXECUTE"}
"""What information_schema hides from those who have not this privilege, of the database or of all."""

_MAY = """
SELECT 1 FROM information_schema.USER_PRIVILEGES WHERE PRIVILEGE_TYPE = %(right)s AND {mine}
UNION ALL
SELECT 1 FROM information_schema.SCHEMA_PRIVILEGES
WHERE PRIVILEGE_TYPE = %(right)s AND {mine} AND %(schema)s LIKE TABLE_SCHEMA LIMIT 1""".format(
    mine="REPLACE(GRANTEE, CHAR(39), '') = CURRENT_USER()"
)

_UPDATED = """
SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, EXTRA FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA IN %s AND LOWER(EXTRA) LIKE '%%on update%%' ORDER BY 1, 2, 3"""


def read_around(connection: Connection, tables: Sequence[Table], brings: str) -> list[NotCarried]:
    """Views, triggers of these tables, routines, events, sequences of their databases; what our user would not see."""
    schemas, ids = sorted({table.schema for table in tables}), {table.id for table in tables}
    found = rows_named(connection, _AROUND, schemas=schemas)
    seen = [NotCarried(kind, name, brings) for kind, name, table in found if not table or table in ids]
    return seen + [
        NotCarried(f"{kind}s", schema, f"{brings}; if there are any: our user sees none without GRANT {right}")
        for schema in schemas
        for kind, right in _SHOWN_BY.items()
        if not rows_named(connection, _MAY, schema=schema, right=right)
    ]


def rows_named(connection: Connection, text: str, **named: object) -> list[tuple[str, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(text, named)
        return list(cursor.fetchall())


def read_not_carried(connection: Connection, tables: Sequence[Table]) -> list[NotCarried]:
    """For a target of another product: beside what is around the tables, columns that change by themselves."""
    schemas = sorted({table.schema for table in tables})
    by_name = {(table.schema, table.name): table for table in tables}
    found = []
    for schema, table, column, extra in rows(connection, _UPDATED, schemas):
        if (schema, table) in by_name:
            text = f"a trigger at the target, for {extra[extra.lower().index('on update') :]}"
            found.append(NotCarried("on update", f"{schema}.{table}.{column}", text))
    brings = f"{BY_HAND}; here mysqldump --no-data --routines --events --triggers shows it"
    return found + read_around(connection, tables, brings)
