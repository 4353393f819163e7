"""How much of the source's log the slot holds back, measured against what the server keeps for it, or its disk."""

from __future__ import annotations

from collections.abc import Iterator

from cdcd.contracts import Finding
from connectors.postgres.ask import Asker
from connectors.postgres.findings import finding
from connectors.postgres.slot import Slot

_LIMIT = "SELECT setting::int8 FROM pg_settings WHERE name = 'max_slot_wal_keep_size'"


def held_back(asker: Asker, found: Slot | None, log_disk: int | None) -> Iterator[Finding]:
    """A finding at half of `max_slot_wal_keep_size`, or of the disk, which no server tells: `log_disk` bytes. The
    slot is never dropped for it: that is a person's choice."""
    if found is None or (held := found["held_back"]) is None:
        return
    ((megabytes,),) = asker.ask(_LIMIT)
    limits = [("max_slot_wal_keep_size", megabytes << 20)] if megabytes >= 0 else []
    if log_disk is not None:
        limits.append(("log_disk", log_disk))
    for name, limit in limits:
        if held > limit / 2:
            yield finding(
                "PG-WAL-HELD", f"the slot holds back more than half of {name}: beyond it "
                + ("the slot is lost" if name != "log_disk" else "the source may stop"),
                f"slot {found['slot_name']} holds {int(held) >> 20} MB, {name} = {limit >> 20} MB",
                "let the pipeline catch up (cdcd status says why it does not), or give it up with cdcd drop",
            )  # fmt: skip
