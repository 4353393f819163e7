"""All that tables need comes with them: a schema that holds one of everything, told by the catalogues of both ends."""

from collections.abc import Callable

import pytest

from tests.fix_daemon import Daemon
from tests.met.catalogue import EVERYTHING, TABLES, catalogue
from tests.met.pair import Pair


@pytest.fixture(params=["18to18", "15to15", "15to18"])
def between(request: pytest.FixtureRequest, cdcd: Callable[..., Daemon]) -> Pair:
    ends = {"18to18": ("source_db", "target_db"), "15to15": ("source_db15", "target_db15"),
            "15to18": ("source_db15", "target_db")}[request.param]  # fmt: skip
    source, target = (request.getfixturevalue(end) for end in ends)
    return Pair(source, target, cdcd)


def same(pair: Pair, but: str = "nothing") -> None:
    """`but`: lines that hold this are not compared."""
    constraints = "pucxf" + "n" * (pair.source.server.major >= 18)
    source, target = (
        [line for line in catalogue(end, constraints) if but not in line] for end in (pair.source, pair.target)
    )
    assert set(source) - set(target) == set(), "missing at the target"
    assert set(target) - set(source) == set(), "not at the source"


@pytest.mark.failure("T-DB-2")
def test_a_copy_holds_the_same_objects(between: Pair) -> None:
    """`--load only` ends with the hand-over."""
    between.source.sql(EVERYTHING)
    between.run("--load", "only")
    between.equal(*TABLES)
    same(between)
    row = "INSERT INTO parent (code) VALUES ('next') RETURNING id"
    assert between.target.sql(row) == between.source.sql(row)


def test_what_followed_holds_them_after_the_cut_over(pair: Pair) -> None:
    """All but the tree of partitions."""
    pair.source.sql(EVERYTHING)
    daemon = pair.follow()
    pair.source.sql("INSERT INTO parent (code) VALUES ('more'); UPDATE parts SET v = v + 1000")
    pair.command("cutover", "--fenced")
    pair.equal(*TABLES)
    same(pair, but="parts")
    row = "INSERT INTO parent (code) VALUES ('next') RETURNING id"
    assert pair.target.sql(row) == pair.source.sql(row)
    daemon.stop()
