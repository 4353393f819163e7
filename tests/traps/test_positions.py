"""Who may write, and what is true of a position after an answer, an owner or a server was lost (T-PO)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

import pytest

from cdcd.contracts import Blocks
from cdcd.engine import side
from cdcd.errors import CdcdError, Fenced, StateRefused, Stopped, Transient
from cdcd.model.chunk import Chunk
from cdcd.model.position import Checkpoint
from connectors.postgres.position import Lsn
from connectors.postgres.sink import PostgresSink
from tests.equality import assert_equal, wait_equal
from tests.fix_daemon import Daemon
from tests.servers import make_roles
from tests.servers.database import Database, make_target
from tests.servers.postgres import Postgres
from tests.servers.proxy import Direction, Message, Proxy
from tests.servers.roles import TARGET_REPLICA
from tests.traps.conftest import Sources
from tests.traps.held import held
from tests.traps.running import Running
from tests.traps.sessions import Call, Open
from tests.waiting import wait_until

SCHEMA = """
CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE k (line text); ALTER TABLE k REPLICA IDENTITY FULL;
"""
TABLES = ["public.t", "public.k"]


@pytest.fixture(scope="module")
def fragile() -> Iterator[Postgres]:
    """A target's server that is crashed and left without its standby; it flushes what was committed when it must."""
    settings = {"wal_writer_delay": "10s", "wal_writer_flush_after": "100MB", "autovacuum": "off"}
    with Postgres.start(18, settings) as server:
        make_roles(server)
        yield server


@pytest.fixture
def fragile_db(fragile: Postgres) -> Iterator[Database]:
    database = make_target(fragile)
    yield database
    database.drop()


def epoch(target: Database, name: str) -> int:
    return int(target.admin("SELECT epoch FROM cdcd.epochs WHERE pipeline = %s", name)[0][0])


class TestUnknownCommits:
    @pytest.mark.failure("T-PO-1")
    def test_a_commit_that_waits_for_its_standby(
        self, source_db: Database, fragile_db: Database, fragile: Postgres, make_proxy: Callable[[Postgres], Proxy]
    ) -> None:
        """Fails where the checkpoint is read before the older session has ended and the epoch is raised (claim that
        reads first): the row without a key comes twice."""
        source_db.sql(SCHEMA)
        proxy = make_proxy(fragile)
        waiting = (
            "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name LIKE 'cdcd/%%'"
            " AND pid <> ALL (%s::int[])"
        )
        with Running(source_db, fragile_db, target_url=proxy.url(fragile_db.url), commit_sync=True) as pipeline:
            pipeline.caught_up()
            fragile.execute("ALTER SYSTEM SET synchronous_standby_names = 'none_such'")
            fragile.reload()
            try:
                before = fragile_db.sql("SELECT checkpoint::text FROM cdcd.checkpoints")
                source_db.sql("INSERT INTO k VALUES ('once')")
                ((first,),) = wait_until(lambda: fragile_db.admin(waiting, []), what="the commit to wait")
                assert fragile_db.sql("SELECT checkpoint::text FROM cdcd.checkpoints") == before, "it is not seen yet"
                proxy.cut()
                wait_until(lambda: fragile_db.admin(waiting, [first]), what="the next claim, which waits too")
            finally:
                fragile.execute("ALTER SYSTEM RESET synchronous_standby_names")
                fragile.reload()
            pipeline.equal(*TABLES)
            assert pipeline.progress.retries > 0
            assert fragile_db.sql("SELECT count(*) FROM k") == [(1,)]

    @pytest.mark.failure("T-PO-13")
    def test_a_ticket_is_void_after_a_crash(
        self, source_db: Database, fragile_db: Database, fragile: Postgres, open_source: Sources
    ) -> None:
        """Fails where a ticket is asked on another session (Writer.durable that does not compare the sessions): the
        server's log has gone past the place, and the row is gone."""
        source_db.sql(SCHEMA)
        with held(open_source(source_db), fragile_db, *TABLES) as pipeline:
            fragile.execute("CHECKPOINT")
            source_db.sql("INSERT INTO k VALUES ('lost')")
            ticket = pipeline.apply(pipeline.group())
            assert not pipeline.sink.durable(ticket)
            assert fragile_db.sql("SELECT count(*) FROM k") == [(1,)]
            fragile.kill()
            fragile.launch()
            fragile_db.sql("CREATE TABLE filler AS SELECT repeat('x', 1000) FROM generate_series(1, 3000)")
            assert fragile_db.sql("SELECT count(*) FROM k") == [(0,)], "this crash took nothing back: try another"
            with pytest.raises(Transient):
                pipeline.sink.durable(ticket)
            with closing(PostgresSink(lambda: fragile_db.url, fragile_db.name)) as again:
                claim = again.claim("the test", False)
                assert claim.checkpoint == pipeline.checkpoint.to_json()
                ((flushed,),) = fragile_db.admin("SELECT pg_current_wal_flush_lsn() - '0/0'::pg_lsn")
                assert flushed > ticket.lsn
                with pytest.raises(Transient):
                    again.durable(ticket)

    @pytest.mark.failure("T-PO-13")
    def test_what_a_crash_takes_back_comes_again(
        self, source_db: Database, fragile_db: Database, fragile: Postgres
    ) -> None:
        """Fails where a commit is acknowledged before it is flushed (Attempt._settle that does not ask): the slot has
        moved past the checkpoint, and the rows are lost."""
        source_db.sql(SCHEMA)
        with Running(source_db, fragile_db) as pipeline:
            pipeline.streaming()
            fragile.execute("CHECKPOINT")

            def applied(number: int) -> bool:
                pipeline.check()
                return bool(fragile_db.sql("SELECT 1 FROM t WHERE id = %s", number))

            replied = (
                "SELECT 1 FROM pg_stat_replication WHERE application_name = %s AND reply_time > %s + interval '0.7 s'"
            )
            for number in range(2):
                source_db.sql("INSERT INTO k VALUES (%s); INSERT INTO t VALUES (%s)", str(number), number)
                wait_until(partial(applied, number), what="the rows")
                ((since,),) = source_db.admin("SELECT clock_timestamp()")
                telling = partial(source_db.admin, replied, f"cdcd/{source_db.name}", since)
                wait_until(telling, what="a status reply that could tell of them")
                fragile.kill()
                fragile.launch()
                wait_until(partial(applied, number), what="the rows again")
                fragile.execute("CHECKPOINT")  # flushes, or it would be durable only ten seconds later
            pipeline.equal(*TABLES)
            assert pipeline.progress.retries >= 2


class TestFences:
    @pytest.mark.failure("T-PO-2")
    @pytest.mark.parametrize("who", ["another owner", "the same owner"])
    def test_who_was_overtaken_touches_nothing(
        self, source_db: Database, target_db: Database, open_source: Sources, who: str
    ) -> None:
        """Fails where the fence is tested at the end of the transaction (Writer._begin without _LOCK): the apply waits
        for the table. The claim comes by a role that cannot end the session of the older epoch."""
        source_db.sql(SCHEMA)
        taker = target_db.as_role(TARGET_REPLICA)
        with held(open_source(source_db), target_db, *TABLES) as pipeline:
            target_db.sql(
                f"GRANT USAGE ON SCHEMA cdcd TO {taker.role}; GRANT ALL ON ALL TABLES IN SCHEMA cdcd TO {taker.role}"
            )
            source_db.sql("INSERT INTO k VALUES ('not by this one')")
            group = pipeline.group()
            with closing(PostgresSink(lambda: taker.url, target_db.name)) as other:
                if who == "another owner":
                    other.claim("another", True)
                else:
                    other.claim("the test", False)
                with Open(target_db, "LOCK TABLE k, t"):
                    with pytest.raises(Fenced):
                        Call(lambda: pipeline.apply(group)).result(5)
            assert target_db.sql("SELECT 1 FROM k") == []

    @pytest.mark.failure("T-PO-2")
    def test_one_owner_does_not_repeat_itself(
        self, source_db: Database, target_db: Database, open_source: Sources
    ) -> None:
        """Fails where only the epoch is compared, not the checkpoint (_LOCK without `expected`)."""
        source_db.sql(SCHEMA)
        with held(open_source(source_db), target_db, *TABLES) as pipeline:
            source_db.sql("INSERT INTO k VALUES ('once')")
            group = pipeline.group()
            target_db.sql(
                "UPDATE cdcd.checkpoints SET checkpoint = jsonb_set(checkpoint, '{position,lsn}', '\"7/7\"')"
            )
            with Open(target_db, "LOCK TABLE k, t"):
                with pytest.raises(StateRefused):
                    Call(lambda: pipeline.apply(group)).result(5)
            assert target_db.sql("SELECT 1 FROM k") == []

    @pytest.mark.failure("T-PO-2")
    def test_a_claim_does_not_pass_an_open_transaction(
        self, source_db: Database, target_db: Database, open_source: Sources
    ) -> None:
        """Fails where apply compares without locking (_LOCK without FOR SHARE OF e): the claim would return a
        checkpoint that the open transaction then moves. The taker may not end the session that holds it up."""
        source_db.sql(SCHEMA)
        taker = target_db.as_role(TARGET_REPLICA)
        with held(open_source(source_db), target_db, *TABLES) as pipeline:
            target_db.sql(
                f"GRANT USAGE ON SCHEMA cdcd TO {taker.role}; GRANT ALL ON ALL TABLES IN SCHEMA cdcd TO {taker.role}"
            )
            source_db.sql("INSERT INTO k VALUES ('once')")
            group = pipeline.group()
            pipeline.apply(group, piece=True)
            with closing(PostgresSink(lambda: taker.url, target_db.name)) as other:
                with pytest.raises(Stopped) as caught:
                    other.claim("another", True)
            assert "pg_signal_backend" in caught.value.hint
            source_db.sql("INSERT INTO t VALUES (1)")
            pipeline.apply(pipeline.group())
            assert_equal(source_db, target_db, TABLES)

    @pytest.mark.failure("T-PO-3", "T-PO-11")
    @pytest.mark.parametrize("where", ["stream", "copy"])
    def test_a_stopped_owner_in_an_open_transaction(
        self,
        source_db: Database,
        target_db: Database,
        target_proxy: Proxy,
        cdcd: Callable[..., Daemon],
        where: str,
    ) -> None:
        """Fails where a claim raises the epoch before it ends the sessions of older ones (claim without _end_older): it
        waits for a row that a stopped process holds. Woken, that one must exit 6 and have written nothing."""
        source_db.sql(SCHEMA + "INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 5000) i")

        def arguments(url: str) -> list[str]:
            return ["run", "--from", source_db.url, "--to", url, "--name", source_db.name]

        def in_a_copy(message: Message) -> bool:
            return message.kind == "d" and len(message.body) > 10_000

        def at_a_commit(message: Message) -> bool:
            return "COMMIT" in message.sql and "cdcd.checkpoints" in message.sql

        trap = target_proxy.hold(Direction.TO_SERVER, in_a_copy if where == "copy" else at_a_commit)
        first = cdcd(*arguments(target_proxy.url(target_db.url)))
        if where == "stream":
            first.wait_said("stream started")
            source_db.sql("INSERT INTO k VALUES ('once')")
        trap.wait()
        older, pid = target_db.admin(
            "SELECT application_name, pid FROM pg_stat_activity WHERE application_name LIKE 'cdcd/%%' AND datname = %s"
            " AND xact_start IS NOT NULL AND backend_xid IS NOT NULL", target_db.name,
        )[0]  # fmt: skip
        first.pause()
        second = cdcd(*arguments(target_db.url))
        second.wait_said("claimed", 15)
        source_db.sql("INSERT INTO k VALUES ('by the second')")
        wait_equal(source_db, target_db, TABLES)
        still = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND application_name = %s"
        assert target_db.admin(still, pid, older) == []
        first.resume()
        trap.release()
        assert "another process has taken over" in first.wait(6, 20)
        source_db.sql("INSERT INTO k VALUES ('and goes on')")
        wait_equal(source_db, target_db, TABLES)
        assert epoch(target_db, source_db.name) == 2
        second.stop()


class TestLoads:
    @pytest.mark.failure("T-PO-9")
    def test_loads_go_side_by_side(self, source_db: Database, target_db: Database, open_source: Sources) -> None:
        """Fails where a load locks a row of the stream, or the epoch FOR UPDATE (load._LOCK): the second of four waits
        for the first, and the barrier is broken."""
        source_db.sql(SCHEMA + "INSERT INTO t SELECT i, 'x' FROM generate_series(1, 400) i")
        bounds = [None, ("101",), ("201",), ("301",), None]
        chunks = [Chunk("public.t", n, bounds[n], bounds[n + 1], ("id",)) for n in range(4)]
        together = threading.Barrier(4)
        with held(open_source(source_db), target_db, *TABLES, chunks=chunks) as pipeline:
            forms = pipeline.sink.forms(pipeline.tables["public.t"])

            def load(chunk: Chunk, place: Checkpoint) -> int:
                table = pipeline.tables[chunk.table]
                blocks = pipeline.snapshot.read(table, chunk, forms)

                def data() -> Iterator[bytes]:
                    yield from blocks.data
                    together.wait(15)

                return pipeline.sink.load(table, chunk, Blocks(blocks.form, data(), blocks.counts), place)

            calls = [Call(partial(load, chunk, pipeline.checkpoint)) for chunk in chunks]
            assert [call.result() for call in calls] == [100] * 4
            assert_equal(source_db, target_db, TABLES)
            elsewhere = Checkpoint(Lsn(pipeline.checkpoint.position.lsn + 8))  # type: ignore[attr-defined]
            target_db.sql("UPDATE cdcd.chunks SET state = 'unread' WHERE number = 1")
            with pytest.raises(Transient):
                load(chunks[1], elsewhere)

    @pytest.mark.failure("T-PO-10")
    def test_a_load_waits_for_no_open_transaction_of_the_stream(
        self, source_db: Database, target_db: Database, open_source: Sources
    ) -> None:
        """Fails where a load locks the checkpoint's row, which a half applied transaction holds: a deadlock that no
        server sees, as the daemon itself is one of its links."""
        source_db.sql(SCHEMA + "CREATE TABLE n (id int PRIMARY KEY); INSERT INTO n VALUES (1), (2)")
        chunk = Chunk("public.n", 0)
        with held(open_source(source_db), target_db, *TABLES, "public.n", chunks=[chunk]) as pipeline:
            source_db.sql("INSERT INTO k VALUES ('first piece')")
            group = pipeline.group()
            pipeline.apply(group, piece=True)
            table = pipeline.tables["public.n"]
            blocks = pipeline.snapshot.read(table, chunk, pipeline.sink.forms(table))
            loaded = Call(lambda: pipeline.sink.load(table, chunk, blocks, pipeline.checkpoint)).result(10)
            assert loaded == 2
            source_db.sql("INSERT INTO t VALUES (1, 'last piece')")
            pipeline.apply(pipeline.group())
            assert_equal(source_db, target_db, [*TABLES, "public.n"])

    @pytest.mark.failure("T-PO-10")
    def test_a_table_joins_within_a_huge_transaction(self, source_db: Database, target_db: Database) -> None:
        """Fails where the stream stops for a snapshot inside of a transaction (Reader._step that carries out orders
        there): it would wait for a chunk that waits for it."""
        source_db.sql(SCHEMA)
        with Running(source_db, target_db, group_bytes=1 << 16, table_poll=0.1) as pipeline:
            pipeline.caught_up()
            with Open(source_db, "INSERT INTO k VALUES ('it is open')") as huge:
                source_db.sql("CREATE TABLE n (id int PRIMARY KEY, v text); INSERT INTO n VALUES (0)")
                joined = "SELECT 1 FROM cdcd.tables WHERE table_id = 'public.n'"
                wait_until(lambda: target_db.sql(joined), what="the table to join")
                for part in range(4):
                    first, last = part * 1000 + 1, part * 1000 + 1000
                    huge.sql(f"INSERT INTO t SELECT i, repeat('x', 200) FROM generate_series({first}, {last}) i")
                    huge.sql(f"INSERT INTO n SELECT i, repeat('y', 200) FROM generate_series({first}, {last}) i")
                huge.commit()

            def loaded() -> bool:
                pipeline.check()
                return pipeline.progress.chunks_in == 3

            wait_until(loaded, what="the chunk")
            pipeline.equal(*TABLES, "public.n")
            assert pipeline.progress.retries == 0


class TestTwoDaemons:
    @pytest.mark.failure("T-PO-12")
    def test_one_of_two_remains(
        self, source_db: Database, target_db: Database, cdcd: Callable[..., Daemon]
    ) -> None:
        """Fails where every claim takes over, also after an error (Attempt.run with take_over always True): each ends
        the other's sessions in turn."""
        source_db.sql(SCHEMA)
        arguments = ["run", "--from", source_db.url, "--to", target_db.url, "--name", source_db.name]
        first = cdcd(*arguments)
        first.wait_said("stream started")
        second = cdcd(*arguments)
        assert "another process has taken over" in first.wait(6, 20)
        second.wait_said("stream started")
        source_db.sql("INSERT INTO k VALUES ('by the second')")
        wait_equal(source_db, target_db, TABLES)
        assert second.running and epoch(target_db, source_db.name) == 2
        second.stop()

    @pytest.mark.failure("T-PO-12")
    def test_a_standby_waits_for_silence(
        self, source_db: Database, target_db: Database, cdcd: Callable[..., Daemon]
    ) -> None:
        """Fails where `--standby` claims at once; as processes, the first of which is killed."""
        source_db.sql(SCHEMA)
        arguments = ["run", "--from", source_db.url, "--to", target_db.url, "--name", source_db.name]
        first = cdcd(*arguments)
        first.wait_said("stream started")
        second = cdcd(*arguments, "--standby", "--standby-seconds", "6")
        second.wait_said("standing by")
        source_db.sql("INSERT INTO k VALUES ('by the first')")
        wait_equal(source_db, target_db, TABLES)
        assert epoch(target_db, source_db.name) == 1 and not second.said("claimed")
        first.kill()
        source_db.sql("INSERT INTO k VALUES ('by the second')")
        wait_equal(source_db, target_db, TABLES)
        assert epoch(target_db, source_db.name) == 2
        second.stop()

    @pytest.mark.failure("T-PO-12")
    def test_an_owner_that_only_waits_is_not_silent(
        self, source_db: Database, target_db: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Fails where the heartbeat is in a row that an apply locks, or comes from the writer's thread: the owner
        stands in an open transaction for three times as long as a standby waits."""
        monkeypatch.setattr(side, "BEAT", 0.1)
        source_db.sql(SCHEMA)
        counter = "SELECT counter FROM cdcd.seen"
        with Running(source_db, target_db) as owner:
            owner.caught_up()
            with Open(target_db, "LOCK TABLE k") as lock:
                source_db.sql("INSERT INTO t VALUES (1, 'in it'); INSERT INTO k VALUES ('waits')")
                blocked = "SELECT 1 FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))"
                wait_until(lambda: target_db.admin(blocked, lock.pid), what="the apply to wait")
                with Running(source_db, target_db, standby=True, standby_seconds=1.0) as standby:
                    wait_until(lambda: standby.progress.phase == "standby", what="the standby")
                    ((before,),) = target_db.sql(counter)
                    # 0.2 s is the least between two beats, so this is more than three times as long as it waits.
                    wait_until(lambda: target_db.sql(counter)[0][0] >= before + 16, what="the owner's beats")
                    assert standby.progress.phase == "standby" and standby.failure is None
                    assert epoch(target_db, source_db.name) == 1
                    owner.task.abort()
                    with pytest.raises((CdcdError, AssertionError)):
                        owner.caught_up()
                    lock.commit()
                    standby.equal(*TABLES)
            assert epoch(target_db, source_db.name) == 2
