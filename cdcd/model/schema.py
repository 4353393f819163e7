"""What tables need around them, as statements of the source's product: what makes them again at a target of the same
product, and when; and what no statement of ours brings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Stage = Literal["before", "after", "cut-over"]
"""Before the data; after it, when the target is consistent; or when the application writes at the target."""

Thing = tuple[str, ...]
"""An object by its kind and its names, unquoted: ("table", schema, name), ("constraint", schema, table, name)…"""


@dataclass(frozen=True, slots=True)
class Statement:
    """`text` is run where `of` is missing at the target, and not where it is there. `kind` says what it makes: "type",
    "table", "index", "comment"…; `table` is the id of the table it belongs to, "": to none. `needs` is the oldest
    server version (as the product counts) that knows it, 0: every one. `uses` names functions of the application
    without which it fails. `on` is what it is made on, where that is a part of the table: nothing to do without it.
    `undo` takes back what is made at cut-over, for those who go back. `roles` are those it names."""

    kind: str
    text: str
    of: Thing
    table: str = ""
    stage: Stage = "before"
    needs: int = 0
    uses: tuple[str, ...] = ()
    on: Thing = ()
    undo: str = ""
    roles: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What it makes, for people."""
        return ".".join(self.of[1:])


@dataclass(frozen=True, slots=True)
class NotCarried:
    """Something of the source that is not carried, and the line (a setting, an option, a command) that brings it."""

    kind: str
    name: str
    brings: str


def sorted_out(made: Iterable[Statement | NotCarried]) -> tuple[list[Statement], list[NotCarried]]:
    """The statements in the order of their stages, and what none of them makes."""
    told: list[Statement] = []
    left: list[NotCarried] = []
    for one in made:
        if isinstance(one, Statement):
            told.append(one)
        else:
            left.append(one)
    return [one for stage in ("before", "after", "cut-over") for one in told if one.stage == stage], left
