"""Places in the memory server's log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cdcd.errors import UsageError


@dataclass(frozen=True, slots=True)
class Place:
    """The next byte of the log: what begins before `at` lies up to here, what begins at it does not."""

    at: int

    def covers(self, other: Place) -> bool:
        return self.at >= other.at

    def distance(self, other: Place) -> int:
        return self.at - other.at

    def to_json(self) -> dict[str, Any]:
        return {"at": self.at}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Place:
        return Place(int(data["at"]))

    @staticmethod
    def of(text: str) -> Place:
        """What `str` gave."""
        number = text.removeprefix("M/")
        if not number.isdigit():
            raise UsageError(f"'{text}' is not a place in a memory server's log", hint="write for example M/128")
        return Place(int(number))

    def __str__(self) -> str:
        return f"M/{self.at}"
