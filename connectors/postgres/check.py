"""What would go wrong at the source, found before anything is started, each with the statement that mends it
(PG-05, PG-26, PG-27)."""

from __future__ import annotations

from collections.abc import Sequence

from cdcd.contracts import Finding
from cdcd.errors import CdcdError
from cdcd.model.table import Table
from connectors.postgres.ask import Asker
from connectors.postgres.names import qualified, quote_identifier
from connectors.postgres.publication import has_identity
from connectors.postgres.replication import Session
from connectors.postgres.slot import read_slot
from connectors.postgres.wire import Wake

_SERVER = """
SELECT current_setting('wal_level'), pg_is_in_recovery(),
       (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user), current_user::text,
       current_setting('max_replication_slots')::int - (SELECT count(*) FROM pg_replication_slots),
       current_setting('max_wal_senders')::int
           - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender'),
       has_database_privilege(current_database(), 'CREATE'), current_database()::text,
       current_setting('max_slot_wal_keep_size'), current_setting('server_version_num')::int
"""

_TABLES = """
SELECT c.oid::int8, has_table_privilege(c.oid, 'SELECT'), has_schema_privilege(c.relnamespace, 'USAGE'),
       pg_has_role(c.relowner, 'USAGE') OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
       c.relrowsecurity AND (c.relforcerowsecurity OR NOT pg_has_role(c.relowner, 'USAGE'))
           AND NOT (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user),
       pg_get_userbyid(c.relowner)::text
FROM pg_class c WHERE c.oid = ANY (%s::oid[])
"""

# A leaf's old rows come under the leaf's own identity: it must name them by the same columns as the root's.
_LEAVES = """
SELECT l.relid::regclass::text
FROM pg_partition_tree(%s) l JOIN pg_class c ON c.oid = l.relid
WHERE l.isleaf AND NOT (CASE c.relreplident
    WHEN 'f' THEN %s
    WHEN 'n' THEN false
    ELSE NOT %s AND (SELECT array_agg(a.attname::text ORDER BY a.attname::text) FROM pg_index i, unnest(i.indkey) k
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k
          WHERE i.indrelid = c.oid AND CASE c.relreplident WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END)
         IS NOT DISTINCT FROM %s::text[] END)
"""

_PUBLICATION = """
SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate, pubviaroot,
       ARRAY(SELECT schemaname || '.' || tablename FROM pg_publication_tables t WHERE t.pubname = p.pubname)
FROM pg_publication p WHERE pubname = %s
"""


def check_source(
    asker: Asker,
    url: str,
    application: str,
    wake: Wake,
    publication: str,
    own: bool,
    slot: str,
    tables: Sequence[Table],
) -> list[Finding]:
    """Everything; an unreachable server is raised, not found."""
    ((level, standby, replicates, role, slots, senders, creates, database, keep, version),) = asker.ask(_SERVER)
    user = quote_identifier(role)
    findings = []

    def find(id: str, message: str, evidence: str = "", mend: str = "", level: str = "error") -> None:
        findings.append(Finding(id, level, message, evidence, mend))

    if version < 130000:
        find("PG-VERSION", "the source is older than PostgreSQL 13", f"server_version_num = {version}")
    if standby:
        find("PG-STANDBY", "the source is a standby: slots and snapshots are made at the primary", mend="point the URL "
             "at the primary")  # fmt: skip
    if level != "logical":
        find("PG-WAL-LEVEL", "the server does not log what changes need to be decoded", f"wal_level = {level}",
             "ALTER SYSTEM SET wal_level = 'logical' -- and restart the server")  # fmt: skip
    if not replicates:
        find("PG-REPLICATION", "the role may not replicate", f"role {role}", f"ALTER ROLE {user} REPLICATION")
    exists = not standby and read_slot(asker, slot) is not None
    wanted = 1 if exists else 2
    if slots < wanted:
        find("PG-SLOTS", f"{wanted} free replication slots are needed: one to follow, one for loads",
             f"free: {slots}", "ALTER SYSTEM SET max_replication_slots = … -- and restart the server")  # fmt: skip
    if senders < wanted:
        find("PG-SENDERS", f"{wanted} free WAL senders are needed: one to follow, one for loads",
             f"free: {senders}", "ALTER SYSTEM SET max_wal_senders = … -- and restart the server")  # fmt: skip
    if keep not in ("-1", "-1MB"):
        find("PG-SLOT-LIMIT", "the server drops what a slot holds back beyond a limit; after a longer outage "
             "everything is copied again", f"max_slot_wal_keep_size = {keep}", level="warning")  # fmt: skip
    if replicates and level == "logical" and not standby:
        findings += _login(url, application, wake)
    findings += _publication(asker, publication, own, creates, database, user, tables)
    findings += _tables(asker, own, user, tables)
    return findings


def _login(url: str, application: str, wake: Wake) -> list[Finding]:
    """A real replication session: pg_hba.conf and poolers show themselves only so."""
    try:
        session = Session(url, f"{application}/check", wake)
        try:
            session.run("IDENTIFY_SYSTEM")
        finally:
            session.close()
    except CdcdError as error:
        return [
            Finding(
                "PG-REPLICATION-LOGIN", "error", "no replication session can be opened", error.what,
                "allow it in pg_hba.conf, and connect to the server itself, not to a pooler",
            )
        ]  # fmt: skip
    return []


def _publication(
    asker: Asker, name: str, own: bool, creates: bool, database: str, user: str, tables: Sequence[Table]
) -> list[Finding]:
    rows = asker.ask(_PUBLICATION, name)
    if own:
        if not rows and not creates:
            return [
                Finding(
                    "PG-PUBLICATION-RIGHT", "error", "the role may not create a publication",
                    f"database {database}", f"GRANT CREATE ON DATABASE {quote_identifier(database)} TO {user}",
                )
            ]  # fmt: skip
        return []
    if not rows:
        return [
            Finding("PG-PUBLICATION", "error", "the publication does not exist", name,
                    f"CREATE PUBLICATION {quote_identifier(name)} …")
        ]  # fmt: skip
    ((everything, by_root, listed),) = rows
    findings = []
    if not everything:
        findings.append(
            Finding("PG-PUBLICATION-KINDS", "error", "the publication leaves kinds of changes out", name,
                    f"ALTER PUBLICATION {quote_identifier(name)} "
                    "SET (publish = 'insert, update, delete, truncate')")
        )  # fmt: skip
    if not by_root and any(table.partitioned for table in tables):
        findings.append(
            Finding("PG-PUBLICATION-ROOT", "error", "the publication sends partitions under their own names", name,
                    f"ALTER PUBLICATION {quote_identifier(name)} SET (publish_via_partition_root = true)")
        )  # fmt: skip
    # Without that option a root is listed as its leaves.
    missing = [t for t in tables if t.id not in listed and (by_root or not t.partitioned)]
    for table in missing:
        findings.append(
            Finding("PG-PUBLICATION-TABLE", "error", f"the publication does not carry {table.id}", name,
                    f"ALTER PUBLICATION {quote_identifier(name)} ADD TABLE {qualified(table)}")
        )  # fmt: skip
    return findings


def _tables(asker: Asker, own: bool, user: str, tables: Sequence[Table]) -> list[Finding]:
    rights = {row[0]: row[1:] for row in asker.ask(_TABLES, [table.oid for table in tables])}
    findings = []
    for table in tables:
        name = qualified(table)
        if table.oid not in rights:
            findings.append(Finding("PG-TABLE", "error", f"{table.id} does not exist"))
            continue
        selects, enters, owns, hidden, owner = rights[table.oid]
        if not enters:
            mend = f"GRANT USAGE ON SCHEMA {quote_identifier(table.schema)} TO {user}"
            findings.append(Finding("PG-USAGE", "error", f"the schema of {table.id} may not be used", mend=mend))
        if not selects:
            mend = f"GRANT SELECT ON {name} TO {user}"
            findings.append(Finding("PG-SELECT", "error", f"{table.id} may not be read", mend=mend))
        if own and not owns:
            mend = f"GRANT {quote_identifier(owner)} TO {user} -- or name a publication that its owner made"
            findings.append(
                Finding("PG-OWNER", "error", f"{table.id} may only be published by its owner", f"owner {owner}", mend)
            )
        if hidden:
            mend = f"ALTER ROLE {user} BYPASSRLS"
            findings.append(Finding("PG-ROW-SECURITY", "error", f"policies hide rows of {table.id}", mend=mend))
        findings += _identity(asker, table, name)
    return findings


def _identity(asker: Asker, table: Table, name: str) -> list[Finding]:
    if not has_identity(table):
        return [
            Finding(
                "PG-NO-IDENTITY", "error", f"{table.id} has no replica identity: the source cannot name its old rows",
                "published, the application's own UPDATE and DELETE would fail",
                f"ALTER TABLE {name} REPLICA IDENTITY FULL -- or add a primary key, or leave the table out",
            )
        ]  # fmt: skip
    findings = []
    if table.full and not table.key:
        findings.append(
            Finding("PG-KEYLESS", "warning", f"{table.id} has no key: it is loaded as one chunk, and its rows are "
                    "found by all of their columns")
        )  # fmt: skip
    if table.partitioned:
        key = sorted(table.key)
        for (leaf,) in asker.ask(_LEAVES, table.oid, table.full, table.full, key):
            findings.append(
                Finding("PG-LEAF-IDENTITY", "error", f"partition {leaf} of {table.id} names old rows by other columns",
                        mend=f"ALTER TABLE {leaf} REPLICA IDENTITY {'FULL' if table.full else 'DEFAULT'}")
            )  # fmt: skip
    return findings
