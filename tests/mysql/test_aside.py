"""A log decoded by two processes is what it is when one decodes it: rows, order, transactions, errors; and with one of
the two killed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cdcd.contracts import Reading
from cdcd.errors import Stopped
from cdcd.model.change import SchemaChange
from cdcd.model.group import Cascade, Group, Rows, Truncate
from cdcd.model.position import Checkpoint
from cdcd.model.table import Table
from cdcd.rows import CANONICAL, Field, RowForm
from connectors.jsonlines.form import row_form
from connectors.memory import form as text_form
from connectors.mysql.source import MysqlSource
from tests.fix_daemon import Daemon
from tests.mysql.test_source_stream import session
from tests.servers.mysql_database import MySQLDatabase
from tests.waiting import wait_until

Forms = Callable[[Table], RowForm]

TABLES = (
    "CREATE TABLE t (id int PRIMARY KEY, a varchar(250), n decimal(12,2), at datetime(6), d double, x int)",
    "CREATE TABLE k (a int, b varchar(100))",
    "CREATE TABLE p (id int PRIMARY KEY, b varchar(100))",
    "CREATE TABLE c (id int PRIMARY KEY, p int, FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE)",
    "CREATE TABLE m (id int) ENGINE = MyISAM",
    "CREATE TABLE numbers (n int PRIMARY KEY)",
)


def fill(rows: int, first: int = 0) -> str:
    """Rows of t, some of them with NULLs."""
    return (
        f"INSERT INTO t (id, a, n, at, d, x) SELECT n + {first}, repeat(left(sha2(n, 256), 32), 3), n / 7,"
        " '2024-02-29 01:02:03.5' + INTERVAL n MINUTE, n / 3, if(n % 10, n, NULL)"
        f" FROM numbers WHERE n < {rows}"
    )


def make(database: MySQLDatabase) -> None:
    digits = " UNION ALL ".join(f"SELECT {digit} AS d" for digit in range(10))
    tables = " CROSS JOIN ".join(f"({digits}) AS {name}" for name in "wxyz")
    database.sql(*TABLES, f"INSERT INTO numbers SELECT w.d + 10 * x.d + 100 * y.d + 1000 * z.d FROM {tables}")


def read(database: MySQLDatabase, start: Checkpoint, tables: Sequence[Table], form: Forms, **options: Any) -> list[Any]:
    """All that the log holds from there on, group ends left out."""
    source = MysqlSource(database.url, f"test_{database.name}", cascades="derive", **options)
    with closing(source):
        end = source.head()
        source.open(start, source.identity(), {table.id: [form(table)] for table in tables})
        found: list[Any] = []
        before = 0
        try:
            while True:
                group = Group()
                reading = source.read(group, None, 0.1)
                found += flat(group, before)
                before += group.changes
                if reading is Reading.ALTERED:
                    new = [change.new for change in group.schema_changes if change.new is not None]
                    source.carry({table.id: [form(table)] for table in new})
                elif group.position is not None and group.position.covers(end):
                    return [*found, (before, group.position.to_json())]
        finally:
            assert bool(beside(os.getpid())) == options.get("aside", False)


def flat(group: Group, before: int) -> Iterator[Any]:
    """A group's changes, and where its transactions begin."""
    for transaction in group.transactions:
        yield before + transaction.at, transaction.id, transaction.time, transaction.position.to_json()
    for step in group.steps:
        if isinstance(step, Rows):
            logs = {id(log): iter(range(len(log))) for log in step.logs.values()}
            for log in step.order:
                at = next(logs[id(log)])
                yield log.table.name, log.ops[at], log.keys[at], log.rows[at], log.olds[at] if log.olds else None
            assert all(next(its, None) is None for its in logs.values())
        elif isinstance(step, Cascade):
            yield step.parent.name, step.gone, step.moved
        elif isinstance(step, SchemaChange):
            yield step.old.to_json(), step.new and step.new.to_json()
        else:
            assert isinstance(step, Truncate)
            yield [table.name for table in step.tables]


def beside(pid: int) -> list[int]:
    """The processes of a process that run by its own code: asides, as a server's command is another."""
    ours = Path(f"/proc/{pid}/cmdline").read_bytes()
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread or a child has ended meanwhile
            children = [int(child) for child in task.read_text().split()]
            found += [child for child in children if Path(f"/proc/{child}/cmdline").read_bytes() == ours]
    return found


def test_the_same_by_one_and_by_two(mysql_db: MySQLDatabase) -> None:
    """Several tables, keyless, minimal images, compressed, foreign keys, rolled back, TRUNCATE, a table altered."""
    make(mysql_db)
    mysql = mysql_db.server.product == "mysql"
    with closing(MysqlSource(mysql_db.url, f"test_{mysql_db.name}")) as source:
        start, tables = Checkpoint(source.head()), source.tables()
    for number in range(3):
        keyless = f"INSERT INTO k SELECT n, left(sha2(n, 224), 40) FROM numbers WHERE n < {500 * number}"
        mysql_db.sql(fill(1000, 10_000 * number), keyless)
    mysql_db.sql(*(f"INSERT INTO t (id, a) VALUES ({number}, repeat('y', 200))" for number in range(-400, 0)))
    mysql_db.sql("UPDATE t SET a = concat(a, 'é'), d = -d WHERE id < 20000", "DELETE FROM k WHERE a % 3 = 0")
    session(mysql_db, "SET SESSION binlog_row_image = 'MINIMAL'", "UPDATE t SET n = 1 WHERE id < 10000")
    session(mysql_db, *(["SET SESSION binlog_transaction_compression = ON"] if mysql else []), fill(3000, 40_000))
    children = "INSERT INTO c SELECT n, n FROM numbers WHERE n < 3000"
    mysql_db.sql("INSERT INTO p SELECT n, repeat('z', 90) FROM numbers WHERE n < 3000", children)
    mysql_db.sql("DELETE FROM p WHERE id % 2 = 0", fill(900, 50_000), "DELETE FROM p WHERE id % 3 = 0", "DELETE FROM c")
    if not mysql:  # which refuses such transactions where it has GTIDs
        temporary = ("CREATE TEMPORARY TABLE tmp (id int)", "INSERT INTO m VALUES (3)")
        session(mysql_db, "BEGIN", fill(2000, 60_000), *temporary, "ROLLBACK")
    session(mysql_db, "BEGIN", fill(900, 70_000), "SAVEPOINT s", fill(900, 71_000), "ROLLBACK TO s", "COMMIT")
    mysql_db.sql("TRUNCATE k", "UPDATE t SET id = -id WHERE id > 40000", "ALTER TABLE t ADD z int DEFAULT 5")
    mysql_db.sql(fill(1500, 80_000), "UPDATE t SET z = 6")
    for form, options in (
        (row_form, {"list_transactions": True, "wants_old": True, "group_bytes": 400_000}),
        (text_form.form, {"group_bytes": 2_000_000}),
    ):
        one, two = (read(mysql_db, start, tables, form, aside=aside, **options) for aside in (False, True))
        assert len(one) > 15_000
        assert two == one


def test_an_error_is_the_same_by_two(mysql_db: MySQLDatabase) -> None:
    """The first of two values that a sink cannot write, wherever it is decoded."""
    make(mysql_db)
    with closing(MysqlSource(mysql_db.url, f"test_{mysql_db.name}")) as source:
        start, tables = Checkpoint(source.head()), source.tables([f"{mysql_db.name}.t"])
    mysql_db.sql(fill(6000))

    def refusing(*values: int) -> Forms:
        def refuse(value: int) -> bytes:
            if value in values:
                raise ValueError(f"{value} is refused")
            return b"%d" % value

        def form(table: Table) -> RowForm:
            made = text_form.form(table)
            at = made.columns.index("id")
            fields = (*made.fields[:at], Field({CANONICAL: "_check(v)"}), *made.fields[at + 1 :])
            return replace(made, fields=fields, names={**made.names, "_check": refuse})

        return form

    for first in (200, 1300, 2900):
        told = set()
        for aside in (False, True):
            with pytest.raises(Stopped, match=f"{first} is refused") as stopped:
                read(mysql_db, start, tables, refusing(first, first + 400), aside=aside)
            told.add(str(stopped.value))
        assert len(told) == 1


@pytest.mark.timeout(120)
def test_either_is_killed(mysql_db: MySQLDatabase, cdcd: Callable[..., Daemon]) -> None:
    """Without the process beside it, `tail` goes on alone and says so once; the process ends with the daemon."""
    make(mysql_db)
    mysql_db.sql("CREATE TABLE last (id int PRIMARY KEY)")
    with closing(MysqlSource(mysql_db.url, f"test_{mysql_db.name}")) as source:
        since = str(source.head())
    mysql_db.sql(fill(10_000), "INSERT INTO last VALUES (1)")

    def ids(daemon: Daemon) -> list[int]:
        return [json.loads(line)["after"]["id"] for line in daemon.output.read_bytes().splitlines()]

    def ended(daemon: Daemon, last: bytes) -> Callable[[], bool]:
        return lambda: last in daemon.output.read_bytes()[-2000:]

    first = cdcd("tail", mysql_db.url, "--since", since)
    wait_until(ended(first, b'.last","key":{"id":1}'), what="the first lines")
    (pid,) = beside(first.process.pid)
    os.kill(pid, signal.SIGKILL)
    mysql_db.sql(fill(10_000, 10_000), fill(10_000, 20_000), "INSERT INTO last VALUES (2)")
    wait_until(ended(first, b'.last","key":{"id":2}'), what="the lines behind the kill")
    assert ids(first) == [*range(10_000), 1, *range(10_000, 30_000), 2]
    assert first.text().count("decoded by one process again") == 1
    first.stop()
    second = cdcd("tail", mysql_db.url, "--since", since)
    wait_until(lambda: bool(beside(second.process.pid)), what="the process beside")
    (pid,) = beside(second.process.pid)
    second.kill()
    wait_until(lambda: Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z", limit=5, what="its end")
    os.waitpid(pid, 0)
