"""The one place that decides where a server comes from: a named URL, then packages, then testcontainers."""

import os
from collections.abc import Callable

import psycopg2

from tests.servers.address import Server
from tests.servers.binaries import Unavailable
from tests.servers.postgres import PASSWORD, Postgres


def obtain(version: int, purpose: str = "") -> tuple[Server, Callable[[], None]]:
    """A server of this version, and what ends it; `purpose` ("target") asks for one of its own.

    Never skips: without a server there is one clear error.
    """
    variable = f"CDCD_TEST_POSTGRES_{version}" + (f"_{purpose.upper()}" if purpose else "")
    named = os.environ.get(variable)
    if named:
        return _named(variable, named, version), lambda: None
    try:
        own = Postgres.start(version)
        return own, own.remove
    except Unavailable as error:
        reason = str(error)
    try:
        return _container(version)
    except Exception as error:
        raise RuntimeError(
            f"no PostgreSQL {version} for the tests: name a superuser's URL in {variable}, "
            f"or let the packages bring it ({reason}), or start Docker for testcontainers "
            f"({type(error).__name__}: {error})"
        ) from None


def _named(variable: str, url: str, version: int) -> Server:
    server = Server.at(url)
    try:
        major = server.major
    except psycopg2.Error as error:
        raise RuntimeError(f"the server named by {variable} cannot be used: {error}") from None
    if major != version:
        raise RuntimeError(f"the server named by {variable} is PostgreSQL {major}, not {version}")
    return server


def _container(version: int) -> tuple[Server, Callable[[], None]]:
    from testcontainers.postgres import PostgresContainer

    container = PostgresContainer(
        f"postgres:{version}", username="postgres", password=PASSWORD, dbname="postgres"
    ).with_command(
        "postgres -c wal_level=logical -c max_replication_slots=60"
        " -c max_wal_senders=60 -c max_connections=200"
    )
    container.start()
    host, port = container.get_container_host_ip(), int(container.get_exposed_port(5432))
    return Server(host, port, "postgres", PASSWORD), container.stop
