"""Foreign keys whose actions change rows that no event tells of: InnoDB carries them out below the log, but where MySQL
does so itself, from 9.6 on ("innodb_native_foreign_keys" in its manual)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cdcd.contracts import Finding
from cdcd.errors import CdcdError
from cdcd.model.table import Table
from connectors.mysql.ask import Asker
from connectors.mysql.findings import finding
from connectors.mysql.names import quote, quote_table
from connectors.mysql.objects import show
from connectors.mysql.server import Server
from connectors.mysql.show_create import reference

_QUIET = ("", "NO ACTION", "RESTRICT")
"""What a foreign key may do without changing another row."""


def check_cascades(asker: Asker, server: Server, tables: Sequence[Table]) -> Iterator[Finding]:
    if logged(asker, server):
        return
    for table in tables:
        try:
            with asker.connection() as connection:
                made = show(connection, table)
        except CdcdError as error:
            yield finding("MY-CASCADE", f"whether rows of {table.id} are changed unseen cannot be told", error.what)
            continue
        for item in made.items:
            if item.kind == "foreign key" and any(action not in _QUIET for action in reference(item).actions):
                yield finding(
                    "MY-CASCADE", f"rows of {table.id} that its foreign key {item.name} changes or deletes are in no "
                    "log, and stay what they were at the target", item.text,
                    f"ALTER TABLE {quote_table(table)} DROP FOREIGN KEY {quote(item.name)} -- and add it without these "
                    "actions; or have the application change such rows itself",
                )  # fmt: skip


def logged(asker: Asker, server: Server) -> bool:
    """Whether the log holds the rows that foreign keys change: the variable says so, not the version (T-MY-16)."""
    if server.mariadb:
        return False
    name = "innodb_native_foreign_keys"
    return asker.ask(f"SHOW GLOBAL VARIABLES LIKE '{name}'") == [(name, "OFF")]
