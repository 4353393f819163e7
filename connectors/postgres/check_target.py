"""What would go wrong at a PostgreSQL target, found before anything is started: the server, the role, and what is to
be made; tables that are there already have a file of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cdcd.contracts import Finding
from cdcd.model.schema import Statement
from cdcd.model.table import Table
from connectors.postgres import control
from connectors.postgres.check_link import unverified
from connectors.postgres.check_objects import check_objects
from connectors.postgres.check_pooler import pooled
from connectors.postgres.check_target_tables import Role, check_table
from connectors.postgres.findings import finding
from connectors.postgres.names import quote_identifier
from connectors.postgres.sessions import Session
from connectors.postgres.shape import find_shape

_SERVER = """
SELECT pg_is_in_recovery() AS standby, has_database_privilege(current_database(), 'CREATE') AS creates,
       has_database_privilege(current_database(), 'TEMPORARY') AS temporary, current_database()::text AS database,
       current_user::text AS role, pg_encoding_to_char(encoding) AS encoding,
       (SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'cdcd') AS control,
       (SELECT has_schema_privilege(n.oid, 'USAGE') AND coalesce((
                   SELECT bool_and(has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
                       AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))
                   FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind = 'r'), true)
        FROM pg_namespace n WHERE nspname = 'cdcd') AS controls
FROM pg_database WHERE datname = current_database()
"""


def check_target(
    session: Session, url: str, pipeline: str, tables: Sequence[Table], objects: Sequence[Statement], policy: str,
    replica: bool,
) -> list[Finding]:
    """Everything; an unreachable server is raised, not found. Tables that the pipeline carries already are its own:
    what is done with tables that are there (`policy`) does not concern them. `replica`: the role may set
    session_replication_role."""
    ((server,),) = session.rows(f"SELECT to_jsonb(s) FROM ({_SERVER}) s")
    role = Role(server["role"], replica)
    found = list(unverified(url, "PT-TLS"))
    if server["standby"]:
        return [*found, finding("PT-STANDBY", "the target is a standby", mend="point the URL at the primary")]
    found += pooled(url)
    found += _of_server(session, role, server)
    carried = carried_tables(session, pipeline) if server["controls"] else set()
    shapes = {table.id: find_shape(session, table.schema, table.name) for table in tables}
    made = [table for table in tables if shapes[table.id] is None or (policy == "drop" and table.id not in carried)]
    found += _schemas(session, made, role, server)
    for table in tables:
        if (shape := shapes[table.id]) is not None:
            found += check_table(session, table, shape, "carried" if table.id in carried else policy, role)
    new = [table for table in tables if table.id not in carried]
    return found + check_objects(session, new, [one for one in objects if one.table not in carried], policy)


def carried_tables(session: Session, pipeline: str) -> set[str]:
    """Ids of the tables that the pipeline carries already."""
    if not control.exist(session):
        return set()
    return {id for (id,) in session.rows("SELECT table_id FROM cdcd.tables WHERE pipeline = %s", (pipeline,))}


def _of_server(session: Session, role: Role, server: Mapping[str, Any]) -> Iterator[Finding]:
    if session.version < 130000:
        yield finding("PT-VERSION", "the target is older than PostgreSQL 13", f"{session.version}")
    grant = f"ON DATABASE {quote_identifier(server['database'])} TO {role.sql}"
    if server["control"] is None and not server["creates"]:
        yield finding("PT-CREATE", "the role may not create cdcd's schema", role.name, f"GRANT CREATE {grant}")
    if server["controls"] is False:
        yield finding("PT-CONTROL", f"the role may not write in the schema cdcd, which {server['control']} made",
                      role.name, f"GRANT {server['control']} TO {role.sql}")  # fmt: skip
    if not server["temporary"]:
        yield finding("PT-TEMPORARY", "the role may not create temporary tables", role.name,
                      f"GRANT TEMPORARY {grant}")  # fmt: skip
    if server["encoding"] != "UTF8":
        yield finding("PT-ENCODING", "not every character can be stored at the target", server["encoding"],
                      "use a database made with ENCODING 'UTF8'")  # fmt: skip
    if not role.replica:
        mend = "make the role a superuser, or a member of what the service offers in its place"
        if session.version >= 150000:
            mend = f"GRANT SET ON PARAMETER session_replication_role TO {role.sql}"
        yield finding("PT-REPLICA-ROLE", "triggers fire and foreign keys are checked at the target while cdcd writes",
                      f"role {role.name} may not set session_replication_role", mend)  # fmt: skip


def _schemas(session: Session, made: Sequence[Table], role: Role, server: Mapping[str, Any]) -> Iterator[Finding]:
    """Each schema once, however many tables it is to hold."""
    for schema in dict.fromkeys(table.schema for table in made):
        name = quote_identifier(schema)
        row = session.row("SELECT has_schema_privilege(oid, 'CREATE') AND has_schema_privilege(oid, 'USAGE')"
                          " FROM pg_namespace WHERE nspname = %s", (schema,))  # fmt: skip
        if row is None and not server["creates"]:
            yield finding("PT-CREATE-SCHEMA", f"the role may not create the schema {schema}", role.name,
                          f"GRANT CREATE ON DATABASE {quote_identifier(server['database'])} TO {role.sql}")  # fmt: skip
        elif row == (False,):
            yield finding("PT-CREATE-TABLE", f"the role may not create tables in schema {schema}", role.name,
                          f"GRANT CREATE, USAGE ON SCHEMA {name} TO {role.sql}")  # fmt: skip

