"""The cases that the menu is run with, one parameter per connector."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.contract.case import SinkCase, SourceCase
from tests.contract.memory import MemorySinkCase, MemorySourceCase
from tests.contract.mysql import MysqlSinkCase, MysqlSourceCase
from tests.contract.postgres import PostgresSinkCase, PostgresSourceCase
from tests.servers import matrix
from tests.servers.database import ICU


def _memory_source(request: pytest.FixtureRequest) -> SourceCase:
    return MemorySourceCase()


def _postgres_source(version: int, options: str = "") -> Callable[[pytest.FixtureRequest], SourceCase]:
    def case(request: pytest.FixtureRequest) -> SourceCase:
        server = request.getfixturevalue("servers")(version)
        return PostgresSourceCase(request.getfixturevalue("source_on")(server, options))

    return case


def _memory_sink(request: pytest.FixtureRequest) -> SinkCase:
    return MemorySinkCase()


def _postgres_sink(version: int, options: str = "") -> Callable[[pytest.FixtureRequest], SinkCase]:
    def case(request: pytest.FixtureRequest) -> SinkCase:
        server = request.getfixturevalue("servers")(version, "target")
        database = request.getfixturevalue("target_on")(server, options)
        return PostgresSinkCase(database, request.getfixturevalue("make_proxy")(server))

    return case


def _mysql_source(product: str) -> Callable[[pytest.FixtureRequest], SourceCase]:
    def case(request: pytest.FixtureRequest) -> SourceCase:
        server = request.getfixturevalue("mysql_servers")(product)
        return MysqlSourceCase(request.getfixturevalue("mysql_on")(server, "menu"))

    return case


def _mysql_sink(product: str) -> Callable[[pytest.FixtureRequest], SinkCase]:
    def case(request: pytest.FixtureRequest) -> SinkCase:
        server = request.getfixturevalue("mysql_servers")(product, "target")
        database = request.getfixturevalue("mysql_on")(server, "menu")
        return MysqlSinkCase(database, request.getfixturevalue("make_proxy")(server))

    return case


SOURCES: dict[str, Callable[[pytest.FixtureRequest], SourceCase]] = {
    f"postgres{version}": _postgres_source(version) for version in (matrix.OTHERS if matrix.WANTED else matrix.USUAL)
}
SINKS: dict[str, Callable[[pytest.FixtureRequest], SinkCase]] = {
    f"postgres{version}": _postgres_sink(version) for version in (matrix.OTHERS if matrix.WANTED else (18,))
}
if not matrix.WANTED:
    SOURCES["postgres15 icu"] = _postgres_source(15, ICU)
    SOURCES["memory"] = _memory_source
    SOURCES["mysql"] = _mysql_source("mysql")
    SOURCES["mariadb"] = _mysql_source("mariadb")
    SINKS["postgres15 icu"] = _postgres_sink(15, ICU)
    SINKS["memory"] = _memory_sink
    SINKS["mysql"] = _mysql_sink("mysql")
    SINKS["mariadb"] = _mysql_sink("mariadb")


@pytest.fixture(params=SOURCES)
def at(request: pytest.FixtureRequest) -> SourceCase:
    """The server that is read."""
    return SOURCES[request.param](request)


@pytest.fixture(params=SINKS)
def to(request: pytest.FixtureRequest) -> SinkCase:
    """The server that is written."""
    return SINKS[request.param](request)
