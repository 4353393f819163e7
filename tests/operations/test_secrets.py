"""Secrets and rows stay where they belong: not in logs, errors, metrics, control tables or the process list."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.crash.following import Cdcd
from tests.equality import wait_equal
from tests.servers import Database
from tests.servers.postgres import free_port
from tests.servers.roles import PASSWORDS, SOURCE, TARGET

pytestmark = pytest.mark.failure("OP-13")

SECRETS = {quote(PASSWORDS[role], safe="") for role in (SOURCE, TARGET)} | {PASSWORDS[SOURCE], PASSWORDS[TARGET]}
CANARY = "canary-of-a-row-7731"


def _fetched(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return str(answer.read().decode())


def _dumped(database: Database, schema: str) -> str:
    """All rows of all tables of a schema, as text."""
    names = "SELECT format('%%I.%%I', schemaname, tablename) FROM pg_tables WHERE schemaname = %s"
    tables = database.admin(names, schema)
    return "\n".join(str(database.admin(f"SELECT t::text FROM {table} t")) for (table,) in tables)


@pytest.fixture
def environment() -> dict[str, str]:
    return {"PW1": quote(PASSWORDS[SOURCE], safe=""), "PW2": quote(PASSWORDS[TARGET], safe="")}


@pytest.fixture
def ends(source_db: Database, target_db: Database) -> list[str]:
    source_db.sql("CREATE TABLE t (id int PRIMARY KEY, secret text)")
    source_db.sql("INSERT INTO t VALUES (1, %s)", CANARY)
    urls = [
        f"postgresql://{role}:${{{name}}}@{database.server.host}:{database.server.port}/{database.name}"
        for role, name, database in ((SOURCE, "PW1", source_db), (TARGET, "PW2", target_db))
    ]
    return ["--from", urls[0], "--to", urls[1], "--name", source_db.name]


def test_while_all_is_well(
    source_db: Database, target_db: Database, ends: list[str], environment: dict[str, str], cdcd: Cdcd
) -> None:
    """At the loudest level there is, over an error, a retry and a reload; in every place that is looked at."""
    port = free_port()
    daemon = cdcd("run", *ends, "--json", "--http", f"127.0.0.1:{port}", environment=environment)
    daemon.wait_said("consistent")
    source_db.server.terminate("datname = %s AND starts_with(application_name, 'cdcd/')", source_db.name)
    source_db.sql("INSERT INTO t VALUES (2, %s)", CANARY)
    wait_equal(source_db, target_db, ["public.t"])
    said = [_fetched(port, path) for path in ("/healthz", "/metrics", "/status")]
    said.append(Path(f"/proc/{daemon.process.pid}/cmdline").read_bytes().decode())
    said.append(_dumped(target_db, "cdcd"))
    for database in (source_db, target_db):
        sessions = "SELECT query, application_name FROM pg_stat_activity WHERE datname = %s"
        said.append(str(database.admin(sessions, database.name)))
    daemon.stop()
    said.append(daemon.text() + daemon.output.read_text())
    assert "epochs" not in said[4] and source_db.name in said[4], "the control tables were not read"
    for place in said:
        assert not [secret for secret in SECRETS if secret in place], place[:300]
        assert CANARY not in place, place[:300]


def test_when_the_target_refuses_a_row(
    source_db: Database, target_db: Database, ends: list[str], environment: dict[str, str], cdcd: Cdcd
) -> None:
    """The key is named, other values are not; as text and as JSON."""
    cdcd("run", *ends, "--until", "caught-up", environment=environment).wait(0)
    target_db.sql("ALTER TABLE t ADD CHECK (secret <> %s) NOT VALID", CANARY)
    source_db.sql("INSERT INTO t VALUES (4711, %s)", CANARY)
    for more in ([], ["--json"]):
        daemon = cdcd("run", *ends, *more, environment=environment)
        told = daemon.wait(6) + daemon.output.read_text()
        assert "4711" in told
        assert CANARY not in told
    last = json.loads(told.splitlines()[-1])
    assert last["error"]["exit_code"] == 6


def test_when_the_password_is_wrong(target_db: Database, source_db: Database, ends: list[str], cdcd: Cdcd) -> None:
    """What libpq says may quote the URL that it was given."""
    canaries = {"PW1": "first-canary-8812", "PW2": "second-canary-8813"}
    told = cdcd("run", *ends, environment=canaries).wait(2)
    assert "password authentication failed" in told
    assert not re.search("canary-88", told)
