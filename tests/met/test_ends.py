"""How a run begins and ends: load only, load skip, until; and between versions, and on a source that went back."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.crash.workload import FILL, SCHEMA, TABLES, Workload, steady
from tests.fix_daemon import Daemon
from tests.met.pair import Pair
from tests.met.test_stops import MORE, T, stopped
from tests.servers import Database, Postgres, make_roles, run
from tests.servers.database import make_source
from tests.waiting import wait_until

TIES = """
CREATE TABLE p (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, x text DEFAULT 'd' NOT NULL UNIQUE);
CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p, y int, z int GENERATED ALWAYS AS (y * 2) STORED);
CREATE INDEX by_y ON c (y) WHERE y > 3;
INSERT INTO p (x) SELECT 'x' || i FROM generate_series(1, 50) i;
INSERT INTO c SELECT i, i, i FROM generate_series(1, 50) i
"""


def test_load_only(pair: Pair) -> None:
    """Consistent, keys and indexes built, and nothing left behind at the source."""
    pair.source.sql(TIES)
    daemon = pair.run("--load", "only")
    assert "consistent" in daemon.output.read_text()
    pair.equal("public.p", "public.c")
    assert pair.slots() == []
    assert pair.source.sql("SELECT 1 FROM pg_publication") == []
    built = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
    assert pair.target.sql(built) == pair.source.sql(built)
    keys = "SELECT conname FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace"
    assert pair.target.sql(keys) == [("c_p_fkey",)]


def test_load_skip(pair: Pair) -> None:
    """Equal tables are followed from now on; without --from-now nothing is begun, and later it is not needed."""
    pair.source.sql(T)
    pair.target.sql(T)
    refused = pair.run("--load", "skip", "--target-tables", "use", code=2)
    stopped(refused, "--from-now")
    assert pair.slots() == []
    pair.run("--load", "skip", "--from-now", "--target-tables", "use")
    pair.source.sql(MORE)
    daemon = pair.run("--load", "skip", "--target-tables", "use")
    pair.equal("public.t")
    assert "rows" not in daemon.output.read_text()


def test_until_a_position(pair: Pair) -> None:
    """What was written before it is there; the run ends though writers go on."""
    pair.source.sql(SCHEMA)
    pair.source.sql(FILL)
    pair.run()
    with Workload(pair.source) as workload:
        steady(workload, 20)
        pair.source.sql("INSERT INTO accounts VALUES (100000, 1)")
        ((until,),) = pair.source.admin("SELECT pg_current_wal_insert_lsn()::text")
        steady(workload, 20)
        pair.run("--until", until)
        assert pair.target.sql("SELECT balance FROM accounts WHERE id = 100000") == [(1,)]
        ((reached,),) = pair.target.sql("SELECT checkpoint #>> '{position,lsn}' FROM cdcd.checkpoints")
        assert pair.source.admin("SELECT %s::pg_lsn >= %s::pg_lsn", reached, until) == [(True,)]
        workload.stop()
    pair.run()
    pair.equal(*TABLES)
    wrong = pair.run("--until", "tomorrow", code=2)
    stopped(wrong, "tomorrow")


@pytest.mark.parametrize("newer_first", [True, False], ids=["18to15", "15to18"])
def test_between_versions(
    newer_first: bool, source_db: Database, target_db: Database, source_db15: Database, target_db15: Database,
    cdcd: Callable[..., Daemon],
) -> None:
    pair = Pair(source_db, target_db15, cdcd) if newer_first else Pair(source_db15, target_db, cdcd)
    pair.source.sql(SCHEMA + TIES)
    pair.source.sql(FILL)
    daemon = pair.follow()
    with Workload(pair.source) as workload:
        steady(workload, 30)
        pair.source.sql("UPDATE c SET y = y + 1 WHERE id < 10; DELETE FROM c WHERE id > 40")
        workload.stop()
    pair.wait_equal(*TABLES, "public.p", "public.c")
    daemon.stop()


@pytest.mark.failure("TG-03")
def test_the_first_insert_after_cut_over(pair: Pair) -> None:
    """By the source's sequence, not by the highest value that is left."""
    pair.source.sql(TIES)
    pair.source.sql("INSERT INTO p (x) VALUES ('gone'); DELETE FROM p WHERE x = 'gone'")
    pair.run()
    ((source,),) = pair.source.sql("INSERT INTO p (x) VALUES ('next') RETURNING id")
    ((target,),) = pair.target.sql("INSERT INTO p (x) VALUES ('next') RETURNING id")
    assert target >= source


def backup(server: Postgres) -> Path:
    """A base backup of the server, in a directory that the servers' user may use."""
    place = run.place("backup") / "data"
    server.run("pg_basebackup", "-D", place, "-d", server.url(), "-c", "fast", "-X", "stream", "--no-sync")
    return place


@pytest.mark.failure("PG-28")
def test_a_source_restored_from_a_backup(pair: Pair) -> None:
    """On the old timeline it ends before the checkpoint; on a new one it left the history that we know."""
    with Postgres.start(18) as server:
        make_roles(server)
        pair = replace(pair, source=make_source(server))
        pair.source.sql(T)
        pair.run()
        place = backup(server)
        promoted = backup(server)
        pair.source.sql(MORE)
        pair.run()
        pair.equal("public.t")
    for where, words in ((place, ["went back in time"]), (promoted, ["another history", "timeline"])):
        if where == promoted:
            (where / "standby.signal").touch()
        with Postgres.from_base_backup(where, 18, {}) as restored:
            if where == promoted:
                restored.promote()
            old = replace(pair, source=replace(pair.source, server=restored))
            before = pair.target.sql("SELECT count(*), sum(id) FROM t")
            stopped(old.run(code=6), *words, "cdcd validate")
            assert pair.target.sql("SELECT count(*), sum(id) FROM t") == before
            assert restored.slots() == []


def test_load_only_by_a_slot_of_another_name(pair: Pair) -> None:
    """It was not there before: it is ours, and goes when nobody will read it any more."""
    pair.source.sql(T)
    pair.run("--load", "only", "--slot", f"mine_{pair.name}")
    pair.equal("public.t")
    assert pair.slots() == []


def by_hand(pair: Pair) -> tuple[str, ...]:
    """A publication, and then a slot, made by a person; the options that name them."""
    name = f"hand_{pair.name}"
    pair.source.admin(f"CREATE PUBLICATION {name} FOR TABLE t")
    pair.source.admin(f"SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')")
    return "--publication", name, "--slot", name


@pytest.mark.parametrize("load", ["full", "skip", "only"])
def test_a_slot_made_by_hand(pair: Pair, load: str) -> None:
    """The stream begins where it stands, rows are read beside it; neither it nor its publication is ever dropped."""
    pair.source.sql(T)
    if load == "skip":
        pair.target.sql(T)
    options = (*by_hand(pair), "--load", load, *(("--target-tables", "use") if load == "skip" else ()))
    pair.source.sql(MORE)
    pair.run(*options)
    pair.equal("public.t")
    if load != "only":
        pair.source.sql("UPDATE t SET x = 'again' WHERE id BETWEEN 20 AND 30")
        pair.run(*options)
        pair.equal("public.t")
        pair.command("drop", "--yes")  # who made the slot is stored, not said again
    assert pair.slots() == [options[1]]
    assert pair.source.sql("SELECT count(*) FROM pg_publication") == [(1,)]


def test_a_slot_made_by_hand_says_where_to_begin(pair: Pair) -> None:
    """Not now, and not before its publication was made."""
    pair.source.sql(T)
    pair.target.sql(T)
    options = by_hand(pair)
    skip = ("--load", "skip", "--target-tables", "use")
    stopped(pair.run(*options, *skip, "--from-now", code=2), "--from-now")
    stopped(pair.run(*options[2:], *skip, code=2), "--publication")
    assert pair.source.sql("SELECT pubname FROM pg_publication") == [(options[1],)]


def test_a_run_that_ends_tells_how_far_it_came(pair: Pair) -> None:
    """Else the source keeps its log until the next run."""
    pair.source.sql(T)
    pair.run()
    pair.source.sql(MORE)
    pair.run()
    wait_until(lambda: pair.confirmed() == pair.stored(), what="the slot to stand at the checkpoint")


def test_a_slot_of_another_name_is_dropped_by_drop(pair: Pair) -> None:
    pair.source.sql(T)
    pair.run("--slot", f"mine_{pair.name}")
    assert pair.slots() == [f"mine_{pair.name}"]
    pair.command("drop", "--yes")
    assert pair.slots() == []
