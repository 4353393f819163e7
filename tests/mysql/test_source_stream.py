"""What the logs of both products hold beyond the menu: compressed, huge, rolled back, two-phase, without GTIDs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import Any, cast

import pymysql
import pytest

from cdcd.contracts import Source
from cdcd.errors import OtherServer, SlotLost, Stopped
from cdcd.model.cell import UNCHANGED
from cdcd.model.position import Checkpoint
from connectors.mysql.position import Domains, Gtids, Offset, place_of
from connectors.mysql.source import MysqlSource
from tests.contract.reading import Event, altered, events, forms, read
from tests.servers.mysql import MySQL
from tests.servers.mysql_database import MySQLDatabase
from tests.waiting import wait_until

TABLE = "CREATE TABLE t (id int PRIMARY KEY, a varchar(100), b longblob, n int NOT NULL DEFAULT 5)"
WITHOUT_GTIDS = {"gtid-mode": "OFF", "enforce-gtid-consistency": "OFF"}


class Reader:
    """A source of a database's tables, as they are now, from now on."""

    def __init__(self, database: MySQLDatabase, bound: int = 1 << 20, checkpoint: Checkpoint | None = None) -> None:
        self.source = MysqlSource(database.url, f"test_{database.name}", group_bytes=bound)
        self.tables = self.source.tables()
        self.checkpoint = checkpoint or Checkpoint(self.source.head())
        self.source.open(self.checkpoint, self.source.identity(), forms(self.tables))

    def events(self) -> list[Event]:
        return events(self.groups())

    def groups(self) -> Sequence[Any]:
        return read(self.source)[0]  # type: ignore[arg-type]


@contextmanager
def reading(database: MySQLDatabase, bound: int = 1 << 20, checkpoint: Checkpoint | None = None) -> Iterator[Reader]:
    reader = Reader(database, bound, checkpoint)
    try:
        yield reader
    finally:
        reader.source.close()


@contextmanager
def setting(database: MySQLDatabase, name: str, value: object) -> Iterator[None]:
    """A global variable of the server, for a while."""
    before = database.server.execute(f"SELECT @@GLOBAL.{name}")[0][0]
    database.server.execute(f"SET GLOBAL {name} = %s", value)
    try:
        yield
    finally:
        database.server.execute(f"SET GLOBAL {name} = %s", before)


@pytest.fixture
def mysql(mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase]) -> MySQLDatabase:
    """A database of MySQL only."""
    return mysql_on(mysql_servers("mysql"))


@pytest.fixture
def mariadb(mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase]) -> MySQLDatabase:
    """A database of MariaDB only."""
    return mysql_on(mysql_servers("mariadb"))


def session(database: MySQLDatabase, *statements: str) -> None:
    """Statements of the administrator, on one connection."""
    with closing(database.server.connect(database.name)) as connection, connection.cursor() as cursor:
        for text in statements:
            cursor.execute(text)


def purge(database: MySQLDatabase) -> None:
    """All of the log but its last file."""
    last = database.server.execute("SHOW BINARY LOGS")[-1][0]

    def purged() -> bool:
        session(database, f"PURGE BINARY LOGS TO '{last}'")
        return len(database.server.execute("SHOW BINARY LOGS")) == 1

    wait_until(purged, what="the logs to be let go by those who have read them")


class TestSizes:
    @pytest.mark.failure("MY-19")
    @pytest.mark.parametrize("size", [16 * 1024 * 1024 - 60, 16 * 1024 * 1024, 40_000_000])
    def test_a_row_of_several_packets(self, mysql_db: MySQLDatabase, size: int) -> None:
        mysql_db.sql(TABLE)
        with reading(mysql_db) as reader:
            mysql_db.run("INSERT INTO t VALUES (1, 'x', REPEAT('y', %s), 2)", size)
            mysql_db.sql("INSERT INTO t VALUES (2, 'z', '', 3)")
            first, second = reader.events()
            assert first[2][2] == str(b"y" * size)
            assert second == ("insert", "t", ("2", "z", "b''", "3"))

    def test_many_rows_of_one_statement(self, mysql_db: MySQLDatabase) -> None:
        mysql_db.sql(TABLE)
        with reading(mysql_db, bound=10_000) as reader:
            mysql_db.sql("INSERT INTO t (id, a) VALUES " + ", ".join(f"({n}, 'row {n}')" for n in range(5000)))
            groups = reader.groups()
            came = events(groups)
            assert [event[2][0] for event in came] == [str(n) for n in range(5000)]
            assert max(group.bytes for group in groups) < 40_000


class TestCompressed:
    @pytest.mark.failure("MY-08")
    def test_transactions(self, mysql: MySQLDatabase) -> None:
        """Also one whose compressed events are more than a packet."""
        mysql.sql(TABLE)
        with reading(mysql, bound=5_000) as reader:
            on = "SET SESSION binlog_transaction_compression = ON"
            rows = ", ".join(f"({n}, 'row {n}')" for n in range(3000))
            session(mysql, on, f"INSERT INTO t (id, a) VALUES {rows}", "UPDATE t SET a = 'u' WHERE id = 7")
            mysql.sql("DELETE FROM t WHERE id = 8")
            groups = reader.groups()
            came = events(groups)
            assert [event[2][0] for event in came[:3000]] == [str(n) for n in range(3000)]
            assert [event[:3] for event in came[3000:]] == [("update", "t", ("7",)), ("delete", "t", ("8",))]
            assert max(group.bytes for group in groups) < 30_000
            assert groups[-1].position.covers(reader.source.head())
            noise = os.urandom(9_000_000).hex()
            big = [f"INSERT INTO t VALUES ({number}, 'z', X'{noise}', 1)" for number in (5001, 5002)]
            session(mysql, on, "BEGIN", *big, "COMMIT")
            assert [(event[2][0], event[2][2]) for event in reader.events()] == [
                (number, str(bytes.fromhex(noise))) for number in ("5001", "5002")
            ]

    @pytest.mark.failure("MY-09")
    def test_events_of_mariadb(self, mariadb: MySQLDatabase) -> None:
        mariadb.sql(TABLE)
        with setting(mariadb, "log_bin_compress", 1), setting(mariadb, "log_bin_compress_min_len", 10):
            with reading(mariadb) as reader:
                mariadb.sql(
                    "INSERT INTO t VALUES (1, REPEAT('x', 100), REPEAT('y', 5000), 3)",
                    "UPDATE t SET a = REPEAT('z', 90) WHERE id = 1",
                    "DELETE FROM t",
                )
                big = str(b"y" * 5000)
                assert reader.events() == [
                    ("insert", "t", ("1", "x" * 100, big, "3")),
                    ("update", "t", ("1",), ("1", "z" * 90, big, "3")),
                    ("delete", "t", ("1",)),
                ]


class TestTransactions:
    @pytest.mark.failure("T-MY-18", "MY-22")
    def test_what_was_rolled_back_and_is_in_the_log(self, mariadb: MySQLDatabase) -> None:
        """MySQL refuses such transactions where it has GTIDs."""
        mariadb.sql(TABLE, "CREATE TABLE m (id int) ENGINE = MyISAM")
        with reading(mariadb) as reader:
            mariadb.sql("INSERT INTO t (id) VALUES (1)")
            mixed = ("INSERT INTO t (id) VALUES (2)", "CREATE TEMPORARY TABLE x (id int)", "INSERT INTO m VALUES (3)")
            session(mariadb, "BEGIN", *mixed, "ROLLBACK")
            mariadb.sql("INSERT INTO t (id) VALUES (4)")
            came = reader.events()
            assert [event[2][0] for event in came if event[1] == "t"] == ["1", "4"]

    @pytest.mark.failure("T-MY-19")
    def test_one_phase(self, mysql_db: MySQLDatabase) -> None:
        """A commit."""
        mysql_db.sql(TABLE)
        with reading(mysql_db) as reader:
            mysql_db.sql("XA START 'x'", "INSERT INTO t (id) VALUES (1)", "XA END 'x'", "XA COMMIT 'x' ONE PHASE")
            assert [event[2][0] for event in reader.events()] == ["1"]

    @pytest.mark.failure("T-MY-4", "MY-21")
    @pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
    def test_two_phases_are_refused(self, mysql_db: MySQLDatabase, end: str) -> None:
        """Prepared in one file of the log and ended two files on: by who reads both, by who begins between, and again
        after a restart. By nobody who begins behind."""
        mysql_db.sql(TABLE)
        rotated = ("FLUSH BINARY LOGS", "FLUSH BINARY LOGS")
        with reading(mysql_db) as before:
            mysql_db.sql("XA START 'x'", "INSERT INTO t (id) VALUES (1)", "XA END 'x'", "XA PREPARE 'x'")
            try:
                with pytest.raises(Stopped, match="XA"):
                    before.events()
                session(mysql_db, *rotated)
                with reading(mysql_db) as between:
                    mysql_db.sql("INSERT INTO t (id) VALUES (2)")
                    assert [event[2][0] for event in between.events()] == ["2"]
                    session(mysql_db, f"XA {end} 'x'")
                    with pytest.raises(Stopped, match="XA"):
                        between.events()
            finally:
                with suppress(pymysql.err.MySQLError):
                    session(mysql_db, "XA ROLLBACK 'x'")
        for checkpoint in before.checkpoint, between.checkpoint:
            with pytest.raises(Stopped, match="XA"), reading(mysql_db, checkpoint=checkpoint) as reader:
                reader.events()
        with reading(mysql_db) as behind:
            mysql_db.sql("INSERT INTO t (id) VALUES (3)")
            assert [event[2][0] for event in behind.events()] == ["3"]

    @pytest.mark.failure("MY-15")
    def test_statements_are_refused(self, mysql_db: MySQLDatabase, mysql_on: Callable[..., MySQLDatabase]) -> None:
        """Of sessions that log statements: also where another table's trigger, a function or a view is in between."""
        elsewhere = mysql_on(mysql_db.server)
        elsewhere.sql("CREATE TABLE o (id int)")
        mysql_db.sql(TABLE, "INSERT INTO t (id) VALUES (1)", "CREATE TABLE o (id int)")
        session(
            mysql_db, "CREATE VIEW w AS SELECT * FROM t",
            "CREATE TRIGGER g BEFORE INSERT ON o FOR EACH ROW UPDATE t SET n = n + 1",
            "CREATE FUNCTION f() RETURNS int DETERMINISTIC BEGIN UPDATE t SET n = n + 1; RETURN 1; END",
        )  # fmt: skip
        changes = (
            "UPDATE t SET a = 'x'", "INSERT INTO o VALUES (1)", "DO f()", "SELECT f()", "UPDATE w SET a = 'y'",
            "DELETE t FROM t JOIN o USING (id)", "WITH x AS (SELECT 1 id) UPDATE t JOIN x USING (id) SET n = 7",
            "REPLACE INTO t (id, a) VALUES (1, 'z')",
        )  # fmt: skip
        for number, text in enumerate(changes):
            if text.startswith("WITH") and mysql_db.server.product == "mariadb":
                continue  # has no such statement
            with reading(mysql_db) as reader:
                format = "STATEMENT" if number % 2 else "MIXED"
                session(elsewhere, f"SET SESSION binlog_format = '{format}'", "INSERT INTO o VALUES (1)")
                mysql_db.sql("INSERT INTO t (id) VALUES (99)", "DELETE FROM t WHERE id = 99")
                assert [event[0] for event in reader.events()] == ["insert", "delete"]
                session(mysql_db, f"SET SESSION binlog_format = '{format}'", text)
                with pytest.raises(Stopped, match=r"statement .*rows of"):
                    reader.events()

    @pytest.mark.failure("T-MY-6")
    def test_tags(self, mysql: MySQLDatabase) -> None:
        mysql.server.needs((8, 3), "tags")
        mysql.sql(TABLE)
        with reading(mysql) as reader:
            tagged = "SET gtid_next = 'AUTOMATIC:app'"
            session(mysql, tagged, "INSERT INTO t (id) VALUES (1)")
            between = Checkpoint(reader.groups()[-1].position)
            session(mysql, tagged, "INSERT INTO t (id) VALUES (2)")
            mysql.sql("INSERT INTO t (id) VALUES (3)")
            groups = reader.groups()
            assert [event[2][0] for event in events(groups)] == ["2", "3"]
            assert ":app:" in str(groups[-1].position)
            assert groups[-1].position.covers(reader.source.head())
        with reading(mysql, checkpoint=between) as reader:
            assert [event[2][0] for event in reader.events()] == ["2", "3"]


class TestImages:
    @pytest.mark.failure("MY-11")
    def test_minimal(self, mysql_db: MySQLDatabase) -> None:
        """Absent is not NULL."""
        mysql_db.sql(TABLE, "INSERT INTO t VALUES (1, 'a', 'b', 1)")
        with reading(mysql_db) as reader:
            session(
                mysql_db, "SET SESSION binlog_row_image = 'MINIMAL'", "UPDATE t SET a = NULL WHERE id = 1",
                "UPDATE t SET id = 2, n = 7", "DELETE FROM t", "INSERT INTO t VALUES (3, 'x', NULL, 9)",
            )  # fmt: skip
            assert reader.events() == [
                ("update", "t", ("1",), ("1", None, UNCHANGED, UNCHANGED)),
                ("move", "t", ("1",), ("2", UNCHANGED, UNCHANGED, "7")),
                ("delete", "t", ("2",)),
                ("insert", "t", ("3", "x", None, "9")),
            ]

    @pytest.mark.failure("T-MY-25", "MY-18")
    def test_generated_invisible_and_hidden_columns(self, mysql_db: MySQLDatabase) -> None:
        functional = ", KEY ((upper(a)))" if mysql_db.server.product == "mysql" else ", UNIQUE (d)"
        mysql_db.sql(
            "CREATE TABLE t (id int PRIMARY KEY, a varchar(20), g int GENERATED ALWAYS AS (id + 1) STORED, "
            f"v int GENERATED ALWAYS AS (id * 2) VIRTUAL, c int INVISIBLE, d text{functional})"
            if mysql_db.server.product == "mysql"
            else "CREATE TABLE t (id int PRIMARY KEY, a varchar(20), g int GENERATED ALWAYS AS (id + 1) STORED, "
            "v int GENERATED ALWAYS AS (id * 2) VIRTUAL, c int INVISIBLE, d text)"
        )
        with reading(mysql_db) as reader:
            mysql_db.sql("INSERT INTO t (id, a, c, d) VALUES (1, 'x', 7, 'd')", "UPDATE t SET a = 'y'")
            assert reader.events() == [
                ("insert", "t", ("1", "x", "7", "d")),
                ("update", "t", ("1",), ("1", "y", "7", "d")),
            ]


class TestLog:
    @pytest.mark.failure("MY-19")
    def test_rotation_and_checksums(self, mysql_db: MySQLDatabase) -> None:
        """Sums come and go while the stream is read."""
        mysql_db.sql(TABLE)
        with reading(mysql_db) as reader:
            mysql_db.sql("INSERT INTO t (id) VALUES (1)")
            with setting(mysql_db, "binlog_checksum", "NONE"):
                mysql_db.sql("INSERT INTO t (id) VALUES (2)")
                assert [event[2][0] for event in reader.events()] == ["1", "2"]
            mysql_db.sql("INSERT INTO t (id) VALUES (3)")
            session(mysql_db, "FLUSH BINARY LOGS")
            mysql_db.sql("INSERT INTO t (id) VALUES (4)")
            assert [event[2][0] for event in reader.events()] == ["3", "4"]

    def test_without_checksums_from_the_beginning(self, mysql_db: MySQLDatabase) -> None:
        mysql_db.sql(TABLE)
        with setting(mysql_db, "binlog_checksum", "NONE"), reading(mysql_db) as reader:
            mysql_db.sql("INSERT INTO t (id) VALUES (2)")
            assert [event[2][0] for event in reader.events()] == ["2"]

    def test_harmless_statements_and_others(self, mysql_db: MySQLDatabase) -> None:
        mysql_db.sql(TABLE)
        with reading(mysql_db) as reader:
            mysql_db.sql(
                "INSERT INTO t (id) VALUES (1)", "ALTER TABLE t ADD KEY (a)", "CREATE TABLE u (id int)", "DROP TABLE u",
                "ALTER TABLE t COMMENT 'x, ADD COLUMN'", "/* t */ CREATE VIEW w AS SELECT 1",
                "INSERT INTO t (id) VALUES (2)",
            )  # fmt: skip
            assert [event[2][0] for event in reader.events()] == ["1", "2"]
            mysql_db.sql("ALTER TABLE t ADD COLUMN more int, ADD KEY (n)", "INSERT INTO t (id) VALUES (3)")
            assert altered(cast(Source, reader.source)).said.startswith("column more int")

    @pytest.mark.failure("T-MY-24")
    def test_without_gtids(self, mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase]) -> None:
        """The place is a file and an offset, behind a compressed transaction too; another server has no such place."""
        database = mysql_on(mysql_servers("mysql", "without GTIDs", **WITHOUT_GTIDS))
        database.sql(TABLE)
        with reading(database) as reader:
            database.sql("INSERT INTO t (id) VALUES (1)")
            between = Checkpoint(reader.groups()[-1].position)
            on = "SET SESSION binlog_transaction_compression = ON"
            session(database, on, "INSERT INTO t (id) VALUES (2)", "FLUSH BINARY LOGS", "INSERT INTO t (id) VALUES (3)")
            groups = reader.groups()
            assert [event[2][0] for event in events(groups)] == ["2", "3"]
            end = Checkpoint(groups[-1].position)
        with reading(database, checkpoint=between) as reader:
            assert [event[2][0] for event in reader.events()] == ["2", "3"]
            other = replace(reader.source.identity(), system="another")
            with pytest.raises(OtherServer):
                reader.source.open(between, other, forms(reader.tables))
        with reading(database, checkpoint=end) as reader:
            assert reader.events() == []
            # A server that begins to use them while it is read.
            with setting(database, "gtid_mode", "OFF_PERMISSIVE"):
                mine = f"SET gtid_next = 'aaaaaaaa-0000-4000-9000-{os.getpid():012}:1'"
                session(database, mine, "INSERT INTO t (id) VALUES (4)", "SET gtid_next = 'ANONYMOUS'",
                        "INSERT INTO t (id) VALUES (5)")  # fmt: skip
                assert [event[2][0] for event in reader.events()] == ["4", "5"]
        assert str(end.position).endswith(str(end.position.to_json()["offset"]))

    @pytest.mark.failure("MY-01", "T-MY-24")
    def test_as_many_bytes_with_another_content(
        self, mysql_servers: Callable[..., MySQL], mysql_on: Callable[..., MySQLDatabase]
    ) -> None:
        """Without GTIDs a server that was reset comes to the same file and offset. A restart is no reset, nor is
        another file."""
        server = mysql_servers("mysql", "without GTIDs", **WITHOUT_GTIDS)
        database = mysql_on(server)
        database.sql(TABLE)
        with reading(database) as reader:
            database.sql("INSERT INTO t (id) VALUES (1)")
            place = reader.groups()[-1].position
        server.kill()
        server.launch()
        database.sql("INSERT INTO t (id) VALUES (2)")
        with reading(database, checkpoint=Checkpoint(place)) as reader:
            groups = reader.groups()
            assert [event[2][0] for event in events(groups)] == ["2"]
            place = place_of(groups[-1].position.to_json(), mariadb=False)
        assert isinstance(place, Offset) and place.last is not None
        for wrong in replace(place.last, stamp=place.last.stamp + 1), replace(place.last, begun=place.last.begun - 1):
            amiss = Checkpoint(replace(place, last=wrong))
            with pytest.raises(OtherServer, match="history"), reading(database, checkpoint=amiss) as reader:
                reader.events()
        was = place.last.begun
        wait_until(lambda: time.time() > was + 1, what="another second: a file tells no less")
        session(database, server.reset)

        def as_far() -> bool:
            database.sql("INSERT INTO t (id) SELECT MAX(id) + 1 FROM t")
            name, size, *_ = server.execute("SHOW BINARY LOGS")[-1]
            if name != place.file:
                session(database, "FLUSH BINARY LOGS")
            return bool(name == place.file and size > place.at)

        wait_until(as_far, what="as many bytes")
        with pytest.raises(OtherServer, match="history"), reading(database, checkpoint=Checkpoint(place)) as reader:
            reader.events()

    @pytest.mark.failure("MY-01", "MY-25")
    def test_purged(self, mysql_db: MySQLDatabase) -> None:
        """It is named, with the statement that tells for how long logs are kept."""
        mysql_db.sql(TABLE)
        with reading(mysql_db) as reader:
            checkpoint = reader.checkpoint
        mysql_db.sql("INSERT INTO t (id) VALUES (1)")
        session(mysql_db, "FLUSH BINARY LOGS")
        mysql_db.sql("INSERT INTO t (id) VALUES (2)")
        purge(mysql_db)
        with pytest.raises(SlotLost) as lost, reading(mysql_db, checkpoint=checkpoint) as reader:
            reader.events()
        assert "binlog_expire_logs_seconds" in lost.value.hint

    @pytest.mark.failure("MY-01")
    def test_nothing_was_purged_but_what_was_read(self, mysql_db: MySQLDatabase) -> None:
        """The last transaction that was read cannot be compared any more, and nothing is missing."""
        mysql_db.sql(TABLE)
        with reading(mysql_db) as reader:
            mysql_db.sql("INSERT INTO t (id) VALUES (1)", "INSERT INTO t (id) VALUES (2)")
            place = Checkpoint(reader.groups()[-1].position)
        session(mysql_db, "FLUSH BINARY LOGS", "FLUSH BINARY LOGS")
        purge(mysql_db)
        with reading(mysql_db, checkpoint=place) as reader:
            mysql_db.sql("INSERT INTO t (id) VALUES (3)")
            assert [event[2][0] for event in reader.events()] == ["3"]

    @pytest.mark.failure("MY-01", "PO-08")
    def test_the_same_numbers_with_another_content(self, mysql_db: MySQLDatabase) -> None:
        """A reset server gives the same GTIDs again: fewer, as many, or more than before, in the same second too."""
        mysql_db.sql(TABLE)
        with reading(mysql_db) as reader:
            mysql_db.sql("INSERT INTO t (id) VALUES (1)")
            place = reader.groups()[-1].position
        assert isinstance(place, Gtids | Domains) and place.last is not None
        session(mysql_db, mysql_db.server.reset)
        with pytest.raises(OtherServer), reading(mysql_db, checkpoint=Checkpoint(place)) as reader:
            reader.events()
        if isinstance(place, Domains):
            mysql_db.sql("INSERT INTO t (id) VALUES (2)")
            with pytest.raises(OtherServer), reading(mysql_db, checkpoint=Checkpoint(place)):
                pass
        many = place.set.count if isinstance(place, Gtids) else max(number for _, number in place.domains.values())
        mysql_db.sql(*(f"REPLACE INTO t (id) VALUES ({number})" for number in range(2, 4 + many)))
        with pytest.raises(OtherServer, match="history"), reading(mysql_db, checkpoint=Checkpoint(place)) as reader:
            reader.events()
