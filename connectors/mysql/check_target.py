"""Everything that would go wrong at a MySQL or MariaDB target, found before anything is started; changes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from cdcd.contracts import Finding
from cdcd.errors import CdcdError
from cdcd.model.table import Table
from connectors.mysql.check_columns import check_columns, check_made
from connectors.mysql.check_structure import check_structure
from connectors.mysql.ddl import PRODUCTS
from connectors.mysql.dialect import collation_here
from connectors.mysql.durable import read_places
from connectors.mysql.findings import finding, setting
from connectors.mysql.names import quote
from connectors.mysql.server import version_of
from connectors.mysql.sessions import Session
from connectors.mysql.shape import Shape, find_shape

PACKET = 64 << 20
"""Bytes, MySQL's default."""

_SETTINGS = (
    "version", "read_only", "super_read_only", "log_bin", "binlog_format", "innodb_flush_log_at_trx_commit",
    "sync_binlog", "max_allowed_packet", "local_infile", "sql_require_primary_key",
    "wsrep_on", "wsrep_max_ws_size", "group_replication_group_name", "group_replication_transaction_size_limit",
)  # fmt: skip

_GRANT = re.compile(r"GRANT (.+?) ON (?:`((?:[^`]|``)+)`|\*)\.\S+ TO ")
_WILD = re.compile(r"(\\[%_]|[%_])")

_ENGINE = "SELECT ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s"
_TRIGGERS = """
SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = %s AND EVENT_OBJECT_TABLE = %s
ORDER BY TRIGGER_NAME"""


def check_target(session: Session, tables: Sequence[Table], policy: str) -> list[Finding]:
    names = ", ".join(f"'{name}'" for name in _SETTINGS)
    settings = {
        str(name).lower(): str(value)
        for name, value in session.rows(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})")
    }
    shapes = {table.id: shape for table in tables if (shape := find_shape(session, table)) is not None}
    found = [*_server(session, settings), *_control(session), *check_structure(session, tables, policy)]
    for schema in sorted({shape.schema for shape in shapes.values()}):
        if not _sees_triggers(session, schema):
            mend = f"GRANT TRIGGER ON {quote(schema)}.* TO …"
            found.append(finding("MT-BLIND", f"triggers of tables in {schema} are not shown to the user", mend=mend))
    for table in tables:
        shape = shapes.get(table.id)
        if shape is not None:
            found += _there(session, shape)
        elif not table.primary and (asks := _asks_for_keys(settings)):
            seen, mend = asks, f"ALTER TABLE {table.id} ADD PRIMARY KEY (…)"
            found.append(finding("MT-KEYLESS", f"{table.id} cannot be made: it has no primary key", seen, mend))
        if shape is not None and policy != "drop":
            found += [*_keys(table, shape), *check_columns(session, table, shape)]
        else:
            found += check_made(session, table)
    return found


def _server(session: Session, settings: Mapping[str, str]) -> Iterator[Finding]:
    version = version_of(settings["version"])
    if version < ((10, 6, 0) if session.mariadb else (8, 0, 0)):
        yield finding("MT-VERSION", f"the target is {settings['version']}", "MySQL from 8.0 and MariaDB from 10.6 on")
    if any(settings.get(name) not in (None, "OFF", "0") for name in ("read_only", "super_read_only")):
        yield finding("MT-READ-ONLY", "the target is read only", "read_only = ON", "SET GLOBAL read_only = OFF")
    if settings.get("log_bin") == "ON" and settings.get("binlog_format") == "STATEMENT":
        yield finding("MT-FORMAT", "the target logs statements, and refuses to write under READ COMMITTED",
                      "binlog_format = STATEMENT", "SET GLOBAL binlog_format = 'ROW'")  # fmt: skip
    at_once = settings.get("innodb_flush_log_at_trx_commit") == "1"
    if not (at_once and (settings.get("log_bin") != "ON" or settings.get("sync_binlog") == "1")):
        seen = f"innodb_flush_log_at_trx_commit = {settings.get('innodb_flush_log_at_trx_commit')}, "
        seen += f"sync_binlog = {settings.get('sync_binlog')}"
        mend = setting("innodb_flush_log_at_trx_commit = 1, GLOBAL sync_binlog = 1")
        if read_places(session) == (1, 0):
            yield finding("MT-FLUSHED", "nobody can tell what a crash of the target would take back", seen, mend)
        else:
            yield finding("MT-DURABLE", "commits are durable about a second later, and acknowledged then", seen, mend)
    if int(settings["max_allowed_packet"]) < PACKET:
        yield finding("MT-PACKET", "rows of more than max_allowed_packet are refused",
                      f"max_allowed_packet = {settings['max_allowed_packet']}",
                      setting(f"max_allowed_packet = {4 * PACKET}"))  # fmt: skip
    if settings.get("local_infile") != "ON":
        yield finding("MT-LOAD", "loads go by INSERT", "local_infile = OFF", "SET GLOBAL local_infile = ON")
    if settings.get("wsrep_on") == "ON" or settings.get("group_replication_group_name"):
        limits = ("wsrep_max_ws_size", "group_replication_transaction_size_limit")
        seen = ", ".join(f"{name} = {settings[name]}" for name in limits if name in settings)
        yield finding("MT-CLUSTER", "a second daemon on another node is kept out by the epoch alone, and transactions "
                      "above the cluster's limit are refused", seen, "have the URL name one node")  # fmt: skip


def _asks_for_keys(settings: Mapping[str, str]) -> str:
    """The setting by which the server writes to no table without a primary key; "": there is none."""
    if settings.get("sql_require_primary_key") == "ON":
        return "sql_require_primary_key = ON"
    if settings.get("group_replication_group_name"):
        return f"group_replication_group_name = {settings['group_replication_group_name']}"
    return "wsrep_on = ON" if settings.get("wsrep_on") == "ON" else ""


def _control(session: Session) -> Iterator[Finding]:
    """By trying: roles and partial revokes show themselves only so."""
    if not session.rows("SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s", "cdcd"):
        return  # there, or not to be seen: making it tells
    try:
        session.define("CREATE TEMPORARY TABLE cdcd.tried (n int NOT NULL PRIMARY KEY)")
        session.run("DROP TEMPORARY TABLE cdcd.tried")
    except CdcdError as error:
        yield finding("MT-RIGHTS", "cdcd cannot keep its own tables", error.what, "GRANT ALL ON cdcd.* TO …")


def _sees_triggers(session: Session, schema: str) -> bool:
    """Nothing can be tried: a trigger that the user may not see is as none."""
    for (text,) in session.rows("SHOW GRANTS"):
        granted = _GRANT.match(str(text))
        if granted and ("TRIGGER" in granted[1] or granted[1] == "ALL PRIVILEGES") and _covers(granted[2], schema):
            return True
    return False


def _covers(pattern: str | None, schema: str) -> bool:
    """Whether a grant's database, which may have wildcards, is or holds this one. None: every one."""
    if pattern is None:
        return True
    parts = _WILD.split(pattern.replace("``", "`"))
    wild = {"%": ".*", "_": "."}
    return re.fullmatch("".join(wild.get(part) or re.escape(part.lstrip("\\")) for part in parts), schema) is not None


def _there(session: Session, shape: Shape) -> Iterator[Finding]:
    """A table that is at the target already."""
    engine = session.row(_ENGINE, shape.schema, shape.name)
    if engine is not None and str(engine[0]).lower() != "innodb":
        yield finding("MT-ENGINE", f"{shape.id} has no transactions", f"ENGINE = {engine[0]}",
                      f"ALTER TABLE {shape.sql} ENGINE = InnoDB")  # fmt: skip
    for (trigger,) in session.rows(_TRIGGERS, shape.schema, shape.name):
        mend = f"DROP TRIGGER {quote(shape.schema)}.{quote(str(trigger))} -- and make it again at cut-over"
        yield finding("MT-TRIGGER", f"a trigger on {shape.id} would fire for carried rows", str(trigger), mend)
    names = ", ".join(map(quote, shape.written))
    first = quote(shape.written[0])
    for statement in (
        f"INSERT INTO {shape.sql} ({names}) SELECT {names} FROM {shape.sql} WHERE FALSE",
        f"UPDATE {shape.sql} SET {first} = {first} WHERE FALSE",
        f"DELETE FROM {shape.sql} WHERE FALSE",
    ):
        try:
            session.run(statement)
        except CdcdError as error:
            yield finding("MT-RIGHTS", f"{shape.id} cannot be written to", error.what,
                          f"GRANT SELECT, INSERT, UPDATE, DELETE ON {shape.sql} TO …")  # fmt: skip
            return


def _keys(table: Table, shape: Shape) -> Iterator[Finding]:
    """Whether keys that are two at the source may be one in a table that is here already."""
    mine = table.product in PRODUCTS
    names = {name for key in (table.key, *table.unique) for name in key}
    for column in table.columns:
        if column.name not in names or column.name not in shape.columns:
            continue
        there = shape.columns[column.name].collation
        wanted = column.collation if mine else None
        if not there or there == wanted or there.endswith("_bin") or there == "binary":
            continue
        if wanted and collation_here(wanted, {there}) == there:
            continue  # the same order by the other product's name
        seen = f"{wanted or 'by its bytes'} at the source, {there} at the target"
        mend = f"give {column.name} at the target a collation that compares bytes: COLLATE …_bin"
        yield finding("MT-KEY", f"{table.id}.{column.name} is in a key, and compared otherwise there", seen, mend)
