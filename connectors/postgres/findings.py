"""Everything a check of a PostgreSQL server can find: its stable id, how grave it is, and what it means.

CHECKS.md is printed from this table (`python -m tests.checks_document`). PG speaks of a source, PT of a target.
"""

from __future__ import annotations

from cdcd.contracts import Finding

FINDINGS: dict[str, tuple[str, str]] = {
    # The source: the server and the role
    "PG-VERSION": ("error", "The server is older than PostgreSQL 13."),
    "PG-STANDBY": ("error", "It is a standby: slots that export snapshots, and publications, are made at the primary."),
    "PG-WAL-LEVEL": ("error", "`wal_level` is not `logical`: the log lacks what changes are decoded from."),
    "PG-REPLICATION": ("error", "The role lacks the attribute REPLICATION."),
    "PG-REPLICATION-LOGIN": (
        "error", "No replication session can be opened: pg_hba.conf, a pooler, a limit of connections."
    ),
    "PG-SLOTS": ("error", "Too few replication slots are free: one follows, one more makes each snapshot."),
    "PG-SENDERS": ("error", "Too few WAL senders are free."),
    "PG-SLOT-LIMIT": ("warning", "`max_slot_wal_keep_size`: a slot that holds back more is invalidated by the server."),
    "PG-SLOT-TIMEOUT": (
        "warning", "`idle_replication_slot_timeout`: a slot that nobody reads for so long is invalidated."
    ),
    "PG-WAL-HELD": ("warning", "The slot holds back half of what the server keeps for it, or of the disk, or more."),
    "PG-XMIN-HELD": ("warning", "The slot holds back the catalogue for more than half of `autovacuum_freeze_max_age`."),
    "PG-SPILL": (
        "warning", "`logical_decoding_work_mem` is small: transactions beyond it go through the source's disk."
    ),
    "PG-OPEN-TRANSACTION": (
        "warning", "A writing transaction is open for more than a minute: no slot and no snapshot can be made before "
        "it ends."
    ),
    "PG-PREPARED": ("warning", "A prepared transaction waits: no slot and no snapshot can be made before it ends."),
    "PG-TLS": ("warning", "The session with a server elsewhere is not verified (sslmode below verify-full)."),
    "PG-FAILOVER-VERSION": ("error", "`failover` is on: standbys keep logical slots from PostgreSQL 17 on."),
    "PG-FAILOVER-AHEAD": (
        "warning", "`failover` is on and `synchronized_standby_slots` empty: the target may be ahead of the standbys."
    ),
    # The source: publication
    "PG-PUBLICATION": ("error", "The publication given by hand does not exist."),
    "PG-PUBLICATION-RIGHT": ("error", "The role may not create a publication in this database."),
    "PG-PUBLICATION-OWNER": ("error", "Our publication belongs to another role, and could not be changed."),
    "PG-PUBLICATION-KINDS": ("error", "The publication leaves out inserts, updates, deletes or truncates."),
    "PG-PUBLICATION-ROOT": ("error", "The publication sends partitions under other names than `partitions` says."),
    "PG-PUBLICATION-TABLE": ("error", "The publication does not carry a table that is selected."),
    "PG-PUBLICATION-FILTER": ("error", "The publication carries only some rows of a table."),
    "PG-PUBLICATION-COLUMNS": ("error", "The publication carries only some columns of a table."),
    "PG-PUBLICATION-GENERATED": (
        "error", "The publication sends generated columns, which the target computes itself."
    ),
    "PG-PUBLICATION-BREAKS": (
        "warning", "The publication, or since it runs ours, holds a table without replica identity, or from 18 on with "
        "computed columns in it: its application's UPDATE and DELETE fail."
    ),
    "PG-PUBLICATION-AGAIN": (
        "error", "Found while a pipeline runs: the publication, or a table in it, was away for a while."
    ),
    "PG-PUBLICATION-TOUCHED": (
        "warning", "Found while a pipeline runs: somebody altered the publication, which is as it should be now."
    ),
    # The source: tables
    "PG-TABLE": ("error", "A selected table is not there any more."),
    "PG-USAGE": ("error", "The role may not use the schema of a table."),
    "PG-SELECT": ("error", "The role may not read a table."),
    "PG-OWNER": ("error", "Our publication can hold only tables that the role, or one it is a member of, owns."),
    "PG-ROW-SECURITY": ("error", "Policies hide rows of a table from the role."),
    "PG-NO-IDENTITY": ("error", "A table has no usable replica identity: published, its application's UPDATE fails."),
    "PG-LEAF-IDENTITY": ("error", "A partition names old rows by other columns than its root."),
    "PG-KEYLESS": ("warning", "A table has no key: it is one chunk, and rows are found by all of their columns."),
    "PG-UNLOGGED": ("warning", "An unlogged table is selected: its changes are in no log."),
    "PG-TEMPORARY": ("warning", "A temporary table is selected: it is one session's, and in no log."),
    "PG-FOREIGN": ("warning", "A foreign table is selected: its rows are on another server."),
    "PG-EXTENSION": ("warning", "A table is selected that belongs to an extension, which makes and fills its own."),
    "PG-PARTITION": ("warning", "A partition is named, but its rows travel under its root."),
    "PG-WHERE": ("error", "`where`: the server refuses the condition; names need their schema in it."),
    "PG-MASK": ("error", "`mask`: the server refuses the expression, or cannot make the column's type of it."),
    # The target: the server and the role
    "PT-VERSION": ("error", "The server is older than PostgreSQL 13."),
    "PT-STANDBY": ("error", "It is a standby: nothing can be written."),
    "PT-POOLER": ("error", "A pooler gives one session of the server to several of ours in turn."),
    "PT-CREATE": ("error", "The role may not create the schema `cdcd`, where checkpoints are kept."),
    "PT-CONTROL": ("error", "The schema `cdcd` is there, but belongs to another role that made it."),
    "PT-TEMPORARY": ("error", "The role may not create temporary tables, by which changes are applied."),
    "PT-ENCODING": ("warning", "The database is not UTF8: not every character can be stored."),
    "PT-REPLICA-ROLE": (
        "warning", "The role may not set `session_replication_role`: triggers fire and foreign keys are checked."
    ),
    "PT-TLS": ("warning", "The session with a server elsewhere is not verified (sslmode below verify-full)."),
    "PT-STANDBYS-SEEN": ("error", "`acknowledge_after` is `replicated`: the role may not see the target's standbys."),
    "PT-NO-STANDBY": ("warning", "`acknowledge_after` is `replicated`: the target has no standby now."),
    # The target: tables that are to be made
    "PT-CREATE-SCHEMA": ("error", "The role may not create a schema."),
    "PT-CREATE-TABLE": ("error", "The role may not create tables in a schema."),
    "PT-TYPE-MISSING": ("error", "A column's type is not at the target, and is none that cdcd can make."),
    "PT-COLLATION": ("error", "A column's collation is not at the target."),
    "PT-NEEDS": ("error", "The target's version does not know something that the source has."),
    "PT-EXTENSION": ("error", "An extension that tables need is not at the target, and our role cannot make it."),
    "PT-TYPE-DIFFERS": ("error", "A type that columns need is at the target, but is another one."),
    "PT-FUNCTION": (
        "error", "Something that is to be made calls a function that is not at the target. A default is left out: a "
        "warning."
    ),
    "PT-ROLE": ("error", "A privilege or a policy that is to be made names a role that is not at the target."),
    "PT-GRANT": ("error", "A privilege is to be granted on something of another role's: by hand, by that role."),
    # The target: tables that are there
    "PT-NO-TABLE": ("error", "What bears a table's name is a view, a materialized view or a foreign table."),
    "PT-USAGE": ("error", "The role may not use the schema of a table."),
    "PT-RIGHTS": ("error", "The role may not read or write a table."),
    "PT-OWNER": ("error", "The role may not drop a table that is to be dropped."),
    "PT-FILLED": ("error", "A table holds rows already, and nothing said what to do with them."),
    "PT-UNLOGGED": ("error", "A table is unlogged: a crash would empty it, and the checkpoint would stay."),
    "PT-ROW-SECURITY": ("error", "Policies hide rows of a table from the role: counts would lie."),
    "PT-RULE": ("error", "A rule rewrites what is applied to a table: counts would lie."),
    "PT-TRIGGER": ("error", "A trigger that fires for us may change or keep off rows: counts would lie."),
    "PT-TRIGGER-RUNS": ("warning", "A trigger that fires for us runs again for each change."),
    "PT-FOREIGN-KEY": ("error", "A foreign key is checked while tables are loaded side by side."),
    "PT-COLUMN": ("error", "A column is not at the target."),
    "PT-NOT-GENERATED": ("error", "A column is computed at the source, and nothing fills it at the target."),
    "PT-GENERATED": ("error", "A column is computed at the target, and cannot be written."),
    "PT-IDENTITY": ("error", "An identity column is GENERATED ALWAYS, and refuses values."),
    "PT-TYPE": ("error", "A column's type is another, or shorter, and may lose values."),
    "PT-LABELS": ("error", "An enum lacks labels that the source has."),
    "PT-NOT-NULL": ("warning", "A column is NOT NULL at the target only: a row without a value will stop the stream."),
    "PT-EXTRA": ("error", "A column is at the target only, and wants a value: NOT NULL without default."),
    "PT-KEY": ("error", "No unique index is on the columns by which the source names old rows."),
    "PT-UNIQUE": ("warning", "A unique index is at the target only: rows that agree in it will stop the stream."),
}


OF_LOADS = {"PT-FOREIGN-KEY"}
"""In the way of a load, and of nothing else."""


def finding(id: str, message: str, evidence: str = "", mend: str = "", level: str | None = None) -> Finding:
    """One of the table's; `level` where this one is graver than the others of its kind."""
    return Finding(id, level or FINDINGS[id][0], message, evidence, mend, id in OF_LOADS)
