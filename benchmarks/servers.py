"""The two servers of a benchmark, and a source and a target database for one piece of work."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote

from tests.servers import Database, Postgres, make_roles
from tests.servers.database import make_source, make_target
from tests.servers.mysql import MySQL
from tests.servers.mysql_database import MySQLDatabase, make_database, make_users
from tests.servers.roles import PASSWORDS

SETTINGS: Mapping[str, str] = {
    # Memory and log enough that no checkpoint and no vacuum falls into one contender's time and not into another's.
    # All else is PostgreSQL's default, fsync too.
    "shared_buffers": "1GB", "max_wal_size": "32GB", "checkpoint_timeout": "1h", "autovacuum": "off",
}

DURABLE_MYSQL: Mapping[str, object] = {
    # As a server has them that loses nothing; memory and log enough for all contenders alike.
    "sync-binlog": 1, "innodb-flush-log-at-trx-commit": 1, "innodb-flush-method": "O_DIRECT",
    "innodb-buffer-pool-size": "1G", "local-infile": "ON", "default-time-zone": "+00:00",
}

REDO: Mapping[str, Mapping[str, object]] = {
    "mysql": {"innodb-redo-log-capacity": "2G"},
    "mariadb": {"innodb-log-file-size": "2G"},
}


NAMES = {"mysql": "MySQL", "mariadb": "MariaDB"}


class Absent(Exception):
    """A peer that cannot be had here: its row says so."""


@dataclass(frozen=True, slots=True)
class Ends:
    """What cdcd is told: two URLs, whose passwords are in `environment`, and the tables."""

    source: str
    target: str
    tables: str


@dataclass(frozen=True, slots=True)
class Pair:
    """A source and a target."""

    source: Database
    target: Database

    def sql(self, text: str) -> None:
        """At both ends, as the tables' owner."""
        self.source.sql(text)
        self.target.sql(text)

    @property
    def ends(self) -> Ends:
        return Ends(address(self.source), address(self.target), "public.*")

    def checkpoint(self) -> None:
        """Before a clock starts: what was written earlier is no one's burden."""
        self.source.admin("CHECKPOINT")
        self.target.admin("CHECKPOINT")


class Servers:
    """Two PostgreSQL 18 servers that really fsync; used one after the other by every contender."""

    def __init__(self) -> None:
        self._source = Postgres.start(18, SETTINGS, durable=True)
        try:
            self._target = Postgres.start(18, SETTINGS, durable=True)
        except BaseException:
            self._source.remove()
            raise
        for server in (self._source, self._target):
            make_roles(server)
        self.versions = {"PostgreSQL": self._source.version}
        """Of the products that were used, by their names."""

    def program(self, name: str) -> str:
        return str(self._source.bin / name)

    @contextmanager
    def pair(self) -> Iterator[Pair]:
        """Fresh databases, dropped with their slots afterwards."""
        source, target = make_source(self._source), make_target(self._target)
        try:
            yield Pair(source, target)
        finally:
            source.drop()
            target.drop()

    @contextmanager
    def target(self) -> Iterator[Database]:
        """A fresh database, where another product is the source."""
        target = make_target(self._target)
        try:
            yield target
        finally:
            target.drop()

    @contextmanager
    def mysql(self, product: str = "mysql", name: str | None = None) -> Iterator[MySQLDatabase]:
        """A database on a MySQL or MariaDB that really syncs; the server is started for it, and removed."""
        with MySQL.start(product, {**DURABLE_MYSQL, **REDO[product]}) as server:
            make_users(server)
            self.versions[NAMES[product]] = server.version.partition("-")[0]
            yield make_database(server, name)

    def close(self) -> None:
        self._source.remove()
        self._target.remove()


def address(database: Database) -> str:
    """The URL for cdcd, whose password is in `environment`."""
    server = database.server
    return f"postgresql://{database.role}:${{{_variable(database.role)}}}@{server.host}:{server.port}/{database.name}"


def mysql_address(database: MySQLDatabase, user: str) -> str:
    """The same, for one of cdcd's two users there; in plain, as the peers' connections are."""
    server = database.server
    where = f"{server.host}:{server.port}/{database.name}?ssl-mode=DISABLED"
    return f"{server.product}://{user}:${{{_variable(user)}}}@{where}"


def environment() -> dict[str, str]:
    """Ours, with the passwords that no command line should show."""
    return {**os.environ, **{_variable(role): quote(password, safe="") for role, password in PASSWORDS.items()}}


def _variable(role: str) -> str:
    return f"PASSWORD_OF_{role.upper()}"
