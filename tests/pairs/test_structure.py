"""Structure made at a target of another product: what `cdcd plan` says, what `cdcd run` makes, and what the server then
says of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.fix_daemon import Daemon
from tests.servers import Database, Server
from tests.servers.mysql_database import MySQLDatabase

LONG = "a_name_that_is_as_long_as_the_server_of_the_source_lets_it_be_64"

SHOP = (
    """CREATE TABLE customers (
        id int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY COMMENT 'who''s who', email varchar(100) NOT NULL,
        code char(3) CHARACTER SET ascii NOT NULL, UNIQUE KEY once (email), UNIQUE KEY code (code)
    ) COMMENT 'they buy'""",
    f"""CREATE TABLE orders (
        id bigint unsigned NOT NULL AUTO_INCREMENT, `order` int NOT NULL DEFAULT 5, customer int unsigned,
        state enum('new', 'it''s paid') NOT NULL DEFAULT 'new', note text, total decimal(12,2) DEFAULT -1.50,
        flags bit(4) DEFAULT b'101', made datetime(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), code char(3) CHARACTER SET
        ascii, changed timestamp NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
        told varchar(40) DEFAULT 'it''s \\\\ "so"', due time DEFAULT '10:00:00',
        born date DEFAULT '0000-00-00', twice int GENERATED ALWAYS AS (`order` * 2) STORED, x int CHECK (x > 3),
        parent bigint unsigned,
        PRIMARY KEY (id), KEY once (`order` , made), KEY start (note(10)), KEY {LONG} (total),
        FULLTEXT KEY words (note), KEY twice (twice), KEY same (total),
        CONSTRAINT buyer FOREIGN KEY (customer) REFERENCES customers (id) ON DELETE SET NULL ON UPDATE CASCADE,
        CONSTRAINT by_code FOREIGN KEY (code) REFERENCES customers (code),
        CONSTRAINT parent FOREIGN KEY (parent) REFERENCES orders (id) ON DELETE CASCADE)""",
    "CREATE TABLE `Odd \"``one` (`a b` int NOT NULL, `select` varchar(20) NOT NULL, v int, UNIQUE (`a b`, `select`))",
    "CREATE TABLE parts (id int, at date, PRIMARY KEY (id, at)) PARTITION BY HASH (id) PARTITIONS 2",
    "INSERT INTO customers (id, email, code) VALUES (4000000000, 'a@b', 'abc'), (7, 'c@d', 'xyz')",
    "INSERT INTO orders (id, customer, born, code) VALUES (1844674407370955, 4000000000, '2020-01-01', 'abc')",
    "INSERT INTO orders (customer, born, parent, code, x) VALUES (7, NULL, 1844674407370955, 'xyz', 4)",
    "INSERT INTO `Odd \"``one` VALUES (1, 'x', 2)",
    "CREATE VIEW seen AS SELECT id FROM orders",
)  # fmt: skip

COLUMNS = """
SELECT c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity::text,
       pg_get_expr(d.adbin, d.adrelid)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = attnum
WHERE c.relnamespace = 'shop'::regnamespace AND c.relkind IN ('r', 'p') AND attnum > 0 ORDER BY c.relname, attnum
"""
INDEXES = """
SELECT pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE relnamespace = 'shop'::regnamespace ORDER BY 1
"""
KEYS = """
SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'shop'::regnamespace AND contype = 'f' ORDER BY 1
"""


MADE = {
    "parts.id": ("integer", True, "", None),
    "parts.at": ("date", True, "", None),
    'Odd "`one.a b': ("integer", True, "", None),
    'Odd "`one.select': ("character varying(20)", True, "", None),
    'Odd "`one.v': ("integer", False, "", None),
    "customers.id": ("bigint", True, "d", None),
    "customers.email": ("character varying(100)", True, "", None),
    "customers.code": ("character(3)", True, "", None),
    "orders.id": ("numeric(20,0)", True, "", "nextval('shop.orders_id_seq'::regclass)"),
    "orders.order": ("integer", True, "", "5"),
    "orders.customer": ("bigint", False, "", None),
    "orders.state": ("text", True, "", "'new'::text"),
    "orders.note": ("text", False, "", None),
    "orders.total": ("numeric(12,2)", False, "", "'-1.50'::numeric"),
    "orders.flags": ("bit(4)", False, "", "'0101'::\"bit\""),
    "orders.made": ("timestamp(3) without time zone", True, "", "CURRENT_TIMESTAMP"),
    "orders.code": ("character(3)", False, "", None),
    "orders.changed": ("timestamp(0) with time zone", False, "", "CURRENT_TIMESTAMP"),
    "orders.told": ("character varying(40)", False, "", "'it''s \\ \"so\"'::character varying"),
    "orders.due": ("interval(0)", False, "", "'10:00:00'::interval(0)"),
    "orders.born": ("date", False, "", None),
    "orders.x": ("integer", False, "", None),
    "orders.parent": ("numeric(20,0)", False, "", None),
}
INDEXED = {
    'CREATE UNIQUE INDEX "a b" ON shop."Odd ""`one" USING btree ("a b", "select")',
    "CREATE UNIQUE INDEX parts_pkey ON shop.parts USING btree (id, at)",
    "CREATE UNIQUE INDEX customers_pkey ON shop.customers USING btree (id)",
    "CREATE UNIQUE INDEX customers_once ON shop.customers USING btree (email)",
    "CREATE UNIQUE INDEX code ON shop.customers USING btree (code)",
    "CREATE UNIQUE INDEX orders_pkey ON shop.orders USING btree (id)",
    'CREATE INDEX orders_once ON shop.orders USING btree ("order", made)',
    "CREATE INDEX a_name_that_is_as_long_as_the_server_of_the_source_let_DIGEST ON shop.orders USING btree (total)",
    "CREATE INDEX buyer ON shop.orders USING btree (customer)",
    "CREATE INDEX by_code ON shop.orders USING btree (code)",
    "CREATE INDEX parent ON shop.orders USING btree (parent)",
}
REFERRING = {
    "buyer": "FOREIGN KEY (customer) REFERENCES shop.customers(id) ON UPDATE CASCADE ON DELETE SET NULL",
    "by_code": "FOREIGN KEY (code) REFERENCES shop.customers(code) NOT VALID",
    "parent": "FOREIGN KEY (parent) REFERENCES shop.orders(id) ON DELETE CASCADE",
}


DIGEST = "CREATE INDEX a_name_that_is_as_long_as_the_server_of_the_source_let_"


def said(source: MySQLDatabase, target: Database) -> tuple[dict[str, Any], set[str], dict[str, str]]:
    """What the target's catalogue says."""

    def neutral(text: str) -> str:
        text = text.replace(source.name, "shop")
        return re.sub(f"({DIGEST})[0-9a-f]{{8}}", r"\1DIGEST", text)

    columns = {
        row[0]: (*row[1:4], row[4] and neutral(row[4])) for row in target.sql(COLUMNS.replace("shop", source.name))
    }
    indexes = {neutral(row[0]) for row in target.sql(INDEXES.replace("shop", source.name))}
    return columns, indexes, {name: neutral(text) for name, text in target.sql(KEYS.replace("shop", source.name))}


def plan(daemon: Daemon) -> dict[str, Any]:
    daemon.wait(0)
    found: dict[str, Any] = json.loads(daemon.output.read_text())["pipelines"][0]
    return found


@pytest.mark.timeout(240)
def test_mysql_to_postgresql(
    mysql_db: MySQLDatabase,
    target_db: Database,
    target_on: Callable[..., Database],
    target_server: Server,
    cdcd: Callable[..., Daemon],
) -> None:
    """What `plan` prints makes, run by hand, what `run` makes; and a run that died in its last steps makes the rest."""
    mysql_db.sql("SET sql_mode = ''", *SHOP)
    mysql_db.admin("CREATE TRIGGER stamp BEFORE INSERT ON orders FOR EACH ROW SET NEW.note = COALESCE(NEW.note, 'new')")
    ends = ["--from", mysql_db.url, "--to", target_db.url, "--name", mysql_db.name]
    planned = plan(cdcd("plan", *ends, "--json"))
    cdcd("run", *ends, "--until", "caught-up").wait(0)
    made = said(mysql_db, target_db)
    for found, wanted in zip(made, (MADE, INDEXED, REFERRING), strict=True):
        assert found == wanted
    asked = "SELECT obj_description(o), col_description(o, 1) FROM (SELECT 'shop.customers'::regclass AS o) x"
    assert target_db.sql(asked.replace("shop", mysql_db.name)) == [("they buy", "who's who")]

    by_hand = target_on(target_server)
    by_hand.sql(";".join(one["statement"] for one in planned["target"] if one["kind"] != "control"))
    assert said(mysql_db, by_hand) == made
    again = plan(cdcd("plan", *ends, "--json"))
    assert [one for one in again["target"] if one["kind"] != "control"] == []
    prefix = f"{mysql_db.name}."
    left = {(one["kind"], one["name"].removeprefix(prefix)): one["brings"] for one in planned["not_carried"]}
    check = {"mysql": "orders.orders_chk_1", "mariadb": "orders.x"}[mysql_db.server.product]
    assert left.keys() == {
        ("index", "orders.start"), ("index", "orders.words"), ("index", "orders.twice"), ("validity", "orders.by_code"),
        ("default", "orders.born"), ("generated column", "orders.twice"), ("on update", "orders.changed"),
        ("check", check), ("partitions", "parts"), ("view", "seen"), ("triggers", mysql_db.name),
        ("events", mysql_db.name), ("routines", mysql_db.name),
    }  # fmt: skip
    assert all(left.values())

    target_db.sql(
        f"ALTER TABLE {mysql_db.name}.orders DROP CONSTRAINT parent; DROP INDEX {mysql_db.name}.customers_once;"
        f"UPDATE cdcd.epochs SET finished = false WHERE pipeline = '{mysql_db.name}'"
    )
    cdcd("run", *ends, "--until", "caught-up").wait(0)
    assert said(mysql_db, target_db) == made
