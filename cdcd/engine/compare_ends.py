"""The two ends of a comparison, asked side by side."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from cdcd.contracts import Comparable

T = TypeVar("T")


class Ends:
    def __init__(self, source: Comparable, target: Comparable) -> None:
        self.source = source
        self.target = target
        self._other = ThreadPoolExecutor(1, "compare")

    def both(self, ask: Callable[[Comparable], T]) -> tuple[T, T]:
        """The source's answer and the target's."""
        theirs = self._other.submit(ask, self.target)
        mine = ask(self.source)
        return mine, theirs.result()
