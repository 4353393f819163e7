"""The foreign keys of tables that act on rows, as the server tells them: MariaDB's information_schema hides them from a
user who may only read, so they are taken from SHOW CREATE TABLE."""

from __future__ import annotations

from collections.abc import Mapping

import pymysql

from cdcd.model.reference import Action, Reference
from cdcd.model.table import Table
from connectors.mysql.ask import rows
from connectors.mysql.login import Connection
from connectors.mysql.names import quote_table
from connectors.mysql.show_create import Item, name_of, reference

_BEGIN = "  CONSTRAINT "
ACTIONS: Mapping[str, Action] = {"CASCADE": "cascade", "SET NULL": "set null"}
"""All others are one to InnoDB, which makes nothing of SET DEFAULT."""

_UNSEEN = (1142, 1146)
"""No right to it, and no such table any more: then it is not carried either."""


def read_references(connection: Connection, table: Table) -> tuple[Reference, ...]:
    try:
        ((_, text, *_),) = rows(connection, f"SHOW CREATE TABLE {quote_table(table)}")
    except pymysql.err.MySQLError as error:
        if error.args and error.args[0] in _UNSEEN:
            return ()
        raise
    except UnicodeDecodeError:  # a default that is no text; check tells of it
        return ()
    found = []
    for line in str(text).split("\n"):
        if line.startswith(_BEGIN) and "` FOREIGN KEY (" in line:
            found.append(of_item(Item("foreign key", name_of(line[len(_BEGIN) :]), line.strip().rstrip(",")), table))
    return tuple(one for one in found if one.acts)


def of_item(item: Item, table: Table) -> Reference:
    """Of the text of a foreign key of the table."""
    its = reference(item)
    deletes, updates = (ACTIONS.get(action, "no action") for action in its.actions)
    return Reference(item.name, its.columns, f"{its.schema or table.schema}.{its.table}", its.others, deletes, updates)
