"""A PostgreSQL server known by its address: what tests ask of any server, whoever started it."""

from contextlib import closing
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import psycopg2
import psycopg2.extensions

from tests.kept import sessions

Rows = list[tuple[Any, ...]]


def connect(url: str) -> psycopg2.extensions.connection:
    """An autocommit connection."""
    connection = psycopg2.connect(url, connect_timeout=10)
    connection.autocommit = True
    return connection


def execute(url: str, text: str, *params: object) -> Rows:
    """Run SQL in autocommit on a connection of its own, or on that of a wait; the last statement's rows, or none."""
    kept = sessions()
    if kept is None:
        with closing(connect(url)) as connection:
            return _run(connection, text, params)
    if url in kept:
        try:
            return _run(kept[url], text, params)
        except (psycopg2.OperationalError, psycopg2.InterfaceError):
            if not kept[url].closed:  # else it was ended since: asked again
                raise
    kept[url] = connect(url)
    return _run(kept[url], text, params)


def _run(connection: psycopg2.extensions.connection, text: str, params: tuple[object, ...]) -> Rows:
    with connection.cursor() as cursor:
        cursor.execute(text, params or None)
        return cursor.fetchall() if cursor.description else []


class Server:
    """A server that accepts TCP connections by password, and its superuser."""

    def __init__(self, host: str, port: int, user: str, password: str) -> None:
        self.host = host
        self.port = port
        self.user = user
        self.password = password

    @classmethod
    def at(cls, url: str) -> "Server":
        """The server that a superuser's URL names."""
        parts = urlsplit(url)
        return cls(
            parts.hostname or "127.0.0.1",
            parts.port or 5432,
            unquote(parts.username or "postgres"),
            unquote(parts.password or ""),
        )

    def url(self, database: str = "postgres", user: str | None = None, password: str | None = None) -> str:
        """A TCP URL: the superuser's, or another role's."""
        if user is None:
            user, password = self.user, self.password
        who = quote(user, safe="")
        if password is not None:
            who += ":" + quote(password, safe="")
        return f"postgresql://{who}@{self.host}:{self.port}/{quote(database, safe='')}"

    def execute(self, text: str, *params: object, database: str = "postgres") -> Rows:
        """Run SQL as superuser in autocommit."""
        return execute(self.url(database), text, *params)

    @property
    def version(self) -> str:
        return str(self.execute("SHOW server_version")[0][0])

    @property
    def major(self) -> int:
        return int(self.execute("SHOW server_version_num")[0][0]) // 10000

    @property
    def system_identifier(self) -> str:
        return str(self.execute("SELECT system_identifier FROM pg_control_system()")[0][0])

    def create_database(self, name: str, owner: str | None = None, options: str = "") -> str:
        """Make a database, e.g. with options "LOCALE 'de_DE.UTF-8' TEMPLATE template0"; its superuser URL."""
        owned = f' OWNER "{owner}"' if owner else ""
        self.execute(f'CREATE DATABASE "{name}"{owned} {options}')
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database with its slots and sessions, whatever still uses them."""
        self.drop_slots(name)
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def slots(self, database: str | None = None) -> list[str]:
        """Names of the replication slots: of one database, or all."""
        text = "SELECT slot_name FROM pg_replication_slots WHERE %s IS NULL OR database = %s ORDER BY 1"
        return [row[0] for row in self.execute(text, database, database)]

    def drop_slots(self, database: str | None = None) -> None:
        """Drop replication slots, ending who reads them."""
        from tests.waiting import wait_until

        def dropped() -> bool:
            self.execute(
                "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
                " WHERE active AND (%s IS NULL OR database = %s)",
                database,
                database,
            )
            for name in self.slots(database):
                try:
                    self.execute("SELECT pg_drop_replication_slot(%s)", name)
                except (psycopg2.errors.ObjectInUse, psycopg2.errors.UndefinedObject):
                    pass
            return not self.slots(database)

        wait_until(dropped, what=f"the slots of {database or 'the server'} to be dropped")

    def terminate(self, where: str = "true", *params: object) -> int:
        """End the sessions that a condition over pg_stat_activity names, never this one; how many."""
        return len(
            self.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type IN ('client backend', 'walsender')"
                f" AND ({where})",
                *params,
            )
        )
