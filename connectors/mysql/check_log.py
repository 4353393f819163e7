"""Whether a server's log has what is needed, and for how long: nothing there waits for a reader (T-MY-15)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cdcd.contracts import Finding
from cdcd.errors import CdcdError
from cdcd.model.table import Table
from connectors.mysql.ask import Asker
from connectors.mysql.findings import finding, setting
from connectors.mysql.server import Server

SHORT = 86400
"""Seconds of log below which an outage over a night is one too long."""

WEEK = 604800

PACE = 4 << 20
"""Bytes of tables that a load takes in a second, at least. Assumed, not measured: each loader alone does more."""

PACKET = 64 << 20
"""Bytes, MySQL's default. Other values than JSON, which MySQL makes texts of, are sent whatever their size."""

SETTINGS = (
    "log_bin", "binlog_format", "binlog_expire_logs_seconds", "binlog_expire_logs_auto_purge", "expire_logs_days",
    "max_binlog_total_size", "log_replica_updates", "log_slave_updates", "max_allowed_packet", "basedir",
)  # fmt: skip


def check_log(asker: Asker, server: Server, settings: Mapping[str, str], tables: Sequence[Table]) -> Iterator[Finding]:
    if settings.get("log_bin") != "ON":
        yield finding("MY-LOG", "the server keeps no binary log", "log_bin = OFF", "start it with --log-bin")
    if (format := settings.get("binlog_format", "ROW")) != "ROW":
        yield finding("MY-FORMAT", "the server logs statements, not rows", f"binlog_format = {format}",
                      setting("binlog_format = 'ROW'") + "; end the sessions that began before")  # fmt: skip
    names = ("Uptime", "Binlog_bytes_written", "Slaves_running")
    told = ", ".join(f"'{name}'" for name in names)
    status = {str(name): int(value) for name, value in asker.ask(f"SHOW GLOBAL STATUS WHERE Variable_name IN ({told})")}
    yield from check_retention(settings, status, sum(table.bytes for table in tables))
    updates = settings.get("log_replica_updates") or settings.get("log_slave_updates")
    if updates == "OFF" and _replicates(asker, server, status):
        name = "log-slave-updates" if server.mariadb else "log-replica-updates"
        yield finding("MY-REPLICA", "the server is a replica, and what it replicates is not in its log",
                      f"{name.replace('-', '_')} = OFF", f"start it with --{name}, or read its primary")  # fmt: skip
    documents = not server.mariadb and any(column.native == "json" for table in tables for column in table.carried)
    if documents and int(settings["max_allowed_packet"]) < PACKET:
        yield finding("MY-PACKET", "JSON of more than max_allowed_packet cannot be copied",
                      f"max_allowed_packet = {settings['max_allowed_packet']}",
                      setting(f"max_allowed_packet = {4 * PACKET}"))  # fmt: skip


def check_retention(settings: Mapping[str, str], status: Mapping[str, int], size: int) -> Iterator[Finding]:
    """`size`: bytes of the tables that are to be read while the log is kept."""
    if settings.get("basedir", "").startswith("/rdsdbbin"):
        seen = f"basedir = {settings['basedir']}"
        yield finding("MY-MANAGED", "the service removes logs by a setting of its own", seen,
                      "CALL mysql.rds_set_configuration('binlog retention hours', 168)")  # fmt: skip
    for seconds, seen, name, unit in kept(settings, status):
        load = size // PACE
        if seconds < 2 * load:
            needed = max(WEEK, 2 * load)
            yield finding("MY-RETENTION-LOAD", "the log may be removed before a load has ended",
                          f"{seen}; {size >> 20} MB of tables, {load} s at {PACE >> 20} MB a second",
                          setting(f"{name} = {int(needed * unit)}"), of_load=True)  # fmt: skip
        elif seconds < SHORT:
            yield finding("MY-RETENTION", "logs are removed so soon that an outage may outlast them", seen,
                          setting(f"{name} = {int(WEEK * unit)}"))  # fmt: skip


def kept(settings: Mapping[str, str], status: Mapping[str, int]) -> Iterator[tuple[float, str, str, float]]:
    """Each bound of the log, by time and by size: for how many seconds it keeps it, what was seen, the setting, and how
    much of its unit is a second's. By size it is as many as the server has needed on average to write that much."""
    if settings.get("binlog_expire_logs_auto_purge") == "OFF":
        return
    seconds = float(settings.get("binlog_expire_logs_seconds") or 0)
    days = float(settings.get("expire_logs_days") or 0)
    if seconds or days:
        name, value = ("binlog_expire_logs_seconds", seconds) if seconds else ("expire_logs_days", days)
        yield seconds or days * 86400, f"{name} = {value:g}", "binlog_expire_logs_seconds", 1
    most = int(settings.get("max_binlog_total_size") or 0)
    if most and (written := status.get("Binlog_bytes_written", 0)):
        rate = written / max(1, status.get("Uptime", 1))
        seen = f"max_binlog_total_size = {most}, and {rate:.0f} bytes of log a second so far"
        yield most / rate, seen, "max_binlog_total_size", rate


def _replicates(asker: Asker, server: Server, status: Mapping[str, int]) -> bool:
    """MariaDB tells it whole only to users with SLAVE MONITOR, and the number of its running appliers to all."""
    word = "SLAVE" if server.mariadb or server.version < (8, 0, 22) else "REPLICA"
    try:
        return bool(asker.ask(f"SHOW {word} STATUS"))
    except CdcdError:
        return status.get("Slaves_running", 0) > 0
