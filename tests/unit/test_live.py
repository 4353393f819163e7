"""Progress on a terminal, and where there is none."""

import io

import pytest
from rich.console import Console

from cdcd.cli.live import Lines, Terminal
from cdcd.progress import Progress


def test_a_terminal_has_a_line_for_each() -> None:
    written = io.StringIO()
    terminal = Terminal(Console(file=written, force_terminal=True, width=60))
    long = Progress(name="crm", last_error="x" * 99)
    terminal.show([Progress(name="shop", phase="loading").snapshot(), long.snapshot()])
    terminal.close()
    lines = written.getvalue().splitlines()
    assert any("shop" in line and "loading: 0 rows" in line for line in lines)
    assert any("crm" in line and line.rstrip().endswith("…\x1b[0m") for line in lines)


def test_lines_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    lines, progress = Lines(), Progress(name="shop", phase="loading")
    for _ in range(5):
        lines.show([progress.snapshot()])
    assert capsys.readouterr().err.count("loading: ") == 1
    progress.phase = "streaming"
    lines.show([progress.snapshot()])
    assert capsys.readouterr().err.count("streaming: ") == 1
