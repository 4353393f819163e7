"""Names: quoted, reserved, non-ASCII, 63 bytes long; of tables, columns, pipelines; patterns; partitions by root."""

import pytest

from tests.met.pair import Pair
from tests.servers.database import make_source

LONG = "é" * 30 + "xy"
"""62 bytes, so that one more makes the longest."""

ODD = f"""
CREATE SCHEMA "Süd, ""West"" %s"; CREATE SCHEMA "select"; CREATE SCHEMA "a.b";
CREATE TABLE "Order" ("Id" int PRIMARY KEY, "select" text);
CREATE TABLE "order" ("order" int PRIMARY KEY, "SELECT" text);
CREATE TABLE "select"."from" (id int PRIMARY KEY, "where" text);
CREATE TABLE "Süd, ""West"" %s"."t 'x' \\ 1" ("k ""q"".'" int PRIMARY KEY, "名前 👨‍👩‍👧 $1 {{}}" text);
CREATE TABLE "{LONG}a" (id int PRIMARY KEY, x text); CREATE TABLE "{LONG}b" (id int PRIMARY KEY, "{LONG}z" text);
CREATE TABLE "a.b"."c d" (id int PRIMARY KEY, x text);
"""
ODD_TABLES = [
    "Order", "order", "select.from", "Süd, \"West\" %s.t 'x' \\ 1", f"{LONG}a", f"{LONG}b", "a.b.c d",
]  # fmt: skip


def quoted(name: str) -> str:
    schema, _, table = name.rpartition(".")
    return ".".join('"' + part.replace('"', '""') + '"' for part in (schema or "public", table))


@pytest.mark.failure("TG-15")
def test_odd_names(pair: Pair) -> None:
    pair.source.sql(ODD)
    for table in ODD_TABLES:
        pair.source.sql(f"INSERT INTO {quoted(table)} SELECT i, 'copied' FROM generate_series(1, 9) i")
    daemon = pair.follow()
    for table in ODD_TABLES:
        pair.source.sql(f"INSERT INTO {quoted(table)} VALUES (10, 'streamed')")
        pair.source.sql(f"DELETE FROM {quoted(table)} t WHERE t::text LIKE '(1,%'")
    pair.wait_equal(*ODD_TABLES)
    daemon.stop()
    daemon = pair.cdcd("reload", "public.Order", *pair.ends)
    daemon.wait(0)
    pair.run()
    pair.equal(*ODD_TABLES)


def test_two_tables_of_one_name(pair: Pair) -> None:
    """A dot in a schema's name and one in a table's: told apart by nothing we write, so neither is taken."""
    pair.source.sql('CREATE SCHEMA a; CREATE SCHEMA "a.b"; CREATE TABLE a."b.c" (id int PRIMARY KEY)')
    pair.source.sql('CREATE TABLE "a.b".c (id int PRIMARY KEY)')
    refused = pair.run(code=2)
    assert refused.said("two tables are called a.b.c") and refused.said("rename one of the two")
    assert pair.slots() == []


def test_names_of_pipelines(pair: Pair) -> None:
    """The source's database, as it is; one that makes no slot name is refused, and --name asked for."""
    pair.source.sql("CREATE TABLE t (id int PRIMARY KEY)")
    daemon = pair.cdcd("run", "--from", pair.source.url, "--to", pair.target.url, "--until", "caught-up")
    daemon.wait(0)
    assert pair.slots() == [f"cdcd_{pair.source.name}"]
    assert pair.source.sql("SELECT pubname FROM pg_publication") == [(f"cdcd_{pair.source.name}",)]
    odd = make_source(pair.source.server, pair.source.name + "-É")
    try:
        odd.sql("CREATE TABLE odd (id int PRIMARY KEY)")
        daemon = pair.cdcd("run", "--from", odd.url, "--to", pair.target.url, "--until", "caught-up")
        daemon.wait(2)
        assert daemon.said("--name") and daemon.said("a-z, 0-9 and _")
        other = Pair(odd, pair.target, pair.cdcd)
        daemon = pair.cdcd("run", *other.ends[:4], "--name", "Bad-Name", "--until", "caught-up")
        daemon.wait(2)
        assert daemon.said("a-z, 0-9 and _")
        assert pair.source.server.slots(odd.name) == []
        daemon = pair.cdcd("run", *other.ends[:4], "--name", "odd_one", "--until", "caught-up")
        daemon.wait(0)
        assert pair.source.server.slots(odd.name) == ["cdcd_odd_one"]
    finally:
        odd.drop()


def test_patterns(pair: Pair) -> None:
    """What is not selected is not made, not published, and never applied."""
    pair.source.sql(
        "CREATE SCHEMA sales; CREATE TABLE sales.order_1 (id int PRIMARY KEY); CREATE TABLE sales.log (id int);"
        "CREATE TABLE sales.order_12 (id int PRIMARY KEY); CREATE TABLE t (id int PRIMARY KEY)"
    )
    chosen = ["--tables", "sales.*,!sales.log", "--tables", "!sales.order_??"]
    daemon = pair.follow(*chosen)
    pair.source.sql("INSERT INTO t VALUES (1); INSERT INTO sales.log VALUES (1); INSERT INTO sales.order_12 VALUES (1)")
    pair.source.sql("UPDATE sales.log SET id = 2; INSERT INTO sales.order_1 VALUES (1)")
    pair.wait_equal("sales.order_1")
    daemon.stop()
    made = "SELECT tablename FROM pg_tables WHERE schemaname IN ('public', 'sales')"
    assert pair.target.sql(made) == [("order_1",)]
    daemon = pair.run("--tables", "public.*", code=6)
    assert daemon.said("not selected any more") and daemon.said("sales.order_1")
    daemon = pair.run("--tables", "nowhere", code=2)
    assert daemon.said("is not a table pattern")


PARTED = """
CREATE TABLE p (id int, d date, x text, PRIMARY KEY (id, d)) PARTITION BY RANGE (d);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM ('2025-01-01') TO ('2026-01-01') PARTITION BY LIST (id);
CREATE TABLE p2a PARTITION OF p2 FOR VALUES IN (1, 2); CREATE TABLE p2b PARTITION OF p2 DEFAULT;
INSERT INTO p SELECT i, '2024-06-01'::date + i, 'x' FROM generate_series(1, 400) i
"""


def test_partitions_by_root(pair: Pair) -> None:
    """One plain table at the target; rows that move between leaves, a new leaf, and TRUNCATE of the root."""
    pair.source.sql(PARTED)
    daemon = pair.follow()
    pair.source.sql("UPDATE p SET d = d + 200 WHERE id < 100; DELETE FROM p WHERE id % 7 = 0")
    pair.source.sql("CREATE TABLE p3 PARTITION OF p FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')")
    pair.source.sql("INSERT INTO p VALUES (1, '2026-05-05', 'new leaf')")
    pair.wait_equal("public.p")
    pair.source.sql("TRUNCATE p; INSERT INTO p VALUES (2, '2025-01-01', 'after')")
    pair.wait_equal("public.p")
    assert pair.target.sql("SELECT relkind FROM pg_class WHERE relname IN ('p', 'p1', 'p3')") == [("r",)]
    daemon.stop()


def test_publication_and_slot_given_by_hand(pair: Pair) -> None:
    """Taken as they are, checked before; the publication is never altered: not for tables that come later, not by
    `drop`."""
    pair.source.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY)")
    mine = ["--publication", "My publication", "--slot", f"mine_{pair.name}"]
    refused = pair.run(*mine, code=3)
    assert refused.said("[PG-PUBLICATION] the publication does not exist")
    pair.source.admin('CREATE PUBLICATION "My publication" FOR TABLE t')
    refused = pair.run(*mine, code=3)
    assert refused.said("does not carry public.u") and refused.said("ADD TABLE")
    assert pair.slots() == []
    of_it = "SELECT p.xmin::text, p.*, r.xmin::text, r.* FROM pg_publication p JOIN pg_publication_rel r ON true"
    before = pair.source.sql(of_it)
    daemon = pair.follow(*mine, "--tables", "!public.u", "--table-poll", "0.2")
    pair.source.sql("INSERT INTO t VALUES (1); CREATE TABLE later (id int PRIMARY KEY)")
    daemon.wait_said("does not carry public.later")
    pair.wait_equal("public.t")
    daemon.stop()
    pair.command("reload", "public.t")
    pair.run(*mine, "--tables", "!public.u")
    assert pair.slots() == [f"mine_{pair.name}"]
    pair.command("drop", "--yes")
    assert pair.slots() == [], "we made it"
    assert pair.source.sql(of_it) == before
