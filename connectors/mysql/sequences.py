"""Where the counters of a source stand, AUTO_INCREMENT of its tables and MariaDB's sequences that defaults use; and
setting those of a target to it.

A counter says which value is the next one, whatever rows are left. MySQL's information_schema tells it as it was when
statistics were kept last, unless the session says that they are old at once ("The INFORMATION_SCHEMA TABLES Table").
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from cdcd.errors import CdcdError
from cdcd.model.sequence import SequenceDone, SequenceValue
from cdcd.model.table import Column, Table
from connectors.mysql.ask import rows
from connectors.mysql.errors import translate
from connectors.mysql.login import Connection
from connectors.mysql.names import quote
from connectors.mysql.server import Server
from connectors.mysql.sessions import Session
from connectors.mysql.types import native_of

NEXT = "SELECT AUTO_INCREMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s"
FRESH = "SET SESSION information_schema_stats_expiry = 0"
"""MySQL's; MariaDB always asks the engine."""

_NEXTVAL = re.compile(r"nextval\(`((?:[^`]|``)+)`\.`((?:[^`]|``)+)`\)", re.IGNORECASE)
_BITS = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64}
_DENIED = (1044, 1142, 1227, 1370)
_BUSY = (1205, 1213)
TRIES = 5
"""Of some two seconds each that somebody may hold a table."""

_COUNTER = """
SELECT 1 FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND COLUMN_NAME = %s AND LOCATE('auto_increment', EXTRA) > 0"""
_SEQUENCE = """
SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES
WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND TABLE_TYPE = 'SEQUENCE'"""


def read_sequences(connection: Connection, server: Server, tables: Sequence[Table]) -> list[SequenceValue]:
    """One for each column that counts, named `table.column`, and each sequence that a default uses, by name."""
    if not server.mariadb:
        rows(connection, FRESH)
    found = {}
    for table in tables:
        for column in table.columns:
            if column.identity is not None:
                told = rows(connection, NEXT, table.schema, table.name)
                value, called = _within(column, int(told[0][0] or 1)) if told else (None, False)
                name = f"{table.name}.{column.name}"
                made = SequenceValue(table.schema, name, value, called, table.id, column.name)
                found[made.id] = made
            elif server.mariadb and (match := _NEXTVAL.fullmatch(column.default or "")):
                schema, name = (part.replace("``", "`") for part in match.groups())
                made = SequenceValue(schema, name, _next(connection, schema, name), False)
                found[made.id] = made
    return sorted(found.values(), key=lambda value: value.id)


def _within(column: Column, value: int) -> tuple[int, bool]:
    """As SequenceValue has it. MariaDB counts on beyond the last value of the column, which it then cannot give."""
    native = native_of(column)
    bits = _BITS.get(native.name, 64) - (not native.unsigned)
    last = (1 << bits) - 1
    return (value, False) if value <= last else (last, True)


def _next(connection: Connection, schema: str, name: str) -> int | None:
    """Beyond all that sessions have taken in advance; None: our user may not read it."""
    try:
        ((value,),) = rows(connection, f"SELECT next_not_cached_value FROM {quote(schema)}.{quote(name)}")
    except Exception as error:
        if translate(error).where.get("errno") in _DENIED:
            return None
        raise
    return int(value)


# --- at a target ------------------------------------------------------------------------------------------------------


def set_sequences(session: Session, values: Sequence[SequenceValue]) -> list[SequenceDone]:
    """One result for each, in autocommit. In each, `before` and `after` are the next value. A counter never goes
    backwards: it is compared and set while its table is locked."""
    session.run("SET SESSION lock_wait_timeout = 2")
    if not session.mariadb:
        session.run(FRESH)
    return [_set(session, value) for value in values]


def _set(session: Session, source: SequenceValue) -> SequenceDone:
    counter = _counter(session, source)
    here = counter or session.row(_SEQUENCE, session.homes.of(source.schema), source.name)
    if here is None:
        return SequenceDone(source, "missing")
    schema, table = here
    name = f"{quote(schema)}.{quote(table)}"
    if source.value is None:
        return SequenceDone(source, "unreadable", name)
    wanted = source.value + source.called
    for number in range(1, TRIES + 1):
        try:
            if counter:
                before, after = _raise_counter(session, schema, table, wanted)
            else:
                before, after = _raise_sequence(session, name, wanted)
            break
        except CdcdError as error:
            if (code := error.where.get("errno")) in _DENIED:
                return SequenceDone(source, "refused", name)
            if code not in _BUSY:
                raise
            session.begin_anew()
            if number == TRIES:
                return SequenceDone(source, "busy", name)
    return SequenceDone(source, "set" if after > before else "kept", name, before, after)


def _counter(session: Session, source: SequenceValue) -> tuple[str, str] | None:
    """The table here whose column counts: an id may be cut at any of its dots."""
    words = source.table.split(".") if source.table else []
    for at in range(1, len(words)):
        schema, table = session.homes.of(".".join(words[:at])), ".".join(words[at:])
        if session.row(_COUNTER, schema, table, source.column) is not None:
            return schema, table
    return None


def _raise_counter(session: Session, schema: str, table: str, wanted: int) -> tuple[int, int]:
    before = _told(session, schema, table)
    if before >= wanted:
        return before, before
    name = f"{quote(schema)}.{quote(table)}"
    session.run(f"LOCK TABLES {name} WRITE")
    try:
        if (before := _told(session, schema, table)) < wanted:
            session.run(f"ALTER TABLE {name} AUTO_INCREMENT = {wanted}")
        return before, _told(session, schema, table)
    except CdcdError:
        session.begin_anew()
        raise
    finally:
        session.run("UNLOCK TABLES")


def _told(session: Session, schema: str, table: str) -> int:
    return int(session.rows(NEXT, schema, table)[0][0] or 1)


def _raise_sequence(session: Session, name: str, wanted: int) -> tuple[int, int]:
    """SETVAL is without effect where the sequence stands further on ("SETVAL" in MariaDB's manual)."""
    look = f"SELECT next_not_cached_value FROM {name}"
    before = int(session.rows(look)[0][0])
    if before < wanted:
        session.run(f"DO SETVAL({name}, {wanted}, 0)")
    return before, int(session.rows(look)[0][0])
