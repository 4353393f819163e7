"""Under their root's name, TRUNCATE of a partition, ATTACH and DETACH send no message: seen by a look at the catalogue,
and the table is read again; a partition that is made as one costs nothing."""

import pytest

from tests.met.pair import Pair
from tests.waiting import wait_until

P = """
CREATE TABLE p (id int NOT NULL, day date NOT NULL, x text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
INSERT INTO p SELECT i, '2026-01-20'::date + i % 30, 'x' FROM generate_series(1, 300) i;
"""
LATER = "FOR VALUES FROM ('2026-03-01') TO ('2026-04-01')"
FILLED = "CREATE TABLE p3 (LIKE p INCLUDING ALL); INSERT INTO p3 VALUES (1, '2026-03-03', 'in it before');"
UNSEEN = {
    "truncated": "TRUNCATE p1",
    "detached": "ALTER TABLE p DETACH PARTITION p2",
    "dropped": "DROP TABLE p2",
    "attached": f"{FILLED} | ALTER TABLE p ATTACH PARTITION p3 {LATER}",
    "made, filled and attached at once": f"BEGIN; {FILLED} ALTER TABLE p ATTACH PARTITION p3 {LATER}; COMMIT",
    "made as one and truncated": f"CREATE TABLE p3 PARTITION OF p {LATER} | "
    "INSERT INTO p VALUES (1, '2026-03-03', 'gone') | TRUNCATE p3",
}
QUICK = ("--table-poll", "0.2")
AGAIN = "came, went or were emptied without a message"


@pytest.mark.failure("T-PG-21", "PG-09")
@pytest.mark.parametrize(
    ("change", "away"),
    [("truncated", True), *((change, number % 2 == 1) for number, change in enumerate(UNSEEN))],
)
def test_the_table_is_read_again(pair: Pair, change: str, away: bool) -> None:
    pair.source.sql(P)
    daemon = pair.follow("--tables", "public.p", *QUICK)
    daemon.wait_said("consistent")
    if away:
        daemon.stop()
    for statements in UNSEEN[change].split(" | "):
        pair.source.sql(statements)
    pair.source.sql("INSERT INTO p VALUES (900, '2026-01-05', 'after')")
    if away:
        if change == "truncated":  # keys that the target still has: a conflict, were they applied first
            pair.source.sql("INSERT INTO p SELECT i, '2026-01-21', 'again' FROM generate_series(1, 300, 30) i")
        daemon = pair.follow("--tables", "public.p", *QUICK)
    daemon.wait_said(AGAIN)
    pair.wait_equal("public.p")
    wait_until(lambda: pair.target.sql("SELECT 1 FROM cdcd.requests WHERE done IS NULL") == [], what="the wish")
    daemon.stop()
    assert daemon.text().count(AGAIN) == 1
    assert not daemon.said("trying again"), daemon.text()


@pytest.mark.failure("T-PG-21", "PG-09")
def test_partitions_that_are_made_as_such_cost_nothing(pair: Pair) -> None:
    """Also with defaults and constraints, also while it does not run, and then they are known as all others.
    Nor do rows that move from one to another."""
    pair.source.sql(P)
    daemon = pair.follow("--tables", "public.p", *QUICK)
    daemon.wait_said("consistent")
    pair.source.sql(f"CREATE TABLE p3 PARTITION OF p (x DEFAULT 'y', CHECK (id > 0)) {LATER}")
    pair.source.sql("INSERT INTO p (id, day) VALUES (1, '2026-03-03'); UPDATE p SET day = day + 30 WHERE id % 10 = 3")
    leaves = "SELECT jsonb_array_length(definition -> 'leaves') FROM cdcd.tables"
    wait_until(lambda: pair.target.sql(leaves) == [(3,)], what="the new partition to be noted")
    daemon.stop()
    pair.source.sql("CREATE TABLE p4 PARTITION OF p FOR VALUES FROM ('2026-04-01') TO ('2026-05-01')")
    pair.source.sql("INSERT INTO p VALUES (1, '2026-04-03', 'z')")
    daemon = pair.follow("--tables", "public.p", *QUICK)
    pair.wait_equal("public.p")
    assert not daemon.said(AGAIN)
    pair.source.sql("TRUNCATE p3, p4")
    daemon.wait_said(AGAIN)
    pair.wait_equal("public.p")
    daemon.stop()
