"""A workload whose losses and doubles show: multi-table invariants, a keyless log, key changes, unique swaps, big
values.

Every transaction moves money between two accounts and writes one line to the keyless ledger: a lost or doubled one
shows in the ledger's rows, whatever an upsert would hide, and half a transaction in the sum of the accounts.
"""

import random
import threading
import time

import psycopg2
import psycopg2.extensions

from tests.servers.database import Database

TABLES = ["public.accounts", "public.ledger", "public.seats", "public.moves", "public.documents"]
ACCOUNTS = 200

SCHEMA = """
CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL);
CREATE TABLE ledger (debit int, credit int, amount int, note text);
ALTER TABLE ledger REPLICA IDENTITY FULL;
CREATE TABLE seats (id int PRIMARY KEY, holder text NOT NULL UNIQUE DEFERRABLE);
CREATE TABLE moves (id bigint PRIMARY KEY, trips int NOT NULL, body text);
ALTER TABLE moves ALTER body SET STORAGE EXTERNAL;
CREATE TABLE documents (id uuid PRIMARY KEY, n int NOT NULL, body text NOT NULL, at timestamptz NOT NULL DEFAULT now());
ALTER TABLE documents ALTER body SET STORAGE EXTERNAL;
"""

FILL = f"""
INSERT INTO accounts SELECT i, 1000 FROM generate_series(1, {ACCOUNTS}) i;
INSERT INTO seats SELECT i, 'person ' || i FROM generate_series(1, 50) i;
INSERT INTO moves SELECT i, 0, repeat(md5(i::text), 300) FROM generate_series(1, 100) i;
INSERT INTO documents SELECT gen_random_uuid(), 0, repeat(md5(i::text), 200) FROM generate_series(1, 100) i;
"""


class Workload:
    """Writers in threads until stopped; `transactions` counts what they committed."""

    def __init__(self, database: Database, writers: int = 2, pause: float = 0.002, seed: int = 1) -> None:
        self.transactions = 0
        self.failure: BaseException | None = None
        self._database = database
        self._pause = pause
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._write, args=(random.Random(seed * 100 + i), i), daemon=True)
            for i in range(writers)
        ]

    def __enter__(self) -> "Workload":
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

    def _write(self, chance: random.Random, writer: int) -> None:
        while not self._stopping.is_set():
            try:
                connection = psycopg2.connect(self._database.owner_url)
                try:
                    while not self._stopping.is_set():
                        self._transaction(connection, chance, writer)
                        self.transactions += 1
                        self._stopping.wait(self._pause)
                finally:
                    connection.close()
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                self._stopping.wait(0.05)  # the source itself is being killed
            except BaseException as failure:
                self.failure = failure
                return

    def _transaction(self, connection: psycopg2.extensions.connection, chance: random.Random, writer: int) -> None:
        try:
            with connection, connection.cursor() as cursor:
                for statement, values in self._statements(chance, writer):
                    cursor.execute(statement, values)
        except (psycopg2.errors.DeadlockDetected, psycopg2.errors.UniqueViolation):
            pass  # the workload's own business: rolled back

    def _statements(self, chance: random.Random, writer: int) -> list[tuple[str, tuple[object, ...]]]:
        debit, credit = sorted(chance.sample(range(1, ACCOUNTS + 1), 2))
        amount = chance.randint(1, 9)
        done: list[tuple[str, tuple[object, ...]]] = [
            ("UPDATE accounts SET balance = balance - %s WHERE id = %s", (amount, debit)),
            ("UPDATE accounts SET balance = balance + %s WHERE id = %s", (amount, credit)),
            ("INSERT INTO ledger VALUES (%s, %s, %s, %s)", (debit, credit, amount, f"writer {writer}")),
        ]
        match chance.randrange(8):
            case 0:
                a, b = chance.sample(range(1, 51), 2)
                done.append((
                    "UPDATE seats SET holder = (SELECT s.holder FROM seats s"
                    " WHERE s.id = CASE seats.id WHEN %s THEN %s ELSE %s END) WHERE id IN (%s, %s)", (a, b, a, a, b),
                ))
            case 1:
                done.append((
                    "UPDATE moves SET id = (SELECT max(id) FROM moves) + %s, trips = trips + 1 WHERE id = "
                    "(SELECT id FROM moves ORDER BY id LIMIT 1 OFFSET %s)",
                    (chance.randint(1, 5), chance.randint(0, 20)),
                ))
            case 2:
                done.append(("UPDATE documents SET n = n + 1 WHERE id = (SELECT id FROM documents LIMIT 1)", ()))
                done.append(("INSERT INTO documents VALUES (gen_random_uuid(), 0, repeat(%s, 3000))", (f"{amount} ",)))
            case 3:
                done.append(("DELETE FROM documents WHERE id = (SELECT id FROM documents LIMIT 1)", ()))
            case 4:
                done.append(("DELETE FROM ledger WHERE ctid = (SELECT ctid FROM ledger LIMIT 1)", ()))
                done.append(("INSERT INTO ledger VALUES (%s, %s, %s, 'twin'), (%s, %s, %s, 'twin')",
                             (debit, credit, 0, debit, credit, 0)))
        return done


def steady(workload: Workload, transactions: int, limit: float = 30) -> None:
    """Until the workload has committed that many more."""
    goal, end = workload.transactions + transactions, time.monotonic() + limit
    while workload.transactions < goal:
        assert workload.failure is None, workload.failure
        assert time.monotonic() < end, "the workload stands still"
        workload._stopping.wait(0.01)
