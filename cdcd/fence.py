"""The contract Fence: what keeps everybody from writing at a source while an application moves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from cdcd.model.position import Position


class Fence(Protocol):
    """Keeping everybody from writing at a source, for a cut-over; sessions of its own, one thread at a time."""

    @property
    def up(self) -> str:
        """The statement that `raise_up` begins with, for people who run it themselves."""

    @property
    def down(self) -> str:
        """The statement that takes the fence down; asked before it is raised."""

    def obstacles(self) -> list[str]:
        """What the fence would not keep out, each with what to do. Changes nothing."""

    def writers(self) -> list[str]:
        """The sessions that could write now, ours not among them, as sentences."""

    def unfinished(self) -> list[str]:
        """Transactions that have written and are not over, as sentences; those of other roles as far as we may see."""
        ...

    def raise_up(self) -> None:
        """Returns when no session that could write is left; StateRefused where one cannot be ended."""

    def lower(self) -> None:
        """The source is as it was."""

    def final(self) -> Position:
        """The end of the log, durable, after everything that was committed before this call."""

    def activity(self) -> Mapping[str, int]:
        """How many rows were ever written, by table id, as the source's statistics say now."""

    def close(self) -> None: ...
