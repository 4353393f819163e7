"""Fixtures of real servers and of a test's databases on them. Servers start at first use and are shared."""

from collections.abc import Iterator

import pytest

from tests.servers import Database, Server, make_roles, obtain
from tests.servers.database import make_source, make_target

started: dict[str, Server] = {}
"""The servers of this run by fixture name, for the checks at its end."""


def _serve(name: str, version: int, purpose: str = "") -> Iterator[Server]:
    server, end = obtain(version, purpose)
    try:
        make_roles(server)
        started[name] = server
        yield server
        left = server.slots()
    finally:
        started.pop(name, None)
        end()
    assert not left, f"tests left replication slots on {name}: {left}"


@pytest.fixture(scope="session")
def pg18() -> Iterator[Server]:
    """PostgreSQL 18, where sources live."""
    yield from _serve("pg18", 18)


@pytest.fixture(scope="session")
def pg18_target() -> Iterator[Server]:
    """Another PostgreSQL 18, with a system identifier of its own, where targets live."""
    yield from _serve("pg18_target", 18, "target")


@pytest.fixture(scope="session")
def pg15() -> Iterator[Server]:
    """PostgreSQL 15 with ICU, XML and TLS."""
    yield from _serve("pg15", 15)


@pytest.fixture
def source_db(pg18: Server) -> Iterator[Database]:
    """A fresh source database; its slots go with it."""
    database = make_source(pg18)
    yield database
    database.drop()


@pytest.fixture
def target_db(pg18_target: Server) -> Iterator[Database]:
    """A fresh target database on another server."""
    database = make_target(pg18_target)
    yield database
    database.drop()


@pytest.fixture
def source_db15(pg15: Server) -> Iterator[Database]:
    """A fresh source database on PostgreSQL 15."""
    database = make_source(pg15)
    yield database
    database.drop()


@pytest.fixture
def target_db15(pg15: Server) -> Iterator[Database]:
    """A fresh target database on PostgreSQL 15."""
    database = make_target(pg15)
    yield database
    database.drop()
