"""Mistakes in the configuration as sentences: where it stands, what is wrong, what is allowed; all at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from cdcd.errors import UsageError
from cdcd.secrets import hide

Path = Sequence[str | int]


class Places:
    """How a key is called where the person wrote it."""

    def __init__(self, file: str | None, raw: Mapping[str, Any], words: Mapping[str, str] | None = None) -> None:
        """`words`: what keys are called on a command line where they are no options."""
        self._file = file
        self._raw = raw
        self._words = words or {}

    def name(self, path: Path) -> str:
        if self._file is None:
            key = str(path[0]) if path else ""
            return self._words.get(key) or ("--" + key.replace("_", "-") if key else "the options")
        words: list[str] = []
        rest = list(path)
        if rest[:1] == ["pipeline"] and len(rest) > 1 and isinstance(rest[1], int):
            one = self._raw["pipeline"][rest[1]]
            said = one.get("name") if isinstance(one, dict) else None
            words.append(f'pipeline "{said}"' if isinstance(said, str) else f"pipeline number {rest[1] + 1}")
            rest = rest[2:]
        if rest:
            words.append("key " + ".".join(str(part) for part in rest))
        return f"{self._file}: {', '.join(words)}" if words else self._file

    def value(self, path: Path) -> Any:
        """What was written there, before ${NAME} was replaced."""
        value: Any = self._raw
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value


def mistakes(error: ValidationError, places: Places, keys: Callable[[Path], Sequence[str]]) -> UsageError:
    """One error that names them all. `keys`: what may stand in the table at a path."""
    told = [_mistake(one, places, keys) for one in error.errors(include_url=False)]
    if len(told) == 1:
        return told[0]
    lines = [f"{one.what} ({one.hint})" if one.hint else one.what for one in told]
    return UsageError(f"{len(told)} mistakes in the configuration:\n  " + "\n  ".join(lines))


def _mistake(error: Any, places: Places, keys: Callable[[Path], Sequence[str]]) -> UsageError:
    """One of pydantic's errors as a sentence. A value is shown only where it cannot be a secret."""
    path = tuple(error["loc"])
    kind, context = error["type"], error.get("ctx", {})
    where, hint = places.name(path), ""
    shown = hide(repr(places.value(path)))
    match kind:
        case "extra_forbidden":
            why, hint = "there is no such key", allowed(str(path[-1]), keys(path[:-1]))
        case "missing":
            why = "is missing"
        case "literal_error":
            why = f"{shown} is not one of {context['expected']}"
        case "value_error":
            why = str(context["error"])
        case "too_short":
            why, hint = "names no pipeline", "begin one with [[pipeline]]"
        case "greater_than_equal" | "greater_than" | "less_than_equal" | "finite_number":
            why = f"{shown} is out of bounds: {error['msg'].removeprefix('Input ')}"
        case "list_type" if path == ("pipeline",):
            why, hint = "is one table", "begin each pipeline with [[pipeline]], in double brackets"
        case _ if kind.endswith("_type"):
            should = error["msg"].removeprefix("Input ")
            why = f"{_type_of(places.value(path))} is of the wrong type: {should}"
        case _:
            why = error["msg"]
    return UsageError(f"{where}: {why}", hint=hint)


_TYPES: dict[type, str] = {
    str: "a string", bool: "true or false", int: "a number", float: "a number", list: "a list",
    dict: "a table",
}


def _type_of(value: object) -> str:
    return _TYPES.get(type(value), "the value")


def allowed(word: str, known: Sequence[str]) -> str:
    """A hint: the known word that is close, and all of them."""
    if close := get_close_matches(word, known, 1):
        return f"did you mean '{close[0]}'? Known: {', '.join(known)}"
    return f"known: {', '.join(known)}"
