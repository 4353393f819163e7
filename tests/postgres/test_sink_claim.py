"""Who may write at a PostgreSQL target: paused owners, open transactions, creation at once, interrupts, loads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cdcd.contracts import Blocks
from cdcd.errors import (
    CdcdError,
    Fenced,
    Interrupted,
    PoisonRow,
    SnapshotLost,
    Stopped,
    Transient,
    Unreachable,
    UsageError,
)
from cdcd.model.chunk import Chunk, State
from connectors.postgres.sink import PostgresSink
from tests.postgres.sink_hand import Hand, define, place
from tests.servers import Postgres, make_roles, roles
from tests.servers.database import Database, make_target
from tests.servers.proxy import Proxy
from tests.waiting import wait_until

T = "CREATE TABLE t (id int PRIMARY KEY, v text)"
INSIDE = Chunk("public.t", 0, state=State.IN)


@pytest.fixture
def hands(target_db: Database) -> Iterator[Callable[..., Hand]]:
    target_db.sql(T)
    made: list[Hand] = []

    def make(owner: str = "a", url: str = target_db.url, **more: Any) -> Hand:
        made.append(Hand(url, define(target_db, "public.t"), owner))
        return made[-1].begin(**more)

    yield make
    for hand in made:
        hand.sink.close()


Hands = Callable[..., Hand]


class TestClaim:
    @pytest.mark.failure("T-PO-3", "T-PO-11")
    def test_an_owner_that_was_stopped_in_its_transaction(
        self, target_db: Database, target_proxy: Proxy, hands: Hands
    ) -> None:
        """Its link is alive and silent, as after SIGSTOP; its session holds the rows that the next claim wants."""
        old = hands("old", target_proxy.url(target_db.url))
        old.piece(old.insert("public.t", 1, "zombie"))
        target_proxy.silence()
        began = time.monotonic()
        new = hands("new")
        assert time.monotonic() - began < 5
        new.apply(new.insert("public.t", 1, "new"))
        target_proxy.resume()
        with pytest.raises(CdcdError):
            old.apply(old.insert("public.t", 2, "zombie"))
        with pytest.raises((Fenced, Unreachable)):
            old.sink.beat()
        assert target_db.sql("SELECT v FROM t") == [("new",)]

    def test_a_claim_that_was_stopped_half_way(self, target_db: Database, target_proxy: Proxy, hands: Hands) -> None:
        hands("first").sink.close()
        trap = target_proxy.hold(
            direction=_to_server(), predicate=lambda message: bool(message.sql and "INTO cdcd.seen" in message.sql)
        )
        paused = PostgresSink(lambda: target_proxy.url(target_db.url), "hand")
        with ThreadPoolExecutor(1) as pool:
            claiming = pool.submit(paused.claim, "paused", True)
            trap.wait()
            new = hands("new")  # within the ten seconds that a claim may stand still, and some for the machine
            new.apply(new.insert("public.t", 1, "new"))
            trap.release()
            with pytest.raises(CdcdError):
                claiming.result()
        paused.close()

    def test_its_sessions_are_named_and_no_other_is_ended(self, target_db: Database, hands: Hands) -> None:
        others = [target_db.connect() for _ in range(4)]
        names = ["cdcd/hand/x", "cdcd/handy/1", "cdcd/hand/99", "psql"]
        for connection, name in zip(others, names, strict=True):
            connection.cursor().execute("SELECT set_config('application_name', %s, false)", (name,))
        hand = hands("a")
        hand.sink.beat()
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()"
        assert target_db.sql(query, "cdcd/hand/1") == [(2,)]
        hands("b")
        wait_until(lambda: target_db.sql(query, "cdcd/hand/1") == [(0,)], what="the older sessions to end")
        for connection in others:
            connection.cursor().execute("SELECT 1")
            connection.close()

    def test_a_session_that_may_not_be_ended(self, target_db: Database, hands: Hands) -> None:
        """Another role's: the error says what is missing, once it holds us up."""
        mine = hands("a")
        mine.sink.close()
        target_db.admin("GRANT ALL ON SCHEMA cdcd TO PUBLIC; GRANT ALL ON ALL TABLES IN SCHEMA cdcd TO PUBLIC")
        other = target_db.as_role(roles.TARGET_REPLICA).connect()
        other.autocommit = False
        cursor = other.cursor()
        cursor.execute("SET application_name = 'cdcd/hand/1'; SELECT FROM cdcd.epochs FOR UPDATE")
        with pytest.raises(Stopped) as caught:
            hands("b")
        assert "cdcd/hand/1" in str(caught.value)
        assert "pg_signal_backend" in str(caught.value)
        other.close()

    def test_control_tables_made_by_two_at_once(self, target_db: Database) -> None:
        with ThreadPoolExecutor(4) as pool:
            sinks = [PostgresSink(lambda: target_db.url, f"p{number}") for number in range(4)]
            claims = list(pool.map(lambda sink: sink.claim("me", True), sinks))
        assert [claim.epoch for claim in claims] == [1] * 4
        for sink in sinks:
            sink.close()

    def test_a_schema_made_beforehand_spares_the_right_to_make_one(self, target_db: Database) -> None:
        target_db.admin(f'REVOKE CREATE ON DATABASE "{target_db.name}" FROM {target_db.role}')
        sink = PostgresSink(lambda: target_db.url, "p")
        with pytest.raises(Stopped) as caught:
            sink.claim("me", True)
        assert "permission denied" in str(caught.value)
        sink.close()
        target_db.admin(f"CREATE SCHEMA cdcd AUTHORIZATION {target_db.role}")
        sink = PostgresSink(lambda: target_db.url, "p")
        assert sink.claim("me", True).epoch == 1
        sink.close()

    def test_what_a_role_says_for_people_is_not_for_us(self, target_db: Database, hands: Hands) -> None:
        for setting in ("default_transaction_isolation = 'serializable'", "statement_timeout = 1"):
            target_db.admin(f'ALTER ROLE {target_db.role} IN DATABASE "{target_db.name}" SET {setting}')
        hand = hands("a")
        hand.apply(*(hand.insert("public.t", number, "x") for number in range(1000)))
        assert hand.sink._owner.session.rows("SHOW transaction_isolation") == [("read committed",)]

    @pytest.mark.parametrize("name", ["", "a/b", "ü", "x" * 41, "a b", "a%"])
    def test_a_name_that_does_not_fit_into_application_name(self, name: str) -> None:
        with pytest.raises(UsageError):
            PostgresSink(lambda: "postgresql://nowhere", name)

    def test_a_wrong_password_is_not_shown(self, target_db: Database) -> None:
        secret = "hush%20hush"
        url = f"postgresql://{target_db.role}:{secret}@{target_db.server.host}:{target_db.server.port}/{target_db.name}"
        with pytest.raises(UsageError) as caught:
            PostgresSink(lambda: url, "p").claim("me", True)
        assert "hush" not in str(caught.value)


def _to_server() -> Any:
    from tests.servers.messages import Direction

    return Direction.TO_SERVER


class TestCommit:
    def test_the_checkpoint_is_found_where_it_went(self, target_db: Database, hands: Hands) -> None:
        """It is looked for where it was put last, as its old versions may be many; it may have been moved."""
        hand = hands("a")
        for turn in range(3):
            hand.apply(hand.insert("public.t", turn, "x"))
            target_db.sql("VACUUM FULL cdcd.checkpoints")
        target_db.sql("UPDATE cdcd.checkpoints SET updated = now()")
        hand.apply(hand.insert("public.t", 9, "x"))
        assert target_db.sql("SELECT checkpoint->'position'->>'lsn' FROM cdcd.checkpoints") == [(f"0/{hand.at:X}",)]

    @pytest.mark.failure("TG-10", "T-PO-1")
    def test_the_answer_is_lost_or_the_commit_is(self, target_db: Database, target_proxy: Proxy) -> None:
        """Neither is told from the other where it happens; the claim waits for what is in flight, and knows."""
        target_db.sql("CREATE TABLE log (id int); ALTER TABLE log REPLICA IDENTITY FULL")
        tables = define(target_db, "public.log")
        for turn in range(10):
            hand = Hand(target_proxy.url(target_db.url), tables).begin()
            before = hand.at
            target_proxy.cut_at("COMMIT") if turn % 2 else target_proxy.drop_answer_of("COMMIT")
            with pytest.raises(Unreachable):
                hand.apply(hand.insert("public.log", turn))
            target_proxy.clear()
            hand.sink.close()
            again = Hand(target_db.url, tables).begin(take_over=False)
            there = target_db.sql("SELECT count(*) FROM log WHERE id = %s", turn)[0][0]
            assert there == again.at - before
            again.sink.close()

    @pytest.mark.failure("T-PO-13")
    def test_a_crash_takes_rows_and_checkpoint_back_together(self) -> None:
        with Postgres.start(18, {"wal_writer_delay": "10s"}) as server:
            make_roles(server)
            db = make_target(server)
            db.sql(T)
            hand = Hand(db.url, define(db, "public.t")).begin()
            kept = hand.apply(hand.insert("public.t", 1, "kept"))
            for _ in range(100):  # each beat commits, which has the server's log flushed sooner or later
                hand.sink.beat()
                if hand.sink.durable(kept):
                    break
            ticket = hand.apply(hand.insert("public.t", 2, "lost"))
            assert not hand.sink.durable(ticket)
            server.kill()
            server.launch()
            with pytest.raises(Unreachable):
                hand.sink.durable(ticket)
            hand.sink.close()
            again = Hand(db.url, list(hand.tables.values())).begin(take_over=False)
            assert db.sql("SELECT count(*) FROM t") == [(again.at - 1,)]
            with pytest.raises(Unreachable):
                again.sink.durable(ticket)
            again.sink.close()

    def test_waited_for_on_request(self, target_db: Database) -> None:
        target_db.sql(T)
        hand = Hand(target_db.url, define(target_db, "public.t"))
        hand.sink = PostgresSink(lambda: target_db.url, "hand", target_tables="use", commit_sync=True)
        hand.begin()
        assert hand.sink.durable(hand.apply(hand.insert("public.t", 1, "a")))
        hand.sink.close()


class TestInterrupt:
    @pytest.mark.failure("T-PT-5")
    def test_ends_a_copy_and_a_wait_for_a_lock(self, target_db: Database, hands: Hands) -> None:
        hand = hands("a", chunks=[Chunk("public.t", 0)])
        blocker = target_db.connect()
        blocker.autocommit = False
        blocker.cursor().execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")

        def load() -> None:
            hand.load(Chunk("public.t", 0), [(1, "a")])

        def apply() -> None:
            hand.apply(hand.insert("public.t", 1, "a"))

        hand.form_of(hand.tables["public.t"])  # asked before the sessions are blocked
        with ThreadPoolExecutor(2) as pool:
            query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = %s"
            oid = hand.tables["public.t"].oid
            running = []
            for wanted in (load, apply):  # the other way round the load would wait for the checkpoint's row
                running.append(pool.submit(wanted))
                wait_until(lambda: target_db.admin(query, oid) == [(len(running),)], what=f"{wanted.__name__} to wait")
            began = time.monotonic()
            hand.sink.interrupt()
            for future in running:
                with pytest.raises(Interrupted):
                    future.result(5)
        assert time.monotonic() - began < 3
        with pytest.raises(Interrupted):
            hand.sink.beat()
        blocker.close()
        gone = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'cdcd/hand/%%' AND datname = %s"
        wait_until(lambda: target_db.admin(gone, target_db.name) == [(0,)], what="the server to notice")

    def test_a_reader_that_goes_on_for_ever(self, target_db: Database, hands: Hands) -> None:
        hand = hands("a", chunks=[Chunk("public.t", 0)])
        started = threading.Event()

        def endless() -> Iterator[bytes]:
            number = 0
            while True:
                number += 1
                if number > 100:
                    started.set()
                yield b"".join(b"%d\tx\n" % (number * 1000 + part) for part in range(1000))

        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(hand.load, Chunk("public.t", 0), [], endless())
            assert started.wait(30)
            hand.sink.interrupt()
            with pytest.raises(Interrupted):
                future.result(5)
        assert target_db.sql("SELECT count(*) FROM t") == [(0,)]


class TestLoad:
    def test_a_poison_row_names_chunk_and_line(self, hands: Hands) -> None:
        hand = hands("a", chunks=[Chunk("public.t", 3)])
        with pytest.raises(PoisonRow) as caught:
            hand.load(Chunk("public.t", 3), [(1, "a"), ("seven", "b")])
        where = caught.value.where
        assert (where["table"], where["chunk"]) == ("public.t", 3)
        assert "line 2" in str(where["context"])

    def test_the_readers_own_error_comes_through(self, hands: Hands) -> None:
        closed = []

        def lost() -> Iterator[bytes]:
            try:
                yield b"1\ta\n"
                raise SnapshotLost("it went")
            finally:
                closed.append(True)

        hand = hands("a", chunks=[Chunk("public.t", 0)])
        with pytest.raises(SnapshotLost):
            hand.load(Chunk("public.t", 0), [], lost())
        assert closed

    def test_the_reader_is_closed_when_the_target_refuses(self, hands: Hands) -> None:
        closed = []

        def rows() -> Iterator[bytes]:
            try:
                while True:
                    yield b"x\tx\n" * 1000
            finally:
                closed.append(True)

        hand = hands("a", chunks=[Chunk("public.t", 0)])
        table = hand.tables["public.t"]
        with pytest.raises(PoisonRow):
            hand.sink.load(table, Chunk("public.t", 0), Blocks(hand.sink.forms(table)[-1], rows()), place(1))
        assert closed

    @pytest.mark.failure("T-PO-9", "T-PO-10")
    def test_beside_each_other_and_not_after_the_stream_has_gone_on(self, target_db: Database, hands: Hands) -> None:
        chunks = [Chunk("public.t", n, (str(n * 10),), (str(n * 10 + 10),), ("id",)) for n in range(4)]
        hand = hands("a", chunks=chunks)
        meeting = threading.Barrier(4, timeout=20)

        def meet() -> Iterator[bytes]:
            meeting.wait()
            yield b""

        with ThreadPoolExecutor(4) as pool:
            loads = [pool.submit(hand.load, chunk, [(chunk.number * 10, "x")], meet()) for chunk in chunks[:3]]
            meeting.wait()
            assert [load.result() for load in loads] == [1, 1, 1]
        hand.apply()
        hand.at -= 1
        with pytest.raises(Transient):
            hand.load(chunks[3], [(30, "x")])
        assert target_db.sql("SELECT number, state, rows FROM cdcd.chunks ORDER BY 1") == [
            (0, "in", 1), (1, "in", 1), (2, "in", 1), (3, "unread", 0),
        ]  # fmt: skip

    def test_an_older_owners_load_is_fenced(self, target_db: Database, target_proxy: Proxy, hands: Hands) -> None:
        old = hands("old", target_proxy.url(target_db.url), chunks=[Chunk("public.t", 0)])
        started, go_on = threading.Event(), threading.Event()

        def slow() -> Iterator[bytes]:
            started.set()
            go_on.wait(30)
            yield b"1\told\n"

        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(old.load, Chunk("public.t", 0), [], slow())
            assert started.wait(10)
            new = hands("new")
            go_on.set()
            with pytest.raises(CdcdError):
                future.result(10)
        assert new.load(Chunk("public.t", 0), [(1, "new")]) == 1
        assert target_db.sql("SELECT v FROM t") == [("new",)]


def test_requests_survive_their_readers(target_db: Database, hands: Hands) -> None:
    hand = hands("a")
    target_db.sql("INSERT INTO cdcd.requests (pipeline, command, argument) VALUES ('hand', 'reload', 'public.t')")
    hand.sink.close()
    again = hands("a", take_over=False)
    (request,) = again.sink.requests()
    again.sink.fulfilled(request)
    assert list(again.sink.requests()) == []
