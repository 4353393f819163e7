"""The registry: schemes to connectors, imported only when asked for."""

import subprocess
import sys

import pytest

from cdcd.errors import UsageError
from cdcd.registry import connector, schemes


def test_known() -> None:
    assert {"memory", "postgres", "postgresql"} <= set(schemes())
    assert connector("memory", "--from", "source").__name__ == "connectors.memory.connector"  # type: ignore[attr-defined]


def test_unknown_is_a_mistake_with_a_way_out() -> None:
    with pytest.raises(UsageError) as caught:
        connector("postgress", "--from", "source")
    assert caught.value.what == "--from: there is no connector for postgress://"
    assert "did you mean postgres" in caught.value.hint


def test_what_it_cannot_do() -> None:
    with pytest.raises(UsageError, match="cannot be used as a printer"):
        connector("memory", "--to", "printer")


def test_nothing_is_imported_that_was_not_asked_for() -> None:
    program = (
        "import sys, cdcd.wiring, cdcd.cli\n"
        "assert not [m for m in sys.modules if m.startswith('connectors.') or m.startswith('psycopg')]"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
