"""One database of a test on MySQL or MariaDB: its URLs, and SQL run in it as the user that owns what the test makes."""

import itertools
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pymysql

from connectors.mysql.login import Connection
from tests.servers.mysql import MySQL, Rows, execute
from tests.servers.roles import APP, PASSWORDS, SOURCE, TARGET

_numbers = itertools.count(1)

GRANTS: Mapping[str, tuple[str, ...]] = {
    APP: ("ALL ON {}.*",),
    SOURCE: ("SELECT, LOCK TABLES ON {}.*",),
    TARGET: ("SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES, TRIGGER, LOCK TABLES ON {}.*",),
}
"""Who may do what in a test's database. Beside it the source's user may follow the log, and the target's keeps its own
tables: see make_users."""


@dataclass(frozen=True)
class MySQLDatabase:
    server: MySQL
    name: str

    @property
    def url(self) -> str:
        """For cdcd: the least privileged user."""
        return self.server.url(self.name, SOURCE, PASSWORDS[SOURCE])

    @property
    def target_url(self) -> str:
        """For cdcd as well: the least privileged user that writes."""
        return self.server.url(self.name, TARGET, PASSWORDS[TARGET])

    @property
    def admin_url(self) -> str:
        return self.server.url(self.name)

    def sql(self, *statements: str) -> Rows:
        """Run statements as the application, in autocommit on one connection; the last one's rows."""
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                for text in statements:
                    cursor.execute(text)
                return list(cursor.fetchall())
        finally:
            connection.close()

    def run(self, text: str, *params: object) -> Rows:
        """One statement with values, as the application, in autocommit."""
        return execute(self.connect(), text, *params)

    def admin(self, text: str, *params: object) -> Rows:
        """One statement as administrator."""
        return self.server.execute(text, *params, database=self.name)

    def connect(self, autocommit: bool = True) -> Connection:
        """A connection of the application; close it."""
        return self.server.connect(self.name, APP, PASSWORDS[APP], autocommit)

    @contextmanager
    def user(self, *grants: str, password: str = "secret") -> Iterator[str]:
        """The name of one more user, with these rights and no others."""
        name = f"u{self.name[-20:]}"
        self.admin(f"CREATE USER {name} IDENTIFIED BY %s", password)
        try:
            for grant in grants:
                self.admin(f"GRANT {grant} TO {name}")
            yield name
        finally:
            self.admin(f"DROP USER {name}")

    def drop(self) -> None:
        """With the sessions that a test left in it, which would hold it up."""
        for (number,) in self.server.execute("SELECT ID FROM information_schema.PROCESSLIST WHERE DB = %s", self.name):
            with suppress(pymysql.err.MySQLError):
                self.server.execute(f"KILL {number}")
        self.server.execute(f"DROP DATABASE IF EXISTS `{self.name}`")
        self.server.execute("DROP DATABASE IF EXISTS cdcd")  # a server has one


def make_database(server: MySQL, name: str | None = None, options: str = "") -> MySQLDatabase:
    """A database that the application may change and cdcd may read."""
    made = MySQLDatabase(server, name or f"source_{os.getpid()}_{next(_numbers)}")
    server.execute(f"CREATE DATABASE `{made.name}` {options}")
    for user, rights in GRANTS.items():
        for right in rights:
            server.execute(f"GRANT {right.format(f'`{made.name}`')} TO {user}@'%'")
    return made


def make_users(server: MySQL) -> None:
    """The application's user, and cdcd's, which may read the log and say where it stands, and nothing else."""
    for user in GRANTS:
        server.execute(f"CREATE USER {user}@'%%' IDENTIFIED BY %s", PASSWORDS[user])
    server.execute(f"GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {SOURCE}@'%'")
    server.execute(f"GRANT ALL ON cdcd.* TO {TARGET}@'%'")
