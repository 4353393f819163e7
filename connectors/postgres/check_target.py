"""What would go wrong at a PostgreSQL target, found before anything is started: rights, tables that are there already,
and what makes row counts lie (T-PT-8)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cdcd.contracts import Finding
from cdcd.model.table import Table
from connectors.postgres.ddl import has_key, key_index, labels_of, missing_type
from connectors.postgres.names import qualified, quote_identifier
from connectors.postgres.sessions import Session
from connectors.postgres.shape import Shape, find_shape

_SERVER = """
SELECT pg_is_in_recovery(), has_database_privilege(current_database(), 'CREATE'),
       has_database_privilege(current_database(), 'TEMPORARY'), current_database()::text, current_user::text,
       to_regnamespace('cdcd') IS NOT NULL, pg_encoding_to_char(encoding)
FROM pg_database WHERE datname = current_database()
"""

_RIGHTS = """
SELECT has_schema_privilege(relnamespace, 'USAGE'), relpersistence = 'u', row_security_active(oid),
       pg_has_role(relowner, 'USAGE'),
       ARRAY(SELECT p FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) p
             WHERE NOT has_table_privilege(c.oid, p)),
       ARRAY(SELECT rulename::text FROM pg_rewrite WHERE ev_class = c.oid AND ev_enabled <> 'D' AND ev_type <> '1')
FROM pg_class c WHERE oid = %s
"""

# Of the type's bits 1 is per row, 2 is before. Constraint triggers of foreign keys are internal.
_TRIGGERS = """
SELECT tgname::text, tgenabled::text, tgtype & 3 = 3 FROM pg_trigger
WHERE tgrelid = %s AND NOT tgisinternal AND tgenabled <> 'D' ORDER BY tgname
"""

_KEYS = "SELECT conname::text, confrelid::regclass::text FROM pg_constraint WHERE contype = 'f' AND conrelid = %s"

WIDER = {
    ("smallint", "integer"), ("smallint", "bigint"), ("integer", "bigint"), ("real", "double precision"),
}  # fmt: skip
"""Pairs of a source's type and another that holds all of its values; so does text, for character varying."""


@dataclass(frozen=True, slots=True)
class _Role:
    name: str
    replica: bool
    """Whether it may set session_replication_role: no trigger fires and no foreign key is checked then."""
    creates: bool

    @property
    def sql(self) -> str:
        return quote_identifier(self.name)


def check_target(session: Session, tables: Sequence[Table], policy: str, replica: bool) -> list[Finding]:
    """Everything; an unreachable server is raised, not found."""
    ((standby, creates, temporary, database, user, control, encoding),) = session.rows(_SERVER)
    role = _Role(user, replica, creates)
    if standby:
        return [Finding("PT-STANDBY", "error", "the target is a standby", mend="point the URL at the primary")]
    found = list(_of_server(session, role, database, temporary, control, encoding))
    for table in tables:
        shape = find_shape(session, table.schema, table.name)
        if shape is None or policy == "drop":
            found += _to_be_created(session, table, role, database)
        if shape is not None:
            found += _of_table(session, table, shape, policy, role)
    return found


def _of_server(
    session: Session, role: _Role, database: str, temporary: bool, control: bool, encoding: str
) -> Iterator[Finding]:
    if session.version < 130000:
        yield Finding("PT-VERSION", "error", "the target is older than PostgreSQL 13", f"{session.version}")
    grant = f"ON DATABASE {quote_identifier(database)} TO {role.sql}"
    if not control and not role.creates:
        yield Finding("PT-CREATE", "error", "the role may not create cdcd's schema", role.name, f"GRANT CREATE {grant}")
    if not temporary:
        yield Finding("PT-TEMPORARY", "error", "the role may not create temporary tables", role.name,
                      f"GRANT TEMPORARY {grant}")  # fmt: skip
    if encoding != "UTF8":
        yield Finding("PT-ENCODING", "warning", "not every character can be stored at the target", encoding)
    if not role.replica:
        mend = "make the role a superuser"
        if session.version >= 150000:
            mend = f"GRANT SET ON PARAMETER session_replication_role TO {role.sql}"
        yield Finding(
            "PT-REPLICA-ROLE", "warning", "triggers fire and foreign keys are checked at the target while cdcd writes",
            f"role {role.name} may not set session_replication_role", mend,
        )  # fmt: skip


def _to_be_created(session: Session, table: Table, role: _Role, database: str) -> Iterator[Finding]:
    rows = session.rows(
        "SELECT nspname, has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = %s", (table.schema,)
    )
    schema = quote_identifier(table.schema)
    if not rows and not role.creates:
        yield Finding("PT-CREATE-SCHEMA", "error", f"the role may not create the schema of {table.id}", role.name,
                      f"GRANT CREATE ON DATABASE {quote_identifier(database)} TO {role.sql}")  # fmt: skip
    elif rows and not rows[0][1]:
        yield Finding("PT-CREATE-TABLE", "error", f"the role may not create {table.id}", role.name,
                      f"GRANT CREATE, USAGE ON SCHEMA {schema} TO {role.sql}")  # fmt: skip
    for column in table.columns:
        if missing_type(session, column) and not labels_of(column):
            yield Finding(
                "PT-TYPE-MISSING", "error", f"{table.id}.{column.name}: its type is not at the target", column.native,
                "create it as at the source: CREATE EXTENSION, CREATE TYPE, CREATE DOMAIN",
            )  # fmt: skip


def _of_table(session: Session, table: Table, shape: Shape, policy: str, role: _Role) -> Iterator[Finding]:
    name = qualified(table)
    if shape.kind not in "rp":
        yield Finding("PT-NO-TABLE", "error", f"{table.id} is not a table at the target", f"relkind {shape.kind}")
        return
    ((usage, unlogged, policies, owns, lacking, rules),) = session.rows(_RIGHTS, (shape.oid,))
    if not usage:
        yield Finding("PT-USAGE", "error", f"the schema of {table.id} may not be used at the target", role.name,
                      f"GRANT USAGE ON SCHEMA {quote_identifier(table.schema)} TO {role.sql}")  # fmt: skip
        return
    if lacking:
        missing = ", ".join(lacking)
        yield Finding("PT-RIGHTS", "error", f"the role may not {missing} on {table.id}", role.name,
                      f"GRANT {missing} ON {name} TO {role.sql}")  # fmt: skip
        return
    if policy == "drop":
        if not owns:
            yield Finding("PT-OWNER", "error", f"only its owner may drop {table.id}", role.name,
                          f"ALTER TABLE {name} OWNER TO {role.sql}")  # fmt: skip
        return
    if policy == "create" and not policies and session.row(f"SELECT FROM {shape.sql} LIMIT 1") is not None:
        yield Finding(
            "PT-FILLED", "error", f"{table.id} holds rows at the target already", "target_tables = create",
            f"TRUNCATE {name} -- or choose target_tables = truncate",
        )  # fmt: skip
    if unlogged:
        yield Finding("PT-UNLOGGED", "error", f"{table.id} is unlogged: a crash of the target would empty it, and "
                      "its checkpoint would stay", mend=f"ALTER TABLE {name} SET LOGGED")  # fmt: skip
    if policies:
        yield Finding("PT-ROW-SECURITY", "error", f"policies hide rows of {table.id} from the role", role.name,
                      f"ALTER ROLE {role.sql} BYPASSRLS")  # fmt: skip
    for rule in rules:
        yield Finding("PT-RULE", "error", f"a rule on {table.id} rewrites what is applied, but not what is loaded",
                      rule, f"DROP RULE {quote_identifier(rule)} ON {name}")  # fmt: skip
    yield from _columns(table, shape)
    yield from _triggers(session, table, shape, role)


def _columns(table: Table, shape: Shape) -> Iterator[Finding]:
    name = qualified(table)
    for column in table.carried:
        there = shape.columns.get(column.name)
        where, what = f"{table.id}.{column.name}", quote_identifier(column.name)
        if there is None:
            yield Finding("PT-COLUMN", "error", f"{where} is not at the target",
                          mend=f"ALTER TABLE {name} ADD {what} {column.native}")  # fmt: skip
        elif there.generated:
            yield Finding("PT-GENERATED", "error", f"{where} is computed at the target, and cannot be written",
                          mend=f"ALTER TABLE {name} ALTER {what} DROP EXPRESSION")  # fmt: skip
        elif there.always:
            yield Finding("PT-IDENTITY", "error", f"{where} refuses values of the source", "GENERATED ALWAYS",
                          f"ALTER TABLE {name} ALTER {what} SET GENERATED BY DEFAULT")  # fmt: skip
        elif not _holds(column.native, there.native):
            yield Finding("PT-TYPE", "error", f"{where} may lose values: its type is another",
                          f"{column.native} at the source, {there.native} at the target",
                          f"ALTER TABLE {name} ALTER {what} TYPE {column.native}")  # fmt: skip
    carried = {column.name for column in table.columns}
    for there in shape.columns.values():
        if there.name not in carried and not (there.nullable or there.default or there.generated):
            yield Finding("PT-EXTRA", "error", f"{table.id}.{there.name} is not at the source, and wants a value",
                          "NOT NULL without a default",
                          f"ALTER TABLE {name} ALTER {quote_identifier(there.name)} DROP NOT NULL")  # fmt: skip
    if table.key and not has_key(shape, table):
        yield Finding("PT-KEY", "error", f"{table.id} has no unique index on {', '.join(table.key)} at the target",
                      "the source names old rows by these columns", key_index(table))  # fmt: skip


def _holds(source: str, target: str) -> bool:
    return source == target or (source, target) in WIDER or (
        target == "text" and source.startswith("character varying")
    )  # fmt: skip


def _triggers(session: Session, table: Table, shape: Shape, role: _Role) -> Iterator[Finding]:
    """`tgenabled`: O fires ordinarily, R under replica role, A always."""
    name = qualified(table)
    for trigger, enabled, before_row in session.rows(_TRIGGERS, (shape.oid,)):
        if enabled != "A" and (enabled == "R") != role.replica:
            continue
        mend = f"ALTER TABLE {name} DISABLE TRIGGER {quote_identifier(trigger)}"
        if before_row:
            yield Finding("PT-TRIGGER", "error", f"a trigger of {table.id} may change or keep off what is written",
                          trigger, mend)  # fmt: skip
        else:
            yield Finding("PT-TRIGGER-RUNS", "warning", f"a trigger of {table.id} runs again for each change",
                          trigger, mend)  # fmt: skip
    if role.replica:
        return
    for key, other in session.rows(_KEYS, (shape.oid,)):
        yield Finding("PT-FOREIGN-KEY", "error", f"{table.id} refers to {other}: rows cannot be loaded side by side",
                      key, f"ALTER TABLE {name} DROP CONSTRAINT {quote_identifier(key)}")  # fmt: skip
