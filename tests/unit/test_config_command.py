"""`cdcd config`: what takes effect, where it comes from, and nothing that is secret."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cdcd.cli import main
from cdcd.config import PipelineSettings, read_file

SECRET = "canary-secret-4412"
FILE = f"""
[log]
level = "debug"
[[pipeline]]
from = {{ url = "postgresql://u@db1/shop", password_file = "${{DIRECTORY}}/pw" }}
to = "postgresql://u:{SECRET}@db2/shop"
tables = ["public.${{TABLE}}"]
slot = "by_hand"
group_bytes = "8 MB"
[[pipeline]]
name = "other"
from = "postgresql://u:${{PW}}@db1/other"
to = "postgresql://u@db2/other"
"""


@pytest.fixture
def said(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    monkeypatch.setenv("TABLE", "orders")
    monkeypatch.setenv("PW", SECRET)
    monkeypatch.setenv("DIRECTORY", str(tmp_path))
    (tmp_path / "cdcd.toml").write_text(FILE)
    (tmp_path / "pw").write_text(SECRET)

    def say(*words: str, command: str = "config", code: int = 0) -> str:
        with pytest.raises(SystemExit) as left:
            main([command, *words])
        assert left.value.code == code
        told = capsys.readouterr()
        assert SECRET not in told.out + told.err
        return told.out if code == 0 else told.out + told.err

    return say


def test_as_json(said: Callable[..., str], tmp_path: Path) -> None:
    told: dict[str, Any] = json.loads(said("-c", str(tmp_path / "cdcd.toml"), "--json"))
    shop, other = told["pipelines"]
    assert shop["name"] == {"value": "shop", "from": "default: the source's database"}
    assert shop["slot"] == {"value": "by_hand", "from": "cdcd.toml"}
    assert shop["publication"] == {"value": "cdcd_shop", "from": "default: made and dropped by cdcd"}
    assert shop["tables"] == {"value": ["public.orders"], "from": "cdcd.toml, with ${TABLE}"}
    assert shop["group_bytes"] == {"value": 8_000_000, "from": "cdcd.toml"}
    assert shop["load"] == {"value": "full", "from": "default"}
    assert shop["from"]["value"] == {"url": "postgresql://u@db1/shop", "password_file": "${DIRECTORY}/pw"}
    assert shop["to"] == {"value": "postgresql://u:***@db2/shop", "from": "cdcd.toml"}
    assert other["from"] == {"value": "postgresql://u:${PW}@db1/other", "from": "cdcd.toml, with ${PW}"}
    assert told["log"]["level"] == {"value": "debug", "from": "cdcd.toml"}
    assert told["http"]["listen"] == {"value": None, "from": "default"}
    keys = {field.alias or name for name, field in PipelineSettings.model_fields.items()}
    assert set(shop) == set(other) == keys


def test_the_text_is_a_file_that_means_the_same(said: Callable[..., str], tmp_path: Path) -> None:
    text = said("-c", str(tmp_path / "cdcd.toml"), "shop")
    assert [one["name"] for one in tomllib.loads(text)["pipeline"]] == ["shop"]
    again = tmp_path / "again.toml"
    again.write_text(text)
    before = read_file(tmp_path / "cdcd.toml").pipelines[0]
    after = read_file(again).pipelines[0]
    for key in set(PipelineSettings.model_fields) - {"name", "source", "target"}:
        assert getattr(before.settings, key) == getattr(after.settings, key), key
    assert (before.name, before.slot, before.publication) == (after.name, after.slot, after.publication)


def test_of_options(said: Callable[..., str]) -> None:
    text = said("--from", "postgresql://u@h/a", "--to", "postgresql://u@h/b", "--tables", "x.*")
    assert 'tables = ["x.*"]' in text
    assert "# option" in text and "# default" in text


@pytest.mark.parametrize("content", [None, b"\xff\xfe"], ids=["none", "no text"])
def test_a_password_file_that_cannot_be_read(said: Callable[..., str], tmp_path: Path, content: bytes | None) -> None:
    """A mistake in the configuration, told before anything is tried; printed it is all the same."""
    (tmp_path / "pw").unlink()
    if content is not None:
        (tmp_path / "pw").write_bytes(content)
    file = str(tmp_path / "cdcd.toml")
    for command in ("config", "run", "check"):
        told = said("-c", file, command=command, code=2)
        assert f'cdcd.toml: pipeline number 1, key from: the password file cannot be read: {tmp_path}/pw' in told
        assert "No such file" in told if content is None else "not UTF-8" in told
        assert "leave out password_file" in told
        assert ("[[pipeline]]" in told) == (command == "config")
    assert said("-c", file, "other")
