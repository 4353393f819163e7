"""Every value of MySQL and MariaDB arrives at PostgreSQL equal, by load and by stream, or is refused by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tests.fix_daemon import Daemon
from tests.mysql.test_formats import DEFAULTS
from tests.mysql.test_source_stream import session
from tests.pairs import zoo
from tests.servers import Database
from tests.servers.mysql_database import MySQLDatabase
from tests.waiting import wait_until

Cdcd = Callable[..., Daemon]
SESSION = ("SET time_zone = '+00:00'", "SET sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'")


def arguments(source: MySQLDatabase, target: Database, *more: str) -> list[str]:
    return ["run", "--from", source.url, "--to", target.url, "--name", source.name, *more]


def shown(target: Database, table: str, columns: Sequence[str], where: str = "true") -> list[list[str | None]]:
    """The rows as the server writes their values."""
    texts = ", ".join(f"{name}::text" for name in columns)
    found = target.sql(f"SET timezone = 'UTC'; SELECT {texts} FROM {table} WHERE {where} ORDER BY id")
    return [list(row) for row in found]


@pytest.mark.failure("MY-06")
@pytest.mark.timeout(180)
def test_every_value_arrives_by_load_and_by_stream(
    mysql_db: MySQLDatabase, target_db: Database, cdcd: Cdcd
) -> None:
    """The server, this machine and the target are each in a zone of their own."""
    cases, packed = zoo.cases(mysql_db.server.product), zoo.packed(mysql_db.server.product)
    lenient = [*SESSION[:1], "SET sql_mode = ''"]  # index 0 of an enum is what a bad value becomes
    mysql_db.sql(*lenient, *zoo.tables(list(cases)), *zoo.fill(cases), "INSERT INTO heap SELECT * FROM zoo")
    mysql_db.sql(*lenient, *zoo.fill_whole(packed))
    wanted, whole = zoo.arrived(cases), zoo.arrived_whole(packed)
    count = len(wanted)

    def check(table: str, where: str) -> None:
        types, expected_rows = (packed, whole) if table == "packed" else (cases, wanted)
        rows = shown(target_db, f"{mysql_db.name}.{table}", [f"c{number}" for number in range(len(types))], where)
        assert len(rows) == len(expected_rows)
        wrong = [
            f"{type}: {str(found)[:80]!r}, not {str(expected)[:80]!r}"
            for row, its in zip(rows, expected_rows, strict=True)
            for type, found, expected in zip(types, row, its, strict=True)
            if found != expected
        ]
        assert not wrong, "\n".join(wrong)

    def wait(table: str, rows: int, where: str = "true") -> None:
        text = f"SELECT count(*) FROM {mysql_db.name}.{table} WHERE {where}"
        wait_until(lambda: target_db.sql(text) == [(rows,)] or not daemon.running, 30, "the stream")
        assert daemon.running, daemon.text()

    daemon = cdcd(*arguments(mysql_db, target_db), environment={"TZ": "America/New_York"})
    daemon.wait_said("consistent", 60)
    check("zoo", "true")
    check("heap", "true")
    check("packed", "true")
    mysql_db.sql(*lenient, *zoo.fill_whole(packed), *zoo.fill(cases))
    wait("zoo", 2 * count)
    check("zoo", f"id > {count}")
    check("packed", f"id > {len(whole)}")
    assert f"'{mysql_db.name}.packed': 'pg-copy-binary'" in daemon.text()
    mysql_db.sql(f"UPDATE zoo SET id = id + 10000 WHERE id > {count}", f"DELETE FROM zoo WHERE id <= {count}")
    wait("zoo", count, "id > 10000")
    check("zoo", "true")
    # Rows of a table without a key are found by their values.
    mysql_db.sql("UPDATE heap SET id = -id", "DELETE FROM heap WHERE id % 2 = 0")
    wait("heap", (count + 1) // 2, "id < 0")
    mysql_db.sql("DELETE FROM heap")
    wait("heap", 0)


@pytest.mark.failure("MY-11")
@pytest.mark.timeout(60)
def test_defaults_that_an_image_leaves_out(mysql_db: MySQLDatabase, target_db: Database, cdcd: Cdcd) -> None:
    """They are packed as the values of whole rows are."""
    mysql_db.sql(DEFAULTS.replace("u bigint unsigned DEFAULT 18446744073709551615", "u bigint DEFAULT -7"))
    daemon = cdcd(*arguments(mysql_db, target_db))
    daemon.wait_said("stream started")
    images = ("FULL", "MINIMAL", "NOBLOB")
    for image in images:
        session(mysql_db, f"SET SESSION binlog_row_image = '{image}'", "INSERT INTO t (n) VALUES (7)")
    names = [column for (column, *_) in mysql_db.sql("SHOW COLUMNS FROM t") if column not in ("id", "now")]
    look = f"SELECT count(*), count(DISTINCT ({', '.join(names)})::text) FROM {mysql_db.name}.t"
    wait_until(lambda: target_db.sql(look)[0][0] == len(images) or not daemon.running, 30, "the rows")
    assert target_db.sql(look) == [(len(images), 1)], daemon.text()[-3000:]
    assert f"'{mysql_db.name}.t': 'pg-copy-binary'" in daemon.text()
    daemon.stop()


PERMISSIVE = (*SESSION[:1], "SET sql_mode = 'ALLOW_INVALID_DATES'")
EXCEPTIONS = "SELECT table_id, key::text, error FROM cdcd.exceptions ORDER BY 2"


@pytest.mark.failure("TG-06")
@pytest.mark.timeout(240)
def test_what_the_target_has_no_value_for_is_refused_by_name(
    mysql_db: MySQLDatabase, target_db: Database, cdcd: Cdcd
) -> None:
    """Dates by the source, wherever they come from; what only the server knows by the server, row by row."""
    mysql_db.sql(
        *PERMISSIVE,
        "CREATE TABLE bad (id int PRIMARY KEY, moment timestamp NULL, day date, words varchar(20), doc json)",
        "INSERT INTO bad (id, day) VALUES (7, '0000-00-00')",
    )  # fmt: skip
    where = f"table {mysql_db.name}.bad, chunk 0"
    said = cdcd(*arguments(mysql_db, target_db)).wait(6)
    assert f"({where}, column day, key 7)" in said and "0000-00-00 is no date of the calendar" in said
    mysql_db.sql(*PERMISSIVE, "UPDATE bad SET day = NULL, moment = '0000-00-00 00:00:00'")
    said = cdcd(*arguments(mysql_db, target_db)).wait(6)
    assert f"({where}, column moment, key 7)" in said and "0000-00-00 00:00:00 is no date of the calendar" in said
    mysql_db.sql("UPDATE bad SET moment = NULL, words = X'610062'")
    said = cdcd(*arguments(mysql_db, target_db)).wait(6)
    assert f'invalid byte sequence for encoding "UTF8": 0x00 ({where}' in said
    mysql_db.sql("UPDATE bad SET words = NULL")
    daemon = cdcd(*arguments(mysql_db, target_db, "--on-error", "skip"))
    daemon.wait_said("consistent")
    bad = ["INSERT INTO bad (id, words) VALUES (1, X'610062')"]
    if mysql_db.server.product == "mysql":  # MariaDB's JSON is text, which may hold the six signs of an escape
        bad.append("INSERT INTO bad (id, doc) VALUES (2, '{\"a\": \"\\\\u0000\"}')")
    mysql_db.sql(*bad, "INSERT INTO bad (id, words) VALUES (9, 'good')")
    there = f"SELECT id FROM {mysql_db.name}.bad ORDER BY id"
    wait_until(lambda: target_db.sql(there) == [(7,), (9,)] or not daemon.running, 30, "the good row")
    assert daemon.running, daemon.text()
    found = target_db.sql(EXCEPTIONS)
    assert len(found) == len(bad), found
    mysql_db.sql(*PERMISSIVE, "UPDATE bad SET day = '2024-02-31' WHERE id = 9")
    said = daemon.wait(6)
    assert f"(table {mysql_db.name}.bad, column day" in said and "2024-02-31 is no date of the calendar" in said
    # What it says to do.
    target_db.sql(f"ALTER TABLE {mysql_db.name}.bad ALTER day TYPE text")
    cdcd(*arguments(mysql_db, target_db, "--on-error", "skip", "--until", "caught-up")).wait(0)
    assert target_db.sql(f"SELECT day FROM {mysql_db.name}.bad WHERE id = 9") == [("2024-02-31",)]
