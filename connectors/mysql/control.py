"""The control tables at a MySQL or MariaDB target, database `cdcd`: what each holds, and how they come to be.

Who locks what is as at every target with transactions: apply takes its *checkpoints* row FOR UPDATE and shares its
*epochs* row; a load shares the *epochs* row and takes its own *chunks* row; claim updates the *epochs* row, which
waits for all of them. *seen* is locked by nobody.
"""

from __future__ import annotations

from cdcd.errors import StateRefused
from cdcd.refused import known
from connectors.mysql.sessions import Session

VERSION = 1

_TABLES = """
CREATE TABLE IF NOT EXISTS cdcd.version (version int NOT NULL PRIMARY KEY) COMMENT 'One row: that of these tables'

CREATE TABLE IF NOT EXISTS cdcd.epochs (
    pipeline varchar(64) NOT NULL PRIMARY KEY,
    epoch    bigint NOT NULL,
    owner    varchar(64) NOT NULL,
    claimed  datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    source   longtext,
    intent   longtext NOT NULL,
    finished tinyint(1) NOT NULL DEFAULT 0
) COMMENT 'Who may write: epoch is raised by each claim, owner is a random id of the process; source is the server \
that positions belong to; intent what was about to be made there; finished whether indexes and foreign keys are built'

CREATE TABLE IF NOT EXISTS cdcd.sessions (
    pipeline   varchar(64) NOT NULL,
    held       varchar(64) NOT NULL,
    epoch      bigint NOT NULL,
    connection bigint unsigned NOT NULL,
    server     varchar(64) NOT NULL,
    began      datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    PRIMARY KEY (pipeline, held)
) COMMENT 'The sessions of an epoch, and the lock (GET_LOCK) that each holds while it lives: the next epoch ends them'

CREATE TABLE IF NOT EXISTS cdcd.checkpoints (
    pipeline   varchar(64) NOT NULL,
    scope      varchar(64) NOT NULL DEFAULT '',
    checkpoint longtext NOT NULL,
    updated    datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
    PRIMARY KEY (pipeline, scope)
) COMMENT 'The place in the source''s log up to which everything is on this server'

CREATE TABLE IF NOT EXISTS cdcd.intents (
    pipeline varchar(64) NOT NULL PRIMARY KEY,
    intent   longtext NOT NULL,
    made     tinyint(1) NOT NULL DEFAULT 0
) COMMENT 'A change of tables that is under way: statements that commit by themselves, and the digests of a table \
before and after the next of them; the rows before it are here, and the next claim carries it to its end'

CREATE TABLE IF NOT EXISTS cdcd.seen (
    pipeline varchar(64) NOT NULL PRIMARY KEY,
    counter  bigint NOT NULL DEFAULT 0
) COMMENT 'Raised every few seconds by a living owner; a standby watches it'

CREATE TABLE IF NOT EXISTS cdcd.tables (
    pipeline   varchar(64) NOT NULL,
    table_id   varchar(200) NOT NULL,
    version    int NOT NULL,
    definition longtext NOT NULL,
    PRIMARY KEY (pipeline, table_id)
) COMMENT 'The tables carried, as they were at the source when this server was made for them'

CREATE TABLE IF NOT EXISTS cdcd.chunks (
    pipeline varchar(64) NOT NULL,
    table_id varchar(200) NOT NULL,
    number   int NOT NULL,
    place    longtext NOT NULL,
    state    enum('unread', 'in') NOT NULL,
    `rows`   bigint NOT NULL DEFAULT 0,
    bytes    bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (pipeline, table_id, number)
) COMMENT 'Ranges of tables: on this server since their load, or unread and without rows here'

CREATE TABLE IF NOT EXISTS cdcd.requests (
    id       bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
    pipeline varchar(64) NOT NULL,
    command  varchar(64) NOT NULL,
    argument varchar(1000) NOT NULL,
    made     datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    done     datetime(6) NULL
) COMMENT 'Wishes for the daemon, left by commands; done when it carried them out'

CREATE TABLE IF NOT EXISTS cdcd.exceptions (
    id        bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
    pipeline  varchar(64) NOT NULL,
    position  longtext,
    tx        varchar(200),
    committed datetime(6) NULL,
    table_id  varchar(200) NOT NULL,
    op        enum('insert', 'update', 'delete', 'truncate') NOT NULL,
    `key`     longtext,
    `row`     longtext,
    error     longtext NOT NULL,
    errno     int,
    found     varchar(64) NOT NULL DEFAULT '',
    identity  longblob,
    tries     int NOT NULL DEFAULT 0,
    state     enum('open', 'superseded', 'retried') NOT NULL,
    made      datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    settled   datetime(6) NULL,
    KEY (pipeline, state, table_id)
) COMMENT 'Changes that were not made here. position, tx, committed: their transaction at the source; key, row: column \
to text, what is not known left out; found: a digest of the row that was met; identity: the key as it comes in the \
stream; state open: its row differs from the source; superseded: its row was written since, or the table loaded \
again; retried: made by cdcd retry'

CREATE TABLE IF NOT EXISTS cdcd.stops (
    pipeline varchar(64) NOT NULL PRIMARY KEY,
    position longtext,
    tx       varchar(200),
    table_id varchar(200),
    `key`    longtext,
    error    longtext NOT NULL,
    stopped  datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)
) COMMENT 'The change at which a pipeline stopped, until it is past it'
"""
"""As of version 1; a blank line ends each."""

_LOCK = "cdcd/control"


def exist(session: Session) -> bool:
    found = "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s"
    return bool(session.rows(found, "cdcd", "version")) and bool(session.rows("SELECT version FROM cdcd.version"))


def stored_version(session: Session) -> int:
    return int(session.rows("SELECT version FROM cdcd.version")[0][0])


def make(session: Session) -> None:
    """Make the control tables; newer ones are refused. Outside a transaction. Each statement is made again where one
    was killed in the middle: the version's row comes last."""
    if exist(session):
        known(stored_version(session), VERSION)
        return
    session.rows("SELECT GET_LOCK(%s, 60)", _LOCK)  # two daemons may come to an empty server at once
    try:
        for statement in plan(session):
            session.define(statement)
        session.run("DELETE FROM cdcd.version")
        session.run("INSERT INTO cdcd.version VALUES (%s)", VERSION)
        session.run("COMMIT")
    finally:
        session.rows("SELECT RELEASE_LOCK(%s)", _LOCK)


def plan(session: Session) -> list[str]:
    """The statements that `make` would run now."""
    if exist(session):
        return []
    made = [f"{table.strip()} ENGINE = InnoDB" for table in _TABLES.split("\n\n")]
    # A database made beforehand spares the user the right to create one.
    there = session.rows("SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s", "cdcd")
    options = f"CHARACTER SET utf8mb4 COLLATE {session.collation}"
    return [f"ALTER DATABASE cdcd {options}" if there else f"CREATE DATABASE cdcd {options}", *made]


def require(session: Session, pipeline: str) -> None:
    """For what writes into them beside the pipeline's own process: they are there, and of our version."""
    if not exist(session):
        raise StateRefused(f"pipeline {pipeline} was never started", why="the target has no control tables")
    known(stored_version(session), VERSION)
