"""Misfortune as values: what is to happen to which call of which server, and what did happen.

One `Faults` may be shared by several servers: their calls are then counted together, and a test can let a
misfortune happen at every one of them in turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Strike(Enum):
    """What happens to a call."""

    CUT = "the connection ends before the server has the call"
    LOST = "the server carries it out, and the answer is lost with the connection"
    LATE = "the client loses the connection, the server's session lives on; a commit is logged, but not yet visible"
    CRASH = "the server crashes: unflushed commits are taken back, all sessions end"


class ServerError(Exception):
    """What the server says; `code` is for programs (errors.py maps it to ours)."""

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(f"{code}: {text}" if text else code)
        self.code = code


@dataclass(slots=True)
class Fault:
    """`what`: a Strike, or the code of an error that the server answers with. Happens once: to call number
    `at`, or to the next call named `op`."""

    what: Strike | str
    op: str | None = None
    at: int | None = None


QUIET = frozenset({"head", "durable", "beat", "requests", "poll", "status", "confirm"})
"""Calls made by the clock rather than by the work: not numbered, so that numbers mean the same in each run."""


class Faults:
    """What is planned. `calls` counts, `struck` tells what hit whom: a test proves by it that its fault took place.
    Only sessions whose name begins with `whose` are counted and hit."""

    def __init__(self, whose: str = "") -> None:
        self._whose = whose
        self.calls = 0
        self.struck: list[tuple[Strike | str, str, str]] = []
        self._plan: list[Fault] = []

    def at(self, call: int, what: Strike | str) -> None:
        """To the call of that number, the first being 1."""
        self._plan.append(Fault(what, at=call))

    def next(self, op: str, what: Strike | str) -> None:
        """To the next call of that name."""
        self._plan.append(Fault(what, op=op))

    def clear(self) -> None:
        """Nothing more goes wrong."""
        self._plan.clear()

    def due(self, op: str, who: str) -> Strike | str | None:
        """Count a call, and say what happens to it."""
        if not who.startswith(self._whose):
            return None
        if op not in QUIET:
            self.calls += 1
        for fault in self._plan:
            if fault.op == op or (fault.at == self.calls and op not in QUIET):
                self._plan.remove(fault)
                self.struck.append((fault.what, op, who))
                return fault.what
        return None
