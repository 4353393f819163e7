"""Everything a check of a MySQL or MariaDB server can find: its stable id, how grave it is, and what it means."""

from __future__ import annotations

from cdcd.contracts import Finding

FINDINGS: dict[str, tuple[str, str]] = {
    "MY-LOG": ("error", "The server keeps no binary log."),
    "MY-FORMAT": ("error", "`binlog_format` is not ROW: statements are logged, not the rows that they changed."),
    "MY-IMAGE": ("warning", "`binlog_row_image` is MINIMAL, and a default is not known: rows with it stop the stream."),
    "MY-PARTIAL-JSON": ("error", "JSON is logged as differences, in images without what they are differences of."),
    "MY-RETENTION": ("warning", "The log is kept for less than a day, and nothing else keeps it for a reader."),
    "MY-RETENTION-LOAD": ("error", "The log is kept for less than twice a load, which may take a second for 4 MB."),
    "MY-MANAGED": ("warning", "A managed service removes the log by a setting of its own, which no variable shows."),
    "MY-REPLICA": ("error", "A replica that does not log what it replicates: `log_replica_updates` is off."),
    "MY-PACKET": ("warning", "`max_allowed_packet` is below 64 MB: MySQL gives no larger JSON, and a copy stops."),
    "MY-CLIENT": ("error", "The user lacks REPLICATION CLIENT (MariaDB: BINLOG MONITOR)."),
    "MY-REPLICATION": ("error", "The user lacks REPLICATION SLAVE."),
    "MY-LOCK": ("error", "The user may lock neither the tables nor the server, so nothing can be copied."),
    "MY-GLOBAL-LOCK": ("warning", "The user may not lock the tables: for a snapshot the whole server is locked."),
    "MY-UNLOCKED": ("warning", "No lock can be had: a snapshot is begun without one, and what follows makes it right."),
    "MY-BUSY": ("warning", "A transaction that has changed a table is open: no snapshot can be begun before it ends."),
    "MY-SELECT": ("error", "The user may not read a table that is selected."),
    "MY-CASCADE": ("warning", "Foreign keys change rows, unlogged and not derived; an error with `cascades = refuse`."),
    "MY-CASCADE-PARENT": ("error", "Foreign keys change rows, unlogged, with those of a table that is not carried."),
    "MY-CASCADE-TEXT": ("warning", "Such rows may refer by texts that are equal at the source and not at the target."),
    "MY-KEYLESS": ("warning", "A table has neither a primary key nor a unique one that holds each row."),
    "MY-TYPE": ("warning", "A table has a column of a type or character set that cdcd does not know: left out."),
    "MT-COLLATION": ("warning", "The target has not a column's collation: the one that comes nearest is taken."),
    "MT-COLLATION-KEY": ("error", "The same of a column in a key: other keys would be equal than at the source."),
    "MT-CASE": ("error", "Names differ in letters' case alone, and the target does not tell them apart."),
    "MT-LOSES": ("error", "A column that is at the target rounds, or pads, what is carried, and says nothing of it."),
    "MT-NARROW": ("warning", "A column that is at the target holds less than the source's: what is more is refused."),
    "MT-NAME": ("error", "A table or column has a name that the target does not take."),
    "MT-ROW": ("error", "A table has more columns, or wider rows, than the target makes."),
    "MT-VERSION": ("error", "The target is older than MySQL 8.0 or MariaDB 10.6."),
    "MT-READ-ONLY": ("error", "The target is read only: a replica, or `read_only` is on."),
    "MT-FORMAT": ("error", "`binlog_format` is STATEMENT: rows cannot be written under READ COMMITTED."),
    "MT-ENGINE": ("error", "A target table is not InnoDB's: its rows and the checkpoint are not one transaction."),
    "MT-TRIGGER": ("error", "A target table has triggers: they would fire for rows that are carried."),
    "MT-BLIND": ("warning", "The user lacks TRIGGER: the target does not say whether a table there has triggers."),
    "MT-RIGHTS": ("error", "The user may not write to a target table, or to cdcd's own."),
    "MT-KEY": ("error", "A table that is at the target compares a key otherwise: rows would be one that are two."),
    "MT-KEYLESS": ("error", "The target, or its cluster, asks for primary keys, and a table has none."),
    "MT-DURABLE": ("warning", "The target flushes later than at COMMIT: what is applied is acknowledged later."),
    "MT-FLUSHED": ("error", "The target flushes later than at COMMIT, and is too old to tell up to where."),
    "MT-PACKET": ("warning", "`max_allowed_packet` is less than 64 MB: larger rows are refused."),
    "MT-LOAD": ("warning", "`local_infile` is off: loads go by INSERT, which takes about half as long again."),
    "MT-CLUSTER": ("warning", "The target is a node of a cluster: one node writes, as locks are not shared."),
}


def finding(id: str, message: str, evidence: str = "", mend: str = "", of_load: bool = False) -> Finding:
    return Finding(id, FINDINGS[id][0], message, evidence, mend, of_load)


def setting(assigned: str) -> str:
    """The statement that sets a variable, as both products take it."""
    return f"SET GLOBAL {assigned} -- and in the server's configuration"
