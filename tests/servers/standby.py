"""A hot standby of a server of the tests' own, which keeps its failover slots ("Logical Replication Failover")."""

from collections.abc import Mapping

from tests.servers import run
from tests.servers.postgres import Postgres

SLOT = "standby"
"""The physical slot of a standby at its primary."""


def _quoted(value: object) -> str:
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"


def conninfo(primary: Postgres) -> str:
    """For primary_conninfo; a slot's synchronization wants a database's name too."""
    known = {"host": primary.host, "port": primary.port, "user": primary.user, "password": primary.password}
    return " ".join(f"{name}={_quoted(value)}" for name, value in {**known, "dbname": "postgres"}.items())


def standby_of(primary: Postgres, slot: str = SLOT, settings: Mapping[str, str] | None = None) -> Postgres:
    """A standby that streams, by these settings; end it with `remove`."""
    if slot not in primary.slots():
        primary.execute("SELECT pg_create_physical_replication_slot(%s, true)", slot)
    place = run.place("standby") / "data"
    primary.run("pg_basebackup", "-D", place, "-d", primary.url(), "-c", "fast", "-X", "stream", "--no-sync")
    (place / "standby.signal").touch()
    if settings is None:
        settings = {"primary_conninfo": conninfo(primary), "primary_slot_name": slot, "hot_standby_feedback": "on"}
        if primary.major >= 17:
            settings["sync_replication_slots"] = "on"
    often = {"wal_receiver_status_interval": "1s", "wal_retrieve_retry_interval": "1s"}
    return Postgres.from_base_backup(place, primary.major, {**settings, **often})
