"""Changes that a target refuses, or that meet another state there, under the pipeline's policies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cdcd.errors import CdcdError, PoisonRow
from cdcd.model.cell import UNCHANGED
from cdcd.model.chunk import Chunk, State
from cdcd.policy import Policy
from tests.contract.changes import ITEMS, LINES, USERS, Delete, Insert, item, line
from tests.contract.mysql import MysqlSinkCase
from tests.contract.writing import Owner, Replace
from tests.servers.mysql import MySQL
from tests.servers.mysql_database import MySQLDatabase
from tests.servers.proxy import Proxy

Begin = Callable[[Policy], tuple[Owner, MySQLDatabase]]


@pytest.fixture(params=["mysql", "mariadb"])
def begin(
    request: pytest.FixtureRequest,
    mysql_servers: Callable[..., MySQL],
    mysql_on: Callable[..., MySQLDatabase],
    make_proxy: Callable[..., Proxy],
) -> Iterator[Begin]:
    made: list[Owner] = []

    def start(policy: Policy) -> tuple[Owner, MySQLDatabase]:
        server = mysql_servers(request.param, "target")
        database = mysql_on(server, "menu")
        owner = Owner(MysqlSinkCase(database, make_proxy(server), policy))
        made.append(owner)
        owner.start([Chunk(spec.id, 0, state=State.IN) for spec in (ITEMS, LINES, USERS)])
        database.sql("ALTER TABLE items MODIFY v varchar(5) NOT NULL")
        owner.again()
        return owner, database

    yield start
    for owner in made:
        owner.sink.close()


def records(database: MySQLDatabase) -> list[tuple[Any, ...]]:
    text = "SELECT op, `key`, `row`, state FROM cdcd.exceptions ORDER BY id"

    def cells(text: str | None) -> list[Any] | None:
        known = {} if text is None else json.loads(text)
        return [known[name] for name in ("id", "v", "big", "line") if name in known] or None

    return [(op, cells(key), cells(row), state) for op, key, row, state in database.admin(text)]


def test_what_cannot_be_made_is_recorded_with_the_rest(begin: Begin) -> None:
    owner, database = begin(Policy("skip", "skip", most=6))
    owner.apply(2, item(1), item(2), line("a"))
    owner.apply(
        3, item(3), item(1, "again"), Delete(ITEMS, ("9",)), Replace(ITEMS, ("8",), ("8", "none", None)),
        item(4, "too long"), item(5), Delete(LINES, ("b",)), line("c"),
    )  # fmt: skip
    assert [row[:2] for row in owner.case.rows(ITEMS)] == [("1", "v"), ("2", "v"), ("3", "v"), ("5", "v")]
    assert owner.case.rows(LINES) == [("a",), ("c",)]
    assert records(database) == [
        ("insert", ["1"], ["1", "again", None], "open"), ("delete", ["9"], None, "open"),
        ("update", ["8"], ["8", "none", None], "open"), ("insert", ["4"], ["4", "too long", None], "open"),
        ("delete", ["b"], None, "open"),
    ]  # fmt: skip
    # One that leaves cells out of such a row waits, too; one that brings the whole row settles it.
    owner.again()
    owner.apply(4, Replace(ITEMS, ("1",), ("1", "part", UNCHANGED)), Replace(ITEMS, ("2",), ("2", "x", UNCHANGED)))
    owner.apply(5, Replace(ITEMS, ("1",), ("1", "whole", None)))
    assert [row[:2] for row in owner.case.rows(ITEMS)][:2] == [("1", "whole"), ("2", "x")]
    states = [row[3] for row in records(database)]
    assert states == ["superseded", "open", "open", "open", "open", "superseded"]
    owner.apply(6, item(6, "too long"), item(7, "too long"))
    with pytest.raises(PoisonRow) as caught:
        owner.apply(7, item(10), item(11, "too long"))
    assert "max_exceptions = 6" in caught.value.hint and caught.value.where["key"] == "11"
    assert owner.again() == 6


def test_the_source_wins(begin: Begin) -> None:
    owner, database = begin(Policy("stop", "overwrite"))
    owner.apply(2, item(1), item(2), item(3))
    owner.apply(
        3, item(1, "new"), Delete(ITEMS, ("9",)), Replace(ITEMS, ("8",), ("8", "made", None)),
        Replace(ITEMS, ("2",), ("3", "moved", None)),
    )  # fmt: skip
    assert [row[:2] for row in owner.case.rows(ITEMS)] == [("1", "new"), ("3", "moved"), ("8", "made")]
    assert records(database) == []
    with pytest.raises(CdcdError) as caught:
        owner.apply(4, Replace(ITEMS, ("7",), ("7", "part", UNCHANGED)))
    assert caught.value.where["key"] == "7"
    assert database.admin("SELECT table_id, `key` FROM cdcd.stops") == [(ITEMS.id, "7")]
    assert owner.again() == 3
    owner.apply(4, Insert(USERS, ("1", "x")))
    assert database.admin("SELECT COUNT(*) FROM cdcd.stops") == [(0,)]
