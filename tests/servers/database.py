"""One database of a test: its URLs, and SQL run in it as the role that owns what the test makes."""

import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import psycopg2.extensions

from tests.servers import address, roles
from tests.servers.address import Rows, Server

_numbers = itertools.count(1)

ICU = "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de-DE' LOCALE 'C.UTF-8'"
"""Options of a database whose own order of text is not that of bytes; for servers that have ICU."""


@dataclass(frozen=True)
class Database:
    server: Server
    name: str
    role: str
    """Whom cdcd connects as."""
    owner: str
    """Whom the test's own SQL runs as."""
    passwords: Mapping[str, str] = field(default_factory=lambda: roles.PASSWORDS, hash=False)

    @property
    def url(self) -> str:
        """For cdcd: the least privileged role."""
        return self.server.url(self.name, self.role, self.passwords[self.role])

    @property
    def owner_url(self) -> str:
        return self.server.url(self.name, self.owner, self.passwords[self.owner])

    @property
    def admin_url(self) -> str:
        """The superuser's."""
        return self.server.url(self.name)

    def sql(self, text: str, *params: object) -> Rows:
        """Run SQL as the owner, in autocommit; the last statement's rows."""
        return address.execute(self.owner_url, text, *params)

    def admin(self, text: str, *params: object) -> Rows:
        """Run SQL as superuser, in autocommit."""
        return address.execute(self.admin_url, text, *params)

    def connect(self) -> psycopg2.extensions.connection:
        """A connection of the owner, autocommit; close it."""
        return address.connect(self.owner_url)

    def as_role(self, role: str) -> "Database":
        """The same database with cdcd, and the test's SQL where cdcd owns the tables, in another role."""
        return replace(self, role=role, owner=role if self.owner == self.role else self.owner)

    def drop(self) -> None:
        self.server.drop_database(self.name)


def _name(kind: str) -> str:
    return f"{kind}_{os.getpid()}_{next(_numbers)}"


def make_source(server: Server, name: str | None = None, options: str = "") -> Database:
    """A database owned by the application, which cdcd may read and publish."""
    made = Database(server, name or _name("source"), roles.SOURCE, roles.APP)
    server.create_database(made.name, roles.APP, options)
    return made


def make_target(server: Server, name: str | None = None, options: str = "") -> Database:
    """A database in which cdcd may create, and owns what it creates."""
    made = Database(server, name or _name("target"), roles.TARGET, roles.TARGET)
    server.create_database(made.name, roles.APP, options)
    for role in (roles.TARGET, roles.TARGET_REPLICA):
        made.admin(f'GRANT CREATE, TEMPORARY ON DATABASE "{made.name}" TO {role}')
        made.admin(f"GRANT CREATE, USAGE ON SCHEMA public TO {role}")
    return made
