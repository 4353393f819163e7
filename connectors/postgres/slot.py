"""The replication slot: what it looks like, whether it still holds all we need, how it is made and dropped
("Replication Slots" and "CREATE_REPLICATION_SLOT" in the manual)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cdcd.errors import CdcdError, SlotInUse, SlotLost, StateRefused, UsageError
from cdcd.wake import Wake
from connectors.postgres.ask import Asker
from connectors.postgres.names import quote_identifier
from connectors.postgres.position import format_lsn, parse_lsn

PLUGIN = "pgoutput"

# As JSON: each version has other columns.
_SLOT = """
SELECT to_jsonb(s) || jsonb_build_object('catalog_age', age(s.catalog_xmin),
           'database_oid', d.oid::text, 'holder', a.application_name, 'held_back',
           CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn) END)
FROM pg_replication_slots s LEFT JOIN pg_database d ON d.datname = s.database
LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid
WHERE s.slot_name = %s
"""

Slot = Mapping[str, Any]


def read_slot(asker: Asker, name: str) -> Slot | None:
    rows = asker.ask(_SLOT, name)
    return rows[0][0] if rows else None


def verify_slot(asker: Asker, name: str, database: str, checkpoint: int) -> Slot:
    """SlotLost unless the slot holds everything from `checkpoint` on (T-PG-14, PG-03, PG-08)."""
    where = {"slot": name, "position": format_lsn(checkpoint)}
    again = (
        "run: cdcd drop, then cdcd run --target-tables truncate, which copies everything again; or, where nothing was "
        "written since, cdcd run --load skip --from-now --target-tables use, and cdcd validate to prove it"
    )
    slot = read_slot(asker, name)
    if slot is None:
        raise SlotLost(
            "the replication slot is gone",
            why="it was dropped, or a standby without it was promoted: changes since the position are missing",
            hint=f"{again}; with failover = true standbys keep the slot (PostgreSQL 17 on)",
            **where,
        )
    if slot["plugin"] != PLUGIN or slot["database_oid"] != database:
        raise StateRefused(
            "a replication slot of this name is not ours",
            why=f"its plugin is {slot['plugin']} and its database {slot['database']}",
            hint="give the pipeline another name, or drop that slot",
            **where,
        )
    reason = slot.get("invalidation_reason")
    if slot.get("conflicting") and not reason:
        reason = "conflict with recovery"
    if slot.get("wal_status") == "lost" or reason:
        raise SlotLost(
            "the replication slot was invalidated by the server",
            why=f"reason {reason or 'wal_removed'}: the log that it needs is gone",
            hint=f"raise max_slot_wal_keep_size (or idle_replication_slot_timeout), then {again}",
            **where,
        )
    confirmed = slot["confirmed_flush_lsn"]
    if confirmed is None or parse_lsn(confirmed) > checkpoint:
        # START_REPLICATION would silently begin at the confirmed place.
        raise SlotLost(
            "the replication slot has moved past the checkpoint: changes between the two are missing",
            why=f"it was confirmed up to {confirmed} by somebody else, or the target was restored",
            hint=again,
            **where,
        )
    return slot


def free_slot(asker: Asker, name: str, ours: str, wake: Wake, patience: float = 10.0) -> None:
    """Wait until nobody reads the slot, ending our own stale walsender; SlotInUse if it is somebody else."""
    deadline = time.monotonic() + patience
    while (slot := read_slot(asker, name)) is not None and slot["active_pid"] is not None:
        pid, holder = slot["active_pid"], slot["holder"] or ""
        if holder == ours:
            asker.ask("SELECT pg_terminate_backend(%s)", pid)
        elif time.monotonic() > deadline or holder:
            raise SlotInUse(
                "somebody else is reading the replication slot",
                why=f"process {pid} of application {holder or 'unknown'!r}",
                hint=f"stop it, or end it: SELECT pg_terminate_backend({pid})",
                slot=name,
            )
        if time.monotonic() > deadline:
            raise SlotInUse("our own earlier reader of the slot does not end", slot=name, process=pid)
        wake.sleep(0.1)


def create_statement(name: str, version: int, *, temporary: bool, export: bool, failover: bool = False) -> str:
    """CREATE_REPLICATION_SLOT in the server's grammar. FAILOVER came with version 17."""
    kind = " TEMPORARY" if temporary else ""
    if version >= 150000:
        options = f"(SNAPSHOT '{'export' if export else 'nothing'}'{', FAILOVER' if failover else ''})"
    else:
        options = "EXPORT_SNAPSHOT" if export else "NOEXPORT_SNAPSHOT"
    return f"CREATE_REPLICATION_SLOT {quote_identifier(name)}{kind} LOGICAL {PLUGIN} {options}"


def failover_statement(name: str, version: int) -> str:
    """Have standbys keep a slot that is there ("ALTER_REPLICATION_SLOT")."""
    if version < 170000:
        raise UsageError("standbys keep logical slots from PostgreSQL 17 on", hint="leave out failover = true")
    return f"ALTER_REPLICATION_SLOT {quote_identifier(name)} (FAILOVER)"


def drop_slot(asker: Asker, name: str, ours: str, wake: Wake) -> bool:
    """Drop the slot if it is there, ending our own reader of it; whether it was there."""
    slot = read_slot(asker, name)
    if slot is None:
        return False
    free_slot(asker, name, ours, wake)
    try:
        asker.ask("SELECT pg_drop_replication_slot(%s)", name)
    except CdcdError:
        if read_slot(asker, name) is not None:
            raise
    return True


def start_statement(
    slot: str, place: int, publication: str, *, binary: bool, version: int, messages: bool = False
) -> str:
    """START_REPLICATION with protocol version 1: whole transactions, in the order of their commits. `messages`: those
    that sessions wrote into the log come too."""
    name = quote_identifier(publication).replace("'", "''")
    options = f"proto_version '1', publication_names '{name}'"
    if binary and version >= 140000:
        options += ", binary 'true'"
    if messages and version >= 140000:
        options += ", messages 'true'"
    return f"START_REPLICATION SLOT {quote_identifier(slot)} LOGICAL {format_lsn(place)} ({options})"



@contextmanager
def starting(slot: str) -> Iterator[None]:
    """What START_REPLICATION answers where the slot changed since it was looked at."""
    try:
        yield
    except CdcdError as error:
        state = error.where.get("sqlstate")
        if state == "55006":
            raise SlotInUse("somebody else is reading the replication slot", why=error.what, slot=slot) from error
        if state in ("55000", "42704"):
            hint = "run: cdcd drop, then cdcd run --target-tables truncate, which copies everything again"
            raise SlotLost("the replication slot cannot be read", why=error.what, hint=hint, slot=slot) from error
        raise
