"""What would go wrong at the source, found before anything is started, each with the statement that mends it
(PG-05, PG-26, PG-27): here the server, its settings and the role; tables and publication have files of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cdcd.contracts import Finding
from cdcd.errors import CdcdError
from cdcd.model.table import Table
from cdcd.wake import Wake
from connectors.postgres.ask import Asker
from connectors.postgres.check_link import unverified
from connectors.postgres.check_publication import check_publication
from connectors.postgres.check_tables import check_tables
from connectors.postgres.findings import finding
from connectors.postgres.held import held_back
from connectors.postgres.names import quote_identifier, quote_literal
from connectors.postgres.replication import Session
from connectors.postgres.slot import read_slot

_SERVER = """
SELECT current_setting('server_version_num')::int AS version, pg_is_in_recovery() AS standby,
       current_user::text AS role, current_database()::text AS database,
       (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user) AS replicates,
       has_database_privilege(current_database(), 'CREATE') AS creates,
       current_setting('max_replication_slots')::int - (SELECT count(*) FROM pg_replication_slots) AS slots,
       current_setting('max_wal_senders')::int
           - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender') AS senders,
       (SELECT jsonb_object_agg(name, setting) FROM pg_settings WHERE name IN ('wal_level', 'max_slot_wal_keep_size',
            'idle_replication_slot_timeout', 'logical_decoding_work_mem')) AS settings
"""

# Each open transaction that has written holds the lock of its id, which everybody may see; since when it is open is
# seen only with pg_read_all_stats. A slot waits for those of all databases.
_OPEN = """
SELECT l.pid, coalesce(a.datname, '?'), coalesce(a.usename, '?'), extract(epoch FROM now() - a.xact_start)::int8,
       age(l.transactionid)
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted AND l.pid IS NOT NULL
  AND l.pid <> pg_backend_pid() AND CASE WHEN a.xact_start IS NULL THEN age(l.transactionid) > 1000
                                         ELSE a.xact_start < now() - make_interval(secs => %s) END
ORDER BY age(l.transactionid) DESC LIMIT 5
"""

_PREPARED = "SELECT gid, database::text, prepared::text FROM pg_prepared_xacts ORDER BY prepared LIMIT 5"

LONG_OPEN = 60
"""Seconds."""

SMALL_WORK_MEM = 64 << 10
"""kB; the server's own default for logical_decoding_work_mem."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a check of the source is about. `own`: the publication is ours, not given by hand. `by_root`: partitions
    travel under their root. `log_disk`: bytes of the disk that holds the source's log, where told."""

    url: str
    application: str
    publication: str
    own: bool
    slot: str
    by_root: bool
    log_disk: int | None


def check_source(asker: Asker, wake: Wake, asked: Asked, tables: Sequence[Table]) -> list[Finding]:
    """Everything; an unreachable server is raised, not found."""
    server = _ask_server(asker)
    found = [*_version(server), *_room(asker, server, asked)]
    found += _settings(server)
    found += unverified(asked.url, "PG-TLS")
    if not server["standby"]:
        found += _waits(asker)
        found += held_back(asker, read_slot(asker, asked.slot), asked.log_disk)
        found += _login(server, asked, wake)
    user = quote_identifier(server["role"])
    found += check_publication(asker, asked.publication, asked.own, asked.by_root, user, server["creates"], tables)
    found += check_tables(asker, asked.own, user, tables)
    return found


def _ask_server(asker: Asker) -> Mapping[str, Any]:
    ((server,),) = asker.ask(f"SELECT to_jsonb(s) FROM ({_SERVER}) s")
    return dict(server)


def _version(server: Mapping[str, Any]) -> Iterator[Finding]:
    if server["version"] < 130000:
        yield finding("PG-VERSION", "the source is older than PostgreSQL 13", f"{server['version']}")
    if server["standby"]:
        yield finding("PG-STANDBY", "the source is a standby: slots and snapshots are made at the primary",
                      mend="point the URL at the primary")  # fmt: skip
    if (level := server["settings"]["wal_level"]) != "logical":
        yield finding("PG-WAL-LEVEL", "the server does not log what changes need to be decoded",
                      f"wal_level = {level}", "ALTER SYSTEM SET wal_level = 'logical' -- and restart the server")


def _room(asker: Asker, server: Mapping[str, Any], asked: Asked) -> Iterator[Finding]:
    exists = not server["standby"] and read_slot(asker, asked.slot) is not None
    wanted = 1 if exists else 2
    if server["slots"] < wanted:
        yield finding("PG-SLOTS", f"{wanted} free replication slots are needed: one to follow, one for loads",
                      f"free: {server['slots']}",
                      "ALTER SYSTEM SET max_replication_slots = … -- and restart the server")  # fmt: skip
    if server["senders"] < wanted:
        yield finding("PG-SENDERS", f"{wanted} free WAL senders are needed: one to follow, one for loads",
                      f"free: {server['senders']}",
                      "ALTER SYSTEM SET max_wal_senders = … -- and restart the server")  # fmt: skip


def _settings(server: Mapping[str, Any]) -> Iterator[Finding]:
    """Of pg_settings, in the units it has: MB, seconds, kB."""
    settings = server["settings"]
    if (keep := int(settings["max_slot_wal_keep_size"])) != -1:
        yield finding("PG-SLOT-LIMIT", "the server drops what a slot holds back beyond a limit; after a longer outage "
                      "everything is copied again", f"max_slot_wal_keep_size = {keep} MB",
                      "ALTER SYSTEM SET max_slot_wal_keep_size = -1 -- or as much as the longest outage writes")
    if idle := int(settings.get("idle_replication_slot_timeout") or 0):
        yield finding("PG-SLOT-TIMEOUT", "the server invalidates a slot that nobody reads for so long; after a longer "
                      "outage everything is copied again", f"idle_replication_slot_timeout = {idle} s",
                      "ALTER SYSTEM SET idle_replication_slot_timeout = 0")  # fmt: skip
    if (memory := int(settings["logical_decoding_work_mem"])) < SMALL_WORK_MEM:
        yield finding("PG-SPILL", "transactions larger than this are decoded through the source's disk",
                      f"logical_decoding_work_mem = {memory} kB",
                      f"ALTER ROLE {quote_identifier(server['role'])} SET logical_decoding_work_mem = '64MB'")


def _waits(asker: Asker) -> Iterator[Finding]:
    """Whom the making of a slot or of a snapshot would wait for (T-PG-13)."""
    for pid, database, role, seconds, age in asker.ask(_OPEN, LONG_OPEN):
        since = f"for {seconds} s" if seconds is not None else f"since {age} transactions ago"
        yield finding("PG-OPEN-TRANSACTION", "a transaction that has written is open: no slot and no snapshot can be "
                      "made before it ends", f"process {pid} of {role} in database {database}, {since}",
                      f"SELECT pg_terminate_backend({pid}) -- if nobody needs it")  # fmt: skip
    for gid, database, prepared in asker.ask(_PREPARED):
        yield finding("PG-PREPARED", "a prepared transaction waits: no slot and no snapshot can be made before it ends",
                      f"{gid} in database {database}, prepared {prepared}",
                      f"COMMIT PREPARED {quote_literal(gid)} -- or ROLLBACK PREPARED, in that database")  # fmt: skip


def _login(server: Mapping[str, Any], asked: Asked, wake: Wake) -> Iterator[Finding]:
    """A real replication session: pg_hba.conf and poolers show themselves only so, and roles by which a service lets
    one replicate that has not the attribute."""
    try:
        session = Session(asked.url, f"{asked.application}/check", wake)
        try:
            session.run("IDENTIFY_SYSTEM")
        finally:
            session.close()
    except CdcdError as error:
        if server["replicates"]:
            yield finding("PG-REPLICATION-LOGIN", "no replication session can be opened", error.what,
                          "allow it in pg_hba.conf, and connect to the server itself, not to a pooler")  # fmt: skip
        else:
            yield finding("PG-REPLICATION", "the role may not replicate", f"role {server['role']}: {error.what}",
                          f"ALTER ROLE {quote_identifier(server['role'])} REPLICATION -- or the service's role for it")
