"""What a pipeline was asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from cdcd.model.change import Policy
from cdcd.model.selection import Selection


@dataclass(frozen=True, slots=True)
class Options:
    """One pipeline's wishes; times in seconds, sizes in bytes.

    `until`: "caught-up", a position's printable form, or None: for ever. `chunks_per_snapshot` 0: all of a first
    load under one snapshot. `lag_bound`: a snapshot is asked for only when the stream is less than this behind
    (T-PG-23). `idle_seconds` and `idle_bytes`: how far an idle position may run ahead of the stored one. `patience`:
    how long a finite run goes on trying to reach a server, which a daemon never gives up, and any run a login that it
    had before. `where` (by table) and `mask` (by
    table.column): only some rows, and other values, in a load that no stream follows.
    """

    name: str
    selection: Selection = field(default_factory=Selection)
    load: Literal["full", "only", "skip"] = "full"
    from_now: bool = False
    until: str | None = None
    standby: bool = False
    standby_seconds: float = 30.0
    chunk_bytes: int = 64 << 20
    chunks_per_snapshot: int = 0
    loaders: int = 2
    table_poll: float = 10.0
    on_schema_change: Policy = "apply"
    lag_bound: float = 60.0
    idle_seconds: float = 10.0
    idle_bytes: int = 16 << 20
    patience: float = 60.0
    where: Mapping[str, str] = field(default_factory=dict)
    mask: Mapping[str, str] = field(default_factory=dict)

    @property
    def trees(self) -> bool:
        """Whether partitioned tables are made with their partitions. A source that is followed may get others, whose
        rows have to find a place."""
        return self.load == "only"

    @property
    def finite(self) -> bool:
        """Whether the run is meant to end by itself."""
        return self.load == "only" or self.until is not None

    @property
    def partial(self) -> bool:
        """Whether the target will not hold what the source does: no stream can go on from there."""
        return bool(self.where or self.mask)


class Outcome(Enum):
    """Why a run ended without an error."""

    STOPPED = "stopped"
    CAUGHT_UP = "caught up"
    CONSISTENT = "consistent"
