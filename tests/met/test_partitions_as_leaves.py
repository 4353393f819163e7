"""partitions = "leaves": each partition is a table of its own, so that what is done to one of them is sent."""

import pytest

from tests.met.pair import Pair
from tests.met.test_stops import stopped

TREE = """
CREATE TABLE p (id int, day date, x text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM ('2026-02-01') TO ('2026-03-01') PARTITION BY RANGE (id);
CREATE TABLE p2a PARTITION OF p2 FOR VALUES FROM (0) TO (100);
CREATE TABLE p2b PARTITION OF p2 FOR VALUES FROM (100) TO (1000);
"""
LEAVES = ["public.p1", "public.p2a", "public.p2b"]


@pytest.mark.failure("T-PG-21")
@pytest.mark.parametrize("there", [False, True], ids=["plain tables made", "the same tree at the target"])
def test_a_leaf_is_truncated_detached_and_attached(pair: Pair, there: bool) -> None:
    pair.source.sql(TREE + "CREATE TABLE plain (id int PRIMARY KEY)")
    pair.source.sql("INSERT INTO p SELECT i, '2026-01-20'::date + i % 30, 'x' FROM generate_series(1, 300) i")
    if there:
        pair.target.sql(TREE)
    daemon = pair.follow("--partitions", "leaves", "--table-poll", "0.2")
    pair.source.sql("INSERT INTO p VALUES (500, '2026-01-05', 'new'), (501, '2026-02-05', 'new')")
    pair.source.sql("UPDATE p SET day = '2026-02-20' WHERE id = 500")  # moves to another leaf
    pair.source.sql("TRUNCATE p2a; INSERT INTO p VALUES (7, '2026-02-07', 'after')")
    pair.wait_equal(*LEAVES, "public.plain")
    pair.source.sql("ALTER TABLE p DETACH PARTITION p1; INSERT INTO p1 VALUES (900, '2026-01-09', 'alone')")
    pair.wait_equal(*LEAVES)
    pair.source.sql("ALTER TABLE p ATTACH PARTITION p1 FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')")
    pair.source.sql("CREATE TABLE p3 PARTITION OF p FOR VALUES FROM ('2026-03-01') TO ('2026-04-01')")
    pair.source.sql("INSERT INTO p VALUES (1, '2026-03-03', 'x'), (902, '2026-01-09', 'back')")
    pair.wait_equal(*LEAVES, "public.p3")
    daemon.stop()
    again = pair.run("--partitions", "leaves")
    pair.equal(*LEAVES, "public.p3")
    assert not again.said("trying again")


def test_a_pipeline_does_not_change_from_one_to_the_other(pair: Pair) -> None:
    pair.source.sql(TREE)
    pair.run()
    stopped(pair.run("--partitions", "leaves", code=6), "public.p: carried by this pipeline as a whole before")


@pytest.mark.failure("PG-09")
def test_a_publication_by_hand_for_either(pair: Pair) -> None:
    """With the root in it and its option set, leaves are not sent under their own names; without, they are."""
    pair.source.sql(TREE)
    pair.source.admin("CREATE PUBLICATION mine FOR TABLE p WITH (publish_via_partition_root = true)")
    ends = ("--publication", "mine")
    pair.command("check", *ends)
    told = pair.cdcd("check", *pair.ends, *ends, "--partitions", "leaves", "--json")
    told.wait(3)
    (error,) = (f for f in told.json()["pipelines"][0]["findings"] if f["level"] == "error")
    assert error["id"] == "PG-PUBLICATION-ROOT"
    pair.source.admin(error["mend"])
    pair.command("check", *ends, "--partitions", "leaves")
    pair.command("check", *ends, code=3)
