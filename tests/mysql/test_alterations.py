"""What DDL makes of a table, as told from its text alone, is what the server says that it made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest

from cdcd.model.change import SchemaChange
from cdcd.model.table import Table
from connectors.mysql.definitions import Definitions
from connectors.mysql.events import query
from connectors.mysql.source import MysqlSource
from tests.servers.mysql_database import MySQLDatabase

START = (
    "CREATE TABLE t (id int NOT NULL PRIMARY KEY, a varchar(20) DEFAULT 'x', b int unsigned, c enum('p','q') NOT NULL, "
    "d decimal(8,2), e text, f datetime, UNIQUE u (b)) CHARACTER SET utf8mb4"
)

KEPT = [
    # Columns that come, go, move and have other names, several at once.
    "ALTER TABLE t ADD COLUMN g int",
    "ALTER TABLE t ADD g int FIRST",
    "ALTER TABLE t ADD g int NOT NULL DEFAULT 5 AFTER a, ADD h varchar(7) DEFAULT 'it''s' AFTER g, DROP b",
    "ALTER TABLE t ADD (g int, h char(5) NOT NULL DEFAULT 'y', KEY (g), UNIQUE KEY k (h))",
    "ALTER TABLE t ADD COLUMN (g tinyint(1), h bool DEFAULT TRUE), ADD i year DEFAULT 2020",
    "ALTER TABLE t DROP COLUMN a, DROP d, ADD a int, ADD d varchar(3) FIRST",
    "ALTER TABLE t CHANGE a aa varchar(20), CHANGE b a int unsigned, ADD z int AFTER aa",
    "ALTER TABLE t CHANGE a b varchar(20), CHANGE b a int unsigned",
    "ALTER TABLE t CHANGE COLUMN A `A` varchar(20) DEFAULT 'x' AFTER f, MODIFY id int NOT NULL AFTER e",
    "ALTER TABLE t RENAME COLUMN a TO aa, RENAME COLUMN b TO a",
    "ALTER TABLE t RENAME COLUMN id TO number, RENAME COLUMN a TO `select`, RENAME COLUMN b TO `a``b`",
    "ALTER TABLE t MODIFY a varchar(40) FIRST, MODIFY b bigint unsigned AFTER f",
    "ALTER TABLE t MODIFY c enum('p','q','r') NOT NULL, MODIFY d decimal(10,2), MODIFY e longtext",
    "ALTER TABLE t MODIFY c enum('q','r','p') NOT NULL",
    "ALTER TABLE `t` ALTER COLUMN a SET DEFAULT 'z', ALTER d SET DEFAULT 1.50, ALTER COLUMN f DROP DEFAULT",
    # Types, as information_schema spells them.
    "ALTER TABLE t ADD g INTEGER, ADD h INT(5) ZEROFILL, ADD i INT1 UNSIGNED, ADD j MIDDLEINT, ADD k INT8",
    "ALTER TABLE t ADD g DEC, ADD h NUMERIC(5), ADD i FIXED(7,3) UNSIGNED, ADD j decimal(65,30)",
    "ALTER TABLE t ADD g REAL, ADD h DOUBLE PRECISION, ADD i FLOAT(20), ADD j FLOAT(30), ADD k float(7,3) unsigned",
    "ALTER TABLE t ADD g BIT, ADD h BIT(7) DEFAULT b'101', ADD i YEAR, ADD j TIME(3), ADD k TIMESTAMP NULL",
    "ALTER TABLE t ADD g CHAR, ADD h NCHAR(3), ADD i NATIONAL VARCHAR(4), ADD j CHARACTER VARYING(5), ADD k LONG",
    "ALTER TABLE t ADD g BINARY, ADD h VARBINARY(9), ADD i CHAR(3) BYTE, ADD j LONG VARBINARY, ADD k blob(70000)",
    "ALTER TABLE t ADD g TEXT(100), ADD h TEXT(20) CHARACTER SET latin1, ADD i MEDIUMTEXT ASCII, ADD j tinytext",
    "ALTER TABLE t ADD g varchar(5) CHARACTER SET latin1, ADD h varchar(5) COLLATE latin1_bin, ADD i char(5) BINARY",
    "ALTER TABLE t ADD g varchar(5) CHARACTER SET binary, ADD h text CHARSET gbk COLLATE gbk_bin, ADD i JSON",
    "ALTER TABLE t ADD g set('a','b','it''s') DEFAULT 'b,a', ADD h enum('\\\\','\\n','x ') CHARACTER SET ucs2",
    "ALTER TABLE t ADD g POINT, ADD h GEOMETRYCOLLECTION, ADD i GEOMETRY",
    "ALTER TABLE t ADD g int COMMENT 'FIRST, ADD h int' AFTER a, ADD h int REFERENCES t (id) ON DELETE SET NULL",
    "ALTER TABLE t ADD g int CHECK (g > 0), ADD CONSTRAINT k CHECK (b < 5), ADD h int UNIQUE KEY COMMENT 'x'",
    "ALTER TABLE t ADD g int AS (b + 1) VIRTUAL, ADD h int GENERATED ALWAYS AS (id * (2 + 1)) STORED AFTER g",
    "ALTER TABLE t ADD g int INVISIBLE, ADD h date DEFAULT '2020-02-29', ADD i time DEFAULT '01:02:03'",
    # Keys.
    "ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (a(5), id)",
    "ALTER TABLE t ADD g int NOT NULL DEFAULT 1, DROP PRIMARY KEY, ADD CONSTRAINT PRIMARY KEY USING BTREE (g DESC, ID)",
    "ALTER TABLE t CHANGE id number int, ADD INDEX (a), ADD FULLTEXT KEY (e), DROP INDEX u",
    # Options, alone and in between.
    "ALTER TABLE t ENGINE = InnoDB ROW_FORMAT=DYNAMIC COMMENT 'ADD x int', ADD g int, AUTO_INCREMENT 5",
    "ALTER TABLE t DEFAULT CHARACTER SET latin1, ADD g varchar(3), ALGORITHM=COPY, LOCK=SHARED",
    "ALTER TABLE t COLLATE utf8mb4_bin, ADD g text, FORCE",
    "ALTER TABLE t DROP KEY u, ADD g int PARTITION BY HASH (id) PARTITIONS 3",
    "ALTER TABLE t ADD g int, ORDER BY a, b DESC",
    # Words.
    "/* x */ ALTER /*!50000 TABLE */ t -- ADD y int\n ADD /*!99999999 no, ADD */ g int # , DROP a\n, DROP\tb",
    "alter table T.t add g int, modify a varchar(30) default 'x', modify b bigint",
    'SET SESSION sql_mode = \'ANSI_QUOTES\'; ALTER TABLE "t" ADD "g ""x" int, ADD h varchar(3) DEFAULT \'"\', DROP "a"',
    "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'; ALTER TABLE t ADD g char(9) DEFAULT '\\', ADD h int COMMENT '\\'",
    "SET NAMES gbk; ALTER TABLE t ADD `\u8a89` int, ADD g varchar(9) DEFAULT '\u8a89', DROP b",
    "ALTER TABLE t RENAME COLUMN a TO `caf\u00e9`, ADD `\u4e2d\u6587` int AFTER `caf\u00e9`",
]  # fmt: skip
"""Statements that change the table and no row that is there. `T` is the database's name."""

AGAIN = [
    "ALTER TABLE t ADD g int NOT NULL AUTO_INCREMENT UNIQUE",
    "ALTER TABLE t ADD g datetime DEFAULT CURRENT_TIMESTAMP",
    "ALTER TABLE t ADD g timestamp(6) NOT NULL DEFAULT now(6) ON UPDATE now(6)",
    "SET SESSION explicit_defaults_for_timestamp = OFF; ALTER TABLE t ADD g timestamp",
    "ALTER TABLE t MODIFY id int AUTO_INCREMENT",
    "ALTER TABLE t MODIFY a varchar(20) CHARACTER SET latin1",
    "ALTER TABLE t MODIFY d int",
    "ALTER TABLE t MODIFY b int",
    "SET SESSION sql_mode = ''; ALTER TABLE t MODIFY c enum('q') NOT NULL DEFAULT 'q'",
    "SET SESSION sql_mode = ''; ALTER TABLE t MODIFY a varchar(20) NOT NULL",
    "ALTER TABLE t CONVERT TO CHARACTER SET latin1",
    "ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
]
"""Statements that change rows."""

SAME = [
    "ALTER TABLE t ADD INDEX (a), ADD UNIQUE KEY (d, e(5)), DROP INDEX u, COMMENT 'ADD g int'",
    "CREATE INDEX k ON t (a)", "DROP INDEX u ON t", "OPTIMIZE TABLE t", "ANALYZE TABLE t",
    "ALTER TABLE t ENGINE=InnoDB",
    "CREATE TABLE u LIKE t", "CREATE VIEW v AS SELECT * FROM t", "CREATE TABLE IF NOT EXISTS t (x int)",
    "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 'ALTER TABLE t DROP a'", "DROP TRIGGER IF EXISTS g",
    "CREATE PROCEDURE p() ALTER TABLE t DROP a, DROP b", "CREATE TABLE w AS SELECT * FROM t",
    "CREATE EVENT e ON SCHEDULE EVERY 1 YEAR DO DELETE FROM t", "DROP EVENT e",
    "ALTER TABLE t FORCE, RENAME INDEX u TO k",
]  # fmt: skip
"""Statements after which the table is what it was."""



ONLY = {
    "mysql": (
        [],
        [],
        ["ALTER TABLE t ALTER COLUMN a SET INVISIBLE", "ALTER TABLE t ALTER INDEX u INVISIBLE, ADD KEY ((upper(a)))"],
    ),
    "mariadb": (
        ["alter online table t nowait add column if not exists t.g int, modify t.a varchar(30) default 'x'",
         "SET STATEMENT max_statement_time = 100 FOR ALTER TABLE t ADD g uuid, ADD h inet6, ADD i inet4",
         "ALTER TABLE t ADD IF NOT EXISTS (a int, g int), DROP COLUMN IF EXISTS z, CHANGE IF EXISTS y x int",
         "SET SESSION binlog_alter_two_phase = ON; ALTER TABLE t ADD g int",
         "ALTER TABLE t ADD SYSTEM VERSIONING",
         "ALTER TABLE t ADD SYSTEM VERSIONING, ADD g int AFTER a"],
        ["ALTER TABLE t ADD g char(36) DEFAULT uuid()", "ALTER IGNORE TABLE t ADD UNIQUE (a)",
         "CREATE OR REPLACE TABLE t (id int PRIMARY KEY, x int)"],
        ["CREATE SEQUENCE s", "DROP SEQUENCE s"],
    ),
}  # fmt: skip
"""Those that one product knows: of KEPT, AGAIN and SAME."""


class Log:
    """The statements of a database, as its server logs them."""

    def __init__(self, database: MySQLDatabase) -> None:
        self.database = database
        self.source = MysqlSource(database.url, "alterations")

    def table(self, name: str = "t") -> Table:
        (found,) = self.source.tables([f"{self.database.name}.{name}"])
        return found

    def run(self, text: str) -> list[SchemaChange]:
        """What the statements do to the table `t`, by what the log has of them."""
        before = self.table()
        statements = [one.replace("T.t", f"{self.database.name}.t") for one in text.split("; ")]
        encoding = "gbk" if "gbk" in statements[0] else "utf8"
        server = self.database.server
        place = server.execute("SHOW BINARY LOGS")[-1]
        with closing(server.connect(self.database.name)) as connection, connection.cursor() as cursor:
            for statement in statements:
                connection.query(statement.encode(encoding))
                cursor.nextset()
        definitions = Definitions(
            self.source._server, self.source._all_collations, lambda _: None, {}
        )
        changes: list[SchemaChange] = []
        known = {before.id: before}
        for body in self._queries(str(place[0]), int(place[1])):
            steps = definitions.steps(query(body), known, ("x", 1), None)
            changes += [step for step in steps if isinstance(step, SchemaChange)]
        return changes

    def _queries(self, file: str, start: int) -> Sequence[bytes]:
        """The bodies of the statements in the log, from a place on."""
        with (self.database.server.data / file).open("rb") as opened:
            opened.seek(start)
            data = opened.read()
        found, at = [], 0
        while at < len(data):
            size = int.from_bytes(data[at + 9 : at + 13], "little")
            if data[at + 4] == 2:
                found.append(data[at + 19 : at + size - 4])
            at += size
        return found


def face(table: Table) -> list[object]:
    columns = [
        (c.name, c.native, c.collation, c.nullable, c.generated is None, c.identity, c.type, c.equality)
        for c in table.columns
    ]
    return [table.id, *columns, table.primary, table.key, table.collation]


@pytest.fixture
def log(mysql_db: MySQLDatabase) -> Iterator[Log]:
    log = Log(mysql_db)
    yield log
    log.source.close()


def own(log: Log, which: int) -> list[str]:
    return ONLY[log.database.server.product][which]


def changes_of(log: Log, text: str) -> tuple[Table, list[SchemaChange], Table]:
    """The table before, what the log says, the table after."""
    log.database.sql("DROP TABLE IF EXISTS t, u, w", START, "INSERT INTO t (id, c) VALUES (1, 'p')")
    before = log.table()
    changes = log.run(text)
    return before, changes, log.table()


@pytest.mark.failure("MY-04", "T-MY-23")
def test_the_table_becomes_what_the_server_made_it(log: Log) -> None:
    wrong = []
    for text in [*KEPT, *own(log, 0)]:
        before, changes, now = changes_of(log, text)
        if len(changes) != 1 or (new := changes[0].new) is None or changes[0].reload or face(new) != face(now):
            wrong.append((text, [change.said for change in changes]))
        else:
            # What keeps its name keeps its number, unless it went and came again.
            numbers = {column.name: column.ident for column in before.columns}
            new_ones = [column.ident for column in new.columns if column.name not in numbers]
            assert all(number > before.attributes for number in new_ones if number not in numbers.values()), text
            assert len({column.ident for column in new.columns}) == len(new.columns), text
    assert not wrong


@pytest.mark.failure("T-MY-17")
def test_rows_that_change_without_an_event_are_read_again(log: Log) -> None:
    for text in [*AGAIN, *own(log, 1)]:
        _, changes, _ = changes_of(log, text)
        assert [change.reload for change in changes] == [True], text


def test_what_concerns_no_row_changes_nothing(log: Log) -> None:
    for text in [*SAME, *own(log, 2)]:
        before, changes, now = changes_of(log, text)
        assert changes == [] and face(before) == face(now), text
