"""Fixtures of MySQL and MariaDB servers, and of a test's databases on them. Servers start at first use, are shared."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.servers.mysql import MySQL
from tests.servers.mysql_container import obtain
from tests.servers.mysql_database import MySQLDatabase, make_database, make_users

PRODUCTS = ("mysql", "mariadb")


@pytest.fixture(scope="session")
def mysql_servers() -> Iterator[Callable[..., MySQL]]:
    """The server of a product; `purpose` asks for another one, `settings` are those it starts with."""
    started: dict[tuple[str, str], MySQL] = {}
    with ExitStack() as ends:

        def serve(product: str, purpose: str = "", **settings: object) -> MySQL:
            if (product, purpose) not in started:
                server = obtain(product, settings)
                ends.callback(server.remove)
                make_users(server)
                started[product, purpose] = server
            return started[product, purpose]

        yield serve


@pytest.fixture
def mysql_on() -> Iterator[Callable[..., MySQLDatabase]]:
    """Makes fresh databases on a server."""
    with ExitStack() as ends:

        def make(server: MySQL, name: str | None = None, options: str = "") -> MySQLDatabase:
            database = make_database(server, name, options)
            ends.callback(database.drop)
            return database

        yield make


@pytest.fixture(scope="session", params=PRODUCTS)
def mysql_server(request: pytest.FixtureRequest, mysql_servers: Callable[..., MySQL]) -> MySQL:
    """MySQL 9.7, then MariaDB 10.11: a test that asks runs on both."""
    return mysql_servers(request.param)


@pytest.fixture
def mysql_db(mysql_on: Callable[..., MySQLDatabase], mysql_server: MySQL) -> MySQLDatabase:
    """A fresh database on each of the two."""
    return mysql_on(mysql_server)
