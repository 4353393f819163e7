"""Keeping a database from being written, for a cut-over: new sessions are read only by default, older ones are ended.

A default is no lock: a session may set itself to read write ("Client Connection Defaults"). So who could is looked
for before, and whether anybody did is asked of the statistics afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from cdcd.errors import CdcdError, StateRefused
from connectors.postgres.names import quote_identifier
from connectors.postgres.position import Lsn
from connectors.postgres.sessions import Session, Sessions

NAME = "cdcd cutover"
SETTING = "default_transaction_read_only"
PATIENCE = 10.0
"""Seconds that an ended session may take to go."""

_STRANGERS = """
FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
  AND coalesce(a.backend_type = 'client backend', a.usesysid IS NOT NULL)
  AND a.application_name NOT IN (%(pipeline)s, 'cdcd cutover', 'cdcd status')
  AND NOT starts_with(a.application_name, %(pipeline)s || '/')
"""
"""Sessions that are neither the pipeline's nor ours. Of another role's the server may show no more than that they are
there: such a one counts."""

_PREPARED = "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"

_OVERRIDES = """
SELECT coalesce(r.rolname, '(all roles)') FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole
WHERE s.setrole <> 0 AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
  AND EXISTS (SELECT FROM unnest(s.setconfig) c WHERE c IN (%(name)s || '=off', %(name)s || '=false', %(name)s || '=0'))
"""

_BEFORE = """
SELECT split_part(c, '=', 2) FROM pg_db_role_setting s, unnest(s.setconfig) c
WHERE s.setrole = 0 AND s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND starts_with(c, %s || '=')
"""

# A leaf's changes are its partitioned table's.
_ACTIVITY = """
SELECT n.nspname || '.' || c.relname, sum(s.n_tup_ins + s.n_tup_upd + s.n_tup_del)::bigint
FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = coalesce(pg_partition_root(s.relid), s.relid)
JOIN pg_namespace n ON n.oid = c.relnamespace GROUP BY 1
"""

# A commit that is waited for flushes all that were not.
_FINAL = """
BEGIN READ WRITE;
SET LOCAL synchronous_commit = local;
SELECT pg_logical_emit_message(true, 'cdcd', 'cutover');
COMMIT;
SELECT pg_current_wal_flush_lsn()::text
"""


class PostgresFence:
    """`url` is that of a role that owns the database and may end its sessions; connects at the first question."""

    def __init__(self, url: Callable[[], str], name: str) -> None:
        self._sessions = Sessions(url, NAME)
        self._session: Session | None = None
        self._names = {"pipeline": f"cdcd/{name}", "name": SETTING}
        self._before: str | None = None
        self._database = ""

    def obstacles(self) -> list[str]:
        found = [f"prepared transaction {gid}: COMMIT or ROLLBACK PREPARED it" for (gid,) in self._ask(_PREPARED)]
        found += [
            f"role {role} overrides the fence: ALTER ROLE {quote_identifier(role)} RESET {SETTING}"
            for (role,) in self._ask(_OVERRIDES, self._names)
        ]
        return found

    @property
    def up(self) -> str:
        return f"ALTER DATABASE {self._name} SET {SETTING} = on"

    @property
    def down(self) -> str:
        # "on" was left by a cut-over that was killed: a database that is written has another default.
        kept = f"RESET {SETTING}" if self._before in (None, "on") else f"SET {SETTING} = {self._before}"
        # Whoever runs it is read only too.
        return f"BEGIN READ WRITE; ALTER DATABASE {self._name} {kept}; COMMIT"

    @property
    def _name(self) -> str:
        if not self._database:
            ((self._database,),) = self._ask("SELECT current_database()")
            self._before = next((value for (value,) in self._ask(_BEFORE, (SETTING,))), None)
        return quote_identifier(self._database)

    def writers(self) -> list[str]:
        rows = self._ask(f"SELECT a.usename, a.application_name, a.pid {_STRANGERS} ORDER BY a.pid", self._names)
        return [f"{user} ({application or 'unnamed'}, process {pid})" for user, application, pid in rows]

    def unfinished(self) -> list[str]:
        wrote = f"SELECT a.usename, a.application_name, a.pid {_STRANGERS} AND a.backend_xid IS NOT NULL ORDER BY a.pid"
        found = [
            f"the open transaction of {user} ({application or 'unnamed'}, process {pid})"
            for user, application, pid in self._ask(wrote, self._names)
        ]
        return found + [f"the prepared transaction {gid}" for (gid,) in self._ask(_PREPARED)]

    def raise_up(self) -> None:
        self._ask(self.up)
        # A session that began later read its settings after the change.
        ((since,),) = self._ask("SELECT clock_timestamp()::text")
        names = {**self._names, "since": since}
        older = f"{_STRANGERS} AND coalesce(a.backend_start <= %(since)s::timestamptz, true)"
        until = time.monotonic() + PATIENCE
        while rows := self._ask(f"SELECT a.pid, a.usename, a.application_name {older}", names):
            for pid, user, application in rows:
                self._end(pid, user, application)
            if time.monotonic() > until:
                raise StateRefused(f"{len(rows)} sessions at the source do not end", session=rows[0][0])
            time.sleep(0.05)

    def _end(self, pid: int, user: str, application: str) -> None:
        try:
            self._ask("SELECT pg_terminate_backend(%s)", (pid,))
        except CdcdError as error:
            raise StateRefused(
                "a session at the source cannot be ended, and may write",
                why=error.what,
                hint="end it, or fence as a role that may: --fence-as URL, with pg_signal_backend or as a superuser",
                role=user,
                application=application or None,
                process=pid,
            ) from None

    def lower(self) -> None:
        self._ask(self.down)

    def final(self) -> Lsn:
        ((flushed,),) = self._ask(_FINAL)
        return Lsn.of(str(flushed))

    def activity(self) -> Mapping[str, int]:
        return dict(self._ask(_ACTIVITY))

    def _ask(self, text: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        if self._session is None or self._session.closed:
            self._session = self._sessions.open()
        if "ALTER DATABASE" in text:
            self._session.run(text)
            return []
        return self._session.rows(text, parameters)

    def close(self) -> None:
        self._sessions.close()
