"""Hand-over: what is asked for, judged and written in which order, by threads that do not wait for each other."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.equality import assert_equal
from tests.fix_daemon import Daemon
from tests.servers.database import Database
from tests.servers.proxy import HOLD, Action, Direction, Message, Proxy
from tests.traps.handled import Handled, load_held
from tests.traps.invariant import Still, check, checkpoint
from tests.traps.sessions import Open, commit, sent
from tests.waiting import wait_until

TABLES = """
CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL);
CREATE TABLE busy (id int PRIMARY KEY, v int NOT NULL);
CREATE TABLE lines (v int); ALTER TABLE lines REPLICA IDENTITY FULL;
INSERT INTO t SELECT i, 0 FROM generate_series(1, 50) i;
INSERT INTO busy SELECT i, 0 FROM generate_series(1, 50) i;
INSERT INTO lines SELECT i FROM generate_series(1, 50) i;
"""
ALL = ["public.t", "public.busy", "public.lines"]


@pytest.mark.failure("T-PG-7", "T-PG-11", "T-PG-22", "SN-05")
def test_a_reload_that_is_killed_while_other_tables_are_busy(
    source_db: Database, target_db: Database, target_proxy: Proxy, cdcd: Callable[..., Daemon],
    run_cdcd: Callable[..., Daemon],
) -> None:
    """SIGKILL with the keyless table's rows written and not committed; then its rows move. Off: a reader that goes on:
    the checkpoint passes the place, and what was dropped meanwhile is gone. Off: a record of the chunk in a
    transaction of its own: rows twice."""
    source_db.sql(TABLES)
    source_db.sql("INSERT INTO lines SELECT i / 2 FROM generate_series(1, 5000) i; ANALYZE lines")
    name = source_db.name
    ends = ["--from", source_db.url, "--to", target_proxy.url(target_db.url), "--name", name]
    arguments = ["run", *ends, "--chunk-bytes", "70kB", "--group-bytes", "70kB"]
    daemon = cdcd(*arguments)
    daemon.wait_said("consistent")
    with load_held(target_proxy) as trap:
        with Still(source_db) as still:
            run_cdcd("reload", "public.lines", *ends)
            trap.wait()
            standing = checkpoint(target_db, name)
            place = commit(source_db, *(f"UPDATE {table} SET v = v + 1" for table in ("busy", "t", "lines")))
            wait_until(lambda: sent(source_db, name) > place, what="the changes to be sent")
            assert checkpoint(target_db, name) == standing < place
            states = still.check(target_db, name)
        assert states["public.lines"] == ["unread"], "a table without a key is one chunk, which is emptied first"
        daemon.kill()
        target_proxy.cut()
    confirmed = "SELECT confirmed_flush_lsn - '0/0'::pg_lsn FROM pg_replication_slots WHERE slot_name = %s"
    assert source_db.admin(confirmed, f"cdcd_{name}")[0][0] <= standing
    source_db.sql("UPDATE lines SET v = v + 100 WHERE v % 2 = 0; DELETE FROM lines WHERE v = 3")
    run_cdcd(*arguments, "--until", "caught-up")
    assert_equal(source_db, target_db, ALL)
    assert check(source_db, target_db, name)["public.lines"] == ["in"]


class Answer:
    """Holds back the server's answer to the next creation of a temporary slot: its place is fixed, and not known."""

    def __init__(self, proxy: Proxy) -> None:
        self._asked: Message | None = None
        self.held = False
        proxy.on_message(Direction.TO_SERVER, self._question)
        proxy.on_message(Direction.TO_CLIENT, self._answer)

    def _question(self, message: Message) -> Action | None:
        if self._asked is None and re.search("CREATE_REPLICATION_SLOT .* TEMPORARY", message.sql):
            self._asked = message
        return None

    def _answer(self, message: Message) -> Action | None:
        asked = self._asked
        if self.held or asked is None or (message.connection, message.turn) != (asked.connection, asked.turn):
            return None
        self.held = True
        return HOLD


@pytest.mark.failure("T-PG-15")
def test_a_snapshot_whose_place_was_passed_is_thrown_away(
    source_db: Database, target_db: Database, source_proxy: Proxy
) -> None:
    """Its place is learned when the stream, which drops the table's changes, is beyond it. Off: Reader.offer that
    accepts any place: the rows dropped at or beyond it are in no snapshot."""
    source_db.sql(TABLES)
    url = source_proxy.url(source_db.url)
    with Handled(source_db, target_db, source_url=url) as pipeline:
        pipeline.until_consistent()
        answer = Answer(source_proxy)
        pipeline.reload("public.t")
        pipeline.until(lambda: answer.held, "the slot to be made")
        pipeline.until_stored(commit(source_db, "INSERT INTO t VALUES (1000, 0)", "UPDATE t SET v = 7 WHERE id < 10"))
        assert check(source_db, target_db, pipeline.name)["public.t"] == ["unread"]
        source_proxy.release()
        pipeline.equal(*ALL)
        assert pipeline.hands.snapshots == 2
        assert pipeline.progress.retries == 0


@pytest.mark.failure("T-PG-15")
def test_the_third_snapshot_cannot_be_passed(source_db: Database, target_db: Database) -> None:
    """Each time a transaction is read between the slot's creation and the comparison. Off: Seek without `stand`: it
    never ends under load."""
    source_db.sql(TABLES)
    with Handled(source_db, target_db) as pipeline:
        pipeline.until_consistent()

        def passed() -> None:
            if pipeline.hands.snapshots <= 2:
                pipeline.until_stored(commit(source_db, "INSERT INTO t SELECT max(id) + 1, 0 FROM t"))
            else:
                place = commit(source_db, "INSERT INTO t SELECT max(id) + 1, 0 FROM t")
                pipeline.until_read(place)

        pipeline.hands.after_snapshot = passed
        pipeline.reload("public.t")
        pipeline.until(lambda: pipeline.states("public.t") == ["unread"], "the reload")
        pipeline.equal(*ALL)
        assert pipeline.hands.snapshots == 3
        assert pipeline.progress.retries == 0


def _waiting(target: Database, session: Open) -> bool:
    """Whether the pipeline's writer waits for a session's lock."""
    rows = target.admin("SELECT 1 FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))", session.pid)
    return bool(rows)


@pytest.mark.failure("T-PG-17")
@pytest.mark.parametrize("keyless", [False, True], ids=["keyed", "keyless"])
def test_a_reload_is_judged_by_the_reader_ahead_of_the_writer(
    source_db: Database, target_db: Database, keyless: bool
) -> None:
    """The writer is held twice: in a group before the wish is seen, and in the group that was judged before it was
    granted. Off: chunks that the writer empties when it grants the wish, and not with the reader's group."""
    source_db.sql(TABLES)
    table, row = ("lines", "v = 1") if keyless else ("t", "id = 1")
    # Two small changes make a group, which is closed with its transaction, and judged then.
    with Handled(source_db, target_db, group_bytes=90) as pipeline:
        pipeline.until_consistent()
        first = Open(target_db, "SELECT FROM busy WHERE id = 1 FOR UPDATE")
        second = Open(target_db, "SELECT FROM busy WHERE id = 2 FOR UPDATE")
        with first, second:
            commit(source_db, "UPDATE busy SET v = 1 WHERE id = 1")
            pipeline.until(lambda: _waiting(target_db, first), "the writer to be held")
            # Judged as in, it waits for the writer, which is held in the group before it; the wish too.
            held = "UPDATE busy SET v = 1 WHERE id = 2"
            judged = commit(source_db, f"UPDATE {table} SET v = 1001 WHERE {row}", held)
            pipeline.until_read(judged)
            pipeline.reload(f"public.{table}")
            pipeline.until(lambda: pipeline.hands.wishes > 1, "the wish to be found")
            first.commit()
            pipeline.until(lambda: _waiting(target_db, second), "the writer to be held again")
            commit(source_db, f"UPDATE {table} SET v = 2002 WHERE v = 1001")
            assert pipeline.states(f"public.{table}") == ["in"]
            assert pipeline.hands.snapshots == 0
            second.commit()
            pipeline.until(lambda: pipeline.hands.snapshots, "the reload")
            pipeline.equal(*ALL)
        assert pipeline.progress.retries == 0


@pytest.mark.failure("T-PG-23")
def test_no_snapshot_is_asked_for_while_the_stream_lags(source_db: Database, target_db: Database) -> None:
    """Started after a rest, with one more table and a backlog that is not read yet. Off: Attempt._close_behind: the
    snapshot is asked for at once, and held open until the stream gets there."""
    source_db.sql(TABLES)
    with Handled(source_db, target_db) as pipeline:
        pipeline.until_consistent()
    for _ in range(20):
        commit(source_db, "UPDATE busy SET v = v + 1")
    source_db.sql("CREATE TABLE late (id int PRIMARY KEY); INSERT INTO late VALUES (1)")
    bound = 0.5
    lags: list[float] = []
    pipeline = Handled(source_db, target_db, lag_bound=bound)
    pipeline.hands.before_snapshot = lambda: lags.append(pipeline.progress.lag_seconds)
    pipeline.hands.reading.clear()
    with pipeline:
        pipeline.until(lambda: pipeline.states("public.late") == ["unread"], "the table to join")
        published = "SELECT 1 FROM pg_publication_tables WHERE pubname = %s AND tablename = 'late'"
        pipeline.until(lambda: source_db.admin(published, f"cdcd_{pipeline.name}"), "the table to be published")
        pipeline.until(lambda: pipeline.progress.lag_seconds > 2 * bound, "the stream to lag")
        assert lags == []
        assert source_db.server.slots(source_db.name) == [f"cdcd_{pipeline.name}"]
        pipeline.hands.reading.set()
        pipeline.equal(*ALL, "public.late")
    assert lags
    assert max(lags) < bound
