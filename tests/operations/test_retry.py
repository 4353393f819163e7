"""`cdcd retry`: recorded changes are made once what was in the way is mended, and no later change is undone."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.crash.following import Cdcd, words
from tests.equality import assert_equal, wait_equal
from tests.fix_daemon import Daemon
from tests.operations.begun import CHANGES, SKIP, Run, recorded
from tests.servers import Database
from tests.servers.proxy import Direction, Proxy
from tests.waiting import wait_until

FEW = "ALTER TABLE t ADD CONSTRAINT few CHECK (n < 100) NOT VALID"
MEND = "ALTER TABLE t DROP CONSTRAINT few"


@pytest.fixture
def retry(source_db: Database, target_db: Database, cdcd: Cdcd) -> Run:
    """Run the command; what it told as JSON."""

    def run(*more: str, code: int = 0) -> Any:
        done = cdcd("retry", *words(source_db, target_db)[1:], "--json", *more)
        done.wait(code)
        (told,) = done.json()["pipelines"]
        return told

    return run


def states(target: Database) -> list[str]:
    return [state for (state,) in recorded(target, "state")]


def test_nothing_to_retry(source_db: Database, target_db: Database, begun: Run, cdcd: Cdcd) -> None:
    done = cdcd("retry", *words(source_db, target_db)[1:])
    done.wait(0)
    assert "nothing to retry" in done.output.read_text()


def test_a_pipeline_that_was_never_started(source_db: Database, target_db: Database, cdcd: Cdcd) -> None:
    assert "never started" in cdcd("retry", *words(source_db, target_db)[1:]).wait(6)


@pytest.mark.failure("OP-03", "T-PO-7")
def test_what_was_refused_is_made_when_the_target_takes_it(
    source_db: Database, target_db: Database, begun: Run, retry: Run
) -> None:
    """Inserts, updates, changes of key, deletes and rows without a key, of one row as its net change; what still fails
    stays with its new error. Then nothing differs, and nothing is made twice."""
    source_db.sql("INSERT INTO t SELECT i, i, 'n' || i FROM generate_series(1, 9) i")
    source_db.sql("INSERT INTO keyless VALUES (1, 'x'), (1, 'x')")
    begun()
    target_db.sql(FEW)
    target_db.sql("ALTER TABLE t ALTER name TYPE varchar(5); ALTER TABLE keyless ADD CONSTRAINT few CHECK (a < 100)")
    source_db.sql("INSERT INTO t VALUES (20, 1000, 'x'), (21, 1000, 'too long')")
    source_db.sql("UPDATE t SET n = 1000 WHERE id = 1; UPDATE t SET n = 2000, m = 'glad' WHERE id = 1")
    for change in CHANGES:
        source_db.sql(change)
    source_db.sql("INSERT INTO keyless VALUES (1000, 'y'), (1000, 'y'), (2000, 'z')")
    source_db.sql("DELETE FROM keyless WHERE a = 2000")
    begun(*SKIP)
    assert states(target_db).count("superseded") == 2, "of the rows 5 and 6, which a later change made right"

    told = retry(code=6)
    assert told["made"] == 4, "what was inserted and deleted needs nothing to be made"
    assert {one["key"] for one in told["changes"] if not one["made"] and one["table"] == "public.t"} == {
        "20", "21", "1", "3", "30",
    }
    assert all(one["why"] for one in told["changes"] if not one["made"])

    target_db.sql(MEND)
    target_db.sql("ALTER TABLE keyless DROP CONSTRAINT few")
    told = retry(code=6)
    assert [one["key"] for one in told["changes"] if not one["made"]] == ["21"]
    assert recorded(target_db, "sqlstate", "tries", "key->>'id'", "state = 'open'")[1] == ("22001", 2, "21", True)
    target_db.sql("ALTER TABLE t ALTER name TYPE varchar(10)")
    assert retry()["made"] == 1
    assert_equal(source_db, target_db, ["public.t", "public.keyless"])
    assert retry()["changes"] == []
    assert set(states(target_db)) == {"retried", "superseded"}
    begun(*SKIP)
    assert_equal(source_db, target_db, ["public.t", "public.keyless"])


def test_a_row_that_somebody_else_wrote_is_left_alone(
    source_db: Database, target_db: Database, begun: Run, retry: Run
) -> None:
    """By hand, by an ALTER TABLE that rewrites it, or because it is in the way; unless the source is to win."""
    source_db.sql("INSERT INTO t SELECT i, i FROM generate_series(1, 5) i")
    begun()
    target_db.sql(FEW)
    target_db.sql("INSERT INTO t VALUES (9, 0, 'theirs'); DELETE FROM t WHERE id = 4")
    source_db.sql("UPDATE t SET n = 1000 WHERE id < 4")
    source_db.sql("INSERT INTO t VALUES (9, 9, 'ours'); UPDATE t SET name = 'x' WHERE id = 4")
    begun(*SKIP)
    target_db.sql("UPDATE t SET name = 'by hand' WHERE id = 1; DELETE FROM t WHERE id = 2")
    target_db.sql(MEND)
    told = retry(code=6)
    why = {one["key"]: one["why"] for one in told["changes"] if not one["made"]}
    assert why.keys() == {"1", "2", "9", "4"}
    assert "somebody else" in why["1"] and "met no rows" in why["2"] and "9" in why["9"] and "met no rows" in why["4"]
    assert target_db.sql("SELECT name FROM t WHERE id = 1") == [("by hand",)]
    target_db.sql("ALTER TABLE t ALTER n TYPE bigint")
    assert "ALTER TABLE" in next(one["why"] for one in retry(code=6)["changes"] if one["key"] == "9")
    assert retry("--overwrite")["waiting"] == 0
    target_db.sql("ALTER TABLE t ALTER n TYPE small")
    assert_equal(source_db, target_db, ["public.t"])


def test_a_later_change_that_leaves_cells_out(
    source_db: Database, target_db: Database, begun: Run, retry: Run
) -> None:
    """A large value that did not change is not sent again: where it came with a change that was not made, the later one
    cannot make the row right, and waits with it."""
    source_db.sql("INSERT INTO t (id, n) SELECT i, i FROM generate_series(1, 3) i")
    begun()
    target_db.sql(FEW)
    source_db.sql("UPDATE t SET n = 1000, body = repeat('large', 1000) WHERE id IN (1, 2)")
    begun(*SKIP)
    source_db.sql("UPDATE t SET n = 1 WHERE id = 1")
    assert "leaves out cells" in begun(code=6)
    begun(*SKIP)
    source_db.sql("UPDATE t SET n = 2, body = 'small' WHERE id = 2")
    begun(*SKIP)
    assert recorded(target_db, "key->>'id'", "state") == [("1", "open"), ("2", "superseded"), ("1", "open")]
    assert retry()["made"] == 2, "the two make one change that the target takes"
    assert_equal(source_db, target_db, ["public.t"])


def refusing(target: Database, daemon: Daemon) -> None:
    """From now on, and until a few changes were refused."""
    before = len(states(target))
    target.sql(FEW)
    try:
        wait_until(lambda: len(states(target)) > before + 3, 60, "refused changes")
    except AssertionError as error:
        raise AssertionError(f"{error}:\n{daemon.text()[-2000:]}") from None


@pytest.mark.timeout(300)
def test_while_a_daemon_runs(source_db: Database, target_db: Database, begun: Run, retry: Run, cdcd: Cdcd) -> None:
    """Rows that the daemon changes all the time, some of them to what the target refuses: at the end both are equal."""
    source_db.sql("INSERT INTO t SELECT i, i FROM generate_series(1, 20) i")
    begun()
    daemon = cdcd(*words(source_db, target_db, *SKIP))
    daemon.wait_said("stream started")
    stopping = threading.Event()

    def write() -> None:
        turn = 0
        while not stopping.wait(0.03):  # a change that is refused costs the daemon many that are not
            turn += 1
            source_db.sql(f"UPDATE t SET n = {turn} * 37 % 110 WHERE id % 7 = {turn} % 7; DELETE FROM t WHERE id = 3;"
                          f"INSERT INTO t VALUES (3, {turn} * 37 % 110)")  # fmt: skip

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            refusing(target_db, daemon)
            target_db.sql(MEND)
            retry(code=None)
    finally:
        stopping.set()
        writer.join()
    source_db.sql("UPDATE other SET id = id; INSERT INTO other VALUES (1)")
    wait_until(lambda: target_db.sql("SELECT 1 FROM other") != [], 30, "the daemon to catch up")
    retry()
    wait_equal(source_db, target_db, ["public.t", "public.other"])
    daemon.stop(20)


@pytest.mark.failure("OP-03")
def test_a_retry_that_is_killed_has_done_nothing(
    source_db: Database, target_db: Database, target_proxy: Proxy, begun: Run, retry: Run, cdcd: Cdcd
) -> None:
    """Or everything: its rows and its records are one transaction."""
    target_db.sql(FEW)
    source_db.sql("INSERT INTO t SELECT i, 1000 FROM generate_series(1, 5) i")
    begun(*SKIP)
    target_db.sql(MEND)
    ends = words(source_db, target_db, target_url=target_proxy.url(target_db.url))[1:]
    commit = "SAVEPOINT net; COMMIT"
    for when in ("before", "after"):
        if when == "before":
            trap = target_proxy.hold(Direction.TO_SERVER, lambda message: commit in (message.sql or ""))
        else:
            trap = target_proxy.delay_answer_of(commit, 60)
        command = cdcd("retry", *ends)
        trap.wait()
        command.kill()
        target_proxy.cut()
        target_proxy.clear()
        if when == "before":
            assert states(target_db) == ["open"] * 5 and target_db.sql("SELECT 1 FROM t") == []
    wait_until(lambda: states(target_db) == ["retried"] * 5, what="the commit")
    assert retry()["changes"] == []
    assert_equal(source_db, target_db, ["public.t"])


def test_rows_of_a_chunk_that_is_read_again_wait_for_nothing(
    source_db: Database, target_db: Database, begun: Run, retry: Run, cdcd: Cdcd
) -> None:
    """While the table is being loaded nothing is made in it; afterwards its rows are the source's."""
    target_db.sql(FEW)
    source_db.sql("INSERT INTO t VALUES (1, 1000), (2, 2)")
    begun(*SKIP)
    target_db.sql("UPDATE cdcd.chunks SET state = 'unread' WHERE table_id = 'public.t'")
    (one,) = retry(code=6)["changes"]
    assert "being loaded" in one["why"]
