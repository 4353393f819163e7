"""The roles of the README, made by exactly its SQL, run a pipeline; what is missing costs what its table says."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.postgres.names import quote_literal
from tests.house import text
from tests.met.pair import Pair
from tests.servers import Database

SECTION = re.search(r"## What the two ends need\n(.*?)\n## ", text(Path("README.md")), re.DOTALL)
assert SECTION is not None
STATEMENTS = re.findall(r"^    ((?:CREATE|GRANT) .*?;)", SECTION[1], re.MULTILINE)
PASSWORD = "readme: ?#/@%+&='\\"

TABLES = """
CREATE TABLE customers (id serial PRIMARY KEY, name text UNIQUE);
CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers, at date);
"""
ROWS = """
INSERT INTO customers (name) SELECT 'c' || i FROM generate_series(1, 200) i;
INSERT INTO orders SELECT i, i % 200 + 1, now() FROM generate_series(1, 1000) i;
"""


@contextmanager
def made(database: Database, role: str) -> Iterator[Database]:
    """The role of that name, by the statements that name it, under another name as servers are shared."""
    name = f"{role}_{database.name}"
    try:
        for statement in STATEMENTS:
            if role in statement or ("PUBLICATION" in statement and role == "cdcd_reader"):
                statement = re.sub(rf"\b{role}\b", name, statement.replace("'…'", quote_literal(PASSWORD)))
                database.admin(statement.replace(" DATABASE shop ", f' DATABASE "{database.name}" '))
        passwords = {**database.passwords, name: PASSWORD}
        owner = name if database.owner == database.role else database.owner
        yield replace(database, role=name, owner=owner, passwords=passwords)
    finally:
        database.admin(f"DROP OWNED BY {name} CASCADE")
        database.admin(f"DROP ROLE {name}")


def moves(pair: Pair, *more: str) -> None:
    """Load and stream, as these roles."""
    daemon = pair.follow(*more)
    daemon.wait_said("consistent")
    pair.source.sql("UPDATE customers SET name = 'x' || id WHERE id < 100; DELETE FROM orders WHERE id > 900")
    pair.source.sql("INSERT INTO orders VALUES (5000, 1, NULL)")
    pair.wait_equal("public.customers", "public.orders")
    daemon.stop()


@pytest.mark.failure("T-DB-4")
def test_roles_that_do_everything(pair: Pair) -> None:
    pair.source.sql(TABLES + ROWS)
    with made(pair.source, "cdcd_source") as source, made(pair.target, "cdcd_target") as target:
        pair = replace(pair, source=source, target=target)
        told = pair.command("check", "--json", "--strict").json()["pipelines"][0]["findings"]
        assert told == []
        moves(pair)
        pair.source.sql("CREATE TABLE later (id int PRIMARY KEY); INSERT INTO later VALUES (1)")
        daemon = pair.follow("--table-poll", "0.2")
        pair.wait_equal("public.later")
        daemon.stop()
        pair.command("drop", "--yes")


@pytest.mark.failure("T-DB-4")
def test_roles_that_only_read_and_only_write(pair: Pair) -> None:
    """A publication by hand at one end, tables that are there at the other."""
    plain = TABLES.replace(" UNIQUE", "").replace(" REFERENCES customers", "")
    pair.source.sql(plain + ROWS)
    pair.target.admin(plain)
    with made(pair.source, "cdcd_reader") as source, made(pair.target, "cdcd_writer") as target:
        pair = replace(pair, source=source, target=target)
        ends = ("--publication", "moving", "--target-tables", "use")
        told = pair.command("check", *ends, "--json").json()["pipelines"][0]["findings"]
        assert [finding["id"] for finding in told] == ["PT-REPLICA-ROLE"]
        moves(pair, *ends)
        assert pair.target.admin("SELECT last_value FROM customers_id_seq") == [(200,)]
        pair.command("drop", "--yes")
        assert pair.source.admin("SELECT pubname FROM pg_publication") == [("moving",)]
