"""Kills while changes are refused and recorded: each is recorded once, everything else is equal, and a retry at the end
makes the rest."""

from __future__ import annotations

import random
import threading

import pytest

from tests.crash.following import Cdcd, words
from tests.equality import assert_equal, wait_equal
from tests.servers import Database
from tests.servers.proxy import Direction, Message, Proxy
from tests.waiting import wait_until

SCHEMA = """
CREATE TABLE notes (id int PRIMARY KEY, n int NOT NULL);
CREATE TABLE other (id int PRIMARY KEY, n int NOT NULL);
"""
FEW = "ALTER TABLE notes ADD CONSTRAINT few CHECK (n < 90) NOT VALID"
STRANGERS = 40


class Load:
    """Rows inserted, changed and deleted, of which the target refuses one in ten; `refused` are the inserts that it
    refuses, `taken` those that meet a stranger's row there."""

    def __init__(self, database: Database) -> None:
        self.refused: list[int] = []
        self.done = 0
        self._database = database
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(10)

    def steady(self, rows: int) -> None:
        """Until so many more were written."""
        goal = self.done + rows
        wait_until(lambda: self.done > goal, 20, "the load")

    def _write(self) -> None:
        chance = random.Random(7)
        link = self._database.connect()
        with link.cursor() as cursor:
            while not self._stopping.wait(0.003):
                self.done += 1
                n = chance.randrange(100)
                cursor.execute("INSERT INTO notes VALUES (%s, %s)", (self.done, n))
                if n >= 90:
                    self.refused.append(self.done)
                cursor.execute("INSERT INTO other VALUES (%s, 1)", (self.done,))
                some = chance.randrange(self.done) + 1
                if self.done % 5 == 0:
                    cursor.execute("UPDATE notes SET n = %s WHERE id = %s", (chance.randrange(100), some))
                if self.done % 20 == 0:
                    cursor.execute("DELETE FROM notes WHERE id = %s", (some,))
        link.close()


def _is_commit(message: Message) -> bool:
    return bool(message.sql and "COMMIT" in message.sql and "checkpoints" in message.sql)


@pytest.mark.failure("OP-03", "PO-02")
@pytest.mark.parametrize("on_conflict", ["skip", "overwrite"])
def test_each_is_recorded_once(
    source_db: Database, target_db: Database, target_proxy: Proxy, cdcd: Cdcd, on_conflict: str
) -> None:
    source_db.sql(SCHEMA)
    policy = ("--on-error", "skip", "--on-conflict", on_conflict, "--max-exceptions", "100000")
    cdcd(*words(source_db, target_db, "--until", "caught-up")).wait(0)
    target_db.sql(FEW)
    target_db.sql(f"INSERT INTO other SELECT i * 10, 0 FROM generate_series(1, {STRANGERS}) i")
    arguments = words(source_db, target_db, *policy, target_url=target_proxy.url(target_db.url))
    daemon = cdcd(*arguments)
    daemon.wait_said("stream started")
    with Load(source_db) as load:
        for kind in ("open", "sent", "any", "open", "sent"):
            load.steady(40)
            if kind == "open":
                target_proxy.hold(Direction.TO_SERVER, _is_commit).wait()
            elif kind == "sent":
                target_proxy.delay_answer_of("COMMIT", 60).wait()
            daemon.kill()
            target_proxy.cut()
            target_proxy.clear()
            daemon = cdcd(*arguments)
            daemon.wait_said("going on")
        wait_until(lambda: load.done > 10 * STRANGERS, 30, "the strangers' keys")
    daemon.stop()
    cdcd(*words(source_db, target_db, *policy, "--until", "caught-up")).wait(0)

    doubles = "SELECT tx, table_id, op, key FROM cdcd.exceptions GROUP BY 1, 2, 3, 4 HAVING count(*) > 1"
    assert target_db.sql(doubles) == []
    inserts = "SELECT (key->>'id')::int FROM cdcd.exceptions WHERE table_id = %s AND op = 'insert' ORDER BY 1"
    assert [id for (id,) in target_db.sql(inserts, "public.notes")] == load.refused
    taken = [i * 10 for i in range(1, STRANGERS + 1)] if on_conflict == "skip" else []
    assert [id for (id,) in target_db.sql(inserts, "public.other")] == taken
    if on_conflict == "overwrite":
        assert_equal(source_db, target_db, ["public.other"])

    target_db.sql("ALTER TABLE notes DROP CONSTRAINT few")
    cdcd("retry", *words(source_db, target_db)[1:], "--overwrite").wait(0)
    wait_equal(source_db, target_db, ["public.notes", "public.other"], 5)
