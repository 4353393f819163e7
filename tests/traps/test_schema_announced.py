"""The same changes where the source writes each into its log: seen in their place, whether rows follow or not."""

from __future__ import annotations

import json
import subprocess

import pytest

from connectors.postgres.announce import PREFIX, SCRIPT
from tests.servers.database import Database
from tests.traps.pipeline import Pipeline
from tests.traps.sessions import Open, commit
from tests.traps.test_schema import CHANGES, MOVE, SETUP, T, alike, named
from tests.traps.test_schema_places import file

REWRITTEN = {
    "add_volatile", "retype", "retype_to_text", "retype_by_expression", "rewrite", "another_key"
}
"""Of CHANGES, those by which the rows of the source were written anew."""

TREE = """
CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100);
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (200);
INSERT INTO p VALUES (1, 'one'), (101, 'two')
"""


def install(database: Database) -> None:
    psql = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-", database.admin_url]
    subprocess.run(psql, input=SCRIPT, check=True, timeout=30, text=True, stdout=subprocess.DEVNULL)


@pytest.fixture
def announcing(source_db: Database) -> Database:
    install(source_db)
    return source_db


@pytest.mark.failure("T-SC-1", "T-SC-2", "PG-18")
@pytest.mark.parametrize("when", ["a row follows", "no row follows", "nobody followed"])
def test_each_kind_of_change(announcing: Database, target_db: Database, when: str) -> None:
    """No table is loaded again but where its rows were rewritten. No survey is made: the stream tells of all."""
    for name in CHANGES:
        announcing.sql(named(SETUP, name))
    tables = {name: f"public.t_{name}" for name in CHANGES}
    with Pipeline(announcing, target_db, table_poll=0.0) as pipeline:
        pipeline.equal(*tables.values())
        held = {name: file(target_db, table) for name, table in tables.items()}
        if when != "nobody followed":
            _change(announcing, rows_after=when == "a row follows")
            alike(pipeline, *tables.values())
    if when == "nobody followed":
        _change(announcing, rows_after=True)
        with Pipeline(announcing, target_db, table_poll=0.0) as pipeline:
            alike(pipeline, *tables.values())
    assert {name for name, table in tables.items() if file(target_db, table) != held[name]} == REWRITTEN


def _change(source: Database, rows_after: bool) -> None:
    for name, statements in CHANGES.items():
        commit(source, f"INSERT INTO t_{name} (id) VALUES (1000)")
        for statement in statements:
            source.sql(named(statement, name))
        if rows_after:
            key = "key" if name == "rename_key" else "id"
            for more in ("DELETE FROM t WHERE {} = 9", "INSERT INTO t ({}) VALUES (1001)", MOVE):
                commit(source, named(more.format(key), name))


def test_tables_that_change_their_names_in_turn(announcing: Database, target_db: Database) -> None:
    announcing.sql(SETUP + "; CREATE TABLE u (id int PRIMARY KEY, v text); INSERT INTO u VALUES (1, 'u')")
    with Pipeline(announcing, target_db, table_poll=0.0) as pipeline:
        pipeline.equal(T, "public.u")
        commit(
            announcing, "INSERT INTO t VALUES (1001)", "ALTER TABLE t RENAME TO x", "ALTER TABLE u RENAME TO t",
            "ALTER TABLE x RENAME TO u", "INSERT INTO t VALUES (2, 'was u')", "INSERT INTO u VALUES (1002, 'was t', 1)",
        )  # fmt: skip
        alike(pipeline, T, "public.u")
        commit(announcing, "DROP TABLE t", "INSERT INTO u VALUES (1003)")
        pipeline.equal("public.u")
        assert pipeline.states(T) == [] and target_db.sql("SELECT count(*) FROM t") == [(2,)]


@pytest.mark.failure("T-PG-21")
def test_partitions_that_come_and_go(announcing: Database, target_db: Database) -> None:
    """Seen in their place; one that is made as a partition is no reason to load."""
    announcing.sql(TREE)
    with Pipeline(announcing, target_db, table_poll=0.0) as pipeline:
        pipeline.equal("public.p")
        held = file(target_db, "public.p")
        announcing.sql("CREATE TABLE p3 PARTITION OF p FOR VALUES FROM (200) TO (300); INSERT INTO p VALUES (201, 'x')")
        pipeline.equal("public.p")
        assert file(target_db, "public.p") == held, "it was loaded again"
        for statement in (
            "ALTER TABLE p DETACH PARTITION p2",
            "CREATE TABLE p4 (id int PRIMARY KEY, v text); INSERT INTO p4 VALUES (301, 'filled');"
            " ALTER TABLE p ATTACH PARTITION p4 FOR VALUES FROM (300) TO (400)",
            "DROP TABLE p3",
        ):
            announcing.sql(statement)
            commit(announcing, "INSERT INTO p SELECT max(id) + 1, 'more' FROM p1")
            pipeline.equal("public.p")


def test_what_nobody_altered(announcing: Database, target_db: Database) -> None:
    """Anybody may write into the log."""
    announcing.sql(SETUP)
    ((oid,),) = announcing.sql("SELECT 't'::regclass::oid::int8")
    with Pipeline(announcing, target_db, table_poll=0.0) as pipeline:
        pipeline.equal(T)
        held = file(target_db)
        lies = [json.dumps({"dropped": [oid]}), json.dumps({"rewritten": [oid]})]
        for said in (*lies, "", "[]", '{"tables": [{}]}', '{"tables": 1}', "[" * 100000):
            announcing.sql("SELECT pg_logical_emit_message(true, %s, %s)", PREFIX, said)
        announcing.sql("SELECT pg_logical_emit_message(false, %s, %s)", PREFIX, json.dumps({"dropped": [oid]}))
        announcing.sql("INSERT INTO t VALUES (1001)")
        pipeline.equal(T)
        assert file(target_db) == held and pipeline.states(T) == ["in"]
        # One that is old: what it says is not so any more, but something was altered.
        announcing.sql("ALTER TABLE t ADD c int DEFAULT 7")
        alike(pipeline)


@pytest.mark.failure("T-SC-1")
def test_triggers_that_are_away_for_a_while(announcing: Database, target_db: Database) -> None:
    """Off: Announcer.exact that does not ask, and the new column is taken for the one that was dropped."""
    announcing.sql(SETUP)
    with Pipeline(announcing, target_db, table_poll=0.0) as pipeline:
        pipeline.equal(T)
        announcing.admin("ALTER EVENT TRIGGER cdcd_ddl DISABLE")
        announcing.sql("ALTER TABLE t DROP n, ADD n numeric(10,2) DEFAULT 3")
        announcing.admin("ALTER EVENT TRIGGER cdcd_ddl ENABLE ALWAYS")
        commit(announcing, "INSERT INTO t VALUES (1001)")
        alike(pipeline)


def test_installed_while_somebody_alters(source_db: Database, target_db: Database) -> None:
    """The script waits for who began before: nothing of theirs is announced."""
    source_db.sql(SETUP)
    with Open(source_db, "ALTER TABLE t DROP n", "ALTER TABLE t ADD n numeric(10,2) DEFAULT 3") as session:
        with pytest.raises(subprocess.TimeoutExpired):
            subprocess.run(
                ["psql", "-X", "-q", "-f", "-", source_db.admin_url], input=SCRIPT, check=True, timeout=2, text=True,
                stdout=subprocess.DEVNULL,
            )  # fmt: skip
        session.commit()
    install(source_db)
    with Pipeline(source_db, target_db, table_poll=0.0) as pipeline:
        source_db.sql("ALTER TABLE t ADD c int DEFAULT 7")
        alike(pipeline)
