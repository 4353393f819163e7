"""Which tables a pipeline carries: patterns `schema.table` with `*` and `?`, `!` in front to exclude."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cdcd.errors import UsageError


def _compile(pattern: str) -> re.Pattern[str]:
    text = pattern.removeprefix("!")
    schema, dot, name = text.partition(".")
    if not dot or not schema or not name:
        raise UsageError(
            f"'{pattern}' is not a table pattern",
            why="a pattern is schema.table, with * and ? as wildcards and ! in front to exclude",
            hint="write for example 'public.*', 'sales.order_?' or '!public.log'",
        )
    return re.compile("".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in text), re.DOTALL)


@dataclass(frozen=True, slots=True)
class Selection:
    """No pattern: every table. Only exclusions: every table but these. A table is selected by any inclusion and no
    exclusion."""

    patterns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for pattern in self.patterns:
            _compile(pattern)

    def matches(self, table_id: str) -> bool:
        included = [p for p in self.patterns if not p.startswith("!")]
        excluded = [p for p in self.patterns if p.startswith("!")]
        if any(_compile(p).fullmatch(table_id) for p in excluded):
            return False
        return not included or any(_compile(p).fullmatch(table_id) for p in included)

    @property
    def named(self) -> tuple[str, ...]:
        """The tables included by their whole name, without a wildcard."""
        return tuple(p for p in self.patterns if not p.startswith("!") and not {"*", "?"} & set(p))

    def idle(self, table_ids: Iterable[str]) -> list[str]:
        """The inclusions that match none of these."""
        ids = list(table_ids)
        included = [p for p in self.patterns if not p.startswith("!")]
        return [p for p in included if not any(_compile(p).fullmatch(id) for id in ids)]

    @staticmethod
    def of(patterns: Iterable[str] | None) -> Selection:
        chosen: Sequence[str] = [p.strip() for text in (patterns or ()) for p in text.split(",") if p.strip()]
        return Selection(tuple(chosen))
