"""The cases that the menu is run with, one parameter per connector."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.contract.case import SinkCase, SourceCase
from tests.contract.memory import MemorySinkCase, MemorySourceCase
from tests.contract.postgres import PostgresSinkCase, PostgresSourceCase


def _memory_source(request: pytest.FixtureRequest) -> SourceCase:
    return MemorySourceCase()


def _postgres_source(request: pytest.FixtureRequest) -> SourceCase:
    return PostgresSourceCase(request.getfixturevalue("source_db"))


def _postgres15_source(request: pytest.FixtureRequest) -> SourceCase:
    return PostgresSourceCase(request.getfixturevalue("source_db15"))


def _memory_sink(request: pytest.FixtureRequest) -> SinkCase:
    return MemorySinkCase()


def _postgres_sink(request: pytest.FixtureRequest) -> SinkCase:
    return PostgresSinkCase(request.getfixturevalue("target_db"), request.getfixturevalue("target_proxy"))


SOURCES: dict[str, Callable[[pytest.FixtureRequest], SourceCase]] = {
    "memory": _memory_source,
    "postgres18": _postgres_source,
    "postgres15": _postgres15_source,
}
SINKS: dict[str, Callable[[pytest.FixtureRequest], SinkCase]] = {
    "memory": _memory_sink,
    "postgres18": _postgres_sink,
}


@pytest.fixture(params=SOURCES)
def at(request: pytest.FixtureRequest) -> SourceCase:
    """The server that is read."""
    return SOURCES[request.param](request)


@pytest.fixture(params=SINKS)
def to(request: pytest.FixtureRequest) -> SinkCase:
    """The server that is written."""
    return SINKS[request.param](request)
