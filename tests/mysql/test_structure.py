"""Tables that change while their rows are written: each row is read as the table was at its place in the log."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count

import pymysql
import pytest

from cdcd.errors import SchemaChanged
from tests.mysql.following import Follower, following
from tests.mysql.test_source_stream import session, setting
from tests.servers.mysql_database import MySQLDatabase
from tests.waiting import wait_until

LEVELS = {"mysql": ("MINIMAL", "FULL"), "mariadb": ("NO_LOG", "MINIMAL", "FULL")}

CHANGES = [
    "ALTER TABLE t ADD COLUMN first int NOT NULL DEFAULT 5 FIRST",
    "ALTER TABLE t ADD (x varchar(7) CHARACTER SET latin1 DEFAULT 'it''s', y int), DROP COLUMN c",
    "ALTER TABLE t RENAME COLUMN a TO b, RENAME COLUMN b TO a",
    "ALTER TABLE t CHANGE e `e e` enum('r','q','p') NOT NULL DEFAULT 'r' AFTER first, MODIFY y bigint AFTER id",
    "ALTER TABLE t DROP x, ADD x decimal(8,3) NOT NULL DEFAULT 1.5 AFTER b",
    "RENAME TABLE t TO u, u TO t",
    "ALTER TABLE t DEFAULT CHARACTER SET latin1, ADD z varchar(9)",
    "ALTER TABLE t ADD i int INVISIBLE DEFAULT 3, ADD g int AS (id + 1) STORED AFTER first, ADD INDEX (g)",
    "ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (n, id)",
    "ALTER TABLE t ALTER COLUMN z SET DEFAULT 'zz', MODIFY a varchar(50) CHARACTER SET utf8mb4",
    "ALTER TABLE t DROP COLUMN g, DROP COLUMN first, MODIFY n bigint unsigned NOT NULL",
    "ALTER TABLE t RENAME COLUMN z TO y, RENAME COLUMN y TO z, COMMENT 'DROP COLUMN a'",
]  # fmt: skip
START = (
    "CREATE TABLE t (id int, n int unsigned NOT NULL, a varchar(20) DEFAULT 'a', b varchar(20) DEFAULT '\u00e4', "
    "c int DEFAULT 7, e enum('p','q') NOT NULL DEFAULT 'q', PRIMARY KEY (id)) CHARACTER SET utf8mb4"
)


@contextmanager
def writing(database: MySQLDatabase) -> Iterator[Callable[[], None]]:
    """Rows of `t` come, change and go all the time, by columns that are always there. What is given waits for more."""
    over, failures, written = threading.Event(), [], [0]

    def write() -> None:
        with closing(database.connect()) as connection, connection.cursor() as cursor:
            for number in count(1):
                if over.is_set():
                    return
                try:
                    cursor.execute(f"INSERT INTO t (id, n) VALUES ({number}, {number % 5})")
                    cursor.execute(f"UPDATE t SET n = n + 5, a = '\u00e5' WHERE id = {number - 3}")
                    cursor.execute(f"DELETE FROM t WHERE id = {number - 9} AND id % 4 <> 0")
                    written[0] = number
                except pymysql.err.MySQLError as error:
                    failures.append(error)
                    return

    def more() -> None:
        before = written[0]
        wait_until(lambda: bool(failures) or written[0] > before + 3, what="more rows to be written")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield more
    finally:
        over.set()
        thread.join(30)
    assert not failures, failures


def at_server(database: MySQLDatabase, follower: Follower, name: str = "t") -> list[dict[str, str | None]]:
    """The rows that the server has, as the follower gives them."""
    columns = [column.name for column in follower.tables[name].carried]
    there = {str(row[0]) for row in database.sql(
        f"SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = '{database.name}' "
        f"AND TABLE_NAME = '{name}' AND EXTRA NOT LIKE '%GENERATED'"
    )}  # fmt: skip
    assert set(columns) == there
    texts = ", ".join(f"CAST(`{column}` AS CHAR)" for column in columns)
    rows = database.sql(f"SELECT {texts} FROM `{name}`")
    return sorted((dict(zip(columns, row, strict=True)) for row in rows), key=str)


def same(rows: list[dict[str, str | None]], others: list[dict[str, str | None]]) -> bool:
    """Whatever the order of the columns."""
    first, second = ([sorted(row.items()) for row in its] for its in (rows, others))
    return sorted(first, key=str) == sorted(second, key=str)


@pytest.mark.failure("MY-03", "MY-17", "MY-18", "T-MY-5")
def test_changes_while_rows_are_written(mysql_db: MySQLDatabase) -> None:
    """And begun again at each place that was kept, with the catalogue of the end."""
    for level in LEVELS[mysql_db.server.product]:
        with setting(mysql_db, "binlog_row_metadata", level):
            mysql_db.sql("DROP TABLE IF EXISTS t", START)
            with following(mysql_db, bound=20_000) as follower:
                with writing(mysql_db) as more:
                    for statement in CHANGES:
                        more()
                        mysql_db.sql(statement)
                    more()
                follower.read()
                wanted = at_server(mysql_db, follower)
                assert len(wanted) > len(CHANGES) and same(follower.of("t"), wanted)
                assert not any(change.reload for change in follower.changes)
    for kept in follower.kept[1 : -1 : max(1, len(follower.kept) // 6)]:
        with following(mysql_db, kept=kept) as again:
            again.read()
            assert same(again.of("t"), wanted)


class TestRenames:
    def test_names_that_change_places(self, mysql_db: MySQLDatabase) -> None:
        mysql_db.sql("CREATE TABLE a (id int PRIMARY KEY, x int)", "CREATE TABLE b (id int PRIMARY KEY, y int)")
        with following(mysql_db) as follower:
            mysql_db.sql(
                "INSERT INTO a VALUES (1, 1)", "INSERT INTO b VALUES (2, 2)",
                "RENAME TABLE a TO tmp, b TO a, tmp TO b", "INSERT INTO a VALUES (3, 3)", "INSERT INTO b VALUES (4, 4)",
                "RENAME TABLE a TO c, b TO a, c TO d", "ALTER TABLE d ADD z int, RENAME AS `e f`",
                "INSERT INTO a VALUES (5, 5)", "INSERT INTO `e f` VALUES (6, 6, 6)",
            )  # fmt: skip
            follower.read()
            assert [row["x"] for row in follower.of("a")] == ["1", "4", "5"]
            assert [row["y"] for row in follower.of("e f")] == ["2", "3", "6"]
        for kept in follower.kept:
            with following(mysql_db, kept=kept) as again:
                again.read()
                assert again.rows == follower.rows

    @pytest.mark.failure("MY-14")
    def test_online_schema_change(self, mysql_db: MySQLDatabase) -> None:
        """Both tables carried: they are renamed. Only the old one: it is another table from then on, to be read."""
        ghost = (
            "CREATE TABLE t (id int PRIMARY KEY, a int)", "create /* gh-ost */ table `_t_gho` like `t`",
            "alter /* gh-ost */ table `_t_gho` add b int default 9",
        )  # fmt: skip
        swap = (
            "INSERT INTO t VALUES (1, 1), (2, 2)",
            "insert /* gh-ost */ ignore into _t_gho (id, a) select id, a from t", "UPDATE t SET a = 5 WHERE id = 2",
            "REPLACE INTO _t_gho (id, a) VALUES (2, 5)",
            "rename /* gh-ost */ table `t` to `_t_del`, `_t_gho` to `t`", "INSERT INTO t VALUES (3, 3, 3)",
            "drop /* gh-ost */ table if exists `_t_del`",
        )  # fmt: skip
        for names in ((), ("t",)):
            mysql_db.sql("DROP TABLE IF EXISTS t", *ghost)
            with following(mysql_db, *names) as follower:
                mysql_db.sql(*swap)
                follower.read()
                if names:
                    assert [(change.old.name, change.reload) for change in follower.changes] == [("t", True)]
                    assert follower.tables == {}
                else:
                    assert same(follower.of("t"), at_server(mysql_db, follower)) and set(follower.rows) == {"t"}
                    assert not any(change.reload for change in follower.changes)
            for kept in follower.kept:
                with following(mysql_db, kept=kept) as again:
                    again.read()
                    assert again.rows == follower.rows


def outcome(database: MySQLDatabase, *statements: str) -> dict[str, str]:
    """What becomes of the tables `t` and `p`."""
    with following(database, "t", "p") as follower:
        session(database, *statements)
        follower.read()
        return {c.old.name: "read again" if c.reload else c.said for c in follower.changes}


@pytest.mark.failure("T-MY-17")
def test_rows_that_come_and_go_without_events(mysql_db: MySQLDatabase) -> None:
    parts = "PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20))"
    mysql_db.sql("CREATE TABLE t (id int PRIMARY KEY)", f"CREATE TABLE p (id int PRIMARY KEY) {parts}")
    mysql_db.sql("INSERT INTO t VALUES (1)", "INSERT INTO p VALUES (2), (12)")
    exchange = "ALTER TABLE p EXCHANGE PARTITION p0 WITH TABLE t"
    assert outcome(mysql_db, exchange) == {"t": "read again", "p": "read again"}
    with following(mysql_db, "t") as follower:
        mysql_db.sql(exchange)
        follower.read()
        assert [change.reload for change in follower.changes] == [True]
    assert outcome(mysql_db, "ALTER TABLE p TRUNCATE PARTITION p0") == {"p": "read again"}
    assert outcome(mysql_db, "ALTER TABLE p DROP PARTITION p1") == {"p": "read again"}
    assert outcome(mysql_db, "ALTER TABLE p ADD PARTITION (PARTITION p2 VALUES LESS THAN (90))") == {}
    assert outcome(mysql_db, "ALTER TABLE p REORGANIZE PARTITION p2 INTO (PARTITION q VALUES LESS THAN (99))") == {}
    imported = ("ALTER TABLE t DISCARD TABLESPACE", "ALTER TABLE t IMPORT TABLESPACE")
    file = next((mysql_db.server.data / mysql_db.name).glob("t.ibd"))
    session(mysql_db, "FLUSH TABLES t FOR EXPORT")
    content, owner = file.read_bytes(), file.stat()
    with following(mysql_db, "t") as follower:
        session(mysql_db, imported[0])
        file.write_bytes(content)
        shutil.chown(file, owner.st_uid, owner.st_gid)
        session(mysql_db, imported[1])
        follower.read()
        assert [change.reload for change in follower.changes] == [True]
    assert outcome(mysql_db, "DROP TABLE p", "CREATE TABLE p (x int PRIMARY KEY)") == {"p": "read again"}
    assert outcome(mysql_db, "DROP TABLE p") == {"p": "it is not at the source any more"}


def test_tables_made_of_others(mysql_db: MySQLDatabase) -> None:
    """The rows of CREATE … SELECT are in the log with the statement: of tables that are not carried yet, and of one
    that is replaced."""
    mysql_db.sql("CREATE TABLE t (id int PRIMARY KEY, a int)", "INSERT INTO t VALUES (1, 2)")
    with following(mysql_db) as follower:
        mysql_db.sql("CREATE TABLE u (KEY (a)) AS SELECT a, id AS b FROM t", "CREATE TABLE v LIKE t")
        mysql_db.sql("INSERT INTO v VALUES (1, 1)", "INSERT INTO t VALUES (2, 3)")
        follower.read()
        assert [row["id"] for row in follower.of("t")] == ["2"] and not follower.changes
        if mysql_db.server.product == "mariadb":
            mysql_db.sql("CREATE OR REPLACE TABLE t AS SELECT 5 AS z", "INSERT INTO t VALUES (6)")
            follower.read()
            assert [change.reload for change in follower.changes] == [True]
        assert follower.kept[-1].place == follower.source.head().to_json() | {"last": follower.kept[-1].place["last"]}


def test_what_is_not_understood_is_a_stop_with_a_way_on(mysql_db: MySQLDatabase) -> None:
    mysql_db.sql("CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE u (id int PRIMARY KEY)")
    with following(mysql_db) as follower:
        other = "CREATE TABLE w (id int) COMMENT '\u00e9'"
        mysql_db.sql("SET NAMES dec8", other, "ALTER TABLE t ADD secret int COMMENT '\u00e9'")
        mysql_db.sql("INSERT INTO t VALUES (1, 1)", "INSERT INTO u VALUES (2)")
        with pytest.raises(SchemaChanged, match="ALTER TABLE") as stop:
            follower.read()
        assert f"cdcd reload {mysql_db.name}.t" in stop.value.hint and "secret" not in str(stop.value)
        assert "at character" in stop.value.why
    with following(mysql_db, kept=follower.kept[-1]) as again:
        again.source.carry({f"{mysql_db.name}.t": ()})  # what a reload does before the log is read
        again.read()
        assert [row["id"] for row in again.of("u")] == ["2"]


def test_what_the_log_contradicts_is_a_stop(mysql_db: MySQLDatabase) -> None:
    """Statements that were kept out of the log."""
    hidden = {
        "NO_LOG": ["ADD x int", "MODIFY a bigint", "MODIFY d decimal(9,2)"],
        "MINIMAL": ["MODIFY a int unsigned", "MODIFY v varchar(9) CHARACTER SET latin1"],
        "FULL": ["MODIFY e enum('q','p')", "CHANGE v w varchar(9)", "MODIFY s set('b','a')"],
    }
    for level in LEVELS[mysql_db.server.product]:
        with setting(mysql_db, "binlog_row_metadata", level):
            for action in hidden["NO_LOG"] + hidden.get(level, []):
                mysql_db.sql("DROP TABLE IF EXISTS t", "CREATE TABLE t (id int PRIMARY KEY, a int, d decimal(9,1), "
                             "v varchar(9) CHARACTER SET utf8mb4, e enum('p','q'), s set('a','b'))")  # fmt: skip
                with following(mysql_db) as follower:
                    session(mysql_db, "SET SESSION sql_log_bin = 0", f"ALTER TABLE t {action}")
                    mysql_db.sql("INSERT INTO t (id) VALUES (1)")
                    with pytest.raises(SchemaChanged):
                        follower.read()


def test_changes_that_came_to_nothing(mysql_db: MySQLDatabase) -> None:
    mysql_db.sql("CREATE TABLE t (id int PRIMARY KEY, a int)", "INSERT INTO t VALUES (1, 1), (2, 1)")
    two_phase = ["SET SESSION binlog_alter_two_phase = ON"] if mysql_db.server.product == "mariadb" else []
    with following(mysql_db) as follower:
        with pytest.raises(pymysql.err.MySQLError):
            session(mysql_db, *two_phase, "ALTER TABLE t ADD b int, ADD UNIQUE (a)")
        session(mysql_db, *two_phase, "ALTER TABLE t ADD c int, ADD KEY (a)", "INSERT INTO t VALUES (3, 3, 3)")
        follower.read()
        assert [column.name for column in follower.tables["t"].columns] == ["id", "a", "c"]
        assert [row["c"] for row in follower.of("t")] == ["3"]
