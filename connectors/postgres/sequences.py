"""Where the source's sequences stand, and setting the target's to it: last_value, not the highest value in a table,
which may be gone ("Sequence Manipulation Functions"; a sequence is not in the stream)."""

from __future__ import annotations

from collections.abc import Sequence

from cdcd.model.sequence import Done, SequenceDone, SequenceValue
from cdcd.model.table import Table
from connectors.postgres.ask import Asker
from connectors.postgres.names import quote_identifier
from connectors.postgres.scope import free_sequences
from connectors.postgres.sessions import Session

# Owned by a column (a: serial and OWNED BY, i: identity), or used by a column's default. A column of a partition
# has the default of its root, so that roots are enough.
_SEQUENCES = """
SELECT DISTINCT ON (n.nspname, s.relname) n.nspname, s.relname,
       tn.nspname || '.' || t.relname, a.attname,
       has_schema_privilege(n.oid, 'USAGE') AND has_sequence_privilege(s.oid, 'SELECT')
FROM (SELECT d.objid AS sequence, d.refobjid AS owner, d.refobjsubid AS number FROM pg_depend d
      WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
        AND d.deptype IN ('a', 'i') AND d.refobjid = ANY (%(tables)s::oid[])
      UNION ALL
      SELECT d.refobjid, NULL, NULL FROM pg_attrdef e
      JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = e.oid
                      AND d.refclassid = 'pg_class'::regclass
      WHERE e.adrelid = ANY (%(tables)s::oid[])
      UNION ALL
      SELECT unnest(%(free)s::oid[]), NULL, NULL) u
JOIN pg_class s ON s.oid = u.sequence AND s.relkind = 'S' JOIN pg_namespace n ON n.oid = s.relnamespace
LEFT JOIN pg_class t ON t.oid = u.owner LEFT JOIN pg_namespace tn ON tn.oid = t.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = u.owner AND a.attnum = u.number
ORDER BY n.nspname, s.relname, u.owner
"""

# By the column that it serves, whatever its name is here; else by its name.
_HERE = """
SELECT s.oid::regclass::text, CASE WHEN q.seqincrement < 0 THEN -1 ELSE 1 END,
       CASE WHEN q.seqincrement < 0 THEN q.seqmin ELSE q.seqmax END,
       has_schema_privilege(s.relnamespace, 'USAGE') AND has_sequence_privilege(s.oid, 'SELECT')
                                                     AND has_sequence_privilege(s.oid, 'UPDATE')
FROM pg_class s JOIN pg_sequence q ON q.seqrelid = s.oid
WHERE s.oid = coalesce(
    (SELECT d.objid FROM pg_depend d JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace n ON n.oid = t.relnamespace
     JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
     WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
       AND n.nspname || '.' || t.relname = %(table)s AND a.attname = %(column)s
       AND EXISTS (SELECT FROM pg_sequence o WHERE o.seqrelid = d.objid)
     ORDER BY d.objid LIMIT 1),
    (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = %(schema)s AND c.relname = %(name)s AND c.relkind = 'S'))
"""

# One statement compares and sets: what the application took meanwhile is not taken back.
_SET = """
SELECT s.last_value, CASE
    WHEN {sign} (%(value)s::bigint) > {sign} (s.last_value)
      OR %(value)s = s.last_value AND %(called)s AND NOT s.is_called
    THEN setval(%(oid)s::regclass, %(value)s, %(called)s) END
FROM {sequence} s
"""


def read_sequences(asker: Asker, tables: Sequence[Table], everything: bool = False) -> list[SequenceValue]:
    """Those that the tables' columns own or take their defaults from, by name; with `everything`, nobody's too."""
    free = free_sequences(asker, [table.oid for table in tables]) if everything else []
    with asker.connection() as connection, connection.cursor() as cursor:
        cursor.execute(_SEQUENCES, {"tables": [table.oid for table in tables], "free": free})
        found = cursor.fetchall()
        readable = [number for number, row in enumerate(found) if row[4]]
        values = {}
        if readable:
            cursor.execute(" UNION ALL ".join(_value(number, found[number]) for number in readable))
            values = {number: (value, called) for number, value, called in cursor.fetchall()}
    return [
        SequenceValue(schema, name, *values.get(number, (None, False)), table, column)
        for number, (schema, name, table, column, _) in enumerate(found)
    ]


def _value(number: int, row: Sequence[str]) -> str:
    return f"SELECT {number}, last_value, is_called FROM {quote_identifier(row[0])}.{quote_identifier(row[1])}"


def set_sequences(session: Session, values: Sequence[SequenceValue]) -> list[SequenceDone]:
    """None of them ever goes backwards: whoever writes here already keeps what was given out."""
    return [_set(session, value) for value in values]


def _set(session: Session, source: SequenceValue) -> SequenceDone:
    here = session.row(
        _HERE, {"table": source.table, "column": source.column, "schema": source.schema, "name": source.name}
    )
    if here is None:
        return SequenceDone(source, "missing")
    name, sign, last, allowed = here
    if source.value is None or not allowed:
        return SequenceDone(source, "unreadable" if allowed else "refused", name)
    value, called = source.value, source.called
    given = value if called else value - sign
    if sign * value > sign * last:  # other products count further
        value, called = last, True
    text = _SET.format(sign="-" if sign < 0 else "", sequence=name.replace("%", "%%"))
    row = session.row(text, {"oid": name, "value": value, "called": called})
    assert row is not None
    before, after = row
    done: Done = "ended" if sign * given > sign * last else "kept" if after is None else "set"
    return SequenceDone(source, done, name, before, before if after is None else after)
