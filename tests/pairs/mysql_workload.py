"""tests/crash/workload.py for MySQL and MariaDB: money that only moves, a keyless ledger, key changes, big values."""

from __future__ import annotations

import random
import threading
import time

import pymysql

from connectors.mysql.login import Connection
from tests.servers import Database
from tests.servers.mysql_database import MySQLDatabase

ACCOUNTS, SEATS = 100, 30
TABLES = ("accounts", "ledger", "seats", "moves", "documents")

SCHEMA = (
    "CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL)",
    "CREATE TABLE ledger (debit int, credit int, amount int, note text)",
    "CREATE TABLE seats (id int PRIMARY KEY, holder varchar(40) NOT NULL UNIQUE)",
    # Its collation calls upper and lower case equal; the target does not.
    "CREATE TABLE moves (name varchar(40) PRIMARY KEY, trips int NOT NULL, body text)",
    "CREATE TABLE documents (id bigint AUTO_INCREMENT PRIMARY KEY, n int NOT NULL, body mediumtext, at timestamp(6)"
    " NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6))",
)


def fill(database: MySQLDatabase) -> None:
    """With the tables and their first rows."""
    database.sql(
        *SCHEMA,
        "INSERT INTO accounts VALUES " + ", ".join(f"({i}, 1000)" for i in range(1, ACCOUNTS + 1)),
        "INSERT INTO seats VALUES " + ", ".join(f"({i}, 'person {i}')" for i in range(1, SEATS + 1)),
        "INSERT INTO moves VALUES " + ", ".join(f"('name {i}', 0, REPEAT('{i} ', 800))" for i in range(100)),
        "INSERT INTO documents (n, body) VALUES " + ", ".join(f"({i}, REPEAT('{i}\\t', 2000))" for i in range(100)),
    )


def everything(
    source: MySQLDatabase, target: Database | MySQLDatabase
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The rows of each table at both ends, as plain clients read them, sorted."""
    here, *same = [
        {name: end.sql("SET time_zone = '+00:00'", f"SELECT * FROM {name}") for name in TABLES}
        for end in (source, target) if isinstance(end, MySQLDatabase)
    ]  # fmt: skip
    if same:
        return _sorted(here), _sorted(same[0])
    there = {name: target.sql(f"SET timezone = 'UTC'; SELECT * FROM {source.name}.{name}") for name in TABLES}
    naive = {
        name: [tuple(v.replace(tzinfo=None) if hasattr(v, "tzinfo") else v for v in row) for row in rows]
        for name, rows in there.items()
    }
    return _sorted(here), _sorted(naive)


def _sorted(tables: dict[str, list[tuple[object, ...]]]) -> dict[str, list[str]]:
    return {name: sorted(map(repr, rows)) for name, rows in tables.items()}


class Workload:
    """Writers in threads until stopped; `transactions` counts what they committed."""

    def __init__(self, database: MySQLDatabase, writers: int = 2) -> None:
        self.transactions = 0
        self.failure: BaseException | None = None
        self._database = database
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._write, args=(random.Random(i), i), daemon=True) for i in range(writers)
        ]

    def __enter__(self) -> Workload:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the writers; raises what one failed with."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)
        if self.failure is not None:
            raise self.failure

    def steady(self, transactions: int, limit: float = 40) -> None:
        """Until it has committed that many more."""
        goal, end = self.transactions + transactions, time.monotonic() + limit
        while self.transactions < goal:
            assert self.failure is None, self.failure
            assert time.monotonic() < end, "the workload stands still"
            self._stopping.wait(0.01)

    def _write(self, chance: random.Random, writer: int) -> None:
        while not self._stopping.is_set():
            try:
                connection = self._database.connect(autocommit=False)
                try:
                    while not self._stopping.is_set():
                        self._transaction(connection, chance, writer)
                        self.transactions += 1
                        self._stopping.wait(0.03)
                finally:
                    connection.close()
            except (pymysql.err.OperationalError, pymysql.err.InterfaceError, OSError):
                self._stopping.wait(0.05)  # the source itself is being killed, or two writers wait for each other
            except BaseException as failure:
                self.failure = failure
                return

    def _transaction(self, connection: Connection, chance: random.Random, writer: int) -> None:
        try:
            with connection.cursor() as cursor:
                for statement, values in self._statements(chance, writer):
                    cursor.execute(statement, values)
        except pymysql.err.IntegrityError:  # the workload's own business
            connection.rollback()
            return
        connection.commit() if chance.randrange(20) else connection.rollback()

    def _statements(self, chance: random.Random, writer: int) -> list[tuple[str, tuple[object, ...]]]:
        debit, credit = sorted(chance.sample(range(1, ACCOUNTS + 1), 2))
        amount = chance.randint(1, 9)
        done: list[tuple[str, tuple[object, ...]]] = [
            ("UPDATE accounts SET balance = balance - %s WHERE id = %s", (amount, debit)),
            ("UPDATE accounts SET balance = balance + %s WHERE id = %s", (amount, credit)),
            ("INSERT INTO ledger VALUES (%s, %s, %s, %s)", (debit, credit, amount, f"writer {writer}")),
        ]
        name = f"name {chance.randrange(100)}"
        match chance.randrange(7):
            case 0:  # two change places
                a, b = sorted(chance.sample(range(1, SEATS + 1), 2))
                one, other = f"person {a} {amount}", f"person {b} {amount}"
                for id, holder in ((a, f"{a}-"), (b, f"{b}-"), (a, other), (b, one)):
                    done.append(("UPDATE seats SET holder = %s WHERE id = %s", (holder, id)))
            case 1:  # another key, which the source calls the same
                done.append(("UPDATE moves SET name = IF(BINARY name = %s, UPPER(name), LOWER(name)), trips = trips + 1"
                             " WHERE name = %s", (name, name)))  # fmt: skip
            case 2:
                done.append(("DELETE FROM moves WHERE name = %s", (name,)))
                done.append(("INSERT INTO moves VALUES (%s, 0, REPEAT(%s, 900))", (name.title(), f"{amount} ")))
            case 3:
                done.append(("UPDATE documents SET n = n + 1 ORDER BY id LIMIT 2", ()))
                done.append(("INSERT INTO documents (n, body) VALUES (0, REPEAT(%s, 3000))", (f"{amount} ",)))
            case 4:
                done.append(("DELETE FROM documents ORDER BY id LIMIT 1", ()))
            case 5:
                done.append(("DELETE FROM ledger LIMIT 1", ()))
                twin = (debit, credit, 0, debit, credit, 0)
                done.append(("INSERT INTO ledger VALUES (%s, %s, %s, 'twin'), (%s, %s, %s, 'twin')", twin))
        return done
