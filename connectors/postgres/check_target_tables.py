"""What makes a table that is at the target already unfit: rights, columns, and what makes row counts lie (T-PT-8)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cdcd.contracts import Finding
from cdcd.model.table import Table
from connectors.postgres.check_columns import check_columns
from connectors.postgres.findings import finding
from connectors.postgres.names import qualified, quote_identifier
from connectors.postgres.sessions import Session
from connectors.postgres.shape import Shape

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

KINDS = {"v": "a view", "m": "a materialized view", "f": "a foreign table"}


@dataclass(frozen=True, slots=True)
class Role:
    """Who writes. `replica`: it may set session_replication_role: no trigger fires then, no foreign key is checked."""

    name: str
    replica: bool

    @property
    def sql(self) -> str:
        return quote_identifier(self.name)


def check_table(session: Session, table: Table, shape: Shape, policy: str, role: Role) -> Iterator[Finding]:
    """`policy` is `target_tables`, or "carried": the table is the pipeline's already."""
    name = qualified(table)
    if shape.kind not in "rp":
        yield finding("PT-NO-TABLE", f"{table.id} is {KINDS[shape.kind]} at the target",
                      "what is written there goes elsewhere, or nowhere",
                      f"ALTER {KINDS[shape.kind].split(' ', 1)[1].upper()} {name} RENAME TO …")  # fmt: skip
        return
    ((usage, unlogged, policies, owns, lacking, rules),) = session.rows(_RIGHTS, (shape.oid,))
    if not usage:
        yield finding("PT-USAGE", f"the schema of {table.id} may not be used at the target", role.name,
                      f"GRANT USAGE ON SCHEMA {quote_identifier(table.schema)} TO {role.sql}")  # fmt: skip
        return
    if lacking:
        missing = ", ".join(lacking)
        yield finding("PT-RIGHTS", f"the role may not {missing} on {table.id}", role.name,
                      f"GRANT {missing} ON {name} TO {role.sql}")  # fmt: skip
        return
    if policy == "drop":
        if not owns:
            yield finding("PT-OWNER", f"only its owner may drop {table.id}", role.name,
                          f"ALTER TABLE {name} OWNER TO {role.sql}")  # fmt: skip
        return
    if policy == "create" and not policies and session.row(f"SELECT FROM {shape.only} LIMIT 1") is not None:
        yield finding("PT-FILLED", f"{table.id} holds rows at the target already", "target_tables = create",
                      f"TRUNCATE {name} -- or choose target_tables = truncate; with load = skip, use")  # fmt: skip
    if unlogged:
        yield finding("PT-UNLOGGED", f"{table.id} is unlogged: a crash of the target would empty it, and its "
                      "checkpoint would stay", mend=f"ALTER TABLE {name} SET LOGGED")  # fmt: skip
    if policies:
        yield finding("PT-ROW-SECURITY", f"policies hide rows of {table.id} from the role", role.name,
                      f"ALTER ROLE {role.sql} BYPASSRLS")  # fmt: skip
    for rule in rules:
        yield finding("PT-RULE", f"a rule on {table.id} rewrites what is applied, but not what is loaded", rule,
                      f"DROP RULE {quote_identifier(rule)} ON {name}")  # fmt: skip
    yield from check_columns(session, table, shape)
    yield from _triggers(session, table, shape, role)
    if policy != "carried" and not role.replica:
        for key, other in session.rows(_KEYS, (shape.oid,)):
            yield finding("PT-FOREIGN-KEY", f"{table.id} refers to {other}: rows cannot be loaded side by side", key,
                          f"ALTER TABLE {name} DROP CONSTRAINT {quote_identifier(key)}")  # fmt: skip


def _triggers(session: Session, table: Table, shape: Shape, role: Role) -> Iterator[Finding]:
    """`tgenabled`: O fires ordinarily, R under replica role, A always."""
    for trigger, enabled, before_row in session.rows(_TRIGGERS, (shape.oid,)):
        if enabled != "A" and (enabled == "R") != role.replica:
            continue
        mend = f"ALTER TABLE {qualified(table)} DISABLE TRIGGER {quote_identifier(trigger)}"
        if before_row:
            yield finding("PT-TRIGGER", f"a trigger of {table.id} may change or keep off what is written",
                          trigger, mend)  # fmt: skip
        else:
            yield finding("PT-TRIGGER-RUNS", f"a trigger of {table.id} runs again for each change", trigger, mend)
