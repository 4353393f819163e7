"""A case: SQL, a blank line, and the lines that `cdcd tail` prints of it, but for position, transaction and time.

The statements before the first INSERT or BEGIN, one or many, define; the stream begins behind them. A statement ends
with a semicolon at the end of a line.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
# Values of these change from run to run.
_PLACE = re.compile(r',"position":.*')


@dataclass(frozen=True)
class Case:
    """`definitions`, `changes`: statements. `events`: lines."""

    path: Path
    definitions: list[str]
    changes: list[str]
    events: list[str]


def read_case(path: Path) -> Case:
    """The case in a file; one without events was never run."""
    sql, _, events = path.read_text().partition("\n\n")
    statements = [text.strip() for text in re.split(r"(?<=;)\n", sql) if text.strip()]
    first = next(i for i, text in enumerate(statements) if text.startswith(("INSERT", "BEGIN", "SET")))
    return Case(path, statements[:first], statements[first:], events.split("\n")[:-1])


def placeless(printed: bytes) -> list[str]:
    """Printed lines without what changes from run to run; a digit more or less is a difference."""
    return [_PLACE.sub("}", line) for line in printed.decode().split("\n")[:-1]]


class _Digits(str):
    """A number's digits; never equal to a string's."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Digits) and str(self) == str(other)

    __hash__ = str.__hash__


def exact(line: str) -> dict[str, Any]:
    """A line as values; numbers as they are written."""
    values: dict[str, Any] = json.loads(line, parse_float=_Digits, parse_int=_Digits)
    return values


class Replica:
    """What somebody has who follows the lines."""

    def __init__(self) -> None:
        self._rows: dict[str, list[dict[str, Any]]] = {}

    def follow(self, event: dict[str, Any]) -> None:
        rows = self._rows.setdefault(event["table"], [])
        match event["op"]:
            case "c" | "r":
                rows.append(event["after"])
            case "u":
                old = self._take(rows, event)
                kept = {name: old[name] for name in event["unchanged"]}
                rows.append({**event["after"], **kept})
            case "d":
                self._take(rows, event)
            case "t":
                rows.clear()

    def _take(self, rows: list[dict[str, Any]], event: dict[str, Any]) -> dict[str, Any]:
        """An update's or delete's old row, which must be there."""
        named = event["before"] or event["key"]
        place = next(i for i, row in enumerate(rows) if named.items() <= row.items())
        return rows.pop(place)

    def rows(self) -> dict[str, Counter[str]]:
        """As a multiset per table that has any."""
        return {
            table: Counter(json.dumps(row, sort_keys=True) for row in rows)
            for table, rows in self._rows.items()
            if rows
        }
