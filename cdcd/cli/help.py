"""`cdcd --help`: the commands by the stage of a migration that they belong to."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup


class Stages(TyperGroup):
    """Where the terminal is none and nothing draws panels, a section for each stage all the same."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        width = max(map(len, self.commands))
        stages: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            short = command.get_short_help_str(500).rstrip(".")
            stages.setdefault(getattr(command, "rich_help_panel", None) or "Commands", []).append((name, short))
        for stage, its in stages.items():
            with formatter.section(stage):
                formatter.write_dl([(f"{name:{width}}", short) for name, short in its])
