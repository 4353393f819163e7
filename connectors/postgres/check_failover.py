"""Whether the slot survives a fail-over of the source, as far as the primary tells ("Logical Replication Failover")."""

from __future__ import annotations

from cdcd.contracts import Finding
from connectors.postgres.ask import Asker
from connectors.postgres.findings import finding

_STANDBYS = """
SELECT current_setting('server_version_num')::int, current_setting('synchronized_standby_slots', true),
       ARRAY(SELECT slot_name::text FROM pg_replication_slots WHERE slot_type = 'physical' ORDER BY 1)
"""


def check_failover(asker: Asker) -> list[Finding]:
    """For a pipeline with `failover`."""
    ((version, waited_for, slots),) = asker.ask(_STANDBYS)
    if version < 170000:
        return [finding("PG-FAILOVER-VERSION", "standbys keep logical slots from PostgreSQL 17 on", f"{version}",
                        "leave out failover = true")]  # fmt: skip
    if waited_for:
        return []
    named = ", ".join(slots) or "the standby's physical slot"
    return [finding("PG-FAILOVER-AHEAD", "changes may reach the target before the standby has them: after such "
                    "a fail-over the pipeline stops", "synchronized_standby_slots is empty",
                    f"ALTER SYSTEM SET synchronized_standby_slots = '{named}' -- and reload")]  # fmt: skip
