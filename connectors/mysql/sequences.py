"""Where the counters of a source stand, AUTO_INCREMENT of its tables and MariaDB's sequences that defaults use; and
setting those of a target to it.

A counter says which value is the next one, whatever rows are left. MySQL's information_schema tells it as it was when
statistics were kept last, unless the session says that they are old at once ("The INFORMATION_SCHEMA TABLES Table").
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

import pymysql

from cdcd.model.sequence import SequenceDone, SequenceValue
from cdcd.model.table import Table
from connectors.mysql.ask import rows
from connectors.mysql.errors import translate
from connectors.mysql.login import Connection
from connectors.mysql.names import quote
from connectors.mysql.server import Server

NEXT = "SELECT AUTO_INCREMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s"
FRESH = "SET SESSION information_schema_stats_expiry = 0"
"""MySQL's; MariaDB always asks the engine."""

_NEXTVAL = re.compile(r"nextval\(`((?:[^`]|``)+)`\.`((?:[^`]|``)+)`\)", re.IGNORECASE)
_DENIED = (1044, 1142, 1227, 1370)
_BUSY = (1205, 1213)
TRIES = 5
"""Of some two seconds each that somebody may hold a table."""

_COUNTER = """
SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.COLUMNS
WHERE (TABLE_SCHEMA, TABLE_NAME) IN %s AND COLUMN_NAME = %s AND EXTRA LIKE '%%auto_increment%%'"""
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
                value = int(told[0][0] or 1) if told else None
                name = f"{table.name}.{column.name}"
                made = SequenceValue(table.schema, name, value, False, table.id, column.name)
                found[made.id] = made
            elif server.mariadb and (match := _NEXTVAL.fullmatch(column.default or "")):
                schema, name = (part.replace("``", "`") for part in match.groups())
                made = SequenceValue(schema, name, _next(connection, schema, name), False)
                found[made.id] = made
    return sorted(found.values(), key=lambda value: value.id)


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


def set_sequences(
    connection: Connection, home: Callable[[str], str], values: Sequence[SequenceValue]
) -> list[SequenceDone]:
    """One result for each. `home`: which database here holds what is in a schema of the source. In each, `before` and
    `after` are the next value. A counter never goes backwards: it is compared and set while its table is locked."""
    if "mariadb" not in str(rows(connection, "SELECT VERSION()")[0][0]).lower():
        rows(connection, FRESH)
    return [_set(connection, home, value) for value in values]


def _set(connection: Connection, home: Callable[[str], str], source: SequenceValue) -> SequenceDone:
    counter = _counter(connection, home, source)
    here = counter or next(iter(rows(connection, _SEQUENCE, home(source.schema), source.name)), None)
    if here is None:
        return SequenceDone(source, "missing")
    name = ".".join(map(quote, here))
    if source.value is None:
        return SequenceDone(source, "unreadable", name)
    wanted = source.value + source.called
    raise_to = _raise_counter if counter else _raise_sequence
    for number in range(1, TRIES + 1):
        try:
            before, after = raise_to(connection, here[0], here[1], wanted)
            break
        except pymysql.err.MySQLError as error:
            if (code := error.args[0]) in _BUSY and number < TRIES:
                time.sleep(0.2)
                continue
            if code in (*_DENIED, *_BUSY):
                return SequenceDone(source, "busy" if code in _BUSY else "refused", name)
            raise
    return SequenceDone(source, "set" if after > before else "kept", name, before, after)


def _counter(connection: Connection, home: Callable[[str], str], source: SequenceValue) -> tuple[str, str] | None:
    """The table here whose column counts: an id may be cut at any of its dots."""
    if source.table is None:
        return None
    words = source.table.split(".")
    cuts = [(home(".".join(words[:at])), ".".join(words[at:])) for at in range(1, len(words))]
    return next(iter(rows(connection, _COUNTER, cuts, source.column)), None)


def _raise_counter(connection: Connection, schema: str, table: str, wanted: int) -> tuple[int, int]:
    before = _told(connection, schema, table)
    if before >= wanted:
        return before, before
    name = f"{quote(schema)}.{quote(table)}"
    rows(connection, f"LOCK TABLES {name} WRITE")
    try:
        if (before := _told(connection, schema, table)) < wanted:
            rows(connection, f"ALTER TABLE {name} AUTO_INCREMENT = {wanted}")
        return before, _told(connection, schema, table)
    finally:
        rows(connection, "UNLOCK TABLES")


def _told(connection: Connection, schema: str, table: str) -> int:
    return int(rows(connection, NEXT, schema, table)[0][0] or 1)


def _raise_sequence(connection: Connection, schema: str, name: str, wanted: int) -> tuple[int, int]:
    """SETVAL is without effect where the sequence stands further on ("SETVAL" in MariaDB's manual)."""
    where = f"{quote(schema)}.{quote(name)}"
    look = f"SELECT next_not_cached_value FROM {where}"
    ((before,),) = rows(connection, look)
    if before < wanted:
        rows(connection, f"SELECT SETVAL({where}, {wanted}, 0)")
    ((after,),) = rows(connection, look)
    return int(before), int(after)
