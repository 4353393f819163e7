"""Configuration: what is accepted, and each class of mistake with its place, its reason and what is allowed."""

import re
from pathlib import Path

import pytest

from cdcd.config import (
    Config,
    Endpoint,
    HttpSettings,
    LogSettings,
    PipelineSettings,
    from_options,
    read_file,
)
from cdcd.errors import UsageError

SECRET = "canary-secret"
ENDS = f'from = "postgresql://u:{SECRET}@db1/shop"\nto = "postgresql://u:{SECRET}@db2/shop"\n'
ONE = f"[[pipeline]]\n{ENDS}"


def read(tmp_path: Path, text: str, **overrides: object) -> Config:
    path = tmp_path / "cdcd.toml"
    path.write_text(text)
    return read_file(path, overrides)


def test_the_least_that_is_needed(tmp_path: Path) -> None:
    config = read(tmp_path, ONE)
    [pipeline] = config.pipelines
    assert pipeline.name == "shop"
    assert pipeline.settings.load == "full"
    assert config.http.listen is None
    assert config.log.format == "text"


def test_all_that_is_possible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TABLE", "orders")
    config = read(
        tmp_path,
        '[http]\nlisten = "[::1]:9187"\n[log]\nformat = "json"\nlevel = "debug"\n[[pipeline]]\nname = "a_1"\n'
        'from = { url = "postgresql://u@h/d", password_file = "/run/pw" }\nto = "postgresql://h/d"\n'
        'tables = ["public.${TABLE}", "!public.log"]\nload = "skip"\nfrom_now = true\nuntil = "caught-up"\n'
        'standby = true\ntarget_tables = "use"\npublication = "p"\nslot = "s"\nchunks_per_snapshot = 3\n'
        'chunk_bytes = "8 MB"\ngroup_bytes = 100_000\nloaders = 3\ntable_poll = 1\n',
    )
    settings = config.pipelines[0].settings
    assert settings.tables == ("public.orders", "!public.log")
    assert settings.chunk_bytes == 8_000_000
    assert settings.finite
    assert config.pipelines[0].source.password_file == "/run/pw"


def test_the_example_is_true() -> None:
    config = read_file(Path(__file__).parents[2] / "config.example.toml")
    assert {"shop", "crm"} <= {pipeline.name for pipeline in config.pipelines}


def test_the_example_has_every_key() -> None:
    text = (Path(__file__).parents[2] / "config.example.toml").read_text()
    for model in (PipelineSettings, Endpoint, HttpSettings, LogSettings):
        for name, field in model.model_fields.items():
            assert re.search(rf"(^|[{{,#] ?){field.alias or name} = ", text, re.MULTILINE), f"{name} is not shown"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ["cdcd.toml: key pipeline: is missing"]),
        ("pipeline = []", ["key pipeline", "[[pipeline]]"]),
        (f"[pipeline]\n{ENDS}", ["key pipeline", "[[pipeline]]"]),
        ("[[pipeline]]\nfrom = x\n", ["is not TOML", "line 2"]),
        (f"[[pipelin]]\n{ENDS}", ["key pipelin: there is no such key", "did you mean 'pipeline'"]),
        (ONE + 'tabels = ["a.b"]', ["pipeline number 1, key tabels", "did you mean 'tables'"]),
        (ONE + 'name = "x"\ncolour = 1', ['pipeline "x", key colour', "known: name, from, to"]),
        ('[[pipeline]]\nname = "x"\nfrom = "postgresql://h/d"', ['pipeline "x", key to: is missing']),
        (ONE + 'load = "everything"', ["key load", "'everything' is not one of 'full', 'only' or 'skip'"]),
        (ONE + 'target_tables = "keep"', ["key target_tables", "'create', 'use', 'truncate' or 'drop'"]),
        (ONE + 'loaders = "two"', ["key loaders", "a string is of the wrong type", "integer"]),
        (ONE + "loaders = true", ["key loaders", "integer"]),
        (ONE + "loaders = 0", ["key loaders", "0 is out of bounds", "greater than or equal to 1"]),
        (ONE + 'standby = "yes"', ["key standby", "boolean"]),
        (ONE + 'chunk_bytes = "64 megs"', ["key chunk_bytes", "64 MB"]),
        (ONE + "chunk_bytes = 1", ["key chunk_bytes", "out of bounds"]),
        (ONE + "table_poll = 0", ["key table_poll", "out of bounds"]),
        (ONE + 'patience = "60"', ["key patience", "a string is of the wrong type", "number"]),
        (ONE + "standby_seconds = true", ["key standby_seconds", "number"]),
        (ONE + "table_poll = inf", ["key table_poll", "out of bounds", "finite"]),
        (ONE + "[http]\nstuck_after = '9'", ["key http.stuck_after", "number"]),
        (ONE + 'load = "skip"\ntarget_tables = "truncate"', ["'truncate' does not go with load = 'skip'"]),
        (ONE + 'load = "skip"\ntarget_tables = "drop"', ["'drop' does not go with load = 'skip'"]),
        (ONE + 'tables = "orders"', ["key tables", "'orders' is not a table pattern", "public.*"]),
        (ONE + "tables = [1]", ["key tables", "must be a list of patterns"]),
        (ONE + 'name = "Shop-1"', ["key name", "a-z, 0-9 and _", "'-', 'S'"]),
        (ONE + 'name = ""', ["key name", "must not be empty"]),
        (ONE + f'name = "{"x" * 41}"', ["key name", "at most 40 characters"]),
        (ONE + "from_now = true", ["pipeline number 1", "load = 'skip'"]),
        (ONE + 'load = "only"\nuntil = "caught-up"', ["until does not go with load = 'only'"]),
        (ONE + 'until = ""', ["until must be"]),
        (ONE + "[http]\nlisten = ':80'", ["key http.listen", "HOST:PORT"]),
        (ONE + "[http]\nlisten = 'h:99999'", ["key http.listen", "HOST:PORT"]),
        (ONE + "[http]\nlissten = 'h:80'", ["key http.lissten", "did you mean 'listen'"]),
        (ONE + "[log]\nlevel = 'loud'", ["key log.level", "'debug', 'info', 'warning' or 'error'"]),
        (ONE + 'on_error = "record"', ["key on_error", "'stop' or 'skip'"]),
        (ONE + 'on_conflict = "merge"', ["key on_conflict", "'stop', 'overwrite' or 'skip'"]),
        (ONE + "max_exceptions = 0", ["key max_exceptions", "greater than or equal to 1"]),
        (ONE + 'slot = "s"\n[[pipeline]]\nname = "b"\nslot = "s"\n' + ENDS,
         ['pipeline "shop", key slot', "'s' is the slot of pipeline \"b\" too", "cdcd_shop"]),
        (ONE + '[[pipeline]]\nname = "b"\nslot = "cdcd_shop"\n' + ENDS.replace("@db1/", "@DB1:5432/"),
         ['pipeline "b", key slot', "'cdcd_shop' is the slot of pipeline \"shop\"", "cdcd_b"]),
        (ONE + 'slot = "cdcd_elsewhere"', ["key slot", "is the slot of pipeline \"elsewhere\""]),
        (ONE + '[[pipeline]]\nname = "b"\npublication = "cdcd_shop"\n' + ENDS,
         ['pipeline "b", key publication', "belongs to pipeline \"shop\"", "by hand"]),
        (ONE + ONE, ["two pipelines are named 'shop'"]),
        ('[[pipeline]]\nfrom = "db1/shop"\nto = "postgresql://h/d"', ["key from", "not a URL"]),
        ('[[pipeline]]\nfrom = 5\nto = "postgresql://h/d"', ["key from"]),
        ('[[pipeline]]\nfrom = { url = "postgresql://h/d", pasword_file = "x" }\nto = "postgresql://h/d"',
         ["key from.pasword_file", "did you mean 'password_file'"]),
        ('[[pipeline]]\nfrom = { password_file = "x" }\nto = "postgresql://h/d"', ["key from.url: is missing"]),
        ('[[pipeline]]\nfrom = "postgresql://u:${NOT_SET}@h/d"\nto = "postgresql://h/d"',
         ["key from", "NOT_SET is not set"]),
        (ONE + 'slot = "${NOT_SET}"', ["key slot", "NOT_SET is not set"]),
        (ONE + 'slot = "${}"', ["key slot", "names no environment variable"]),
        ('[[pipeline]]\nfrom = "postgresql://h/My-Shop"\nto = "postgresql://h/d"', ["'My-Shop'", "--name"]),
        ('[[pipeline]]\nfrom = "postgresql://h"\nto = "postgresql://h/d"', ["has no database", "--name"]),
        (ONE + f'password = "{SECRET}"', ["key password: there is no such key"]),
        (ONE + f'load = "postgresql://u:{SECRET}@h/d"', ["key load"]),
    ],
)
def test_a_mistake_says_where_what_and_what_is_allowed(tmp_path: Path, text: str, said: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    told = str(caught.value)
    for words in said:
        assert words in told
    assert SECRET not in told
    assert "pydantic" not in told


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, ONE + 'load = "all"\nloaders = 0\ntabels = []\n')
    assert "3 mistakes" in caught.value.what
    for key in ("load", "loaders", "tabels"):
        assert f"key {key}:" in caught.value.what


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_file(tmp_path / "none.toml")


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "cdcd.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not UTF-8"):
        read_file(tmp_path / "cdcd.toml")


def test_a_value_from_the_environment_is_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", SECRET)
    with pytest.raises(UsageError) as caught:
        read(tmp_path, ONE + 'load = "${CANARY}"')
    assert SECRET not in str(caught.value)
    assert "${CANARY}" in str(caught.value)


def test_options_name_themselves() -> None:
    with pytest.raises(UsageError) as caught:
        from_options({"from": "postgresql://h/d", "to": "postgresql://h/d", "target_tables": "keep"})
    assert caught.value.what.startswith("--target-tables:")


def test_picking(tmp_path: Path) -> None:
    config = read(tmp_path, f'[[pipeline]]\nname = "a"\n{ENDS}[[pipeline]]\nname = "b"\n{ENDS}')
    assert [one.name for one in config.pick(["b"], "f")] == ["b"]
    assert [one.name for one in config.pick([], "f")] == ["a", "b"]
    with pytest.raises(UsageError, match="no pipeline 'c'"):
        config.pick(["c"], "f")


def test_overrides_stand_over_the_file(tmp_path: Path) -> None:
    assert read(tmp_path, ONE, until="caught-up").pipelines[0].settings.finite


@pytest.mark.parametrize(
    "text",
    [
        ONE + 'slot = "s"\n[[pipeline]]\nname = "b"\nslot = "s"\n' + ENDS.replace("@db1/", "@db3/"),
        ONE + 'publication = "p"\n[[pipeline]]\nname = "b"\npublication = "p"\n' + ENDS,
    ],
)
def test_what_two_pipelines_may_share(tmp_path: Path, text: str) -> None:
    """A slot's name on two servers; a publication made by hand."""
    assert read(tmp_path, text).pipelines
