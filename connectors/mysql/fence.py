"""Keeping a source from being written, for a cut-over.

MySQL from 8.0.22 on has a fence for one database: ALTER DATABASE … READ ONLY. It waits for transactions that have
touched the database, and then keeps everybody out, administrators too; the right to ALTER the database is enough.
Elsewhere there is only the whole server's: super_read_only, and MariaDB's read_only, which users with READ_ONLY ADMIN
pass; transactions that are open then cannot commit ("Making a server read only" in both manuals).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from cdcd.errors import CdcdError, StateRefused
from cdcd.wake import Wake
from connectors.mysql.ask import Asker
from connectors.mysql.catalogue import SYSTEM
from connectors.mysql.connect import parse
from connectors.mysql.names import quote
from connectors.mysql.position import Place
from connectors.mysql.server import Server, read_covering, read_server
from connectors.mysql.transactions import OPEN, PREPARED, name_of, session

PATIENCE = 10.0
"""Seconds that transactions which have touched the database may take to end before their sessions are ended."""

LOCK_TIMEOUT = 1205

# Sessions of applications: those of our own user are taken for ours, and who reads the log does not write.
_SESSIONS = """
SELECT ID, USER, HOST, COALESCE(DB, '') FROM information_schema.PROCESSLIST
WHERE ID <> CONNECTION_ID() AND USER NOT IN ('event_scheduler', 'system user', 'unauthenticated user')
  AND USER <> SUBSTRING_INDEX(CURRENT_USER(), '@', 1) AND COMMAND NOT LIKE 'Binlog Dump%'
ORDER BY ID"""

_WRITES = """
SELECT CONCAT(OBJECT_SCHEMA, '.', OBJECT_NAME), COUNT_WRITE FROM performance_schema.table_io_waits_summary_by_table
WHERE OBJECT_TYPE = 'TABLE' AND OBJECT_SCHEMA NOT IN %s"""

# Set at commit, in whole seconds, and forgotten when the server ends.
_UPDATED = """
SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME), CAST(COALESCE(UNIX_TIMESTAMP(UPDATE_TIME), 0) AS SIGNED)
FROM information_schema.TABLES WHERE TABLE_TYPE LIKE '%%TABLE' AND TABLE_SCHEMA NOT IN %s"""

Rows = list[tuple[Any, ...]]


class MysqlFence:
    """`url` is that of a user who may fence: with ALTER on the database (MySQL), else with READ_ONLY ADMIN or SUPER;
    PROCESS shows the sessions of others, CONNECTION_ADMIN ends them. Connects at the first question."""

    def __init__(self, url: Callable[[], str], name: str, patience: float = PATIENCE) -> None:
        self._url = url
        self._wake = Wake()
        self._asker = Asker(url, self._wake)
        self._patience = patience
        self._known: Server | None = None

    @property
    def _server(self) -> Server:
        if self._known is None:
            with self._asker.connection() as connection:
                self._known = read_server(connection)
        return self._known

    @property
    def _database(self) -> str:
        """The one that is fenced alone; "": all of the server."""
        server = self._server
        return "" if server.mariadb or server.version < (8, 0, 22) else parse(self._url()).database

    @property
    def up(self) -> str:
        if name := self._database:
            return f"ALTER DATABASE {quote(name)} READ ONLY = 1"
        return f"SET GLOBAL {'read_only' if self._server.mariadb else 'super_read_only'} = ON"

    @property
    def down(self) -> str:
        if name := self._database:
            return f"ALTER DATABASE {quote(name)} READ ONLY = 0"
        return "SET GLOBAL read_only = OFF"  # and super_read_only with it

    def obstacles(self) -> list[str]:
        found = [f"prepared transaction {name}: XA COMMIT or XA ROLLBACK it" for name in self._prepared()]
        if not self._database and self._asker.ask("SELECT @@GLOBAL.read_only") == [(1,)]:
            found.append("the server is read only already: is it a replica? SET GLOBAL read_only = OFF, if it is not")
        return found

    def _prepared(self) -> list[str]:
        try:
            return list(map(name_of, self._asker.ask(PREPARED)))
        except CdcdError:
            return []  # without XA_RECOVER_ADMIN: the fence waits for them, and says that it waits in vain

    def writers(self) -> list[str]:
        """Behind MySQL's fence there is none."""
        if (name := self._database) and self._fenced(name):
            return []
        return [session(*row) for row in self._asker.ask(_SESSIONS) if name in ("", row[3])]

    def _fenced(self, name: str) -> bool:
        query = "SELECT OPTIONS FROM information_schema.SCHEMATA_EXTENSIONS WHERE SCHEMA_NAME = %s"
        return "READ ONLY=1" in str(self._asker.ask(query, name))

    def unfinished(self) -> list[str]:
        found = [f"the open transaction of {session(*row[:4])}" for row in self._transactions() if row[4]]
        return found + [f"the prepared transaction {name}" for name in self._prepared()]

    def _transactions(self) -> Rows:
        try:
            return self._asker.ask(OPEN)
        except CdcdError:
            return []  # without PROCESS

    def raise_up(self) -> None:
        until = time.monotonic() + self._patience
        ended = False
        while True:
            try:
                self._asker.ask(self.up)
                break
            except CdcdError as error:
                if error.where.get("errno") != LOCK_TIMEOUT:
                    raise self._refused(error) from None
                if time.monotonic() > until:
                    self._end_open(error, in_vain=ended)
                    ended, until = True, time.monotonic() + PATIENCE
        # Whoever has begun to commit is over once nothing is in the middle of it.
        self.final()

    def _refused(self, error: CdcdError) -> StateRefused:
        right = f"ALTER ON {quote(self._database)}.*" if self._database else "READ_ONLY ADMIN ON *.*"
        if not self._database and not self._server.mariadb:
            right = "SYSTEM_VARIABLES_ADMIN, CONNECTION_ADMIN ON *.*"
        return StateRefused(
            "the source cannot be fenced by this user",
            why=error.what,
            hint=f"GRANT {right}, or fence as a user that may (--fence-as URL), or run `{self.up}` and use --fenced",
        )

    def _end_open(self, error: CdcdError, in_vain: bool) -> None:
        """End the sessions whose transactions the fence waits for; StateRefused where that cannot be, or was `in_vain`.
        """
        waits = [row for row in self._transactions() if self._database in ("", row[3])]
        if in_vain or not waits:
            raise StateRefused(
                "a transaction at the source does not end, and the fence waits for it",
                why=error.what,
                hint="end it: SHOW PROCESSLIST, XA RECOVER; a user with PROCESS sees whose it is",
            )
        for number, *row, _ in waits:
            try:
                self._asker.ask(f"KILL {int(number)}")
            except CdcdError as denied:
                raise StateRefused(
                    "a session at the source cannot be ended, and the fence waits for it",
                    why=denied.what,
                    hint="end it, or fence as a user that may: --fence-as URL, with CONNECTION_ADMIN",
                    session=session(number, *row),
                ) from None

    def lower(self) -> None:
        self._asker.ask(self.down)

    def final(self) -> Place:
        server = self._server
        with self._asker.connection() as connection:
            return read_covering(connection, server, self._wake)

    def activity(self) -> Mapping[str, int]:
        try:
            if self._asker.ask("SELECT @@performance_schema") == [(1,)]:
                return {str(name): int(count) for name, count in self._asker.ask(_WRITES, SYSTEM)}
        except CdcdError:
            pass  # no right to read it
        if not self._server.mariadb:
            self._asker.ask("SET SESSION information_schema_stats_expiry = 0")
        while True:
            ((now,),) = self._asker.ask("SELECT UNIX_TIMESTAMP()")
            found = {str(name): int(when) for name, when in self._asker.ask(_UPDATED, SYSTEM)}
            if int(now) not in found.values() and int(now) + 1 not in found.values():
                return found
            self._wake.sleep(0.1)  # what is written in the rest of this second would not show

    def close(self) -> None:
        self._asker.close()
