"""docs/copies.md: copies for development and tests, and what is refused there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.equality import assert_equal
from tests.fix_daemon import Daemon
from tests.met.pair import Pair
from tests.met.test_stops import stopped
from tests.pages.page import Page
from tests.servers import Database
from tests.servers.proxy import Direction, Proxy

SHOP = """
CREATE TABLE customers (id int PRIMARY KEY, name text, email varchar(60) UNIQUE);
CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers, created date);
CREATE TABLE order_lines (order_id int REFERENCES orders, n int, PRIMARY KEY (order_id, n));
CREATE TABLE audit (id int PRIMARY KEY);
INSERT INTO customers SELECT i, 'name ' || i, 'c' || i || '@real.example' FROM generate_series(1, 50) i;
INSERT INTO orders SELECT i, i % 50 + 1, date '2025-12-01' + i % 60 FROM generate_series(1, 300) i;
INSERT INTO order_lines SELECT o.id, n FROM orders o, generate_series(1, 3) n
"""
TABLES = ["public.customers", "public.orders", "public.order_lines"]


def here(database: Database) -> str:
    return f"@{database.server.host}:{database.server.port}/{database.name}"


@pytest.mark.timeout(180)
def test_the_page(source_db: Database, target_db: Database, tmp_path: Path) -> None:
    page = Page("copies.md", tmp_path, {"@db1/shop": here(source_db), "@dev1/shop": here(target_db)})
    source_db.sql(SHOP)
    page.run()
    assert_equal(source_db, target_db, TABLES)
    assert target_db.sql("SELECT to_regclass('audit')") == [(None,)]
    source_db.sql("DELETE FROM order_lines WHERE n = 3")
    page.run()
    assert_equal(source_db, target_db, TABLES)

    page.write("dev.toml")
    page.run()
    kept = "SELECT count(*), min(created)::text FROM orders WHERE created >= '2026-01-01'"
    assert target_db.sql("SELECT count(*), min(created)::text FROM orders") == source_db.sql(kept)
    lines = target_db.sql("SELECT count(DISTINCT order_id) FROM order_lines")
    assert lines == target_db.sql("SELECT count(*) FROM orders")
    masked = "SELECT count(*) FROM customers WHERE name = 'customer ' || id AND email ~ '^[0-9a-f]{32}@example.com$'"
    assert target_db.sql(masked) == [(50,)]
    assert source_db.server.slots(source_db.name) == []
    assert target_db.admin("SELECT count(*) FROM cdcd.epochs") == [(0,)]
    assert len(page) == 0


@pytest.fixture
def shop(source_db: Database, target_db: Database, cdcd: Callable[..., Daemon]) -> Pair:
    source_db.sql(SHOP)
    return Pair(source_db, target_db, cdcd)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--where", "public.order: true"], ["[TABLE-PARTIAL]", "where names public.order,"]),
        (["--mask", "public.customers.mail: 'x'"], ["[TABLE-PARTIAL]", "mask names public.customers.mail,"]),
        (["--where", "public.orders: id IN (SELECT id FROM orders)"], ["[PG-WHERE]", "does not exist"]),
        (["--mask", "public.customers.id: 'x' -- and more"], ["[PG-MASK]", "invalid input syntax"]),
    ],
)
def test_what_the_source_does_not_know_or_understand(shop: Pair, words: list[str], said: list[str]) -> None:
    stopped(shop.run("--load", "only", *words, code=3), *said)
    assert shop.slots() == []


def test_only_without_a_stream(shop: Pair) -> None:
    stopped(shop.run("--where", "public.orders: true", code=2), "where and mask need load = 'only'")
    stopped(shop.run("--load", "only", "--where", "public.orders", code=2), "not one NAME: SQL")


def test_a_foreign_key_to_rows_left_out(shop: Pair) -> None:
    daemon = shop.run("--load", "only", "--where", "public.orders: id > 10", code=6)
    stopped(daemon, "order_lines")


@pytest.mark.parametrize("again", [["--load", "only", "--where", "public.orders: id > 10"], ["--load", "only"], []])
def test_a_copy_broken_off_is_not_gone_on_with(shop: Pair, target_proxy: Proxy, again: list[str]) -> None:
    """Whoever asks: what is at the target already is not what the source holds."""
    held = target_proxy.hold(Direction.TO_SERVER, lambda message: "UPDATE cdcd.chunks" in (message.sql or ""))
    through = shop.over(target=target_proxy.url(shop.target.url))
    words = ["--load", "only", "--tables", "public.orders,public.customers", "--where", "public.orders: id > 10"]
    daemon = through.cdcd("run", *through.ends, *words)
    held.wait()
    daemon.kill()
    target_proxy.cut()
    target_proxy.clear()
    again = [*again, "--tables", "public.orders,public.customers"]
    stopped(shop.run(*again, code=6), "was broken off", "cdcd drop", "--target-tables truncate")
    shop.command("drop", "--yes", "--force")
    shop.run(*words, "--target-tables", "truncate")
    assert shop.target.sql("SELECT count(*) FROM orders") == [(290,)]
