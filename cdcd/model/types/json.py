"""Families of JSON; its value is its text, as parsing loses digits, duplicate keys and the sign of -0."""

from __future__ import annotations

from dataclasses import dataclass

from cdcd.model.types.family import Family

FAMILIES = (
    Family("json", "Json", note="text: order, duplicate keys and white space are kept"),
    Family("jsonb", "Json", note="the server's normal form: last key wins, its own order, exact decimals"),
)


@dataclass(frozen=True, slots=True)
class Json:
    """One JSON value as text; `Json("null")` is not None, which is SQL's NULL."""

    text: str

    def __str__(self) -> str:
        return self.text
