"""Fixtures of tests that need no server."""

from pathlib import Path

import pytest

from tests.unit.commands import Cdcd


@pytest.fixture
def cli(tmp_path: Path) -> Cdcd:
    """The command, in an empty directory."""
    return Cdcd(tmp_path)
