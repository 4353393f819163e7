"""The control tables at a PostgreSQL target, schema `cdcd`: what each holds, and how they come to be.

Who locks what (T-PO-9): apply takes its *checkpoints* row FOR UPDATE and its *epochs* row FOR SHARE; a load takes the
*epochs* row FOR SHARE and its own *chunks* row; claim updates the *epochs* row, which waits for all of them. *seen*
is locked by nobody, so that it can be raised while a transaction lasts for hours.
"""

from __future__ import annotations

from cdcd.errors import StateRefused
from cdcd.refused import known
from connectors.postgres.sessions import Session

VERSION = 3

FIRST = """
COMMENT ON SCHEMA cdcd IS 'cdcd: what its pipelines into this database need to go on after a restart';

CREATE TABLE cdcd.version (version int NOT NULL);
COMMENT ON TABLE cdcd.version IS 'One row: the version of these tables';

CREATE TABLE cdcd.epochs (
    pipeline  text PRIMARY KEY,
    epoch     bigint NOT NULL,
    owner     text NOT NULL,
    backends  int[] NOT NULL DEFAULT '{}',
    claimed   timestamptz NOT NULL DEFAULT now(),
    source    jsonb,
    intent    jsonb NOT NULL DEFAULT '{}',
    finished  boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE cdcd.epochs IS 'Who may write: epoch is raised by each claim, owner is a random id of the process, '
    'backends its server processes; source is the server that positions belong to; intent what was about to be made '
    'there; finished whether indexes and foreign keys are built';

CREATE TABLE cdcd.checkpoints (
    pipeline   text NOT NULL,
    scope      text NOT NULL DEFAULT '',
    checkpoint jsonb NOT NULL,
    updated    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (pipeline, scope)
) WITH (fillfactor = 20);
COMMENT ON TABLE cdcd.checkpoints IS 'The place in the source''s log up to which everything is in this database';

CREATE TABLE cdcd.seen (
    pipeline text PRIMARY KEY,
    counter  bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20);
COMMENT ON TABLE cdcd.seen IS 'Raised every few seconds by a living owner; a standby watches it';

CREATE TABLE cdcd.tables (
    pipeline   text NOT NULL,
    table_id   text NOT NULL,
    version    int NOT NULL,
    definition jsonb NOT NULL,
    PRIMARY KEY (pipeline, table_id)
);
COMMENT ON TABLE cdcd.tables IS 'The tables carried, as they were at the source when this database was made for them';

CREATE TABLE cdcd.chunks (
    pipeline text NOT NULL,
    table_id text NOT NULL,
    number   int NOT NULL,
    low      jsonb,
    high     jsonb,
    columns  jsonb NOT NULL,
    state    text NOT NULL CHECK (state IN ('unread', 'in')),
    rows     bigint NOT NULL DEFAULT 0,
    bytes    bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (pipeline, table_id, number)
);
COMMENT ON TABLE cdcd.chunks IS 'Ranges of tables: in this database since their load, or unread and without rows here';

CREATE TABLE cdcd.requests (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pipeline text NOT NULL,
    command  text NOT NULL,
    argument text NOT NULL,
    made     timestamptz NOT NULL DEFAULT now(),
    done     timestamptz
);
COMMENT ON TABLE cdcd.requests IS 'Wishes for the daemon, left by commands; done when it carried them out';

CREATE TABLE cdcd.postponed (
    pipeline  text NOT NULL,
    statement text NOT NULL,
    PRIMARY KEY (pipeline, statement)
);
COMMENT ON TABLE cdcd.postponed IS 'Foreign keys taken off while a table is read again, as what puts them back';

INSERT INTO cdcd.version VALUES (1);
"""

_EXCEPTIONS = """
CREATE TABLE cdcd.exceptions (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pipeline  text NOT NULL,
    position  text,
    tx        text,
    committed timestamptz,
    table_id  text NOT NULL,
    op        text NOT NULL CHECK (op IN ('insert', 'update', 'delete', 'truncate')),
    key       jsonb,
    row       jsonb,
    error     text NOT NULL,
    sqlstate  text,
    found     text NOT NULL DEFAULT '',
    state     text NOT NULL CHECK (state IN ('open', 'superseded')),
    made      timestamptz NOT NULL DEFAULT clock_timestamp(),
    settled   timestamptz
);
CREATE INDEX ON cdcd.exceptions (pipeline, table_id) WHERE state = 'open';
COMMENT ON TABLE cdcd.exceptions IS 'Changes that were not made here. position, tx, committed: their transaction at '
    'the source; key, row: column to text, what is not known left out; found: the version of the row that was met; '
    'state open: its row differs from the source; superseded: its row was written since, or the table loaded again';

CREATE TABLE cdcd.stops (
    pipeline text PRIMARY KEY,
    position text,
    tx       text,
    table_id text,
    key      text,
    error    text NOT NULL,
    stopped  timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE cdcd.stops IS 'The change at which a pipeline stopped, until it is past it';
"""

_RETRIED = """
ALTER TABLE cdcd.exceptions DROP CONSTRAINT exceptions_state_check;
ALTER TABLE cdcd.exceptions ADD CONSTRAINT exceptions_state_check CHECK (state IN ('open', 'superseded', 'retried'));
ALTER TABLE cdcd.exceptions ADD COLUMN identity bytea, ADD COLUMN tries int NOT NULL DEFAULT 0;
COMMENT ON TABLE cdcd.exceptions IS 'Changes that were not made here. position, tx, committed: their transaction at '
    'the source; key, row: column to text, what is not known left out; found: the version of the row that was met; '
    'identity: the key as it comes in the stream; tries: how often cdcd retry tried in vain, or made it at last; '
    'state open: its row differs from the source; superseded: its row was written since, or the table loaded again; '
    'retried: made by cdcd retry';
"""

MIGRATIONS: dict[int, str] = {1: _EXCEPTIONS, 2: _RETRIED}
"""Version → what makes it the next one. New tables are made as FIRST and then all of these."""

WITH_EXCEPTIONS = 2
"""The first version that has them."""

_LOCK = "SELECT pg_advisory_xact_lock(6015273198431)"
"""Two daemons may come to an empty database at once."""


def exist(session: Session) -> bool:
    """Asked of the catalogue's rows: to_regclass may answer from a cache what was true before a lock was waited for."""
    return bool(session.rows("SELECT FROM pg_tables WHERE schemaname = 'cdcd' AND tablename = 'version'"))


def stored_version(session: Session) -> int:
    rows = session.rows("SELECT version FROM cdcd.version")
    if len(rows) != 1:
        raise StateRefused(
            f"the control tables at the target have {len(rows)} versions",
            why="cdcd.version holds exactly one row, unless somebody wrote into it or it is damaged",
            hint="restore the schema cdcd from a backup, or drop the schema and begin new pipelines",
        )
    return int(rows[0][0])


def make(session: Session) -> None:
    """Make the control tables, or bring them to our version; newer ones are refused."""
    if exist(session) and known(stored_version(session), VERSION) == VERSION:
        return
    session.run(f"BEGIN; SET LOCAL synchronous_commit = on; {_LOCK}")
    for statement in plan(session):
        session.run(statement)
    session.run("COMMIT")


def plan(session: Session) -> list[str]:
    """The statements that `make` would run now."""
    version = known(stored_version(session), VERSION) if exist(session) else 0
    statements = []
    if version == 0:
        # A schema made beforehand spares the role the right to create one.
        if not session.rows("SELECT FROM pg_namespace WHERE nspname = 'cdcd'"):
            statements.append("CREATE SCHEMA cdcd")
        statements.append(FIRST.strip())
        version = 1
    for older in range(version, VERSION):
        statements.append(f"{MIGRATIONS[older].strip()}\n\nUPDATE cdcd.version SET version = {older + 1}")
    return statements


def require(session: Session, pipeline: str) -> None:
    """For what writes into them beside the pipeline's own process: they are there, and of our version."""
    if not exist(session):
        raise StateRefused(f"pipeline {pipeline} was never started", why="the target has no control tables")
    if (version := known(stored_version(session), VERSION)) < VERSION:
        raise StateRefused(
            f"the control tables at the target have version {version}, this cdcd needs {VERSION}",
            why="an older cdcd made them, and no pipeline has run here since",
            hint="run the pipeline with this cdcd: it brings them up to date",
        )
