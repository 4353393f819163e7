"""`validate` within a product, MySQL or MariaDB: what differs is found by key and column, whatever collations say."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from cdcd.engine import compare_descent
from cdcd.engine.compare import Comparison
from cdcd.engine.compare_report import Kind, TableReport
from cdcd.errors import CdcdError, Interrupted
from cdcd.model.digest import Span
from connectors.mysql.compare import MysqlComparable
from connectors.mysql.source import MysqlSource
from tests.mysql.test_types import cases, fill
from tests.servers.mysql_database import MySQLDatabase
from tests.waiting import wait_until

Ends = tuple[MySQLDatabase, MySQLDatabase]


@pytest.fixture
def ends(mysql_on: Callable[..., MySQLDatabase], mysql_db: MySQLDatabase) -> Ends:
    """Two databases of one server; the second holds what the first's schema holds."""
    return mysql_db, mysql_on(mysql_db.server)


@contextmanager
def comparison(ends: Ends, **options: Any) -> Iterator[Comparison]:
    source, target = ends
    with closing(MysqlComparable(lambda: source.url, "test")) as mine:
        with closing(MysqlComparable(lambda: target.url, "test", home=source.name)) as theirs:
            yield Comparison(mine, theirs, still=True, **options)


def validate(ends: Ends, **options: Any) -> dict[str, TableReport]:
    with closing(MysqlSource(ends[0].url, "test")) as source, comparison(ends, **options) as compared:
        return {report.table.name: report for report in compared.tables(source.tables())}


def found(report: TableReport) -> dict[str, list[Any]]:
    keys: dict[str, list[Any]] = {}
    for verdict in report.shown:
        key = tuple(verdict.key_json(report.table).values())
        keys.setdefault(verdict.kind.value, []).append((*key, *verdict.columns))
    return {kind: sorted(some) for kind, some in keys.items()}


def both(ends: Ends, *statements: str) -> None:
    for end in ends:
        end.sql(*statements)


def numbers(below: int) -> str:
    """A table n (i) of the numbers from 0."""
    digits = f"(SELECT 0 i {' '.join(f'UNION ALL SELECT {digit}' for digit in range(1, 10))})"
    many = f"{digits} a, {digits} b, {digits} c, {digits} d"
    return f"(SELECT a.i + 10 * b.i + 100 * c.i + 1000 * d.i AS i FROM {many} HAVING i < {below}) n"


@pytest.mark.failure("OP-14", "TG-07")
def test_rows_are_found_by_key_and_column(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare_descent, "PART", 700)
    _, target = ends
    both(
        ends,
        "CREATE TABLE t (id bigint PRIMARY KEY, a varchar(20), b decimal(10,3), c blob)",
        f"INSERT INTO t SELECT i - 1000, CONCAT('row ', i), i / 8, CONCAT(X'00', i) FROM {numbers(3000)}",
        # Texts that the collation calls equal, in two columns of which the first alone decides nothing.
        "CREATE TABLE words (w varchar(20) COLLATE utf8mb4_unicode_ci, n int, x char(5), PRIMARY KEY (w, n))",
        f"INSERT INTO words SELECT CONCAT('wört ', i % 40), i, 'x ' FROM {numbers(2000)}",
        "CREATE TABLE log (at int, line varchar(20) COLLATE utf8mb4_unicode_ci)",
        f"INSERT INTO log SELECT i % 7, 'x' FROM {numbers(1000)}",
        "CREATE TABLE `q%s ``\"'{}` (`k%` char(5) CHARACTER SET latin1 PRIMARY KEY, `v {}` int unsigned)",
        "INSERT INTO `q%s ``\"'{}` VALUES ('é', 1), ('b', 4294967295)",
    )
    reports = validate(ends)
    assert {name: report.source_rows for name, report in reports.items()} == {
        "t": 3000, "words": 2000, "log": 1000, "q%s `\"'{}": 2,
    }  # fmt: skip
    assert not any(report.differs or report.open for report in reports.values())
    target.sql(
        "DELETE FROM t WHERE id = -3",
        "INSERT INTO t (id) VALUES (-5000), (9999)",
        "UPDATE t SET a = 'Row 5', c = NULL WHERE id = -995",
        "UPDATE t SET c = '' WHERE id = -994",
        "UPDATE words SET w = 'WÖRT 7' WHERE n = 7",
        "UPDATE words SET x = '' WHERE n = 9",
        "UPDATE log SET line = 'X' WHERE at = 3 LIMIT 2",
        "UPDATE `q%s ``\"'{}` SET `v {}` = 2 WHERE `k%` = 'é'",
    )
    reports = validate(ends)
    assert found(reports["t"]) == {
        "missing": [(-3,)], "extra": [(-5000,), (9999,)], "different": [(-995, "a", "c"), (-994, "c")],
    }  # fmt: skip
    assert found(reports["words"]) == {
        "missing": [("wört 7", 7)], "extra": [("WÖRT 7", 7)], "different": [("wört 9", 9, "x")],
    }  # fmt: skip
    assert {kind.value: n for kind, n in reports["log"].counts.items() if n} == {"missing": 2, "extra": 2}
    assert found(reports["q%s `\"'{}"]) == {"different": [("é", "v {}")]}


def test_ends_that_order_keys_otherwise_and_doubled_rows(ends: Ends) -> None:
    source, target = ends
    source.sql("CREATE TABLE t (k varchar(20) COLLATE utf8mb4_bin PRIMARY KEY, n int)")
    target.sql("CREATE TABLE t (k varchar(20) COLLATE utf8mb4_general_ci NOT NULL, n int, more int)")
    both(ends, f"INSERT INTO t (k, n) SELECT CONCAT(ELT(i % 3 + 1, 'a', 'B', 'c '), i), i FROM {numbers(500)}")
    assert not validate(ends)["t"].differs
    target.sql("INSERT INTO t (k, n) VALUES ('a0', 0), ('A0', 0)", "UPDATE t SET n = NULL WHERE k = 'B1'")
    report = validate(ends)["t"]
    assert found(report) == {"extra": [("A0",), ("a0",)], "different": [("B1", "n")]}
    target.sql("ALTER TABLE t DROP COLUMN n")
    report = validate(ends)["t"]
    assert report.problem is not None and report.problem.text == "the target has no column n" and report.differs
    target.sql("DROP TABLE t")
    assert "no such table" in str(validate(ends)["t"].problem)


@pytest.mark.failure("OP-14")
def test_every_type(ends: Ends) -> None:
    source, target = ends
    types = cases(source.server.product)
    columns = ", ".join(f"c{number} {type}" for number, type in enumerate(types))
    both(ends, f"CREATE TABLE t (id int PRIMARY KEY AUTO_INCREMENT, {columns}) ROW_FORMAT=DYNAMIC")
    for end in ends:
        fill(end, types)
    report = validate(ends)["t"]
    assert (report.differs, report.open, report.source_rows) == (False, False, sum(map(len, types.values())) + 2)
    # The last row but one has the first of each: each of its values is taken from it in turn.
    (last,) = target.sql("SELECT MAX(id) - 1 FROM t")[0]
    target.sql(f"UPDATE t SET {', '.join(f'c{number} = NULL' for number in range(len(types)))} WHERE id = {last}")
    assert found(validate(ends)["t"]) == {"different": [(last, *(f"c{number}" for number in range(len(types))))]}


def test_values_are_shown_when_asked_for(ends: Ends) -> None:
    source, target = ends
    both(ends, "CREATE TABLE t (id int PRIMARY KEY, x varchar(20))", "INSERT INTO t VALUES (1, 'same')")
    source.sql("INSERT INTO t VALUES (2, 'secret')")
    target.sql("INSERT INTO t VALUES (2, 'other')")
    with closing(MysqlSource(source.url, "test")) as origin, comparison(ends) as compared:
        (report,) = compared.tables(origin.tables())
        assert "secret" not in str(report.to_json())
        compared.values(report, report.shown, length=4)
    assert report.to_json()["keys"]["different"] == [
        {"key": {"id": 2}, "columns": ["x"], "source": {"x": "secr"}, "target": {"x": "othe"}}
    ]
    assert report.counts[Kind.DIFFERENT] == 1


def test_interrupting_ends_the_query_at_the_server(mysql_db: MySQLDatabase) -> None:
    mysql_db.sql("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    running = "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = %s AND INFO LIKE '%%SHA2%%'"
    running += " AND ID <> CONNECTION_ID()"
    with closing(MysqlSource(mysql_db.url, "test")) as source:
        (table,) = source.tables()
    with closing(MysqlComparable(lambda: mysql_db.url, "test")) as end, closing(mysql_db.connect()) as blocker:
        end.choose(end.hashes()[0])
        assert end.digest(table, Span()).rows == 1
        with blocker.cursor() as cursor:
            cursor.execute("LOCK TABLES t WRITE")
        errors: list[CdcdError] = []

        def ask() -> None:
            try:
                end.digest(table, Span())
            except CdcdError as error:
                errors.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        wait_until(lambda: mysql_db.admin(running, mysql_db.name), what="the query to wait")
        began = time.monotonic()
        end.interrupt()
        thread.join(5)
        assert [type(error) for error in errors] == [Interrupted] and time.monotonic() - began < 1.5
        wait_until(lambda: not mysql_db.admin(running, mysql_db.name), limit=1.5, what="the server to stop as well")
