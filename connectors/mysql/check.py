"""Everything that would go wrong at a MySQL or MariaDB source, found before anything is started; changes nothing."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from cdcd.contracts import Finding
from cdcd.errors import CdcdError
from cdcd.model.table import Column, Table
from connectors.mysql.ask import Asker
from connectors.mysql.check_cascades import check_cascades
from connectors.mysql.check_log import SETTINGS, check_log
from connectors.mysql.constants import Unsure
from connectors.mysql.dump import try_registering
from connectors.mysql.fields import offer
from connectors.mysql.findings import finding, setting
from connectors.mysql.locks import check_locks
from connectors.mysql.names import quote_table
from connectors.mysql.omitted import default_text
from connectors.mysql.server import Server

_SETTINGS = (*SETTINGS, "binlog_row_image", "binlog_row_value_options")

_CONSTANT = re.compile(r"[bx]?'|[-\d]", re.IGNORECASE)
"""What a default begins with that is one value."""


def check_source(
    asker: Asker, server: Server, tables: Sequence[Table], cascades: str = "", products: Sequence[str] = ()
) -> list[Finding]:
    """`cascades`, `products`: as in SourceOptions."""
    names = ", ".join(f"'{name}'" for name in _SETTINGS)
    found = asker.ask(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})")
    settings = {str(name): str(value) for name, value in found}
    return [
        *check_log(asker, server, settings, tables), *_rights(asker, server), *_tables(asker, tables),
        *_images(settings, tables), *check_cascades(asker, server, tables, cascades, products),
        *check_locks(asker, server, tables),
    ]  # fmt: skip


def _images(settings: Mapping[str, str], tables: Sequence[Table]) -> Iterator[Finding]:
    """What images that leave columns out do not tell."""
    image = settings.get("binlog_row_image", "FULL")
    full = setting("binlog_row_image = 'FULL'") + "; end the sessions that began before"
    for table in tables if image not in ("FULL", "NOBLOB") else ():
        if untold := [column.name for column in table.carried if not _told(column)]:
            yield finding("MY-IMAGE", f"rows of {table.id} may be inserted without what is not known here",
                          f"binlog_row_image = {image}, and the defaults of {', '.join(untold)}", full)  # fmt: skip
    if image != "FULL" and settings.get("binlog_row_value_options"):
        yield finding("MY-PARTIAL-JSON", "updates of JSON come as differences, without what they are differences of",
                      f"binlog_row_value_options = {settings['binlog_row_value_options']}, binlog_row_image = {image}",
                      full)  # fmt: skip


def _told(column: Column) -> bool:
    """Whether the log or the structure tells a value that an insertion left out. What is no constant is in the log; a
    column that has no default must be given, but in sessions that are not strict."""
    if column.default is None or not _CONSTANT.match(column.default):
        return True
    try:
        default_text(column)
    except Unsure:
        return False
    return True


def _rights(asker: Asker, server: Server) -> Iterator[Finding]:
    """By trying them: roles and partial revokes show themselves only so."""
    status = "SHOW BINARY LOG STATUS" if not server.mariadb and server.version >= (8, 2, 0) else "SHOW MASTER STATUS"
    try:
        asker.ask(status)
    except CdcdError as error:
        yield finding("MY-CLIENT", "the user may not see where the log stands", error.what,
                      "GRANT REPLICATION CLIENT ON *.* TO …")  # fmt: skip
    try:
        with asker.connection() as connection:
            try_registering(connection)
    except CdcdError as error:
        yield finding("MY-REPLICATION", "the user may not read the log", error.what,
                      "GRANT REPLICATION SLAVE ON *.* TO …")  # fmt: skip
    finally:
        asker.close()  # or it would be listed as a replica for as long as we run


def _tables(asker: Asker, tables: Sequence[Table]) -> Iterator[Finding]:
    for table in tables:
        try:
            asker.ask(f"SELECT 1 FROM {quote_table(table)} LIMIT 0")
        except CdcdError as error:
            yield finding("MY-SELECT", f"{table.id} cannot be read", error.what, f"GRANT SELECT ON {table.id} TO …")
        if not table.key:
            yield finding("MY-KEYLESS", f"{table.id} has no key: its rows are told apart by all their columns",
                          mend=f"ALTER TABLE {quote_table(table)} ADD PRIMARY KEY (…)")  # fmt: skip


def left_out(tables: Sequence[Table], named: Collection[str]) -> list[tuple[str, Finding]]:
    """Tables with a column that cannot be carried."""
    found = []
    for table in tables:
        for column in table.carried:
            try:
                offer(column)
            except CdcdError as error:
                found.append((table.id, finding("MY-TYPE", f"{table.id} cannot be carried", error.what)))
                break
    return found
