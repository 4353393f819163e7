"""`validate` between two real servers: what differs is found, by key and column, and nothing that does not."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from cdcd.engine.compare import Comparison
from cdcd.engine.compare_report import Kind, TableReport
from connectors.postgres.catalogue import read_tables
from connectors.postgres.compare import PostgresComparable
from connectors.postgres.connect import connect
from tests.servers import Database


@contextmanager
def comparison(
    source: Database, target: Database, end: type[PostgresComparable] = PostgresComparable, **options: Any
) -> Iterator[Comparison]:
    with closing(PostgresComparable(lambda: source.url, "test")) as mine:
        with closing(end(lambda: target.url, "test")) as theirs:
            yield Comparison(mine, theirs, **options)


def validate(source: Database, target: Database, **options: Any) -> dict[str, TableReport]:
    """Every table of the source, compared once."""
    with closing(connect(source.url, "test")) as connection:
        tables = read_tables(connection)
    with comparison(source, target, **options) as compared:
        return {report.table.id: report for report in compared.tables(tables)}


def one(source: Database, target: Database, **options: Any) -> TableReport:
    (report,) = validate(source, target, **options).values()
    return report


def found(report: TableReport) -> dict[str, list[Any]]:
    """Keys by kind, as people see them; of a different row with its columns."""
    keys: dict[str, list[Any]] = {}
    for verdict in report.shown:
        key = tuple(verdict.key_json(report.table).values())
        keys.setdefault(verdict.kind.value, []).append((*key, *verdict.columns))
    return {kind: sorted(some) for kind, some in keys.items()}


def both(source: Database, target: Database, text: str, *params: object) -> None:
    source.sql(text, *params)
    target.sql(text, *params)


AWKWARD = """
CREATE TABLE t (id int PRIMARY KEY, a text, b numeric, c float8, d timestamptz, e char(9), f bytea, g jsonb, h text[],
                i interval, j bool, k money);
INSERT INTO t SELECT i, 'grün ' || i, i / 7.0, CASE i WHEN 1 THEN '-0'::float8 ELSE i / 3.0 END,
    timestamptz '2024-01-01 00:00+2' + i * interval '1 s', 'x' || i, decode(md5(i::text), 'hex'),
    jsonb_build_object('k', i), ARRAY['a"b', NULL, i::text], i * interval '1 month', i % 2 = 0, i::money
FROM generate_series(1, 5000) i
"""


def test_equal_tables_have_no_differences(source_db: Database, target_db: Database) -> None:
    both(source_db, target_db, AWKWARD)
    report = one(source_db, target_db)
    assert (report.source_rows, report.target_rows, found(report)) == (5000, 5000, {})
    assert not report.differs and not report.open


@pytest.mark.failure("OP-14")
def test_one_byte_is_found_by_key_and_column(source_db: Database, target_db: Database) -> None:
    both(source_db, target_db, AWKWARD)
    target_db.sql("UPDATE t SET f = set_byte(f, 3, get_byte(f, 3) # 1) WHERE id = 3210")
    assert found(one(source_db, target_db)) == {"different": [(3210, "f")]}


@pytest.mark.failure("OP-14", "TG-07")
def test_missing_extra_and_different_rows_are_told_apart(source_db: Database, target_db: Database) -> None:
    both(source_db, target_db, AWKWARD)
    target_db.sql("DELETE FROM t WHERE id = 77")
    target_db.sql("INSERT INTO t (id) VALUES (-5), (99999)")
    target_db.sql("UPDATE t SET a = NULL, c = 0 WHERE id = 1")
    target_db.sql("UPDATE t SET a = '' WHERE id = 2")
    source_db.sql("UPDATE t SET a = NULL WHERE id = 2")
    report = one(source_db, target_db)
    assert found(report) == {"missing": [(77,)], "extra": [(-5,), (99999,)], "different": [(1, "a", "c"), (2, "a")]}
    assert report.counts[Kind.EXTRA] == 2 and report.differs


def test_a_target_with_other_columns_and_padding_is_equal(source_db: Database, target_db: Database) -> None:
    source_db.sql("CREATE TABLE t (id int PRIMARY KEY, a text, b char(5)); INSERT INTO t VALUES (1, 'x', 'y')")
    target_db.sql("CREATE TABLE t (more int, b char(9), a varchar, id bigint PRIMARY KEY)")
    target_db.sql("INSERT INTO t (id, a, b) VALUES (1, 'x', 'y')")
    assert found(one(source_db, target_db)) == {}
    target_db.sql("UPDATE t SET b = 'z'")
    assert found(one(source_db, target_db)) == {"different": [(1, "b")]}


def test_a_missing_table_or_column_differs(source_db: Database, target_db: Database) -> None:
    source_db.sql("CREATE TABLE a (id int PRIMARY KEY, x int); CREATE TABLE b (id int PRIMARY KEY)")
    target_db.sql("CREATE TABLE a (id int PRIMARY KEY)")
    reports = validate(source_db, target_db)
    assert {name: report.problem.text for name, report in reports.items() if report.problem} == {
        "public.a": "the target has no column x",
        "public.b": "the target has no such table",
    }
    assert all(report.differs for report in reports.values())


def test_keyless_rows_are_a_multiset(source_db: Database, target_db: Database) -> None:
    both(source_db, target_db, "CREATE TABLE log (at int, what text)")
    both(source_db, target_db, "INSERT INTO log SELECT i / 2, 'x' FROM generate_series(1, 3000) i")
    assert found(one(source_db, target_db)) == {}
    source_db.sql("INSERT INTO log SELECT 7, 'x' FROM generate_series(1, 3)")
    target_db.sql("INSERT INTO log VALUES (-1, NULL)")
    target_db.sql("DELETE FROM log WHERE ctid = (SELECT ctid FROM log WHERE at = 9 LIMIT 1)")
    report = one(source_db, target_db)
    assert {kind.value: n for kind, n in report.counts.items() if n} == {"missing": 4, "extra": 1}
    assert sorted(verdict.times for verdict in report.shown) == [1, 1, 3]


def test_values_are_read_only_when_asked_for(source_db: Database, target_db: Database) -> None:
    both(source_db, target_db, "CREATE TABLE t (id int PRIMARY KEY, x text); INSERT INTO t VALUES (1, 'same')")
    both(source_db, target_db, "CREATE TABLE log (x text)")
    source_db.sql("INSERT INTO t VALUES (2, 'secret'); INSERT INTO log VALUES ('hidden')")
    target_db.sql("INSERT INTO t VALUES (2, 'other')")
    with closing(connect(source_db.url, "test")) as connection:
        tables = read_tables(connection)
    with comparison(source_db, target_db) as compared:
        log, t = compared.tables(tables)
        assert "secret" not in str(t.to_json()) and "hidden" not in str(log.to_json())
        for report in (log, t):
            compared.values(report, report.shown, length=4)
    assert t.to_json()["keys"]["different"] == [
        {"key": {"id": 2}, "columns": ["x"], "source": {"x": "secr"}, "target": {"x": "othe"}}
    ]
    (missing,) = log.to_json()["keys"]["missing"]
    assert missing["source"] == {"x": "hidd"} and "target" not in missing


SCHEMA = '"Ünder %s ""q"'
TABLE = SCHEMA + '."Tä%ble "" x"'
NAMES = f'''
CREATE SCHEMA {SCHEMA};
CREATE TABLE {TABLE} ("Schlüssel %" text, "select" int, "wert'{{}}" text, PRIMARY KEY ("Schlüssel %", "select"));
INSERT INTO {TABLE} SELECT 'k"' || chr(200 + i % 90) || i, i % 3, 'v' || i FROM generate_series(1, 4000) i
'''


def run(database: Database, text: str) -> None:
    """Without parameters, so that % stays as it is."""
    with closing(database.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(text)


def test_composite_and_text_keys_in_quoted_names(source_db: Database, target_db: Database) -> None:
    run(source_db, NAMES)
    run(target_db, NAMES)
    assert found(one(source_db, target_db)) == {}
    run(target_db, f'''UPDATE {TABLE} SET "wert'{{}}" = '?' WHERE "Schlüssel %" LIKE '%17' ''')
    report = one(source_db, target_db, limit=100)
    assert report.counts[Kind.DIFFERENT] == 40 == len(report.shown)
    assert report.shown[0].columns == ("wert'{}",)
    assert report.shown[0].key_json(report.table).keys() == {"Schlüssel %", "select"}


def test_keys_that_the_ends_order_differently(source_db: Database, target_db15: Database) -> None:
    source_db.sql('CREATE TABLE t (k text COLLATE "C" PRIMARY KEY, n int)')
    target_db15.sql('CREATE TABLE t (k text COLLATE "en-x-icu" PRIMARY KEY, n int)')
    both(
        source_db,
        target_db15,
        "INSERT INTO t SELECT (ARRAY['a', 'B', 'ä', 'Z', 'z-'])[i % 5 + 1] || i, i FROM generate_series(1, 9000) i",
    )
    assert found(one(source_db, target_db15)) == {}
    target_db15.sql("UPDATE t SET n = 0 WHERE n = 4444; DELETE FROM t WHERE n = 1; INSERT INTO t VALUES ('é', 1)")
    assert found(one(source_db, target_db15)) == {
        "different": [("z-4444", "n")],
        "missing": [("B1",)],
        "extra": [("é",)],
    }


def test_a_target_without_the_key_shows_doubled_rows(source_db: Database, target_db: Database) -> None:
    source_db.sql("CREATE TABLE t (id int PRIMARY KEY, n int)")
    target_db.sql("CREATE TABLE t (id int NOT NULL, n int)")
    both(source_db, target_db, "INSERT INTO t SELECT i, i FROM generate_series(1, 3000) i")
    assert found(one(source_db, target_db)) == {}
    target_db.sql("INSERT INTO t VALUES (5, 5), (5, 5)")
    report = one(source_db, target_db)
    assert found(report) == {"extra": [(5,)]} and report.counts[Kind.EXTRA] == 2


def test_keys_that_can_be_null_at_the_target(source_db: Database, target_db: Database) -> None:
    source_db.sql("CREATE TABLE t (id int PRIMARY KEY, n int)")
    target_db.sql("CREATE TABLE t (id int UNIQUE, n int)")
    both(source_db, target_db, "INSERT INTO t SELECT i, i FROM generate_series(1, 3000) i")
    target_db.sql("INSERT INTO t VALUES (NULL, 1)")
    assert one(source_db, target_db).counts[Kind.EXTRA] == 1


def test_partitions_and_inheritance(source_db: Database, target_db: Database) -> None:
    source_db.sql(
        "CREATE TABLE p (id int, at int, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);"
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (50); CREATE TABLE p2 PARTITION OF p DEFAULT"
    )
    target_db.sql("CREATE TABLE p (id int, at int, PRIMARY KEY (id, at))")
    both(source_db, target_db, "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (PRIMARY KEY (id)) INHERITS (a)")
    both(source_db, target_db, "INSERT INTO p SELECT i, i % 100 FROM generate_series(1, 4000) i")
    both(source_db, target_db, "INSERT INTO a VALUES (1); INSERT INTO b VALUES (1), (2)")
    target_db.sql("DELETE FROM p WHERE id = 260")
    reports = validate(source_db, target_db)
    assert {name: report.source_rows for name, report in reports.items()} == {
        "public.a": 1, "public.b": 2, "public.p": 4000,
    }  # fmt: skip
    assert found(reports["public.p"]) == {"missing": [(260, 60)]}
    assert not reports["public.a"].differs


def test_an_older_server_has_the_same_digests(source_db: Database, target_db15: Database) -> None:
    both(source_db, target_db15, AWKWARD)
    target_db15.sql("UPDATE t SET a = 'Grün 9' WHERE id = 9")
    assert found(one(source_db, target_db15)) == {"different": [(9, "a")]}


def test_ends_of_different_encodings(source_db: Database, pg15: Any) -> None:
    from tests.servers.database import make_target

    target = make_target(pg15, options="ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        both(source_db, target, "CREATE TABLE t (k text PRIMARY KEY, v text)")
        both(source_db, target, "INSERT INTO t SELECT 'schlüssel' || i, 'wért' || i FROM generate_series(1, 3000) i")
        assert found(one(source_db, target)) == {}
        target.sql("UPDATE t SET v = 'wert9' WHERE k = 'schlüssel9'")
        assert found(one(source_db, target)) == {"different": [("schlüssel9", "v")]}
    finally:
        target.drop()
