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
    "sync-binlog": 1, "innodb-flush-log-at-trx-commit": 1, "innodb-buffer-pool-size": "1G",
}


@dataclass(frozen=True, slots=True)
class Pair:
    """A source and a target."""

    source: Database
    target: Database

    def sql(self, text: str) -> None:
        """At both ends, as the tables' owner."""
        self.source.sql(text)
        self.target.sql(text)

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

    @property
    def version(self) -> str:
        return self._source.version

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
    def mysql(self) -> Iterator[MySQLDatabase]:
        """A database on a MySQL that really syncs its log; the server is started for it, and removed."""
        with MySQL.start("mysql", DURABLE_MYSQL) as server:
            make_users(server)
            yield make_database(server)

    def close(self) -> None:
        self._source.remove()
        self._target.remove()


def address(database: Database) -> str:
    """The URL for cdcd, whose password is in `environment`."""
    server = database.server
    return f"postgresql://{database.role}:${{{_variable(database)}}}@{server.host}:{server.port}/{database.name}"


def environment(pair: Pair) -> dict[str, str]:
    """Ours, with the passwords that no command line should show."""
    ends = (pair.source, pair.target)
    return {**os.environ, **{_variable(end): quote(PASSWORDS[end.role], safe="") for end in ends}}


def _variable(database: Database) -> str:
    return f"PASSWORD_OF_{database.role.upper()}"
