"""The place in PostgreSQL's log, an LSN, always of the next byte; the one rule that compares."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cdcd.errors import StateRefused, UsageError

_FORM = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")


def covered(final_lsn: int, place: int) -> bool:
    """Whether the transaction whose Begin says `final_lsn` lies before `place`, or is held by its snapshot (T-PG-19).

    The commit record may begin exactly at a slot's consistent point, and is then not held: strictly less. Stopping,
    skipping what the server sends again, and restarting all ask here.
    """
    return final_lsn < place


def parse_lsn(text: str) -> int:
    """`0/16B3748` → the number; ValueError where it is none."""
    if not (match := _FORM.fullmatch(text.strip())):
        raise ValueError(f"not an LSN: {text!r}")
    return int(match[1], 16) << 32 | int(match[2], 16)


def format_lsn(lsn: int) -> str:
    """The server's own writing: two hexadecimal halves without leading zeros."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


@dataclass(frozen=True, slots=True)
class Lsn:
    """A Position of cdcd.model.position."""

    lsn: int

    def covers(self, other: Lsn) -> bool:
        return self.lsn >= other.lsn

    def distance(self, other: Lsn) -> int:
        return max(0, self.lsn - other.lsn)

    def to_json(self) -> dict[str, Any]:
        return {"lsn": format_lsn(self.lsn)}

    def __str__(self) -> str:
        return format_lsn(self.lsn)

    @staticmethod
    def of(data: Mapping[str, Any] | str) -> Lsn:
        """From `to_json`, or from what a person wrote."""
        try:
            return Lsn(parse_lsn(data if isinstance(data, str) else data["lsn"]))
        except (KeyError, TypeError, AttributeError, ValueError):
            if isinstance(data, str):
                raise UsageError(f"{data!r} is not a position", hint="write it as 0/16B3748") from None
            raise StateRefused(
                f"a stored position is not one of PostgreSQL's: {data!r}",
                why="the pipeline's control rows were written for another kind of source",
                hint="use another pipeline name, or cdcd drop",
            ) from None
