"""How much of the source's log and catalogue the slot holds back, measured against what the server keeps for it, its
disk, and the age at which old rows of the catalogue become the server's own worry."""

from __future__ import annotations

from collections.abc import Iterator

from cdcd.contracts import Finding
from connectors.postgres.ask import Asker
from connectors.postgres.findings import finding
from connectors.postgres.slot import Slot

_LIMITS = """
SELECT (SELECT setting::int8 FROM pg_settings WHERE name = 'max_slot_wal_keep_size'),
       current_setting('autovacuum_freeze_max_age')::int8
"""


def held_back(asker: Asker, found: Slot | None, log_disk: int | None) -> Iterator[Finding]:
    """A finding at half of `max_slot_wal_keep_size`, of the disk, which no server tells: `log_disk` bytes, or of
    `autovacuum_freeze_max_age`. The slot is never dropped for it: that is a person's choice."""
    if found is None or (held := found["held_back"]) is None:
        return
    ((megabytes, oldest),) = asker.ask(_LIMITS)
    if (age := found.get("catalog_age") or 0) > oldest / 2:
        yield finding(
            "PG-XMIN-HELD", "the slot holds back the catalogue: it bloats, and cannot be frozen when it must be",
            f"age(catalog_xmin) of slot {found['slot_name']} is {age}, autovacuum_freeze_max_age = {oldest}",
            "let the pipeline catch up (cdcd status says why it does not), or give it up with cdcd drop",
        )  # fmt: skip
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
