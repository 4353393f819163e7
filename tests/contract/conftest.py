"""The cases that the menu is run with, one parameter per connector."""

from __future__ import annotations

import pytest

from tests.contract.case import SinkCase, SourceCase
from tests.contract.memory import MemorySinkCase, MemorySourceCase


@pytest.fixture(params=["memory"])
def at(request: pytest.FixtureRequest) -> SourceCase:
    """The server that is read."""
    return MemorySourceCase()


@pytest.fixture(params=["memory"])
def to(request: pytest.FixtureRequest) -> SinkCase:
    """The server that is written."""
    return MemorySinkCase()
