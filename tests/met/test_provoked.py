"""Sources as applications make them: transactions that interleave, wait prepared or are full of subtransactions, tables
beside those that are carried, a slot that nobody reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.fix_daemon import Daemon
from tests.met.pair import Pair, reverse
from tests.met.test_stops import stopped
from tests.servers import Postgres, make_roles
from tests.servers.database import make_source
from tests.waiting import wait_until

T = "CREATE TABLE t (id int PRIMARY KEY, x text); INSERT INTO t SELECT i, 'x' FROM generate_series(1, 10) i"
ROWS = "INSERT INTO t SELECT i, repeat('y', 20) FROM generate_series(%s, %s) i"
MANY = """
DO $$ BEGIN
    FOR n IN 1..300 LOOP
        BEGIN
            INSERT INTO t VALUES (1000000 + n, repeat('z', 300));
            IF n % 3 = 0 THEN RAISE EXCEPTION 'no'; END IF;
        EXCEPTION WHEN raise_exception THEN NULL;
        END;
    END LOOP;
END $$
"""


@pytest.mark.failure("PG-10", "PG-11", "PG-12")
def test_transactions_that_interleave_and_spill(pair: Pair) -> None:
    """Each of 50,000 rows, more than the source's memory for decoding; one is rolled back, another has 300
    subtransactions."""
    pair.source.sql(T)
    pair.source.admin(f'ALTER DATABASE "{pair.source.name}" SET logical_decoding_work_mem = \'64kB\'')
    daemon = pair.follow()
    before = pair.confirmed()
    open_ones = [pair.source.connect() for _ in range(3)]
    for connection in open_ones:
        connection.autocommit = False
    for step in range(10):
        for number, connection in enumerate(open_ones):
            low = (number + 1) * 100_000 + step * 5000
            with connection.cursor() as cursor:
                cursor.execute(ROWS, (low, low + 4999))
    open_ones[0].rollback()
    open_ones[1].commit()
    pair.source.sql(MANY)
    open_ones[2].commit()
    ((last,),) = pair.source.admin("SELECT pg_current_wal_lsn() - '0/0'")
    for connection in open_ones:
        connection.close()
    pair.wait_equal("public.t")
    assert pair.target.sql("SELECT count(*) FROM t") == [(10 + 2 * 50_000 + 200,)]
    pair.source.sql("DELETE FROM t WHERE id < 5")
    wait_until(lambda: pair.confirmed() >= last > before, 30, "the slot to be told of the last commit")
    daemon.stop()
    pair.run()
    pair.equal("public.t")


@pytest.mark.failure("PG-25")
def test_a_prepared_transaction(pair: Pair, cdcd: Callable[..., Daemon]) -> None:
    """It is a transaction once it is committed, on either side of a restart of ours; rolled back, it never was."""
    with Postgres.start(18, {"max_prepared_transactions": 10}) as server:
        make_roles(server)
        pair = replace(pair, source=make_source(server))
        pair.source.sql(T)
        daemon = pair.follow()
        for name, low in (("kept", 100), ("left", 200), ("later", 300)):
            pair.source.sql(f"BEGIN; INSERT INTO t VALUES ({low}, '{name}'); UPDATE t SET x = '{name}' WHERE id = "
                            f"{low // 100}; PREPARE TRANSACTION '{name}'")  # fmt: skip
        pair.source.sql("COMMIT PREPARED 'kept'")
        pair.wait_equal("public.t")
        assert pair.target.sql("SELECT id FROM t WHERE id >= 100") == [(100,)]
        daemon.stop()
        pair.run()
        assert pair.target.sql("SELECT id FROM t WHERE id >= 100") == [(100,)]
        pair.source.sql("ROLLBACK PREPARED 'left'")
        pair.source.sql("COMMIT PREPARED 'later'")
        pair.run()
        pair.equal("public.t")
        assert pair.target.sql("SELECT x FROM t WHERE id IN (1, 2, 3, 300) ORDER BY id") == [
            ("kept",), ("x",), ("later",), ("later",)
        ]  # fmt: skip


@pytest.mark.failure("PG-32")
def test_what_a_publication_of_all_tables_does_not_hold(pair: Pair) -> None:
    """Temporary and unlogged tables work for the application, and appear nowhere; nor do tables not selected."""
    pair.source.sql(T + "; CREATE UNLOGGED TABLE u (a int PRIMARY KEY); CREATE TABLE other (a int PRIMARY KEY)")
    name = f"all_{pair.name}"
    pair.source.admin(f'CREATE PUBLICATION "{name}" FOR ALL TABLES')
    daemon = pair.follow("--publication", name, "--tables", "public.t")
    pair.source.sql("CREATE TEMP TABLE tt AS SELECT 1 AS a; UPDATE tt SET a = 2")
    pair.source.sql("INSERT INTO u VALUES (1); UPDATE u SET a = 2; INSERT INTO other VALUES (1); TRUNCATE other")
    pair.source.sql("BEGIN; CREATE TEMP TABLE tt (a int); INSERT INTO tt VALUES (1); DELETE FROM t WHERE id = 1; END")
    pair.wait_equal("public.t")
    daemon.stop()
    assert pair.target.sql("SELECT to_regclass('u'), to_regclass('other'), to_regclass('tt')") == [(None, None, None)]


@pytest.mark.failure("PG-24")
def test_how_much_of_the_catalogue_a_slot_holds_is_told(pair: Pair) -> None:
    """Nobody reads the slot, and transactions go by; dropped, it holds nothing."""
    pair.source.sql(T)
    pair.run()

    def age() -> int:
        (found,) = pair.command("status", "--json").json()["pipelines"]
        return int(found["source"]["catalog_age"])

    before = age()
    pair.source.sql("DO $$ BEGIN FOR n IN 1..500 LOOP CREATE TEMP TABLE tt (); DROP TABLE tt; COMMIT; END LOOP; END $$")
    assert age() >= before + 500
    pair.command("drop", "--yes", "--force")
    assert pair.slots() == []


@pytest.mark.failure("TG-05")
def test_a_pipeline_back_beside_the_one_there(pair: Pair) -> None:
    """An update would go round for ever. Over other tables it is no circle, and the log of both ends is quiet: what one
    stores does not wake the other. Nor is it one when the first has stopped."""
    pair.source.sql(T + "; CREATE TABLE other (id int PRIMARY KEY)")
    pair.target.sql("CREATE TABLE other (id int PRIMARY KEY)")
    daemon = pair.follow("--tables", "public.t")
    with reverse(pair) as back:
        options = ("--load", "skip", "--from-now", "--target-tables", "use")
        refused = back.run(*options, code=3)
        stopped(refused, "[PIPELINE-CYCLE]", f"pipeline {pair.name} carries these tables")
        beside = back.follow(*options, "--tables", "public.other")
        pair.source.sql("INSERT INTO t VALUES (100, 'there')")
        pair.target.sql("INSERT INTO other VALUES (100)")
        pair.wait_equal("public.t", "public.other")
        before = heads(pair)
        pair.source.sql("SELECT pg_sleep(12)")
        written = [now - then for now, then in zip(heads(pair), before, strict=True)]
        assert max(written) < 100_000, f"{written} bytes of log in 12 s"
        beside.stop()
        back.command("drop", "--yes")
        daemon.stop()
        back.run(*options, "--tables", "public.t")
        pair.target.sql("UPDATE t SET x = 'there'")
        back.run(*options, "--tables", "public.t")
        pair.equal("public.t")
        back.command("drop", "--yes")


def heads(pair: Pair) -> list[int]:
    """How far the logs of both ends go, in bytes."""
    text = "SELECT (pg_current_wal_insert_lsn() - '0/0')::int8"
    return [int(end.admin(text)[0][0]) for end in (pair.source, pair.target)]
