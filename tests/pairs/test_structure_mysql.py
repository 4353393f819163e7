"""Structure made at MySQL and MariaDB: of the same product, of the other, and of PostgreSQL; what `cdcd plan` says,
what `cdcd run` makes, and what the servers then say of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.fix_daemon import Daemon
from tests.servers import Database
from tests.servers.mysql import MySQL
from tests.servers.mysql_database import MySQLDatabase

OTHER = {"mysql": "mariadb", "mariadb": "mysql"}

WHOLE = (
    "CREATE TABLE p (id int PRIMARY KEY, k varchar(20) COLLATE utf8mb4_bin NOT NULL, UNIQUE (k)) COMMENT 'pa''rent'",
    r"""CREATE TABLE `Sel``ect (1)` (
        id int NOT NULL AUTO_INCREMENT, inv int INVISIBLE DEFAULT 3,
        `a b` varchar(20) CHARACTER SET latin1 DEFAULT 'x,\n''b' COMMENT 'x,(y) ''z'' \\',
        g int GENERATED ALWAYS AS (inv * 2) VIRTUAL, h int AS (inv + 1) STORED,
        j json DEFAULT (json_array(1, 'a,b')), pt point NOT NULL, k varchar(20) COLLATE utf8mb4_bin, u varchar(10),
        bits bit(3) DEFAULT b'101', at datetime(6) DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
        c int CHECK (c > 3), d date DEFAULT '0000-00-00', e enum('it''s', 'ü') CHARACTER SET utf8mb3, s set('a', 'b'),
        PRIMARY KEY (id), KEY inv (inv) COMMENT 'ki, (x)', SPATIAL KEY sp (pt), FULLTEXT KEY ft (`a b`), KEY pre (k(5)),
        UNIQUE KEY uu (u), KEY (h), CONSTRAINT ch CHECK (inv <> 9),
        CONSTRAINT `f REFERENCES k` FOREIGN KEY (k) REFERENCES p (k) ON UPDATE CASCADE ON DELETE SET NULL
    ) ROW_FORMAT=COMPRESSED COMMENT='tab, (le) ''q'' ' AUTO_INCREMENT=77""",
    "CREATE TABLE pp (a int NOT NULL, b varchar(10) NOT NULL, PRIMARY KEY (a, b), KEY b (b))"
    " PARTITION BY LIST COLUMNS (b) (PARTITION p1 VALUES IN ('x', 'y,)('), PARTITION p2 VALUES IN ('z'))",
    "CREATE TABLE gk (a int AUTO_INCREMENT, b int NOT NULL, PRIMARY KEY (b), KEY a (a)) COLLATE utf8mb4_bin",
    "CREATE TABLE nokey (a int NOT NULL, b int, UNIQUE KEY once (a))",
    "INSERT INTO p VALUES (1, 'k'), (2, 'K')",
    "INSERT INTO `Sel``ect (1)` (`a b`, pt, k, u, c) VALUES ('é', ST_GeomFromText('POINT(1 2)'), 'K', 'x', 4)",
    "INSERT INTO pp VALUES (1, 'y,)('), (2, 'z')",
    "INSERT INTO gk VALUES (9, 1)",
    "INSERT INTO nokey VALUES (1, 1)",
)
TABLES = ("p", "Sel`ect (1)", "pp", "gk", "nokey")


def ends(source: MySQLDatabase, target: MySQLDatabase) -> list[str]:
    return ["--from", source.url, "--to", target.target_url, "--name", source.name]


def plan(daemon: Daemon) -> tuple[list[str], dict[tuple[str, str], str]]:
    daemon.wait(0)
    found: dict[str, Any] = json.loads(daemon.output.read_text())["pipelines"][0]
    statements = [one["statement"] for one in found["target"] if one["kind"] != "control"]
    return statements, {(one["kind"], one["name"]): one["brings"] for one in found["not_carried"]}


def said(database: MySQLDatabase) -> dict[str, str]:
    """Each table as its server writes it."""
    texts = {name: database.admin(f"SHOW CREATE TABLE `{name.replace('`', '``')}`")[0][1] for name in TABLES}
    return {name: re.sub(r" AUTO_INCREMENT=\d+| /\*!.*?\*/", "", text) for name, text in texts.items()}


def broken(pipeline: str, target: MySQLDatabase) -> None:
    """As a run leaves it that died in its last steps."""
    target.sql(
        "SET sql_mode = ''", "ALTER TABLE `Sel``ect (1)` DROP FOREIGN KEY `f REFERENCES k`, DROP INDEX ft",
        "ALTER TABLE p DROP INDEX k",
    )  # fmt: skip
    target.admin("UPDATE cdcd.epochs SET finished = 0 WHERE pipeline = %s", pipeline)


@pytest.mark.timeout(240)
def test_the_same_product(
    mysql_db: MySQLDatabase, mysql_server: MySQL, mysql_on: Callable[..., MySQLDatabase], cdcd: Callable[..., Daemon]
) -> None:
    target = mysql_on(mysql_server)
    mysql_db.sql("SET sql_mode = ''", *WHOLE)
    mysql_db.admin("CREATE TRIGGER stamp BEFORE INSERT ON p FOR EACH ROW SET NEW.id = NEW.id")
    mysql_db.admin("CREATE VIEW seen AS SELECT id FROM p")
    args = ends(mysql_db, target)
    planned, left = plan(cdcd("plan", *args, "--json"))
    cdcd("run", *args, "--until", "caught-up").wait(0)
    there = said(mysql_db)
    assert said(target) == there
    assert plan(cdcd("plan", *args, "--json"))[0] == []
    name = mysql_db.name
    assert left.keys() == {
        ("view", f"{name}.seen"), ("triggers", name), ("events", name), ("routines", name), ("grants", "of all users"),
    }  # fmt: skip
    assert all(f"{target.name}`." in text or "DATABASE" in text for text in planned) and len(planned) == 15, planned
    broken(name, target)
    cdcd("run", *args, "--until", "caught-up").wait(0)
    assert said(target) == there


FAR = (
    "CREATE TABLE Parent (id int PRIMARY KEY, k varchar(20) COLLATE utf8mb4_bin NOT NULL, UNIQUE KEY (k)) COMMENT 'pa'",
    """CREATE TABLE child (
        id int NOT NULL AUTO_INCREMENT PRIMARY KEY, v varchar(40) COLLATE {ours} DEFAULT 'COLLATE {ours}',
        w varchar(9) DEFAULT (concat('a', 'b')), x text DEFAULT ('it''s'), inv int INVISIBLE DEFAULT 3,
        g int GENERATED ALWAYS AS (inv * 2) STORED, k varchar(20) COLLATE utf8mb4_bin, c int CHECK (c > 3), KEY v (v),
        KEY unseen (c) {unseen}, {more} CONSTRAINT refers FOREIGN KEY (k) REFERENCES Parent (k) ON DELETE CASCADE
    ) DEFAULT CHARSET=utf8mb4 COLLATE={ours} {options}""",
    "INSERT INTO Parent VALUES (1, 'k'), (2, 'K')",
    "INSERT INTO child (v, k, c) VALUES ('é', 'K', 4)",
)
WORDS = {
    "mysql": {"ours": "utf8mb4_0900_ai_ci", "theirs": "utf8mb4_uca1400_nopad_ai_ci", "unseen": "INVISIBLE",
              "more": "KEY lowered ((lower(k))), CONSTRAINT ch CHECK (c <> 9) NOT ENFORCED,", "options": ""},
    "mariadb": {"ours": "utf8mb4_uca1400_ai_ci", "theirs": "utf8mb4_0900_ai_ci", "unseen": "IGNORED", "more": "",
                "options": "PAGE_CHECKSUM=1"},
}  # fmt: skip
LEFT = {"mysql": {("index", "child.lowered"), ("check", "child.ch")}, "mariadb": set()}

COLUMNS = """
SELECT CONCAT(LOWER(TABLE_NAME), '.', COLUMN_NAME), IS_NULLABLE, COLLATION_NAME,
       COALESCE(COLUMN_DEFAULT, 'NULL') <> 'NULL',
       LOWER(EXTRA) LIKE '%%invisible%%', LOWER(EXTRA) LIKE '%%stored generated%%'
FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME <> 'none' ORDER BY 1"""
KEYS = """
SELECT LOWER(TABLE_NAME), INDEX_NAME, NON_UNIQUE, SEQ_IN_INDEX, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = %s ORDER BY 1, 2, 4"""
REFERRING = """
SELECT CONSTRAINT_NAME, LOWER(TABLE_NAME), LOWER(REFERENCED_TABLE_NAME), DELETE_RULE
FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = %s ORDER BY 1"""


def structure(database: MySQLDatabase) -> list[list[tuple[Any, ...]]]:
    return [list(database.server.execute(query, database.name)) for query in (COLUMNS, KEYS, REFERRING)]


@pytest.mark.failure("TG-15")
@pytest.mark.timeout(240)
def test_the_other_product(
    mysql_db: MySQLDatabase,
    mysql_servers: Callable[..., MySQL],
    mysql_on: Callable[..., MySQLDatabase],
    cdcd: Callable[..., Daemon],
) -> None:
    """Into a server that keeps no case of tables' names. A key under a collation that is not there is an error."""
    product = mysql_db.server.product
    target = mysql_on(mysql_servers(OTHER[product], "lower", **{"lower-case-table-names": 1}))
    words = WORDS[product]
    mysql_db.sql(*(text.format(**words) if "{" in text else text for text in FAR))
    name, args = mysql_db.name, ends(mysql_db, target)
    keyed = f"CREATE TABLE keyed (k varchar(9) COLLATE {words['ours']} PRIMARY KEY)"
    mysql_db.sql(keyed, "CREATE TABLE PARENT (a int)")
    refused = cdcd("check", *args)
    refused.wait(3)
    said = refused.output.read_text() + refused.text()
    assert "MT-COLLATION-KEY" in said and f"{words['ours']}; there: {words['theirs']}" in said and "MT-CASE" in said
    mysql_db.sql("DROP TABLE keyed", "DROP TABLE PARENT")

    _, left = plan(cdcd("plan", *args, "--json"))
    cdcd("run", *args, "--until", "caught-up").wait(0)
    here, there = structure(mysql_db), structure(target)
    unlike = {name for _, name in LEFT[product]}
    assert [row for row in here[1] if f"{row[0]}.{row[1]}" not in unlike] == there[1]
    assert here[2] == there[2] == [("refers", "child", "parent", "CASCADE")]
    moved = {words["ours"]: words["theirs"]}
    assert [(*row[:2], moved.get(row[2], row[2]), *row[3:]) for row in here[0]] == there[0]
    assert {(kind, one.removeprefix(f"{name}.")) for kind, one in left if "child" in one} == LEFT[product]
    assert target.sql("SELECT v, w, x, k, g FROM child") == [("é", "ab", "it's", "K", 6)]
    assert plan(cdcd("plan", *args, "--json"))[0] == []


SHOP = """
CREATE TABLE customers (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email varchar(100) NOT NULL UNIQUE,
    boss int CONSTRAINT refers REFERENCES customers (id),
    code text UNIQUE, born date DEFAULT CURRENT_DATE);
COMMENT ON TABLE customers IS 'they buy';
COMMENT ON COLUMN customers.id IS 'who''s who';
CREATE TYPE mood AS ENUM ('sad', 'it''s ok');
CREATE TABLE orders (
    id bigserial PRIMARY KEY, "order" int NOT NULL DEFAULT 5, customer int CONSTRAINT refers REFERENCES customers (id)
    ON DELETE SET NULL ON UPDATE CASCADE, code text CONSTRAINT coded REFERENCES customers (code), m mood DEFAULT 'sad',
    told varchar(40) DEFAULT 'it''s \\ "so"', note text DEFAULT 'x', doc jsonb DEFAULT '{}', paid bool DEFAULT true,
    total numeric(12,2) DEFAULT -1.50, at timestamptz DEFAULT now(), raw bytea DEFAULT '\\x00ff',
    bits bit(4) DEFAULT B'0101', twice int GENERATED ALWAYS AS ("order" * 2) STORED, x int CHECK (x > 3), big bigint,
    lower text DEFAULT lower('A'), parent bigint CONSTRAINT parent REFERENCES orders (id) DEFERRABLE, wide int
    CONSTRAINT widens REFERENCES customers (id));
ALTER TABLE orders ADD CONSTRAINT unlike FOREIGN KEY (big) REFERENCES customers (id);
CREATE INDEX once ON orders ("order", at DESC);
CREATE INDEX words ON orders (note);
CREATE INDEX lowered ON orders (lower(told));
CREATE INDEX part ON orders (x) WHERE x > 9;
CREATE TABLE "Odd `one" ("a b" int NOT NULL, "select" varchar(20) NOT NULL, v int);
CREATE UNIQUE INDEX odd ON "Odd `one" ("a b", "select");
ALTER TABLE "Odd `one" REPLICA IDENTITY USING INDEX odd;
CREATE VIEW seen AS SELECT id FROM orders;
INSERT INTO customers (email, code) VALUES ('a@b', 'abc');
INSERT INTO orders (customer, code) VALUES (1, 'abc');
INSERT INTO "Odd `one" VALUES (1, 'x', 2);
"""


FILLED = {
    "customers.born", "orders.at", "orders.bits", "orders.doc", "orders.m", "orders.note", "orders.order",
    "orders.paid", "orders.raw", "orders.told", "orders.total",
}  # fmt: skip
"""Columns with a default."""
INDEXED = [
    ("customers", "customers_code_key", 0, "code"), ("customers", "customers_email_key", 0, "email"),
    ("customers", "customers_refers", 1, "boss"), ("customers", "PRIMARY", 0, "id"),
    ("odd `one", "odd", 0, "a b,select"), ("orders", "coded", 1, "code"), ("orders", "once", 1, "order,at D"),
    ("orders", "orders_refers", 1, "customer"), ("orders", "parent", 1, "parent"), ("orders", "PRIMARY", 0, "id"),
    ("orders", "widens", 1, "wide"), ("orders", "words", 1, "note(255)"),
]  # fmt: skip
"""Those of foreign keys by the server itself."""
PARTS = """
SELECT LOWER(TABLE_NAME), INDEX_NAME, NON_UNIQUE, GROUP_CONCAT(CONCAT(COLUMN_NAME, IF(COLLATION = 'D', ' D', ''),
    IF(SUB_PART IS NULL, '', CONCAT('(', SUB_PART, ')'))) ORDER BY SEQ_IN_INDEX) FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = %s GROUP BY 1, 2, 3 ORDER BY 1, 2"""
ACTIONS = """
SELECT CONSTRAINT_NAME, TABLE_NAME, REFERENCED_TABLE_NAME, REPLACE(DELETE_RULE, 'RESTRICT', 'NO ACTION'), UPDATE_RULE
FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = %s ORDER BY 1"""


@pytest.mark.timeout(240)
def test_from_postgresql(
    source_db: Database, mysql_server: MySQL, mysql_on: Callable[..., MySQLDatabase], cdcd: Callable[..., Daemon]
) -> None:
    target, by_hand = mysql_on(mysql_server), mysql_on(mysql_server)
    source_db.sql(SHOP)
    args = ["--from", source_db.url, "--to", target.target_url, "--name", source_db.name]
    planned, left = plan(cdcd("plan", *args, "--json"))
    cdcd("run", *args, "--until", "caught-up").wait(0)
    columns, parts = structure(target)[0], list(mysql_server.execute(PARTS, target.name))
    assert {row[0] for row in columns if row[3]} == FILLED
    assert {row[0] for row in columns if row[1] == "NO"} == {
        "customers.id", "customers.email", "orders.id", "orders.order", "odd `one.a b", "odd `one.select",
    }  # fmt: skip
    assert sorted(parts) == sorted(INDEXED)
    assert [row[:4] for row in mysql_server.execute(ACTIONS, target.name)] == [
        ("coded", "orders", "customers", "NO ACTION"), ("customers_refers", "customers", "customers", "NO ACTION"),
        ("orders_refers", "orders", "customers", "SET NULL"), ("parent", "orders", "orders", "NO ACTION"),
        ("widens", "orders", "customers", "NO ACTION"),
    ]  # fmt: skip
    comments = "SELECT TABLE_COMMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_COMMENT <> ''"
    assert mysql_server.execute(comments, target.name) == [("they buy",)]
    target.sql("INSERT INTO customers (email) VALUES ('c@d')", "INSERT INTO orders (customer) VALUES (2)")
    given = "SELECT id, `order`, m, told, note, doc, paid, total, raw, bits, at IS NOT NULL FROM orders ORDER BY id"
    row = ("sad", 'it\'s \\ "so"', "x", "{}", 1, Decimal("-1.50"), b"\0\xff", b"\x05", 1)
    assert target.sql(given) == [(1, 5, *row), (2, 5, *row)]

    for text in planned:
        by_hand.admin(text.replace(f"`{target.name}`", f"`{by_hand.name}`"))
    assert structure(by_hand) == structure(target)
    assert plan(cdcd("plan", *args, "--json"))[0] == []
    assert {(kind, name.removeprefix("public.")) for kind, name in left} == {
        ("index", "orders.lowered"), ("index", "orders.part"), ("deferrable", "orders.parent"), ("owner", "app"),
        ("check", "orders.orders_x_check"), ("generated column", "orders.twice"), ("default", "orders.lower"),
        ("foreign key", "orders.unlike"), ("view", "seen"),
    }  # fmt: skip
