"""What the server's errors mean to the engine, in one table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cdcd.errors import (
    CdcdError,
    Conflict,
    Interrupted,
    PoisonRow,
    SlotInUse,
    SlotLost,
    StateRefused,
    Transient,
    Unreachable,
)
from connectors.memory.faults import ServerError

MEANING: dict[str, type[CdcdError]] = {
    "connection_lost": Unreachable,
    "lock_timeout": Transient,
    "deadlock": Transient,
    "disk_full": Transient,
    "cancelled": Interrupted,
    "duplicate_key": Conflict,
    "duplicate": PoisonRow,
    "check": PoisonRow,
    "no_such_table": StateRefused,
    "no_such_slot": SlotLost,
    "slot_lost": SlotLost,
    "slot_active": SlotInUse,
    "slot_exists": StateRefused,
}

HINTS: dict[type[CdcdError], str] = {
    Conflict: "compare with `cdcd validate`, mend the row, and run again",
    PoisonRow: "mend the row or the target's constraint, and run again",
    SlotLost: "changes are missing: `cdcd drop`, then load anew",
    SlotInUse: "stop the other reader",
}


@contextmanager
def ours(
    table: str | None = None, slot: str | None = None, key: object = None, position: str | None = None
) -> Iterator[None]:
    """Raise the server's errors as ours."""
    try:
        yield
    except ServerError as error:
        kind = MEANING[error.code]
        raise kind(str(error), hint=HINTS.get(kind, ""), table=table, slot=slot, key=key, position=position) from error
