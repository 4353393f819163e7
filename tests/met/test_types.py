"""Every type and edge value, by copy and by stream, between versions: compared by the servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest

from tests.fix_daemon import Daemon
from tests.met.pair import Pair
from tests.met.type_values import EXTENSIONS, PORTABLE, TEXT_ONLY, USER_TYPES, VECTORS, XML
from tests.servers import Database, Server
from tests.servers.database import make_source, make_target

OTHER_OIDS = """
CREATE SCHEMA before; CREATE TYPE before.a AS (x int); CREATE TYPE before.b AS ENUM ('x'); CREATE DOMAIN before.c AS int
"""
"""Made at the target before the types of the same names, so that no number is the same."""

ODD = {
    "DateStyle": "'German, DMY'", "IntervalStyle": "'sql_standard'", "extra_float_digits": "-15",
    "bytea_output": "'escape'", "TimeZone": "'Asia/Kolkata'", "lc_monetary": "'C.UTF-8'", "lc_numeric": "'C.UTF-8'",
    "array_nulls": "off", "xmloption": "'document'", "xmlbinary": "'hex'", "quote_all_identifiers": "on",
    "search_path": "kinds, public", "standard_conforming_strings": "off", "transform_null_equals": "on",
    "default_transaction_read_only": "on", "default_transaction_isolation": "'serializable'",
    "statement_timeout": "'2ms'", "client_encoding": "'LATIN1'",
}  # fmt: skip
"""What a role's defaults could do to values (PG-21)."""


def literal(text: str | None) -> str:
    return "NULL" if text is None else "'" + text.replace("'", "''") + "'"


def fill(kinds: Mapping[str, Sequence[str]], table: str) -> str:
    """One row per place in the longest list; the row with NULLs only is the last."""
    rows = max(map(len, kinds.values()))
    lists = [[*values, *[None] * (rows - len(values) + 1)] for values in kinds.values()]
    must = [number for number, type in enumerate(kinds) if type == "kinds.d_some"]
    lines = []
    for number in range(rows + 1):
        row = [values[number] for values in lists]
        for column in must:
            row[column] = row[column] or "some"
        lines.append(f"({number + 1}, NULL, {', '.join(map(literal, row))})")
    return f"INSERT INTO {table} VALUES {', '.join(lines)}"


def columns(kinds: Mapping[str, Sequence[str]]) -> list[str]:
    return [f"c{number}" for number in range(len(kinds))]


def tables(kinds: Mapping[str, Sequence[str]], name: str) -> str:
    """The same twice: rows found by their key, and by all of their columns."""
    body = ", ".join(f"c{number} {type}" for number, type in enumerate(kinds))
    return (
        f"CREATE TABLE {name} (id int PRIMARY KEY, note text, {body});"
        f"CREATE TABLE {name}_bare (id int, note text, {body}); ALTER TABLE {name}_bare REPLICA IDENTITY FULL;"
        f"{fill(kinds, name)}; INSERT INTO {name}_bare SELECT * FROM {name}"
    )


def changes(kinds: Mapping[str, Sequence[str]], name: str) -> list[str]:
    """Insert, update of another column, of every value, to NULL, of the key, delete."""
    names = ", ".join(columns(kinds))
    nulls = ", ".join(f"{column} = NULL" for column, type in zip(columns(kinds), kinds, strict=True)
                      if type != "kinds.d_some")  # fmt: skip
    turned = f"""
        UPDATE {name} z SET ({names}) = (SELECT {names} FROM {name} y WHERE y.id = 100 + (z.id - 100) % 9 + 1)
        WHERE z.id BETWEEN 101 AND 109"""
    return [
        f"INSERT INTO {name} SELECT id + 100, 'new', {names} FROM {name}",
        f"UPDATE {name} SET note = 'noted' WHERE id % 2 = 0",
        turned,
        f"UPDATE {name} SET {nulls} WHERE id IN (2, 102)",
        f"UPDATE {name} SET id = id + 1000 WHERE id IN (3, 103)",
        f"DELETE FROM {name} WHERE id % 5 = 0",
    ]


Ends = Callable[[int, int], Pair]


@pytest.fixture
def ends(request: pytest.FixtureRequest, cdcd: Callable[..., Daemon]) -> Iterator[Ends]:
    """Databases of two versions with the user's types in both, whose numbers differ."""
    made: list[Database] = []

    def make(source_version: int, target_version: int) -> Pair:
        from_server: Server = request.getfixturevalue(f"pg{source_version}")
        to_server: Server = request.getfixturevalue({18: "pg18_target", 15: "pg15"}[target_version])
        source, target = make_source(from_server), make_target(to_server)
        made.extend((source, target))
        target.admin(OTHER_OIDS)
        for end in (source, target):
            end.admin(EXTENSIONS)
            end.admin(USER_TYPES)
            end.admin("GRANT USAGE ON SCHEMA kinds TO PUBLIC")
        oids = "SELECT typname, oid::int8 FROM pg_type WHERE typnamespace = 'kinds'::regnamespace"
        assert not set(source.sql(oids)) & set(target.sql(oids))
        return Pair(source, target, cdcd)

    yield make
    for database in made:
        database.drop()


def carried(pair: Pair, kinds: Mapping[str, Sequence[str]], binary: bool) -> None:
    """By copy, by stream in one batch, and one by one."""
    names = ["zoo", "zoo_bare"]
    pair.source.sql("SET TimeZone = 'UTC'; SET standard_conforming_strings = on; " + tables(kinds, "zoo"))
    daemon = pair.follow("--tables", "public.*")
    assert daemon.said(f"binary={binary}"), daemon.text()
    there = [f"public.{name}" for name in names]
    pair.equal(*there)
    steps = [changes(kinds, name) for name in names]
    daemon.pause()
    pair.source.sql(";".join(step for its in steps for step in its[:3]))
    daemon.resume()
    pair.wait_equal(*there)
    for number in range(3, len(steps[0])):
        pair.source.sql(";".join(its[number] for its in steps))
    pair.wait_equal(*there)
    daemon.stop()


def odd(pair: Pair) -> None:
    """The roles' defaults do to values what defaults can do."""
    for end in (pair.source, pair.target):
        for name, value in ODD.items():
            end.admin(f'ALTER ROLE {end.role} IN DATABASE "{end.name}" SET {name} = {value}')


TEXT = PORTABLE | TEXT_ONLY


@pytest.mark.failure("PG-22", "TG-14")
def test_binary(ends: Ends) -> None:
    """Portable types only, so that the whole stream is binary; infinite intervals too, which 17 brought."""
    pair = ends(18, 18)
    carried(pair, PORTABLE | {"interval": [*PORTABLE["interval"], "infinity", "-infinity"]}, binary=True)
    pair.command("validate", "--tables", "public.*")


@pytest.mark.failure("PG-22", "TG-14")
def test_vectors(ends: Ends) -> None:
    """An extension's types of which nothing is known but that they have a text."""
    pair = ends(18, 18)
    for end in (pair.source, pair.target):
        end.admin("CREATE EXTENSION vector")
    carried(pair, VECTORS, binary=False)
    pair.command("validate", "--tables", "public.*")


@pytest.mark.failure("PG-22", "TG-14")
def test_binary_with_xml(ends: Ends) -> None:
    carried(ends(15, 15), PORTABLE | {"xml": XML}, binary=True)


@pytest.mark.failure("PG-21", "PG-22", "T-DE-7", "TG-14")
@pytest.mark.parametrize("version", [15, 18])
def test_text_and_roles_with_odd_settings(ends: Ends, version: int) -> None:
    """Values are what they are without the roles' defaults; xml where the server was built with it."""
    pair = ends(version, version)
    odd(pair)
    carried(pair, TEXT | ({"xml": XML, "xml[]": ["{<a/>}"]} if version == 15 else {}), binary=False)
    pair.command("validate", "--tables", "public.*")


@pytest.mark.failure("PG-22", "TG-14")
@pytest.mark.parametrize(("source", "target"), [(15, 18), (18, 15)])
def test_text_between_versions(ends: Ends, source: int, target: int) -> None:
    carried(ends(source, target), TEXT, binary=False)


@pytest.mark.failure("PG-22")
def test_a_value_that_an_older_target_does_not_have(ends: Ends) -> None:
    """Named with its table and key; nothing else is written in its place."""
    pair = ends(18, 15)
    pair.source.sql("CREATE TABLE t (id int PRIMARY KEY, v interval)")
    daemon = pair.follow("--tables", "public.*")
    pair.source.sql("INSERT INTO t VALUES (7, 'infinity')")
    daemon.wait(6)
    assert daemon.said("type interval") and daemon.said("table public.t, key 7"), daemon.text()
    assert pair.target.sql("SELECT count(*) FROM t") == [(0,)]
