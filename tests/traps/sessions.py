"""The test's own sessions: transactions held open, commits that say where they lie, slot creation in its two waits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import psycopg2.extensions

from tests.servers.address import Rows, connect
from tests.servers.database import Database
from tests.waiting import wait_until

T = TypeVar("T")


class Open:
    """A transaction of the application that is open until told; `local`: its commit waits for no standby."""

    def __init__(self, database: Database, *statements: str, local: bool = False, settings: str = "") -> None:
        self.connection: psycopg2.extensions.connection = connect(database.owner_url)
        self.pid = self.connection.info.backend_pid
        if local:
            self.sql("SET synchronous_commit = local")
        if settings:
            self.sql(settings)
        self.sql("BEGIN")
        for statement in statements:
            self.sql(statement)

    def sql(self, text: str, *params: object) -> Rows:
        with self.connection.cursor() as cursor:
            cursor.execute(text, params or None)
            return cursor.fetchall() if cursor.description else []

    def commit(self) -> None:
        self.sql("COMMIT")

    def close(self) -> None:
        self.connection.close()

    def __enter__(self) -> Open:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def commit(database: Database, *statements: str) -> int:
    """One transaction; a place in the log within it: a checkpoint beyond that place holds it."""
    with Open(database, *statements) as session:
        ((place,),) = session.sql("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
        session.commit()
    return int(place)


class Call(Generic[T]):
    """A function in a thread of its own; `result` waits for it, and raises what it raised."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._value: T | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._value = self._function()
        except BaseException as error:
            self._error = error

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def result(self, limit: float = 30) -> Any:
        self._thread.join(limit)
        assert not self._thread.is_alive(), f"it still runs after {limit:g} s"
        if self._error is not None:
            raise self._error
        return self._value


def waiting_for(database: Database, pid: int) -> list[int]:
    """The walsenders that wait for a session's transaction to end."""
    rows = database.admin(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walsender' AND %s = ANY (pg_blocking_pids(pid))", pid
    )
    return [row[0] for row in rows]


def sent(source: Database, name: str) -> int:
    """How far the server has sent the pipeline's stream."""
    rows = source.admin(
        "SELECT sent_lsn - '0/0'::pg_lsn FROM pg_stat_replication WHERE application_name = %s AND sent_lsn IS NOT NULL",
        f"cdcd/{name}",
    )
    return max((int(row[0]) for row in rows), default=0)


@contextmanager
def in_its_second_wait(
    database: Database, ask: Callable[[], Any], last: str = "INSERT INTO other VALUES (1)"
) -> Iterator[None]:
    """Call `ask`, which lets a slot be created, and hold that between its two waits: inside, its place is not fixed
    yet, and it waits only for the transaction `last`, whose commit ends this block and is the last before the place.
    Needs a table `other`, not carried."""
    with Open(database, "INSERT INTO other VALUES (0)", local=True) as first:
        ask()
        wait_until(lambda: waiting_for(database, first.pid), what="the slot to wait for the first transaction")
        with Open(database, last, local=True) as second:
            first.commit()
            wait_until(lambda: waiting_for(database, second.pid), what="the slot to wait for the second transaction")
            yield
            second.commit()
