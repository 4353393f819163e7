"""Foreign keys whose actions change rows that no event tells of: InnoDB carries them out below the log, but where MySQL
does so itself, from 9.6 on ("innodb_native_foreign_keys" in its manual)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from cdcd.contracts import Finding
from cdcd.errors import CdcdError
from cdcd.model.reference import Reference
from cdcd.model.table import Table
from connectors.mysql.ask import Asker
from connectors.mysql.findings import finding
from connectors.mysql.names import quote, quote_table
from connectors.mysql.objects import show
from connectors.mysql.references import of_item
from connectors.mysql.server import Server
from connectors.mysql.structure_read import vague


def check_cascades(
    asker: Asker, server: Server, tables: Sequence[Table], cascades: str, products: Sequence[str]
) -> Iterator[Finding]:
    """`cascades`, `products`: as in SourceOptions."""
    if logged(asker, server):
        return
    carried = {table.id for table in tables}
    for table in tables:
        try:
            with asker.connection() as connection:
                made = show(connection, table)
        except CdcdError as error:
            yield finding("MY-CASCADE", f"whether rows of {table.id} are changed unseen cannot be told", error.what)
            continue
        for item in made.items:
            if item.kind == "foreign key" and (one := of_item(item, table)).acts:
                yield from _found(table, one, item.text, one.other in carried, cascades, server.product in products)


def _found(table: Table, one: Reference, text: str, carried: bool, cascades: str, same: bool) -> Iterator[Finding]:
    without = f"ALTER TABLE {quote_table(table)} DROP FOREIGN KEY {quote(one.name)} -- and add it without these actions"
    unseen = f"rows of {table.id} that its foreign key {one.name} changes or deletes are in no log"
    if cascades != "derive":
        found = finding("MY-CASCADE", f"{unseen}, and stay what they were at the target", text,
                        f"{without}; or have the application change such rows itself")  # fmt: skip
        yield replace(found, level="error") if cascades == "refuse" else found
    elif not carried:
        yield finding("MY-CASCADE-PARENT", f"{unseen}, and {one.other}, by whose rows they change, is not carried",
                      text, f"carry {one.other} too, in this pipeline; or {without}")  # fmt: skip
    elif not same and any(vague(column) for column in table.columns if column.name in one.columns):
        yield finding("MY-CASCADE-TEXT", f"{unseen}, and they may refer to others by texts that the target takes for "
                      "different ones", text, f"ALTER TABLE {quote_table(table)} and {one.other}: give these columns a "
                      f"binary collation; or {without}")  # fmt: skip


def logged(asker: Asker, server: Server) -> bool:
    """Whether the log holds the rows that foreign keys change: the variable says so, not the version (T-MY-16)."""
    if server.mariadb:
        return False
    name = "innodb_native_foreign_keys"
    return asker.ask(f"SHOW GLOBAL VARIABLES LIKE '{name}'") == [(name, "OFF")]
