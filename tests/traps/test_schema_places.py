"""Where in the stream a table was altered: inside a transaction, between restarts, under a load, and with other tables
in turn. What it holds at the target is what the source has, and it was loaded again only where nothing else is right.
"""

from __future__ import annotations

import pytest

from cdcd.errors import SchemaChanged
from tests.equality import columns
from tests.servers.database import Database
from tests.traps.handled import Handled
from tests.traps.pipeline import Pipeline
from tests.traps.sessions import commit
from tests.traps.test_schema import T, alike
from tests.waiting import wait_until

SETUP = """
CREATE TABLE t (id int PRIMARY KEY, a text, n int);
INSERT INTO t SELECT i, 'a' || i, i FROM generate_series(1, 100) i
"""


def file(target: Database, table: str = T) -> object:
    """What holds the table's rows: another one once it was emptied to be loaded again."""
    return target.admin("SELECT pg_relation_filenode(%s::regclass)", table)


@pytest.mark.failure("T-SC-5", "PG-18")
def test_inside_a_transaction_with_rows_on_both_sides(source_db: Database, target_db: Database) -> None:
    """Off: Stream._code without look, and the first row of the new shape is decoded by the old one."""
    source_db.sql(SETUP)
    with Pipeline(source_db, target_db) as pipeline:
        pipeline.equal(T)
        held = file(target_db)
        commit(
            source_db,
            "INSERT INTO t VALUES (1001, 'before', 1)", "UPDATE t SET n = n + 1 WHERE id < 10",
            "ALTER TABLE t ADD c int DEFAULT 7", "INSERT INTO t VALUES (1002, 'c', 2, 8)",
            "CREATE TYPE mood AS ENUM ('sad', 'ok')", "ALTER TABLE t ADD m mood",
            "INSERT INTO t VALUES (1003, 'm', 3, 9, 'ok')", "UPDATE t SET m = 'sad' WHERE id = 1001",
            "ALTER TABLE t DROP a", "DELETE FROM t WHERE id = 5", "INSERT INTO t VALUES (1004, 4, 10, 'sad')",
            "ALTER TABLE t RENAME n TO number", "UPDATE t SET id = 2000 WHERE id = 50",
        )  # fmt: skip
        alike(pipeline)
        assert file(target_db) == held, "it was loaded again"
    assert pipeline.progress.retries == 0


@pytest.mark.failure("T-SC-3", "PG-18")
def test_while_nobody_followed(source_db: Database, target_db: Database) -> None:
    """The catalogue is of now, the rows are of then."""
    source_db.sql(SETUP)
    with Pipeline(source_db, target_db) as pipeline:
        pipeline.equal(T)
        held = file(target_db)
    for statement in (
        "INSERT INTO t VALUES (1001, 'x', 1)", "ALTER TABLE t ADD c int DEFAULT 7",
        "INSERT INTO t VALUES (1002, 'y', 2, 8)", "ALTER TABLE t ADD d text DEFAULT 'd'",
        "UPDATE t SET c = 9 WHERE id = 1001", "ALTER TABLE t DROP a", "INSERT INTO t VALUES (1003, 3, 10, 'e')",
        "ALTER TABLE t RENAME c TO b", "DELETE FROM t WHERE id = 7",
    ):  # fmt: skip
        commit(source_db, statement)
    with Pipeline(source_db, target_db) as pipeline:
        alike(pipeline)
        assert file(target_db) == held, "it was loaded again"
    assert pipeline.progress.retries == 0


@pytest.mark.failure("T-SC-3", "PG-18")
@pytest.mark.parametrize(
    "statements",
    [
        ("ALTER TABLE t ADD c int DEFAULT 7",),
        ("ALTER TABLE t DROP a",),
        ("ALTER TABLE t RENAME a TO b",),
        ("ALTER TABLE t ALTER n TYPE numeric",),
        ("ALTER TABLE t ADD c uuid DEFAULT gen_random_uuid()", "ALTER TABLE t DROP n"),
        ("DROP TABLE t;" + SETUP.replace("a text", "a text, c int"),),
    ],
    ids=["add", "drop", "rename", "retype", "two", "made again"],
)
@pytest.mark.parametrize("rows_after", [True, False], ids=["a row follows", "no row follows"])
def test_with_half_of_the_table_unread(
    source_db: Database, target_db: Database, statements: tuple[str, ...], rows_after: bool
) -> None:
    source_db.sql(SETUP)
    pipeline = Handled(source_db, target_db, chunks_per_snapshot=1)
    pipeline.hands.cuts[T] = ("id", ["50"])
    pipeline.hands.asking.clear()
    with pipeline:
        pipeline.until(lambda: pipeline.states(T) == ["in", "unread"], "the first chunk")
        commit(source_db, "INSERT INTO t (id, n) VALUES (0, 0), (1001, 1)")
        for statement in statements:
            source_db.sql(statement)
        if rows_after:
            commit(source_db, "UPDATE t SET n = 5 WHERE id IN (3, 70)" if "n" in columns(source_db, T)
                   else "DELETE FROM t WHERE id IN (3, 70)")  # fmt: skip
            commit(source_db, "UPDATE t SET id = -id WHERE id IN (4, 71)")
        pipeline.hands.asking.set()
        alike(pipeline)


def test_made_again_and_looked_at_under_each_snapshot(source_db: Database, target_db: Database) -> None:
    """What was seen under a snapshot that is of no use is heeded before the next is asked for, which would be of none
    either. Off: reading on after a snapshot counts as a change that was taken up, and no look is ever heeded."""
    source_db.sql(SETUP)
    pipeline = Handled(source_db, target_db, chunks_per_snapshot=1, table_poll=0.7)  # a snapshot is there before a look
    hands = pipeline.hands
    hands.cuts[T] = ("id", ["50"])
    hands.asking.clear()

    def looked_at() -> None:
        before = hands.surveys
        wait_until(lambda: hands.surveys > before, 10, "another look")

    hands.after_snapshot = looked_at
    with pipeline:
        pipeline.until(lambda: pipeline.states(T) == ["in", "unread"], "the first chunk")
        source_db.sql("DROP TABLE t;" + SETUP.replace("a text", "a text, c int"))
        hands.asking.set()
        alike(pipeline)


@pytest.mark.failure("T-SC-3")
def test_while_it_is_being_read(source_db: Database, target_db: Database) -> None:
    """Between the snapshot and the reading of a chunk."""
    source_db.sql(SETUP)
    altered = ["ALTER TABLE t ADD c int DEFAULT 7", "ALTER TABLE t ALTER n TYPE bigint", "ALTER TABLE t DROP a"]
    pipeline = Handled(source_db, target_db, chunks_per_snapshot=1)
    pipeline.hands.cuts[T] = ("id", ["30", "60", "90"])

    def alter(_: object) -> None:
        if altered:
            source_db.sql(altered[-1])
            altered.pop()

    pipeline.hands.before_read = alter
    with pipeline:
        pipeline.until(lambda: not altered, "all changes")
        commit(source_db, "INSERT INTO t VALUES (1001, 5, 6)")
        alike(pipeline)


def test_a_label_that_is_new_while_it_loads(source_db: Database, target_db: Database) -> None:
    """The target's type was made before the source's got it; the first row that has it is read, not sent."""
    source_db.sql("CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE t (id int PRIMARY KEY, m mood)")
    source_db.sql("INSERT INTO t SELECT i, 'ok' FROM generate_series(1, 100) i")
    pipeline = Handled(source_db, target_db, chunks_per_snapshot=1)
    pipeline.hands.cuts[T] = ("id", ["50"])
    pipeline.hands.asking.clear()
    with pipeline:
        pipeline.until(lambda: pipeline.states(T) == ["in", "unread"], "the first chunk")
        source_db.sql("ALTER TYPE mood ADD VALUE 'glad' BEFORE 'ok'")
        pipeline.until_stored(commit(source_db, "UPDATE t SET m = 'glad' WHERE id = 70"))
        pipeline.hands.asking.set()
        pipeline.equal(T)
        labels = "SELECT enum_range(NULL::mood)::text"
        assert target_db.sql(labels) == source_db.sql(labels)


class TestNames:
    """Tables that get other names, go, or are made again."""

    TWO = SETUP + "; CREATE TABLE u (id int PRIMARY KEY, v text); INSERT INTO u VALUES (1, 'u')"

    @pytest.mark.failure("PG-18")
    @pytest.mark.parametrize("rows_after", [True, False], ids=["a row follows", "no row follows"])
    def test_renamed(self, source_db: Database, target_db: Database, rows_after: bool) -> None:
        source_db.sql(SETUP)
        with Pipeline(source_db, target_db) as pipeline:
            pipeline.equal(T)
            held = file(target_db)
            source_db.sql("ALTER TABLE t RENAME TO v")
            if rows_after:
                commit(source_db, "INSERT INTO v VALUES (1001)", "DELETE FROM v WHERE id = 1")
            pipeline.until(lambda: target_db.sql("SELECT to_regclass('v') IS NOT NULL") == [(True,)], "the new name")
            alike(pipeline, "public.v")
            assert file(target_db, "public.v") == held, "it was loaded again"

    def test_two_in_turn(self, source_db: Database, target_db: Database) -> None:
        source_db.sql(self.TWO)
        with Pipeline(source_db, target_db) as pipeline:
            pipeline.equal(T, "public.u")
            commit(
                source_db, "ALTER TABLE t RENAME TO x", "ALTER TABLE u RENAME TO t", "ALTER TABLE x RENAME TO u",
                "INSERT INTO t VALUES (1001, 'was u')", "INSERT INTO u VALUES (1001, 'was t', 1)",
            )  # fmt: skip
            error = pipeline.stopped_by(SchemaChanged)
            assert "in turn" in error.what and error.exit_code == 6

    @pytest.mark.failure("PG-18")
    def test_renamed_and_another_made(self, source_db: Database, target_db: Database) -> None:
        source_db.sql(SETUP)
        with Pipeline(source_db, target_db) as pipeline:
            pipeline.equal(T)
            commit(
                source_db, "INSERT INTO t VALUES (1001)", "ALTER TABLE t RENAME TO old",
                "CREATE TABLE t (id int PRIMARY KEY, b text)", "INSERT INTO t VALUES (1, 'new')",
                "INSERT INTO old VALUES (1002)",
            )  # fmt: skip
            pipeline.until(lambda: pipeline.states("public.old"), "the old one's new name")
            pipeline.until(lambda: pipeline.states(T) == ["in"], "the new one")
            commit(source_db, "INSERT INTO t VALUES (2, 'x')", "UPDATE old SET n = 0 WHERE id = 1002")
            alike(pipeline, T, "public.old")

    @pytest.mark.failure("PG-18")
    @pytest.mark.parametrize("rows_after", [True, False], ids=["a row follows", "no row follows"])
    def test_dropped_and_made_again(self, source_db: Database, target_db: Database, rows_after: bool) -> None:
        source_db.sql(SETUP)
        with Pipeline(source_db, target_db) as pipeline:
            pipeline.equal(T)
            again = ["DROP TABLE t", "CREATE TABLE t (id int PRIMARY KEY, b text)", "INSERT INTO t VALUES (1, 'new')"]
            commit(source_db, *again)
            if rows_after:
                commit(source_db, "INSERT INTO t VALUES (2, 'x')")
            alike(pipeline)

    def test_dropped(self, source_db: Database, target_db: Database) -> None:
        """The others go on, and its rows stay."""
        source_db.sql(self.TWO)
        with Pipeline(source_db, target_db) as pipeline:
            pipeline.equal(T, "public.u")
            commit(source_db, "DELETE FROM t WHERE id = 1", "DROP TABLE t", "INSERT INTO u VALUES (2, 'after')")
            pipeline.equal("public.u")
            pipeline.until(lambda: pipeline.states(T) == [], "the table to be let go")
            assert target_db.sql("SELECT count(*) FROM t") == [(99,)]
            commit(source_db, "INSERT INTO u VALUES (3, 'later')")
            pipeline.equal("public.u")

    @pytest.mark.failure("PG-30")
    def test_a_schema_renamed_and_made_again(self, source_db: Database, target_db: Database) -> None:
        """As the server's own tests have it."""
        source_db.sql("CREATE SCHEMA sch1; CREATE TABLE sch1.t1 (c1 int PRIMARY KEY)")
        with Pipeline(source_db, target_db, "sch1.*", "sch2.*") as pipeline:
            pipeline.equal("sch1.t1")
            commit(
                source_db, "INSERT INTO sch1.t1 VALUES (1)", "ALTER SCHEMA sch1 RENAME TO sch2", "CREATE SCHEMA sch1",
                "CREATE TABLE sch1.t1 (c1 int PRIMARY KEY)", "INSERT INTO sch1.t1 VALUES (2)",
                "INSERT INTO sch2.t1 VALUES (3)",
            )  # fmt: skip
            pipeline.until(lambda: pipeline.states("sch2.t1") and pipeline.states("sch1.t1") == ["in"], "both")
            pipeline.equal("sch1.t1", "sch2.t1")
            assert target_db.sql("SELECT c1 FROM sch1.t1") == [(2,)]

    @pytest.mark.failure("PG-30")
    def test_a_schema_renamed_under_a_publication_of_all_tables(
        self, source_db: Database, target_db: Database
    ) -> None:
        """Here the table that nobody knows yet is sent too, by the name of one that is known."""
        source_db.sql("CREATE SCHEMA sch1; CREATE TABLE sch1.t1 (c1 int PRIMARY KEY)")
        source_db.admin("CREATE PUBLICATION everything FOR ALL TABLES")
        with Pipeline(source_db, target_db, "sch1.*", "sch2.*", publication="everything") as pipeline:
            pipeline.equal("sch1.t1")
            commit(
                source_db, "INSERT INTO sch1.t1 VALUES (1)", "ALTER SCHEMA sch1 RENAME TO sch2", "CREATE SCHEMA sch1",
                "CREATE TABLE sch1.t1 (c1 int PRIMARY KEY)", "INSERT INTO sch1.t1 VALUES (2)",
                "INSERT INTO sch2.t1 VALUES (3)",
            )  # fmt: skip
            pipeline.until(lambda: pipeline.states("sch2.t1") and pipeline.states("sch1.t1") == ["in"], "both")
            pipeline.equal("sch1.t1", "sch2.t1")


class TestKeys:
    @pytest.mark.failure("PG-29")
    def test_other_columns_while_changes_wait(self, source_db: Database, target_db: Database) -> None:
        source_db.sql(SETUP + "; UPDATE t SET a = 'a' || id; ALTER TABLE t ALTER a SET NOT NULL")
        with Pipeline(source_db, target_db) as pipeline:
            pipeline.equal(T)
            held = file(target_db)
        for statement in (
            "UPDATE t SET n = -n WHERE id < 20", "ALTER TABLE t DROP CONSTRAINT t_pkey",
            "ALTER TABLE t ADD PRIMARY KEY (a)", "UPDATE t SET id = 7 WHERE a IN ('a30', 'a31')",
            "DELETE FROM t WHERE a = 'a1'", "UPDATE t SET a = 'b' WHERE a = 'a2'",
        ):  # fmt: skip
            commit(source_db, statement)
        with Pipeline(source_db, target_db) as pipeline:
            alike(pipeline)
            assert file(target_db) == held, "it was loaded again"

    @pytest.mark.failure("PG-29")
    def test_another_replica_identity(self, source_db: Database, target_db: Database) -> None:
        source_db.sql(
            "CREATE TABLE t (a int NOT NULL UNIQUE, b int NOT NULL UNIQUE);"
            "INSERT INTO t SELECT i, 1000 + i FROM generate_series(1, 100) i;"
            "ALTER TABLE t REPLICA IDENTITY USING INDEX t_a_key"
        )
        with Pipeline(source_db, target_db) as pipeline:
            pipeline.equal(T)
        for statement in (
            "UPDATE t SET b = -b WHERE a < 10", "ALTER TABLE t REPLICA IDENTITY USING INDEX t_b_key",
            "UPDATE t SET a = -a", "DELETE FROM t WHERE a > -20", "INSERT INTO t VALUES (5, 5)",
        ):  # fmt: skip
            commit(source_db, statement)
        with Pipeline(source_db, target_db) as pipeline:
            alike(pipeline)

    @pytest.mark.failure("PG-31")
    def test_full_with_a_column_that_old_rows_have_not(self, source_db: Database, target_db: Database) -> None:
        source_db.sql("CREATE TABLE t (a int, d text); ALTER TABLE t REPLICA IDENTITY FULL; INSERT INTO t VALUES (1)")
        with Pipeline(source_db, target_db) as pipeline:
            pipeline.equal(T)
            source_db.sql("ALTER TABLE t ADD b bool DEFAULT false NOT NULL")
            commit(source_db, "INSERT INTO t VALUES (2, NULL, true)", "UPDATE t SET a = a + 1")
            source_db.sql("ALTER TABLE t DROP d")
            commit(source_db, "UPDATE t SET a = a + 1", "DELETE FROM t WHERE b")
            alike(pipeline)


class TestPolicies:
    ALTERED = ("ALTER TABLE t ADD c int DEFAULT 7", "ALTER TABLE t ALTER n TYPE bigint")

    @pytest.mark.parametrize("statement", ALTERED)
    def test_stop_and_go_on(self, source_db: Database, target_db: Database, statement: str) -> None:
        """A person does at the target what was done at the source."""
        source_db.sql(SETUP)
        with Pipeline(source_db, target_db, on_schema_change="stop") as pipeline:
            pipeline.equal(T)
            commit(source_db, "INSERT INTO t VALUES (1001)")
            source_db.sql(statement)
            commit(source_db, "INSERT INTO t (id) VALUES (1002)")
            error = pipeline.stopped_by(SchemaChanged)
        assert error.exit_code == 6 and T in str(error) and error.hint
        with Pipeline(source_db, target_db, on_schema_change="stop") as pipeline:
            assert pipeline.stopped_by(SchemaChanged).exit_code == 6, "nothing was done yet"
        target_db.sql(statement)
        if "TYPE" in statement:  # its rows were rewritten: who knows how
            with Pipeline(source_db, target_db, on_schema_change="stop") as pipeline:
                assert f"cdcd reload {T}" in pipeline.stopped_by(SchemaChanged).hint
                pipeline.reload(T)
        with Pipeline(source_db, target_db, on_schema_change="stop") as pipeline:
            pipeline.equal(T)
            commit(source_db, "INSERT INTO t (id) VALUES (1003)")
            pipeline.equal(T)

    def test_ignore(self, source_db: Database, target_db: Database) -> None:
        source_db.sql(SETUP)
        with Pipeline(source_db, target_db, on_schema_change="ignore") as pipeline:
            pipeline.equal(T)
            held = file(target_db)
            source_db.sql("ALTER TABLE t ADD c int DEFAULT 7")
            commit(source_db, "INSERT INTO t VALUES (1001, 'x', 1, 8)", "UPDATE t SET c = 9, n = 0 WHERE id = 3")
            source_db.sql("ALTER TABLE t ADD d uuid DEFAULT gen_random_uuid()")
            commit(source_db, "INSERT INTO t VALUES (1002, 'x', 1, 8)")
            source_db.sql("ALTER TABLE t DROP a")
            commit(source_db, "INSERT INTO t (id, n) VALUES (1003, 3)", "DELETE FROM t WHERE id = 5")
            pipeline.caught_up()
            told = "SELECT id, n FROM t ORDER BY id"
            assert source_db.sql(told) == target_db.sql(told)
            assert columns(target_db, T) == ["id", "a", "n"]
            assert target_db.sql("SELECT a FROM t WHERE id IN (1001, 1003) ORDER BY id") == [("x",), (None,)]
            assert file(target_db) == held, "it was loaded again"
        with Handled(source_db, target_db, on_schema_change="stop") as stopping:
            commit(source_db, "INSERT INTO t (id, n) VALUES (1006, 3)")
            stopping.caught_up()
            looks = stopping.hands.surveys
            stopping.until(lambda: stopping.hands.surveys > looks + 3, "looks at the tables: nothing is new")
            assert source_db.sql(told) == target_db.sql(told)
        with Pipeline(source_db, target_db, on_schema_change="ignore") as pipeline:
            commit(source_db, "INSERT INTO t (id, n) VALUES (1004, 3)")
            pipeline.caught_up()
            assert source_db.sql(told) == target_db.sql(told)
            source_db.sql("ALTER TABLE t RENAME n TO m")
            commit(source_db, "INSERT INTO t (id, m) VALUES (1005, 3)")
            assert "no column m" in str(pipeline.stopped_by(SchemaChanged)), "its values have no place any more"
        target_db.sql("ALTER TABLE t DROP a")  # which was ignored too
        with Pipeline(source_db, target_db, on_schema_change="apply") as pipeline:
            alike(pipeline)  # what was left out comes by a load
