"""`cdcd retry` at MySQL and MariaDB: recorded changes are made once what was in the way is mended, and no later change
is undone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.crash.following import Cdcd
from tests.mysql.into import KINDS, Into, assert_same, mend, refuse
from tests.operations.begun import CHANGES, SKIP
from tests.servers import Database
from tests.servers.mysql import MySQL
from tests.servers.mysql_database import MySQLDatabase
from tests.servers.proxy import Direction, Proxy
from tests.waiting import wait_until

ALL = ("t", "other", "keyless")


@pytest.fixture(params=["mysql", "mariadb"])
def target(
    request: pytest.FixtureRequest, mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase]
) -> MySQLDatabase:
    return mysql_on(mysql_servers(request.param, "target"))


@pytest.mark.failure("OP-03", "T-PO-7")
@pytest.mark.timeout(120)
def test_what_was_refused_is_made_when_the_target_takes_it(
    source_db: Database, target: MySQLDatabase, cdcd: Cdcd
) -> None:
    """Inserts, updates, changes of key, deletes and rows without a key, of one row as its net change; what still fails
    stays with its new error. Values that are no UTF-8 there too. Then nothing differs, and nothing is made twice."""
    pipeline = Into(source_db, target, cdcd)
    source_db.sql(KINDS)
    source_db.sql(
        "INSERT INTO t SELECT i, i, 'n' || i, '\\x00ff5c27', '2024-01-01 00:00:00.25+00' FROM generate_series(1, 9) i;"
        "INSERT INTO keyless VALUES (1, 'x', '\\x00'), (1, 'x', '\\x00')"
    )
    assert "never started" in pipeline.cdcd("retry", *pipeline.ends()).wait(6)
    pipeline.run()
    assert pipeline.retry()["changes"] == []
    refuse(target, ("t", "n"), ("keyless", "a"))
    target.sql("ALTER TABLE t MODIFY name varchar(8) CHARACTER SET latin1")
    source_db.sql("INSERT INTO t VALUES (20, 1000, E'é''\\\\\\t', '\\x275c0a09ff'), (21, 1000, 'too long, é', NULL)")
    source_db.sql("UPDATE t SET n = 1000 WHERE id = 1; UPDATE t SET n = 2000, name = 'é€' WHERE id = 1")
    for change in CHANGES:
        source_db.sql(change)
    source_db.sql("INSERT INTO keyless VALUES (1000, 'y', '\\xff'), (1000, 'y', '\\xff'), (2000, 'z', NULL)")
    source_db.sql("DELETE FROM keyless WHERE a = 2000")
    pipeline.run(*SKIP)
    states = [state for (state,) in pipeline.recorded("state")]
    assert states.count("superseded") == 2, "of the rows 5 and 6, which a later change made right"

    told = pipeline.retry(code=6)
    assert told["made"] == 4, "what was inserted and deleted needs nothing to be made"
    waiting = {one["key"] for one in told["changes"] if not one["made"] and one["table"] == "public.t"}
    assert waiting == {"20", "21", "1", "3", "30"} and all(one["why"] for one in told["changes"] if not one["made"])

    mend(target, "t", "keyless")
    told = pipeline.retry(code=6)
    assert [one["key"] for one in told["changes"] if not one["made"]] == ["21"]
    assert pipeline.recorded("errno, tries, state")[1] == (1406, 2, "open")
    target.sql("ALTER TABLE t MODIFY name varchar(20) CHARACTER SET latin1")
    assert pipeline.retry()["made"] == 1
    assert_same(source_db, target, ALL)
    assert pipeline.retry()["changes"] == []
    assert {state for (state,) in pipeline.recorded("state")} == {"retried", "superseded"}

    # A value that did not change is not sent again: what leaves it out waits with the change that brought it.
    target.sql("ALTER TABLE t ADD CONSTRAINT few_t CHECK (n <> 77)")
    source_db.sql("UPDATE t SET n = 77, body = repeat('large', 1000) WHERE id IN (7, 8)")
    pipeline.run(*SKIP)
    source_db.sql("UPDATE t SET n = 1 WHERE id = 7")
    assert "leaves out cells" in pipeline.run(code=6)
    source_db.sql("UPDATE t SET n = 2, body = 'small' WHERE id = 8")
    pipeline.run(*SKIP)
    assert [row[0] for row in pipeline.recorded("state")[-3:]] == ["open", "superseded", "open"]
    assert pipeline.retry()["made"] == 2, "the two make one change that the target takes"
    assert_same(source_db, target, ALL)
    pipeline.run(*SKIP)
    assert_same(source_db, target, ALL)


@pytest.mark.failure("OP-03", "T-PO-7")
@pytest.mark.timeout(120)
def test_what_is_left_alone_and_a_kill(
    source_db: Database, target: MySQLDatabase, cdcd: Cdcd, make_proxy: Callable[..., Proxy]
) -> None:
    """Rows that somebody else wrote, a table in the middle of something, and a retry that is killed at its COMMIT."""
    pipeline = Into(source_db, target, cdcd)
    source_db.sql(KINDS)
    source_db.sql("INSERT INTO t SELECT i, i FROM generate_series(1, 5) i")
    pipeline.run()
    refuse(target, ("t", "n"))
    target.sql("INSERT INTO t (id, n, name) VALUES (9, 0, 'theirs')", "DELETE FROM t WHERE id = 4")
    source_db.sql("UPDATE t SET n = 1000 WHERE id < 4")
    source_db.sql("INSERT INTO t VALUES (9, 9, 'ours'); UPDATE t SET name = 'x' WHERE id = 4")
    pipeline.run(*SKIP)
    target.sql("UPDATE t SET name = 'by hand' WHERE id = 1", "DELETE FROM t WHERE id = 2")
    mend(target, "t")
    target.admin("UPDATE cdcd.chunks SET state = 'unread' WHERE table_id = 'public.t'")
    assert {one["why"] for one in pipeline.retry(code=6)["changes"]} == {
        "the table is being loaded: try again when it is in"
    }
    target.admin("UPDATE cdcd.chunks SET state = 'in'")
    target.admin("INSERT INTO cdcd.intents VALUES (%s, '{}', 1)", source_db.name)
    assert "middle of a change of tables" in pipeline.cdcd("retry", *pipeline.ends()).wait(1)
    target.admin("DELETE FROM cdcd.intents")
    why = {one["key"]: one["why"] for one in pipeline.retry(code=6)["changes"] if not one["made"]}
    assert why.keys() == {"1", "2", "9", "4"}
    assert "somebody else" in why["1"] and "Duplicate" in why["9"]
    assert "met no rows" in why["2"] and "met no rows" in why["4"]
    assert target.sql("SELECT name FROM t WHERE id = 1") == [("by hand",)]

    proxy = make_proxy(target.server)
    through = proxy.url(target.target_url) + "?ssl-mode=DISABLED"
    for when in ("before", "after"):
        if when == "before":
            trap = proxy.hold(Direction.TO_SERVER, lambda message: (message.sql or "").endswith("COMMIT"))
        else:
            trap = proxy.delay_answer_of(r"^COMMIT", 60)
        command = cdcd("retry", *pipeline.ends(through), "--overwrite")
        trap.wait()
        command.kill()
        proxy.cut()
        proxy.clear()
        if when == "before":
            assert [state for (state,) in pipeline.recorded("state")].count("open") == 4
    wait_until(lambda: "open" not in {state for (state,) in pipeline.recorded("state")}, what="the commit")
    assert pipeline.retry()["changes"] == []
    assert_same(source_db, target, ALL)
