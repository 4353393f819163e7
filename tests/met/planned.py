"""What `cdcd plan` tells, compared with what the servers' own logs tell of a run."""

import re
from pathlib import Path
from typing import Any

from tests.met.catalogue import catalogue
from tests.met.pair import Pair
from tests.servers import Database
from tests.servers.postgres import Postgres

_LINE = re.compile(
    r"^\d[^\n]* ([^\s@]+)@([^\s@]+) LOG:  (?:statement|received replication command): ((?:[^\n]*\n)(?:\t[^\n]*\n)*)",
    re.MULTILINE,
)


def log_of(database: Database) -> Path:
    server = database.server
    assert isinstance(server, Postgres)
    return server.log


def listen(database: Database, role: str, setting: str) -> int:
    """Have the server log what the role runs in this database; where its log ends now."""
    for name in (f"log_statement = '{setting}'", "log_replication_commands = on"):
        database.admin(f'ALTER ROLE {role} IN DATABASE "{database.name}" SET {name}')
    return log_of(database).stat().st_size


def heard(database: Database, role: str, since: int) -> list[str]:
    """What it ran."""
    with log_of(database).open(errors="replace") as log:
        log.seek(since)
        lines = _LINE.findall(log.read())
    return [text.replace("\n\t", "\n").strip() for user, name, text in lines if (user, name) == (role, database.name)]


MAKES = ("CREATE PUBLICATION", "ALTER PUBLICATION", "DROP PUBLICATION", "CREATE_REPLICATION_SLOT",
         "SELECT pg_drop_replication_slot")  # fmt: skip


def as_planned(pair: Pair, *options: str) -> Any:
    """Run to the end, as planned: each statement that makes something, at both ends, in this order, and no other. What
    is for the cut-over, and the source's clearing up, is done where it ends with the load."""
    before = catalogue(pair.source), catalogue(pair.target)
    begins = listen(pair.source, pair.source.role, "all"), listen(pair.target, pair.target.role, "ddl")
    plan = pair.command("plan", *options, "--json").json()["pipelines"][0]
    assert heard(pair.target, pair.target.role, begins[1]) == [], "the plan made something"
    assert not [text for text in heard(pair.source, pair.source.role, begins[0]) if text.startswith(MAKES)]
    assert (catalogue(pair.source), catalogue(pair.target)) == before
    pair.run(*options)
    ran = [text.removeprefix("SAVEPOINT default_value; ") for text in heard(pair.target, pair.target.role, begins[1])]
    ends = "only" in options
    assert ran == [one["statement"] for one in plan["target"] if ends or one["stage"] != "cut-over"]
    ran = [text for text in heard(pair.source, pair.source.role, begins[0]) if text.startswith(MAKES)]
    assert ran == [*plan["source"], *(plan["source_after"] if ends else ())]
    return plan
