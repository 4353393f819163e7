"""`cdcd config`: the configuration as it takes effect: every key, its value, and where that comes from; no secrets.

Its JSON: {"version": 1, "pipelines": [{key: {"value", "from"}}], "http": {…}, "log": {…}}, where `from` is the file's
name, "option" or "default", with the variables that stand in what was written.
"""

from __future__ import annotations

import json as jsonlib
import re
from collections.abc import Mapping
from typing import Any

from cdcd.cli.options import File, From, Json, Name, Names, Tables, To, described, require_secrets, start_log
from cdcd.config import HttpSettings, LogSettings, Pipeline, PipelineSettings
from cdcd.secrets import hide

Shown = dict[str, tuple[Any, str]]
"""Key → value, and where it comes from."""

MADE = "default: made and dropped by cdcd"
"""A slot or publication of which this is not true was made by hand."""


def config(
    pipelines: Names = None,
    source: From = None,
    target: To = None,
    tables: Tables = None,
    name: Name = None,
    file: File = None,
    json: Json = False,
) -> None:
    """Print the configuration as it takes effect: defaults too, where each value comes from, and no secrets.

    \b
    Example:
      cdcd config -c cdcd.toml            # every pipeline
      cdcd config -c cdcd.toml shop --json

    The text is TOML: a file that spells out every default.

    Exit code 2: there is a mistake in the configuration, which is named.
    """
    config = described(file, pipelines, {"from": source, "to": target, "tables": tables, "name": name})
    start_log(config, json)
    place = file.name if file is not None else "option"
    shown = [_of_pipeline(pipeline, place) for pipeline in config.pipelines]
    others = {"http": _of(config.http, place), "log": _of(config.log, place)}
    if json:
        told: dict[str, Any] = {"version": 1, "pipelines": [_told(one) for one in shown]}
        told |= {section: _told(values) for section, values in others.items()}
        print(jsonlib.dumps(told, ensure_ascii=False))
        require_secrets(config)
        return
    blocks = [_block(f"[{section}]", values) for section, values in others.items()]
    blocks += [_block("[[pipeline]]", values) for values in shown]
    print("\n\n".join(blocks))
    require_secrets(config)


def _of_pipeline(pipeline: Pipeline, place: str) -> Shown:
    shown = _of(pipeline.settings, place, pipeline.written)
    known = {"from": pipeline.source, "to": pipeline.target}
    for key, address in known.items():
        value: Any = address.shown
        if address.password_file is not None:
            value = {"url": value, "password_file": address.password_file}
        shown[key] = (value, shown[key][1])
    if pipeline.settings.name is None:
        shown["name"] = (pipeline.name, "default: the source's database")
    for key, value in {"slot": pipeline.slot, "publication": pipeline.publication}.items():
        if shown[key][0] is None:
            shown[key] = (value, MADE)
    return shown


def _of(
    settings: PipelineSettings | HttpSettings | LogSettings, place: str, written: Mapping[str, Any] | None = None
) -> Shown:
    shown: Shown = {}
    for name, field in type(settings).model_fields.items():
        key = field.alias or name
        given = name in settings.model_fields_set
        where = place if given else "default"
        if variables := sorted(set(re.findall(r"\$\{\w+\}", str((written or {}).get(key, ""))))):
            where += f", with {' and '.join(variables)}"
        shown[key] = (getattr(settings, name), where)
    return shown


def _told(shown: Shown) -> dict[str, Any]:
    return {key: {"value": _hidden(value), "from": where} for key, (value, where) in shown.items()}


def _hidden(value: Any) -> Any:
    match value:
        case str():
            return hide(value)
        case dict():
            return {key: _hidden(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_hidden(inner) for inner in value]
    return value


def _block(head: str, shown: Shown) -> str:
    """A table of TOML; a comment where there is no value, or where writing it would say "by hand"."""
    lines = []
    for key, (value, where) in shown.items():
        line = f"# {key} is not set" if value is None else f"{key} = {_toml(_hidden(value))}"
        lines.append((f"# {line}" if where == MADE else line, where))
    width = min(60, max(len(line) for line, _ in lines))
    return "\n".join([head, *(f"{line:{width}}  # {where}" for line, where in lines)])


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml(key)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{_key(key)} = {_toml(inner)}" for key, inner in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    # A JSON string is a basic string of TOML but for DEL, which TOML wants escaped.
    return jsonlib.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
