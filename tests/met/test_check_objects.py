"""What cannot be made at the target is found before anything is started, and mended by what the finding says."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.fix_daemon import Daemon
from tests.met.pair import Pair
from tests.servers import Database
from tests.servers.matrix import since


def findings(pair: Pair, *more: str) -> list[Any]:
    told = pair.cdcd("check", *pair.ends, *more, "--json")
    told.wait(None)
    return [one for one in told.json()["pipelines"][0]["findings"] if one["id"].startswith("PT-")]


def found(pair: Pair, *ids: str) -> list[str]:
    """Exactly these errors; what mends them."""
    errors = [one for one in findings(pair) if one["level"] == "error"]
    assert [one["id"] for one in errors] == list(ids)
    return [one["mend"] for one in errors]


@pytest.fixture
def downwards(source_db: Database, target_db15: Database, cdcd: Callable[..., Daemon]) -> Pair:
    """PostgreSQL 18 to 15."""
    return Pair(source_db, target_db15, cdcd)


VIRTUAL = "CREATE TABLE t (id int PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) VIRTUAL)"
ROW = "INSERT INTO t (id, n) VALUES (1, 4)"


@since(18, "virtual columns")
def test_a_virtual_column_stays_one(pair: Pair) -> None:
    pair.source.sql(f"{VIRTUAL}; {ROW}")
    daemon = pair.follow()
    pair.source.sql("INSERT INTO t (id, n) VALUES (2, 5); UPDATE t SET n = 6 WHERE id = 1")
    pair.wait_equal("public.t")
    daemon.stop()
    assert pair.target.sql("SELECT attgenerated FROM pg_attribute WHERE attname = 'twice'") == [("v",)]


@since(18, "virtual columns")
def test_what_the_targets_version_does_not_know(downwards: Pair) -> None:
    downwards.source.sql(f"{VIRTUAL}; {ROW}")
    downwards.source.sql("CREATE TABLE o (id int PRIMARY KEY, n int CONSTRAINT soft CHECK (n > 0) NOT ENFORCED)")
    for mend in found(downwards, "PT-NEEDS", "PT-NEEDS"):
        assert "target_tables = use" in mend
    downwards.target.sql(VIRTUAL.replace("VIRTUAL", "STORED") + "; CREATE TABLE o (id int PRIMARY KEY, n int)")
    downwards.run("--target-tables", "use", "--load", "only", "--tables", "public.t")
    downwards.equal("public.t")


def test_functions_that_are_not_there(pair: Pair) -> None:
    """A default that calls one is left out: the application's matter, and a warning."""
    function = "CREATE FUNCTION half(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n / 2'"
    pair.source.sql(function)
    pair.source.sql("CREATE TABLE t (id int PRIMARY KEY DEFAULT half(8), CHECK (half(id) > 0))")
    (mend,) = found(pair, "PT-FUNCTION")
    assert "create that function" in mend
    warnings = [one for one in findings(pair) if one["level"] == "warning" and one["id"] == "PT-FUNCTION"]
    assert ["SET DEFAULT" in one["evidence"] for one in warnings] == [True]
    pair.run("--load", "only", code=3)
    pair.target.sql(function)
    found(pair)
    pair.run("--load", "only")
    pair.equal("public.t")
    assert pair.target.sql("INSERT INTO t DEFAULT VALUES RETURNING id") == [(4,)]


def test_a_default_that_cannot_be_had(pair: Pair) -> None:
    pair.source.sql("CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    pair.source.sql("CREATE TABLE t (id int PRIMARY KEY, n int DEFAULT one()); INSERT INTO t VALUES (1)")
    found(pair)
    daemon = pair.run("--load", "only")
    pair.equal("public.t")
    assert daemon.said("a default was left out") and daemon.said("public.one()")


def test_types_that_are_others(pair: Pair) -> None:
    pair.source.sql(
        "CREATE TYPE mood AS ENUM ('a', 'b'); CREATE DOMAIN small AS int CHECK (VALUE < 9);"
        "CREATE TYPE two AS (a int, b text); CREATE TABLE t (id small PRIMARY KEY, m mood, p two);"
        "INSERT INTO t VALUES (1, 'b', '(1,x)')"
    )
    pair.target.sql("CREATE TYPE mood AS ENUM ('b', 'a'); CREATE DOMAIN small AS int; CREATE TYPE two AS (a int)")
    for mend in found(pair, "PT-TYPE-DIFFERS", "PT-TYPE-DIFFERS", "PT-TYPE-DIFFERS"):
        pair.target.sql(mend)
    found(pair)
    pair.run("--load", "only")
    pair.equal("public.t")
