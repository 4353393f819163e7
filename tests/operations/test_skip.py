"""`cdcd skip --tx`: the transaction at which a pipeline stopped is passed over, wholly, once, and recorded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.crash.following import Cdcd, words
from tests.equality import assert_equal
from tests.operations.begun import CAUGHT, SKIP, Run, recorded
from tests.servers import Database
from tests.servers.proxy import Direction, Message, Proxy

FEW = "ALTER TABLE t ADD CONSTRAINT few CHECK (n < 100) NOT VALID"


def in_one(source: Database, *statements: str) -> str:
    """Run them as one transaction; its number."""
    link = source.connect()
    try:
        with link.cursor() as cursor:
            cursor.execute("BEGIN")
            for statement in statements:
                cursor.execute(statement)
            cursor.execute("SELECT pg_current_xact_id()::text")
            row = cursor.fetchone()
            cursor.execute("COMMIT")
        assert row is not None
        return str(row[0])
    finally:
        link.close()


def poison(source: Database, target: Database) -> str:
    """Before and behind a transaction that the target refuses for one of its rows are good ones; its number."""
    source.sql("INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)")
    target.sql(FEW)
    source.sql("UPDATE t SET n = 11 WHERE id = 1")
    tx = in_one(
        source, "INSERT INTO other VALUES (1)", "UPDATE t SET n = 12 WHERE id = 2", "INSERT INTO t VALUES (4, 4000)",
        "INSERT INTO keyless VALUES (1, 'x')", "DELETE FROM t WHERE id = 3",
    )
    source.sql("INSERT INTO other VALUES (2); UPDATE t SET n = 13 WHERE id = 1")
    return tx


def skip(cdcd: Cdcd, source: Database, target: Database, tx: str, *more: str, code: int = 0) -> Any:
    done = cdcd("skip", "--tx", tx, *words(source, target)[1:], *more)
    told = done.wait(code)
    return done.json() if "--json" in more and not code else told


SKIPPED = [
    ("public.other", "insert", "1", "open"), ("public.t", "update", "2", "open"), ("public.t", "insert", "4", "open"),
    ("public.keyless", "insert", None, "open"), ("public.t", "delete", "3", "open"),
]


@pytest.mark.failure("OP-03", "T-PO-7")
def test_the_transaction_and_nothing_else(source_db: Database, target_db: Database, begun: Run, cdcd: Cdcd) -> None:
    begun()
    tx = poison(source_db, target_db)
    assert f"tx {tx}" in begun(code=6)
    told = skip(cdcd, source_db, target_db, tx, "--json")
    assert (told["tx"], told["table"], told["key"]) == (tx, "public.t", "4")
    assert target_db.sql("SELECT count(*) FROM other") == [(0,)], "nothing is done before the next run"
    assert "a transaction was passed over, as ordered" in begun()
    assert target_db.sql("SELECT id, n FROM t ORDER BY id") == [(1, 13), (2, 2), (3, 3)]
    assert target_db.sql("SELECT id FROM other") == [(2,)] and target_db.sql("SELECT 1 FROM keyless") == []
    assert recorded(target_db, "table_id", "op", "key->>'id'", "state") == SKIPPED
    assert set(recorded(target_db, "tx")) == {(tx,)}
    assert target_db.sql("SELECT 1 FROM cdcd.requests WHERE done IS NULL") == []
    assert target_db.sql("SELECT 1 FROM cdcd.stops") == []

    # The next ones are made as ever; and what was passed over can be made later.
    source_db.sql("INSERT INTO other VALUES (3)")
    begun()
    target_db.sql("ALTER TABLE t DROP CONSTRAINT few")
    cdcd("retry", *words(source_db, target_db)[1:]).wait(0)
    assert_equal(source_db, target_db, ["public.t", "public.other", "public.keyless"])


def test_words_that_are_wrong(source_db: Database, target_db: Database, begun: Run, cdcd: Cdcd) -> None:
    assert "not stopped at a transaction" in skip(cdcd, source_db, target_db, "1", code=6)
    tx = poison(source_db, target_db)
    begun(code=6)
    told = skip(cdcd, source_db, target_db, str(int(tx) + 1), code=2)
    assert f"it stopped at {tx}" in told and f"cdcd skip --tx {tx}" in told
    assert "--tx" in cdcd("skip", *words(source_db, target_db)[1:]).wait(2)
    error = json.loads(skip(cdcd, source_db, target_db, "1", "--json", code=2).splitlines()[-1])["error"]
    assert error["kind"] == "UsageError"
    assert target_db.sql("SELECT 1 FROM cdcd.requests") == []
    begun(code=6)
    skip(cdcd, source_db, target_db, tx)
    skip(cdcd, source_db, target_db, tx)
    assert target_db.sql("SELECT command, argument, done IS NULL FROM cdcd.requests") == [("skip", tx, True)]
    begun()
    assert "not stopped" in skip(cdcd, source_db, target_db, tx, code=6)


def _is_last_commit(message: Message) -> bool:
    return bool(message.sql and "COMMIT" in message.sql and "checkpoints" in message.sql)


@pytest.mark.failure("OP-03")
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_skips_it_once(
    source_db: Database, target_db: Database, target_proxy: Proxy, begun: Run, cdcd: Cdcd, when: str
) -> None:
    """With the COMMIT not sent, and with its answer not come: the order, the records and the checkpoint are one."""
    begun()
    tx = poison(source_db, target_db)
    begun(code=6)
    skip(cdcd, source_db, target_db, tx)
    if when == "before":
        trap = target_proxy.hold(Direction.TO_SERVER, _is_last_commit)
    else:
        trap = target_proxy.delay_answer_of("SET CONSTRAINTS ALL IMMEDIATE", 60)
    daemon = cdcd(*words(source_db, target_db, *CAUGHT, target_url=target_proxy.url(target_db.url)))
    trap.wait()
    daemon.kill()
    target_proxy.cut()
    target_proxy.clear()
    begun()
    begun()
    assert recorded(target_db, "table_id", "op", "key->>'id'", "state") == SKIPPED
    assert target_db.sql("SELECT id, n FROM t ORDER BY id") == [(1, 13), (2, 2), (3, 3)]
    assert target_db.sql("SELECT id FROM other") == [(2,)]


def test_one_that_comes_in_pieces(source_db: Database, target_db: Database, begun: Run, cdcd: Cdcd) -> None:
    """Larger than a group: all of its pieces are passed over, and those of its neighbours are made."""
    begun()
    target_db.sql(FEW)
    small = ("--group-bytes", "65536")
    source_db.sql("INSERT INTO t SELECT i, 1, 'n', NULL, repeat('x', 500) FROM generate_series(1, 300) i")
    tx = in_one(source_db, "INSERT INTO t SELECT i, CASE i WHEN 590 THEN 1000 ELSE 1 END, 'n', NULL, repeat('x', 500)"
                           " FROM generate_series(301, 600) i")  # fmt: skip
    source_db.sql("INSERT INTO t SELECT i, 1, 'n', NULL, repeat('x', 500) FROM generate_series(601, 900) i")
    begun(*small, code=6)
    skip(cdcd, source_db, target_db, tx)
    begun(*small)
    assert target_db.sql("SELECT count(*), max(id) FROM t") == [(600, 900)]
    assert len(recorded(target_db, "id")) == 300


def test_a_truncate_that_is_refused(source_db: Database, target_db: Database, begun: Run, cdcd: Cdcd) -> None:
    source_db.sql("INSERT INTO other VALUES (1)")
    begun()
    target_db.sql("CREATE TABLE refers (id int REFERENCES other)")
    tx = in_one(source_db, "TRUNCATE other")
    source_db.sql("INSERT INTO other VALUES (2)")
    assert f"tx {tx}" in begun(*SKIP, code=6)
    skip(cdcd, source_db, target_db, tx)
    begun()
    assert recorded(target_db, "table_id", "op", "state") == [("public.other", "truncate", "open")]
    assert target_db.sql("SELECT id FROM other ORDER BY id") == [(1,), (2,)]
    done = cdcd("retry", *words(source_db, target_db)[1:])
    done.wait(6)
    assert "TRUNCATE is not made again" in done.output.read_text()
