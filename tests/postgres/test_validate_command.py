"""`cdcd validate` as a person types it: exit codes, text and JSON."""

from collections.abc import Callable
from contextlib import closing

import pytest

from tests.fix_daemon import Daemon
from tests.servers.database import Database
from tests.waiting import wait_until

Cdcd = Callable[..., Daemon]


@pytest.fixture
def ends(source_db: Database, target_db: Database) -> list[str]:
    for database in (source_db, target_db):
        database.sql("CREATE TABLE orders (id int PRIMARY KEY, note text); CREATE TABLE log (line text)")
        database.sql("INSERT INTO orders SELECT i, 'täglich' FROM generate_series(1, 3000) i")
        database.sql("INSERT INTO log SELECT 'line ' || i % 9 FROM generate_series(1, 100) i")
    return ["--from", source_db.url, "--to", target_db.url]


def test_equal_ends(ends: list[str], run_cdcd: Cdcd) -> None:
    shown = run_cdcd("validate", *ends).output.read_text().splitlines()
    assert shown[0].endswith(": 2 tables")
    assert [line.split() for line in shown[1:]] == [
        ["table", "rows", "missing", "extra", "different", "unsettled"],
        ["public.log", "100", *"····"],
        ["public.orders", "3,000", *"····"],
    ]


def test_differences(ends: list[str], run_cdcd: Cdcd, target_db: Database) -> None:
    target_db.sql("UPDATE orders SET note = 'taeglich' WHERE id = 12; DELETE FROM log WHERE line = 'line 3'")
    done = run_cdcd("validate", *ends, code=5)
    shown = done.output.read_text()
    assert "public.orders, different:\n  {\"id\": 12} in note\n" in shown
    assert "(11 rows)" in shown and "täglich" not in shown
    assert "2 tables: public.log, public.orders" in done.text()
    told = run_cdcd("validate", *ends, "--json", "--values", "--tables", "public.o*", code=5).json()
    [pipeline] = told["pipelines"]
    [table] = pipeline["tables"]
    assert (told["version"], pipeline["followed"], table["different"]) == (1, False, 1)
    assert table["keys"]["different"] == [
        {"key": {"id": 12}, "columns": ["note"], "source": {"note": "täglich"}, "target": {"note": "taeglich"}}
    ]


def test_what_cannot_be_compared(ends: list[str], run_cdcd: Cdcd) -> None:
    assert "no table is selected" in run_cdcd("validate", *ends, "--tables", "nothing.*", code=2).text()
    away = [*ends[:2], "--to", "postgresql://u@127.0.0.1:1/d"]
    run_cdcd("validate", *away, code=4)
    assert "cannot be used" in run_cdcd("validate", *ends[:2], "--to", "jsonlines://stdout", code=2).text()


@pytest.mark.parametrize("held", ["source_db", "target_db"])
def test_it_stops_when_told_to(ends: list[str], cdcd: Cdcd, request: pytest.FixtureRequest, held: str) -> None:
    database: Database = request.getfixturevalue(held)
    with closing(database.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        running = cdcd("validate", *ends, "--tables", "public.orders")
        blocked = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'cdcd/%' AND wait_event_type = 'Lock'"
        wait_until(lambda: database.admin(blocked), what="validate to wait for the lock")
        running.process.terminate()
        assert "stopped before everything was compared" in running.wait(1, limit=10)
