"""Wrong input: what is wrong is said in words, with the right exit code, before anything is made."""

from __future__ import annotations

import pytest

from tests.crash.following import Cdcd, words
from tests.servers import Database
from tests.servers.postgres import free_port


@pytest.fixture
def source(source_db: Database) -> Database:
    source_db.sql("CREATE TABLE t (id int PRIMARY KEY)")
    return source_db


def _nothing_made(source: Database, target: Database) -> None:
    assert source.server.slots(source.name) == []
    assert source.sql("SELECT pubname FROM pg_publication") == []
    assert target.sql("SELECT 1 FROM pg_class WHERE relname = 't'") == []


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "not a URL"),
        ("oracle9://u@127.0.0.1/d", "oracle9"),
        ("postgresql://u:p@ss:w/rd@127.0.0.1/d", "cannot be taken apart"),
        ("postgresql://u@127.0.0.1/d?nonsense=1", "cannot be read"),
        ("postgresql://u:${NO_SUCH_VARIABLE}@127.0.0.1/d", "NO_SUCH_VARIABLE is not set"),
    ],
)
def test_a_url_that_is_none(target_db: Database, cdcd: Cdcd, url: str, said: str) -> None:
    told = cdcd("run", "--from", url, "--to", target_db.url, "--name", "p").wait(2, 30)
    assert said in told


def test_a_pattern_that_matches_no_table(source: Database, target_db: Database, cdcd: Cdcd) -> None:
    told = cdcd(*words(source, target_db, "--tables", "public.tt")).wait(2)
    assert "public.tt" in told and "public.t\n" in told
    _nothing_made(source, target_db)


@pytest.mark.parametrize("end", ["source", "target"])
def test_a_wrong_password(source: Database, target_db: Database, cdcd: Cdcd, end: str) -> None:
    """And neither the wrong one nor the right one is said."""
    wrong = "postgresql://cdcd_source:wrong-canary-1@{0.host}:{0.port}/{1}"
    urls = {
        "source": {"source_url": wrong.format(source.server, source.name)},
        "target": {"target_url": wrong.format(target_db.server, target_db.name)},
    }[end]
    told = cdcd(*words(source, target_db, **urls)).wait(2)
    assert "password authentication failed" in told
    assert "wrong-canary-1" not in told
    _nothing_made(source, target_db)


def test_a_database_that_is_not_there(source: Database, target_db: Database, cdcd: Cdcd) -> None:
    told = cdcd(*words(source, target_db, target_url=target_db.url.replace(target_db.name, "no_such_db"))).wait(2)
    assert "no_such_db" in told and "does not exist" in told
    _nothing_made(source, target_db)


@pytest.mark.parametrize("end", ["source", "target"])
def test_a_finite_run_and_a_server_that_is_away(source: Database, target_db: Database, cdcd: Cdcd, end: str) -> None:
    """It tries for a while, then says which server it is."""
    port = free_port()
    url = f"postgresql://u@127.0.0.1:{port}/d"
    urls = {"source_url": url} if end == "source" else {"target_url": url}
    told = cdcd(*words(source, target_db, "--until", "caught-up", "--patience", "2", **urls)).wait(4)
    assert "trying again" in told
    assert f"127.0.0.1:{port}" in told.splitlines()[-1] + told.splitlines()[-2]
    _nothing_made(source, target_db)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--tables", "t", "schema.table"),
        ("--group-bytes", "much", "size"),
        ("--http", "9187", "HOST:PORT"),
        ("--name", "Shop", "a-z"),
        ("--load", "later", "later"),
        ("--until", "tomorrow", "tomorrow"),
    ],
)
def test_an_option_that_cannot_be(
    source: Database, target_db: Database, cdcd: Cdcd, option: str, value: str, said: str
) -> None:
    told = cdcd(*words(source, target_db), option, value).wait(2)
    assert said in told
    _nothing_made(source, target_db)
