"""Up to where what is committed at the target cannot be lost any more: on its own disk, or on a standby's too
("Monitoring Replication", pg_stat_replication)."""

from __future__ import annotations

from cdcd.contracts import Finding
from connectors.postgres.findings import finding
from connectors.postgres.names import quote_identifier
from connectors.postgres.sessions import Session

HERE = "pg_current_wal_flush_lsn()"
"""By this server itself."""

# A walsender that reads a logical slot is no standby. Where standbys are named as synchronous, only those count.
STANDBYS = """(
SELECT coalesce(max(r.flush_lsn), '0/0') FROM pg_catalog.pg_stat_replication r
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_replication_slots s
                  WHERE s.active_pid = r.pid AND s.slot_type = 'logical')
  AND (current_setting('synchronous_standby_names') = '' OR r.sync_state <> 'async'))"""
"""By one standby at least."""

_SEEN = """
SELECT current_user::text, (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
       OR pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'), (SELECT count(*) FROM pg_stat_replication)
"""


def check_standbys(session: Session) -> list[Finding]:
    """For a pipeline that acknowledges what is replicated."""
    ((user, sees, standbys),) = session.rows(_SEEN)
    if not sees:
        return [finding("PT-STANDBYS-SEEN", "the role may not see what the target's standbys have",
                        "acknowledge_after = replicated", f"GRANT pg_read_all_stats TO {quote_identifier(user)}")]
    if not standbys:
        return [finding("PT-NO-STANDBY", "the target has no standby now: until one is there the source is told of "
                        "nothing, and keeps its log", "pg_stat_replication is empty")]
    return []
