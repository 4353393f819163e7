"""A pipeline that has caught up, between tables in which the target can be made to refuse changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.crash.following import Cdcd, words
from tests.servers import Database

SKIP = ("--on-error", "skip", "--on-conflict", "skip")
CAUGHT = ("--until", "caught-up")
TYPES = "CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE DOMAIN small AS int"
KINDS = """
CREATE TABLE t (id int PRIMARY KEY, n small, name varchar(10), m mood, body text);
ALTER TABLE t ALTER body SET STORAGE EXTERNAL;
CREATE TABLE other (id int PRIMARY KEY);
CREATE TABLE keyless (a int, b text);
ALTER TABLE keyless REPLICA IDENTITY FULL;
"""
CHANGES = (
    "UPDATE t SET id = 30, n = 3000 WHERE id = 3", "UPDATE t SET name = 'moved' WHERE id = 30",
    "INSERT INTO t VALUES (40, 4000); DELETE FROM t WHERE id = 40", "UPDATE t SET n = 1000 WHERE id = 5",
    "UPDATE t SET n = 5 WHERE id = 5", "UPDATE t SET n = 1000 WHERE id = 6", "DELETE FROM t WHERE id = 6",
)  # fmt: skip
"""Of rows of which another change waits; the last ones make the rows 5 and 6 right. Each is for itself."""

CANARY = "canary-8817"

Run = Callable[..., Any]


@pytest.fixture
def begun(source_db: Database, target_db: Database, cdcd: Cdcd) -> Run:
    """The pipeline, started and caught up; run on with more words."""

    def run(*more: str, code: int = 0) -> str:
        return cdcd(*words(source_db, target_db, *CAUGHT, *more)).wait(code)

    for database in (source_db, target_db):
        database.sql(TYPES)
    source_db.sql(KINDS)
    run()
    return run


def recorded(target: Database, *columns: str) -> list[Any]:
    return list(target.sql(f"SELECT {', '.join(columns)} FROM cdcd.exceptions ORDER BY id"))
