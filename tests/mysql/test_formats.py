"""What sessions leave out of the log's rows, and what those mean nevertheless: partial documents, smaller images."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cdcd.errors import Stopped
from cdcd.model.cell import UNCHANGED
from cdcd.model.position import Checkpoint
from connectors.mysql.images import ImageCode
from tests.contract.reading import Event, events
from tests.mysql.following import following
from tests.mysql.test_source_stream import WITHOUT_GTIDS, reading, session, setting
from tests.servers.mysql import MySQL
from tests.servers.mysql_database import MySQLDatabase

PARTIAL = "SET SESSION binlog_row_value_options = 'PARTIAL_JSON'"
MINIMAL = "SET SESSION binlog_row_image = 'MINIMAL'"

DOCUMENT = r"""{"a": 1, "list": [1, 2, {"deep": "x"}, null], "some \"quotes\" . and [": 1.5, "é": true, "pad": "%s"}"""

UPDATES = (
    "a = JSON_SET(a, '$.a', 2), n = n + 1",
    "a = JSON_REMOVE(a, '$.list[0]')",
    "v = 'w'",
    "a = JSON_ARRAY_INSERT(a, '$.list[1]', 'in')",
    "a = JSON_SET(a, '$.list[last-1].deep', CAST('[1]' AS JSON))",
    "a = JSON_SET(a, '$.t', CAST('2024-02-29 01:02:03' AS DATETIME), '$.dec', 1.50), b = JSON_SET(b, '$[2].n', 0)",
    r"""a = JSON_REPLACE(a, '$."some \\"quotes\\" . and ["', -1e300, '$."é"', NULL)""",
    "a = JSON_SET(a, '$.list[99]', 'end', '$.a[0]', 'wrapped'), b = JSON_REMOVE(b, '$[3]')",
    "a = JSON_SET(a, '$.a', JSON_OBJECT('bb', 1, 'a', JSON_ARRAY(TRUE, 65536, -1)), '$.u', 18446744073709551615)",
    "a = '[]', b = JSON_SET(b, '$[0].s', REPEAT('t', 70000))",
    "a = JSON_SET(a, '$[0]', 1), b = NULL",
    "a = JSON_SET(a, '$[0]', 2), id = id + 10",
)

DEFAULTS = r"""CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY, a varchar(20) DEFAULT 'it''s \\ é',
    c char(4) DEFAULT 'c ', n int NOT NULL DEFAULT 5, u bigint unsigned DEFAULT 18446744073709551615,
    d decimal(8,3) DEFAULT 1.5, f double DEFAULT 0.1, r float DEFAULT 0, y year DEFAULT 1999, b bit(4) DEFAULT b'101',
    e enum('x','y') DEFAULT 'y', s set('p','q') DEFAULT 'q,p', dt datetime(3) DEFAULT '2024-02-29 01:02:03.5',
    day date DEFAULT '2024-02-29', clock time DEFAULT '-12:30:00', l text, j json, ts timestamp(6) NULL,
    now datetime(6) DEFAULT CURRENT_TIMESTAMP(6), x varchar(9) DEFAULT (concat('a', 'b')))"""


@pytest.fixture
def mysql(mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase]) -> MySQLDatabase:
    """A database of MySQL only."""
    return mysql_on(mysql_servers("mysql"))


def test_full_images_are_read_the_fast_way(mysql_db: MySQLDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the server writes into the bits of a bitmap that belong to no column."""
    monkeypatch.setattr(ImageCode, "_slow", lambda *_: pytest.fail("the slow way was taken"))
    columns = "id int PRIMARY KEY, a int, b text, c int"
    wide = ", ".join(f"d{number} int" for number in range(6))
    for more, values in ((f", {wide}", ", 1, 2, NULL, 4, 5, 6"), ("", "")):
        mysql_db.sql("DROP TABLE IF EXISTS t", f"CREATE TABLE t ({columns}{more})")
        with reading(mysql_db) as reader:
            mysql_db.sql(f"INSERT INTO t VALUES (1, 2, 'x', NULL{values}), (2, 3, 'y', 4{values})")
            mysql_db.sql("UPDATE t SET a = 9", "UPDATE t SET id = 3 WHERE id = 2", "DELETE FROM t WHERE id = 1")
            assert [event[0] for event in reader.events()] == ["insert", "insert", "update", "update", "move", "delete"]


class TestPartialDocuments:
    @pytest.mark.failure("MY-12")
    def test_differences(self, mysql: MySQLDatabase) -> None:
        """What is made of a document and its differences is what the server has."""
        mysql.sql("CREATE TABLE t (id int PRIMARY KEY, a json, n int DEFAULT 0, b json, v varchar(9) DEFAULT 'v')")
        many = ", ".join(f'{{"n": {n}, "s": "{"s" * 90}"}}' for n in range(900))
        for number, list in (1, f"[{many}]"), (2, '[0, 1, {"n": 2}, 3]'):
            mysql.run("INSERT INTO t (id, a, b) VALUES (%s, %s, %s)", number, DOCUMENT % ("p" * 300), list)
        session(mysql, "FLUSH BINARY LOGS")
        with reading(mysql) as reader:
            for update in UPDATES:
                session(mysql, PARTIAL, f"UPDATE t SET {update} ORDER BY id DESC")
                came = sorted(event[3] for event in reader.events())
                all = "SELECT CAST(id AS char), CAST(a AS char), CAST(n AS char), CAST(b AS char), v FROM t ORDER BY 1"
                assert came == mysql.sql(all), update
        file = mysql.server.execute("SHOW BINARY LOGS")[-1][0]
        kinds = [row[2] for row in mysql.server.execute(f"SHOW BINLOG EVENTS IN '{file}'")]
        assert kinds.count("Update_rows_partial") >= len(UPDATES) - 3

    @pytest.mark.failure("MY-12")
    def test_a_difference_of_what_is_not_in_the_log_is_refused(self, mysql: MySQLDatabase) -> None:
        mysql.sql(
            "CREATE TABLE t (id int PRIMARY KEY, a json, v int)",
            """INSERT INTO t VALUES (1, '{"k": 1, "more": "and more and more and more"}', 1)""",
        )
        with reading(mysql) as reader, setting(mysql, "binlog_row_value_options", "PARTIAL_JSON"):
            assert "MY-PARTIAL-JSON" not in {one.id for one in reader.source.check(reader.tables)}
            session(mysql, MINIMAL, "UPDATE t SET v = 2", """UPDATE t SET a = '["a long enough text"]'""")
            assert reader.events() == [
                ("update", "t", ("1",), ("1", UNCHANGED, "2")),
                ("update", "t", ("1",), ("1", '["a long enough text"]', UNCHANGED)),
            ]
            session(mysql, MINIMAL, "UPDATE t SET a = JSON_SET(a, '$[1]', 2)")
            with pytest.raises(Stopped, match="what changed in a of"):
                reader.events()
            with setting(mysql, "binlog_row_image", "MINIMAL"):
                assert "MY-PARTIAL-JSON" in {one.id for one in reader.source.check(reader.tables)}


@pytest.mark.failure("MY-11")
class TestSmallerImages:
    def test_defaults_that_are_not_in_the_log(self, mysql_db: MySQLDatabase) -> None:
        """Under MINIMAL and NOBLOB an insertion has what it was given, and what was made for it."""
        mysql_db.sql(DEFAULTS)
        with reading(mysql_db) as reader:
            for image in ("FULL", "MINIMAL", "NOBLOB"):
                session(mysql_db, f"SET SESSION binlog_row_image = '{image}'", "INSERT INTO t (n) VALUES (7)",
                        "INSERT INTO t (a) VALUES ('given')")  # fmt: skip
            rows = [event[2] for event in reader.events()]
            times = [now for (now,) in mysql_db.sql("SELECT CAST(now AS char) FROM t ORDER BY id")]
        assert [row[:4] for row in rows[:2]] == [("1", "it's \\ é", "c", "7"), ("2", "given", "c", "5")]
        assert [row[18] for row in rows] == times
        others = [(*row[1:18], row[19]) for row in rows]
        assert others[2:4] == others[:2] and others[4:] == others[:2]

    @pytest.mark.failure("T-MY-5")
    def test_a_default_is_that_of_its_time(self, mysql_db: MySQLDatabase) -> None:
        """Of what was made and changed before it is read."""
        mysql_db.sql("CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 5)")
        with following(mysql_db) as follower:
            session(
                mysql_db, MINIMAL, "INSERT INTO t (id) VALUES (1)",
                "ALTER TABLE t ALTER n SET DEFAULT 6, ADD m int DEFAULT 1", "INSERT INTO t (id) VALUES (2)",
                "ALTER TABLE t ALTER n SET DEFAULT 7, ALTER m SET DEFAULT NULL", "INSERT INTO t (id) VALUES (3)",
            )  # fmt: skip
            follower.read()
            rows = [(row["id"], row["n"], row["m"]) for row in follower.of("t")]
        assert rows == [("1", "5", "1"), ("2", "6", "1"), ("3", "7", None)]

    def test_a_default_that_nothing_tells_is_refused(self, mysql_db: MySQLDatabase) -> None:
        mysql_db.sql("CREATE TABLE t (id int PRIMARY KEY, r float DEFAULT 16777216, ts timestamp DEFAULT '2024-01-01')")
        with reading(mysql_db) as reader, setting(mysql_db, "binlog_row_image", "MINIMAL"):
            found = {one.id: one for one in reader.source.check(reader.tables)}
            assert "r, ts" in found["MY-IMAGE"].evidence
            session(mysql_db, "INSERT INTO t (id, ts) VALUES (1, NOW())")
            with pytest.raises(Stopped, match="without a value for r"):
                reader.events()


class TestTransactions:
    @pytest.mark.failure("MY-22")
    def test_savepoints(self, mysql_db: MySQLDatabase) -> None:
        """What was taken back is in no log, and the events of savepoints end nothing."""
        mysql_db.sql("CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE m (id int PRIMARY KEY) ENGINE = MyISAM")
        with reading(mysql_db) as reader:
            session(
                mysql_db, "BEGIN", "INSERT INTO t VALUES (1)", "SAVEPOINT a", "INSERT INTO t VALUES (2)",
                "SAVEPOINT `b c`", "INSERT INTO t VALUES (3)", "ROLLBACK TO `b c`", "RELEASE SAVEPOINT a",
                "INSERT INTO t VALUES (4)", "COMMIT",
            )  # fmt: skip
            session(mysql_db, "INSERT INTO m VALUES (5)", "BEGIN", "INSERT INTO t VALUES (6)", "ROLLBACK")
            groups = reader.groups()
            assert [event[1:] for event in events(groups)] == [
                ("t", ("1",)), ("t", ("2",)), ("t", ("4",)), ("m", ("5",)),
            ]  # fmt: skip
            assert sum(group.txs for group in groups) == 2

    @pytest.mark.failure("MY-22")
    def test_mixed_engines(self, mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase]) -> None:
        """Rolled back to a savepoint, and all: the log tells what a table without transactions keeps. (With GTIDs MySQL
        refuses such transactions.)"""
        for server in mysql_servers("mysql", "without GTIDs", **WITHOUT_GTIDS), mysql_servers("mariadb"):
            database = mysql_on(server)
            database.sql("CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE m (id int PRIMARY KEY) ENGINE = MyISAM")
            with reading(database) as reader:
                two = ("INSERT INTO t VALUES (2)", "INSERT INTO m VALUES (3)")
                session(database, "BEGIN", "INSERT INTO t VALUES (1)", "SAVEPOINT s", *two, "ROLLBACK TO s",
                        "INSERT INTO t VALUES (4)", "COMMIT")  # fmt: skip
                session(database, "BEGIN", "INSERT INTO t VALUES (5)", "INSERT INTO m VALUES (6)", "ROLLBACK")
                rows: dict[str, set[str]] = {"t": set(), "m": set()}
                for kind, table, key, *_ in reader.events():
                    (rows[table].add if kind == "insert" else rows[table].discard)(key[0])
                for table, its in rows.items():
                    assert its == {str(id) for (id,) in database.sql(f"SELECT id FROM {table}")}

    @pytest.mark.failure("MY-20")
    def test_of_mariadb(self, mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase]) -> None:
        """A domain that is used once and never again, sequences, the history of versioned tables, annotations: the
        place moves past all of them, and from any place in between the rest is read."""
        database = mysql_on(mysql_servers("mariadb"))
        database.sql("CREATE TABLE t (id int PRIMARY KEY, a int) WITH SYSTEM VERSIONING", "CREATE SEQUENCE s")
        came: list[Event] = []
        with reading(database) as reader:
            places = [(0, reader.checkpoint)]
            for text in (
                "SET SESSION gtid_domain_id = 7; INSERT INTO t VALUES (1, 1)", "SELECT NEXTVAL(s)",
                "UPDATE t SET a = 2", "INSERT INTO t VALUES (2, NEXTVAL(s))", "DELETE FROM t", "DELETE HISTORY FROM t",
                "INSERT INTO t VALUES (3, 3)",
            ):  # fmt: skip
                session(database, *text.split("; "))
                groups = reader.groups()
                came += events(groups)
                places.append((len(came), Checkpoint(groups[-1].position)))
            assert [event[0] for event in came] == ["insert", "update", "insert", "delete", "delete", "insert"]
            assert "7-" in str(places[-1][1].position) and groups[-1].position.covers(reader.source.head())
        session(database, "FLUSH BINARY LOGS")
        for passed, place in places:
            with reading(database, checkpoint=place) as reader:
                assert reader.events() == came[passed:]
