"""Every type of PostgreSQL with its edge values into MySQL and MariaDB: it arrives equal, by load and by stream, or is
refused by name. Nothing becomes another value."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from cdcd.errors import Conflict, PoisonRow
from connectors.mysql.forms import NULL
from connectors.mysql.sessions import Sessions
from connectors.mysql.shape import read_shape
from connectors.mysql.single import Change, OneByOne
from connectors.mysql.sink import MysqlSink
from connectors.postgres.source import PostgresSource
from connectors.postgres.tuples import TupleCode
from connectors.postgres.types_wire import choose, wire_types
from tests.crash.following import Cdcd
from tests.met.test_types import literal
from tests.met.type_values import EXTENSIONS, PORTABLE, TEXT_ONLY, USER_TYPES
from tests.servers import Database
from tests.servers.mysql import MySQL
from tests.servers.mysql_database import MySQLDatabase
from tests.waiting import wait_until

KINDS: Mapping[str, Sequence[str]] = {
    type: values for type, values in (PORTABLE | TEXT_ONLY).items() if type != "kinds.d_some"
}
COLUMNS = [f"c{number}" for number in range(len(KINDS))]
SETTINGS = "SET timezone = 'UTC'; SET extra_float_digits = 3; SET bytea_output = 'hex'; SET lc_monetary = 'C'; "


def fill(source: Database) -> dict[int, tuple[str, str, str]]:
    """A row for each value; by its number the column, the type and the text."""
    rows = [(column, value) for column, values in zip(COLUMNS, KINDS.values(), strict=True) for value in values]
    body = ", ".join(f"{column} {type}" for column, type in zip(COLUMNS, KINDS, strict=True))
    source.sql(f"CREATE TABLE zoo (id int PRIMARY KEY, {body})")
    source.sql(SETTINGS + "; ".join(
        f"INSERT INTO zoo (id, {column}) VALUES ({number}, {literal(value)})"
        for number, (column, value) in enumerate(rows, 1)
    ))  # fmt: skip
    types = dict(zip(COLUMNS, KINDS, strict=True))
    texts = " UNION ALL ".join(
        f"SELECT {number}, format('%s', {column}) FROM zoo WHERE id = {number}"
        for number, (column, _) in enumerate(rows, 1)
    )
    found: dict[int, str] = dict(source.sql(SETTINGS + texts))
    return {number: (column, types[column], found[number]) for number, (column, _) in enumerate(rows, 1)}


def refused(source: Database, target: MySQLDatabase, rows: Mapping[int, tuple[str, str, str]]) -> set[int]:
    """The rows that cdcd's own form, or the server, does not take: each by itself, as the writer makes it."""
    found = set()
    with closing(MysqlSink(lambda: target.target_url, "zoo", home="public")) as sink, closing(
        PostgresSource(lambda: source.url, "zoo")
    ) as origin:
        (table,) = [table for table in origin.tables() if table.name == "zoo"]
        sink.claim("owner", True)
        sink.prepare([table])
        (form,) = sink.forms(table)
        with closing(source.connect()) as connection:
            types = wire_types(connection, sorted({column.type_id for column in table.carried}))
        code = TupleCode(choose([form], types, [False], 18), types, False)
        sessions = Sessions(lambda: target.target_url, "public")
        with sessions.brief() as session:
            one = OneByOne(read_shape(session, table), form, session.mariadb)
            for number, (column, _, text) in rows.items():
                place = form.columns.index(column)
                try:
                    fields = [NULL] * len(form.columns)
                    fields[form.columns.index("id")] = str(number).encode()
                    fields[place] = code.converter(place)(text.encode())
                    session.run("START TRANSACTION")
                    session.do(one.statement(Change.of(b"\t".join(fields) + b"\n")))
                except (Conflict, PoisonRow):
                    found.add(number)
                session.run("ROLLBACK")
        sink.drop()
    target.sql("DROP TABLE zoo")
    return found


def kinds_of(target: MySQLDatabase) -> dict[str, str]:
    text = "SELECT COLUMN_NAME, DATA_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s"
    return dict(target.run(text, target.name, "zoo"))


def shown(column: str, kind: str) -> str:
    return f"{column} + 0e0" if kind == "float" else f"{column} + 0" if kind == "bit" else column


def same(kind: str, type: str, here: str, there: Any) -> Any:
    """Whether a value there, as a plain client has it, is the text here."""
    if there is None:
        return False
    match kind:
        case "tinyint" if here in "tf":
            return {"t": 1, "f": 0}[here] == there
        case "tinyint" | "smallint" | "int" | "bigint" | "decimal":
            return Decimal(here.translate({ord(sign): None for sign in '$,'})) == there
        case "float" | "double":
            mine = struct.unpack("f", struct.pack("f", float(here)))[0] if kind == "float" else float(here)
            return mine == there  # zero has no sign at MariaDB
        case "bit":
            return int(here, 2) == there
        case "json":
            return json.loads(here, parse_float=Decimal) == json.loads(there, parse_float=Decimal)
        case "longblob" | "varbinary":
            return bytes.fromhex(here[2:]) == there
        case "time":
            hours, minutes, seconds = here.split(":")
            return timedelta(hours=int(hours), minutes=int(minutes), seconds=float(seconds)) == there
        case "date" | "datetime":
            return _short(here.removesuffix("+00")) == _short(str(there))
        case "char":
            return here.rstrip(" ") == there
    return (here.rstrip(" ") if type == "bpchar" else here) == there


def _short(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


REFUSED = {
    "numeric(5,2)": {"NaN"}, "float4": {"NaN", "Infinity", "-Infinity"}, "float8": {"NaN", "Infinity", "-Infinity"},
    '"char"': {"\\377"},
}  # fmt: skip
"""What neither product has. Of dates and times it is all that is not within the years 1 to 9999; of JSON at MySQL what
has half a character in it, and numbers that would come to be doubles of another value."""
YEARS = ("date", "timestamp", "timestamptz")
JSON = {"mysql": {"json": 5, "jsonb": 4}, "mariadb": {"json": 0, "jsonb": 0}}


@pytest.mark.failure("TG-14")
@pytest.mark.timeout(240)
@pytest.mark.parametrize("product", ["mysql", "mariadb"])
def test_each_value_arrives_equal_or_is_refused(
    product: str, source_db: Database, mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase],
    cdcd: Cdcd,
) -> None:  # fmt: skip
    target = mysql_on(mysql_servers(product, "target"))
    source_db.admin(EXTENSIONS)
    source_db.admin(USER_TYPES)
    source_db.admin("GRANT USAGE ON SCHEMA kinds TO PUBLIC")
    rows = fill(source_db)
    out = refused(source_db, target, rows)
    told: dict[str, set[str]] = {}
    for number in out:
        told.setdefault(rows[number][1], set()).add(rows[number][2])
    assert all(" BC" in text or "infinity" in text or text[4] != "-" for type in YEARS for text in told.pop(type))
    assert {type: len(told.pop(type, ())) for type in ("json", "jsonb")} == JSON[product]
    assert told == REFUSED
    source_db.sql(f"DELETE FROM zoo WHERE id IN ({', '.join(map(str, sorted(out)))})")
    source_db.sql("CREATE TABLE bare AS SELECT * FROM zoo WHERE false; ALTER TABLE bare REPLICA IDENTITY FULL")
    words = ["run", "--from", source_db.url, "--to", target.target_url, "--name", source_db.name]
    daemon = cdcd(*words, "--tables", "public.*")
    daemon.wait_said("consistent", 60)
    kinds = kinds_of(target)
    items = ", ".join(shown(column, kinds[column]) for column in COLUMNS)
    kept = [number for number in rows if number not in out]

    def check(table: str, of: Callable[[int], int]) -> None:
        text = f"SELECT id, {items} FROM {table}"
        there = target.sql("SET time_zone = '+00:00'", text)
        found = {row[0]: dict(zip(COLUMNS, row[1:], strict=True)) for row in there}
        wrong = [
            f"{type} {here[:60]!r}: {str(found[of(number)][column])[:60]!r}"
            for number in kept for column, type, here in [rows[number]]
            if not same(kinds[column], type, here, found[of(number)][column])
        ]  # fmt: skip
        assert not wrong, "\n".join(wrong)

    def arrived(table: str, where: str, count: int) -> None:
        text = f"SELECT COUNT(*) FROM {table} WHERE {where}"
        wait_until(lambda: target.sql(text) == [(count,)] or not daemon.running, 60, "the stream")
        assert daemon.running, daemon.text()[-4000:]

    check("zoo", lambda number: number)
    names = ", ".join(COLUMNS)
    source_db.sql(f"INSERT INTO zoo SELECT id + 10000, {names} FROM zoo; INSERT INTO bare SELECT * FROM zoo")
    arrived("zoo", "TRUE", 2 * len(kept))
    arrived("bare", "TRUE", 2 * len(kept))
    check("zoo", lambda number: number + 10000)
    check("bare", lambda number: number + 10000)
    # Rows of a table without a key are found by their values.
    source_db.sql(
        "UPDATE bare SET id = -id WHERE id > 10000; DELETE FROM bare WHERE id > 0;"
        "UPDATE zoo SET id = -id WHERE id > 10000"
    )
    arrived("bare", "id < 0", len(kept))
    arrived("bare", "TRUE", len(kept))
    arrived("zoo", "id < 0", len(kept))
    check("bare", lambda number: -number - 10000)
    check("zoo", lambda number: -number - 10000)
    daemon.stop()
