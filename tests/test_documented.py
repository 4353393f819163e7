"""What users read is true and complete: README, example configuration, changelog, metrics, exit codes, architecture."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from cdcd import cli, config, errors, metrics
from tests.house import ROOT, text, tracked

README = text(Path("README.md"))
ARCHITECTURE = text(Path("ARCHITECTURE.md"))


@pytest.mark.parametrize("command", [command.__name__ for command in cli.COMMANDS])
def test_readme_names_every_command(command: str) -> None:
    assert re.search(rf"`cdcd {command}\b", README)


def test_readme_names_no_command_that_is_not_there() -> None:
    known = {command.__name__ for command in cli.COMMANDS}
    told = set(re.findall(r"(?:`|^ {4})cdcd ([a-z]+)\b", README, re.MULTILINE))
    assert told <= known, f"{told - known} are not commands"


@pytest.mark.parametrize("command", cli.COMMANDS, ids=lambda command: command.__name__)
def test_every_command_helps(command: object) -> None:
    assert inspect.getdoc(command)


def test_every_exit_code_is_in_readme() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.CdcdError)]
    for code in {kind.exit_code for kind in kinds}:
        assert re.search(rf"^\| {code} \|", README, re.MULTILINE), code


def test_every_error_is_in_the_tree_drawn_above_them() -> None:
    drawn = errors.__doc__ or ""
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.CdcdError):
            assert re.search(rf"[─ ]{name}\b", drawn) or name == "CdcdError", name
            assert inspect.getdoc(kind), name


def test_the_example_configuration_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    path = ROOT / "config.example.toml"
    for name in re.findall(r"\$\{(\w+)\}", path.read_text()):
        monkeypatch.setenv(name, "x")
    assert config.read_file(path).pipelines


def test_the_example_configuration_shows_every_key() -> None:
    example = text(Path("config.example.toml"))
    keys = {
        key
        for settings in (config.PipelineSettings, config.HttpSettings, config.LogSettings)
        for key, field in settings.model_fields.items()
        for key in [field.alias or key]
    }
    assert not [key for key in sorted(keys) if not re.search(rf"^#? ?{key} = ", example, re.MULTILINE)]


def test_metrics_are_named_and_explained() -> None:
    names = [metric.name for metric in metrics.METRICS]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"cdcd_[a-z_]+", name) for name in names)
    assert all(metric.help[0].isupper() or metric.help[0].isdigit() for metric in metrics.METRICS)
    assert all(metric.help.endswith(".") for metric in metrics.METRICS)


def test_metrics_that_files_name_are_there() -> None:
    """Boards, alert rules and documents."""
    known = {metric.name for metric in metrics.METRICS}
    for path in tracked():
        if path.suffix in (".md", ".json", ".yml", ".yaml", ".rules"):
            for name in set(re.findall(r"\bcdcd_(?:[a-z]+_)*(?:total|bytes|seconds|up|in)\b", text(path))):
                assert name in known or name.removesuffix("_total") in known, f"{path}: {name}"


@pytest.mark.parametrize("document", ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"])
def test_files_that_documents_name_are_there(document: str) -> None:
    told = text(Path(document))
    links = set(re.findall(r"\]\(([^)#:]+)\)", told))
    quoted = {name for name in re.findall(r"`([\w./-]+\.(?:py|md|toml|txt|service))`", told) if "/" in name}
    here = {str(path) for path in tracked()}
    missing = {name for name in links | quoted if name not in here and not _in_engine(name, here)}
    assert not missing, f"{document} names {missing}"


def _in_engine(name: str, here: set[str]) -> bool:
    return f"cdcd/{name}" in here


def test_make_targets_that_documents_name_are_there() -> None:
    targets = set(re.findall(r"^([a-z]+):", text(Path("Makefile")), re.MULTILINE))
    for document in ("README.md", "ARCHITECTURE.md"):
        told = set(re.findall(r"(?:`|^ {4})make ([a-z]+)", text(Path(document)), re.MULTILINE))
        assert told <= targets, f"{document}: {told - targets}"
