"""Foreign keys as far as they act on rows: what a table refers to, and what becomes of its rows by that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Action = Literal["no action", "restrict", "cascade", "set null", "set default"]

ACTS: tuple[Action, ...] = ("cascade", "set null")


@dataclass(frozen=True, slots=True)
class Reference:
    """Rows refer by `columns` to the rows of the table with the id `other` that have the same in `other_columns`: they
    are deleted with them, or get their new values (cascade), or NULL (set null)."""

    name: str
    columns: tuple[str, ...]
    other: str
    other_columns: tuple[str, ...]
    on_delete: Action = "no action"
    on_update: Action = "no action"

    @property
    def acts(self) -> bool:
        """Whether it ever changes a row."""
        return self.on_delete in ACTS or self.on_update in ACTS

    def to_json(self) -> list[Any]:
        return [
            self.name, list(self.columns), self.other, list(self.other_columns), self.on_delete, self.on_update
        ]  # fmt: skip

    @staticmethod
    def from_json(data: list[Any]) -> Reference:
        name, columns, other, other_columns, on_delete, on_update = data
        return Reference(name, tuple(columns), other, tuple(other_columns), on_delete, on_update)
