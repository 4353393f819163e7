"""Fixtures of real servers and of a test's databases on them. Servers start at first use and are shared."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.servers import Database, Server, make_roles, matrix, obtain
from tests.servers.database import make_source, make_target


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """By `make matrix` each test of a source and a target runs on the other versions; unless it names pairs itself."""
    named = any("versions" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if matrix.WANTED and "versions" in metafunc.fixturenames and not named:
        metafunc.parametrize("versions", matrix.RING, indirect=True, ids=matrix.name, scope="session")


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[..., Server]]:
    """The server of a version; `purpose` asks for another one of that version, with an identity of its own."""
    started: dict[tuple[int, str], Server] = {}
    with ExitStack() as ends:

        def serve(version: int, purpose: str = "") -> Server:
            if (version, purpose) not in started:
                server, end = obtain(version, purpose)
                ends.callback(end)
                make_roles(server)
                started[version, purpose] = server
            return started[version, purpose]

        yield serve
        left = {version: slots for version, server in started.items() if (slots := server.slots())}
    assert not left, f"tests left replication slots: {left}"


@pytest.fixture(scope="session")
def pg18(servers: Callable[..., Server]) -> Server:
    """PostgreSQL 18, where sources live."""
    return servers(18)


@pytest.fixture(scope="session")
def pg18_target(servers: Callable[..., Server]) -> Server:
    """Another PostgreSQL 18, with a system identifier of its own, where targets live."""
    return servers(18, "target")


@pytest.fixture(scope="session")
def pg15(servers: Callable[..., Server]) -> Server:
    """PostgreSQL 15 with ICU, XML and TLS."""
    return servers(15)


@pytest.fixture(scope="session")
def versions(request: pytest.FixtureRequest) -> matrix.Pair:
    """Of the source and of the target."""
    pair: matrix.Pair = getattr(request, "param", matrix.HERE)
    return pair


@pytest.fixture(scope="session")
def source_server(versions: matrix.Pair, servers: Callable[..., Server]) -> Server:
    """The server of `source_db`."""
    return servers(versions[0])


@pytest.fixture(scope="session")
def target_server(versions: matrix.Pair, servers: Callable[..., Server]) -> Server:
    """The server of `target_db`: never the source's."""
    source, target = versions
    return servers(target, "target" if target == source else "")


@pytest.fixture
def source_on() -> Iterator[Callable[..., Database]]:
    """Makes fresh source databases on a server; their slots go with them."""
    with ExitStack() as ends:

        def make(server: Server, options: str = "") -> Database:
            database = make_source(server, options=options)
            ends.callback(database.drop)
            return database

        yield make


@pytest.fixture
def target_on() -> Iterator[Callable[..., Database]]:
    """Makes fresh target databases on a server."""
    with ExitStack() as ends:

        def make(server: Server, options: str = "") -> Database:
            database = make_target(server, options=options)
            ends.callback(database.drop)
            return database

        yield make


@pytest.fixture
def source_db(source_on: Callable[[Server], Database], source_server: Server) -> Database:
    """A fresh source database."""
    return source_on(source_server)


@pytest.fixture
def target_db(target_on: Callable[[Server], Database], target_server: Server) -> Database:
    """A fresh target database on another server."""
    return target_on(target_server)


@pytest.fixture
def source_db15(source_on: Callable[[Server], Database], pg15: Server) -> Database:
    """A fresh source database on PostgreSQL 15."""
    return source_on(pg15)


@pytest.fixture
def target_db15(target_on: Callable[[Server], Database], pg15: Server) -> Database:
    """A fresh target database on PostgreSQL 15."""
    return target_on(pg15)
