"""Completion, as the shells ask for it."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from cdcd.cli import COMMANDS
from tests.unit.commands import Cdcd

FILE = """
[[pipeline]]
name = "shop"
from = "postgresql://a/x"
to = "postgresql://${NOWHERE}@b/x"
[[pipeline]]
name = "crm"
from = "postgresql://a/x"
to = "postgresql://b/x"
"""


def ask(cli: Cdcd, *words: str) -> list[str]:
    """The words that bash is given for the last of these; through the script that it is to source."""
    program = cli.directory / "cdcd"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m cdcd "$@"\n')
    program.chmod(0o755)
    script = cli.run(environment={"_CDCD_COMPLETE": "source_bash"}).stdout
    asked = f"""{script}
COMP_WORDS=({" ".join(map(repr, ("cdcd", *words)))}); COMP_CWORD={len(words)}
_cdcd_completion {program}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(
        ["bash", "-c", asked], env=cli.environment, cwd=cli.directory, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_commands_and_options(cli: Cdcd) -> None:
    assert ask(cli, "") == [command.__name__ for command in COMMANDS]
    assert ask(cli, "va") == ["validate"]
    assert set(ask(cli, "run", "--on-")) == {"--on-schema-change", "--on-error", "--on-conflict"}
    assert ask(cli, "run", "--on-conflict", "") == ["stop", "overwrite", "skip"]


def test_pipelines_of_the_file(cli: Cdcd) -> None:
    """Whatever else is wrong with it; and nothing where there is none."""
    file = cli.file(FILE)
    assert ask(cli, "run", "-c", file, "") == ["shop", "crm"]
    assert ask(cli, "status", "--config", file, "shop", "") == ["crm"]
    assert ask(cli, "reload", "-c", file, "public.t", "c") == ["crm"]
    assert ask(cli, "run", "-c", "nowhere.toml", "") == []
    assert ask(cli, "run", "-c", cli.file("[[pipeline", "bad.toml"), "") == []


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells(cli: Cdcd, shell: str) -> None:
    script = cli.run(environment={"_CDCD_COMPLETE": f"source_{shell}"}).stdout
    assert "cdcd" in script
    if (program := shutil.which(shell)) is not None:
        subprocess.run([program, "-n"], input=script, text=True, check=True)
    asked = {"_CDCD_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": "cdcd re"}
    told = cli.run(environment=asked | {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}).stdout
    assert "reload" in told and "retry" in told and "status" not in told
