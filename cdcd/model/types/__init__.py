"""Logical types: about 25 families, each with one canonical Python value (TYPES.md lists them)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class LogicalType:
    """A family and its parameters: `decimal` has precision and scale, `text` a length, `array` an element."""

    family: str
    precision: int | None = None
    scale: int | None = None
    length: int | None = None
    element: LogicalType | None = None
    labels: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {"family": self.family}
        for name in ("precision", "scale", "length"):
            if (value := getattr(self, name)) is not None:
                data[name] = value
        if self.element is not None:
            data["element"] = self.element.to_json()
        if self.labels:
            data["labels"] = list(self.labels)
        return data

    @staticmethod
    def from_json(data: dict[str, Any]) -> LogicalType:
        element = data.get("element")
        return LogicalType(
            data["family"], data.get("precision"), data.get("scale"), data.get("length"),
            LogicalType.from_json(element) if element else None, tuple(data.get("labels", ())),
        )
