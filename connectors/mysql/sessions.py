"""The sink's sessions with its server: each is registered under the pipeline's epoch, and can be cut off at any moment.

Texts that are sent together are one round trip. Literals are bytes (`collation_connection` is binary): what a column
of text takes is in its own character set, and no conversion changes it; so names and texts of our own say what they
are (`text`). Transactions are the caller's: a session that writes has no autocommit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pymysql
from pymysql.constants import CLIENT

from cdcd.errors import CdcdError, Conflict, Interrupted, PoisonRow, Transient
from cdcd.model.table import Table
from cdcd.sessions import Registry
from connectors.mysql.connect import connect, parse
from connectors.mysql.errors import VOID, translate
from connectors.mysql.login import Connection, Result, cut, drop, results, send_file, server_version
from connectors.mysql.names import quote

SETTINGS: Mapping[str, str] = {
    # No NO_ZERO_…: such dates are values (T-MT-14). Zero in a counting column is zero (T-MT-3).
    "sql_mode": "'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION'",
    "foreign_key_checks": "0",
    "collation_connection": "'binary'",
    "innodb_lock_wait_timeout": "20",
    "lock_wait_timeout": "20",
}

PATIENT: Mapping[str, str] = {"max_execution_time": "0"}
PATIENT_MARIADB: Mapping[str, str] = {"max_statement_time": "0", "idle_transaction_timeout": "0"}
"""Time-outs of the server or of our user that would end what takes long."""

FLAGS = CLIENT.FOUND_ROWS | CLIENT.MULTI_STATEMENTS | CLIENT.LOCAL_FILES
"""A row that is met and is equal already counts (T-MT-16)."""


@dataclass(frozen=True, slots=True)
class Homes:
    """Which database takes a table: `database`, that of the target's URL, those of `home`, the source's own schema;
    any other's is called as its schema is."""

    home: str = ""
    database: str = ""

    def of(self, schema: str) -> str:
        return self.database if self.database and schema == self.home else schema

    def sql(self, table: Table) -> str:
        return f"{quote(self.of(table.schema))}.{quote(table.name)}"


def text(value: str) -> str:
    """A text as a literal, by whatever collation it is compared with."""
    return "_utf8mb4'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def literal(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"X'{value.hex()}'"
    return str(int(value)) if isinstance(value, int) else text(str(value))


class Session:
    """One connection. Every error leaves as one of ours, or as Interrupted once the sessions were interrupted. After
    an error that voids the transaction nothing but ROLLBACK is sent (T-MT-7, T-MT-8)."""

    def __init__(self, connection: Connection, interrupted: threading.Event, homes: Homes) -> None:
        self.homes = homes
        self.connection = connection
        self._interrupted = interrupted
        self._deferred: list[bytes] = []
        self._void = False
        self.packet = 1 << 20
        self.mariadb = "mariadb" in server_version(connection).lower()
        ((self.packet, self.number, self.may_load, self.lower_case),) = self.rows(
            "SELECT @@max_allowed_packet, CONNECTION_ID(), @@GLOBAL.local_infile, @@GLOBAL.lower_case_table_names"
        )
        """Bytes that a statement may have; the server's number of this session; whether it takes LOAD DATA LOCAL."""

    @property
    def collation(self) -> str:
        """By which texts are equal if their bytes are, trailing blanks too."""
        return "utf8mb4_nopad_bin" if self.mariadb else "utf8mb4_0900_bin"

    def defer(self, statement: str) -> None:
        """Send `statement` with the next one: it needs no round trip of its own."""
        self._deferred.append(statement.encode())

    def do(self, statements: bytes) -> list[Result]:
        """What each of the statements did, without those that were deferred."""
        deferred, self._deferred = self._deferred, []
        whole = b"; ".join([*deferred, statements])
        with self._translated():
            if len(whole) >= self.packet and deferred:
                list(results(self.connection, b"; ".join(deferred)))
                deferred, whole = [], statements
            return list(results(self.connection, self._fitting(whole)))[len(deferred) :]

    def tried(self, statements: bytes) -> tuple[list[Result], CdcdError | None]:
        """What they did up to the first that failed, and why it did; raises what is not a row's fault."""
        done: list[Result] = []
        if self._deferred:
            self.do(b"DO 0")
        try:
            with self._translated():
                for result in results(self.connection, self._fitting(statements)):
                    done.append(result)
        except (Conflict, PoisonRow) as error:
            return done, error
        return done, None

    def _fitting(self, statements: bytes) -> bytes:
        """The server would end the connection over one that is larger than it takes, and so again after each try."""
        if len(statements) >= self.packet:
            raise PoisonRow(
                f"a row makes a statement of {len(statements)} bytes, and the target takes {self.packet}",
                why="max_allowed_packet there is less",
                hint="raise max_allowed_packet at the target, and run again",
            )
        return statements

    def run(self, sql: str, *values: object) -> int:
        """The number of rows that the last statement touched. Each %s of `sql` stands for a value, where there are
        any."""
        return self.do(_whole(sql, values))[-1].count

    def rows(self, sql: str, *values: object) -> tuple[tuple[Any, ...], ...]:
        """Those of the last statement."""
        return self.do(_whole(sql, values))[-1].rows

    def row(self, sql: str, *values: object) -> tuple[Any, ...] | None:
        """The first row, if there is one."""
        return next(iter(self.rows(sql, *values)), None)

    def define(self, sql: str) -> None:
        """Run a statement whose literals are texts: what makes or alters tables. It commits what is open."""
        self.do(f"SET collation_connection = utf8mb4_general_ci; {sql}; SET collation_connection = 'binary'".encode())

    def load(self, statement: bytes, data: Iterable[bytes]) -> Result:
        """A LOAD DATA LOCAL of rows."""
        if self._deferred:
            self.do(b"DO 0")
        with self._translated():
            return send_file(self.connection, statement, data)

    def roll_back(self) -> None:
        """Allowed after any error; where the connection has ended, it has rolled back."""
        self._deferred, void, self._void = [], self._void, False
        try:
            self.do(b"ROLLBACK")
        finally:
            self._void = void

    def begin_anew(self) -> None:
        """After an error that voided a transaction of which nothing is wanted any more."""
        self.roll_back()
        self._void = False

    def cut(self) -> None:
        """Any thread: end the connection under whatever waits on it."""
        cut(self.connection)

    def close(self) -> None:
        drop(self.connection)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        if self._interrupted.is_set():
            raise Interrupted("the sink was interrupted")
        if self._void:
            raise Transient("nothing is sent after an error that voided the transaction", hint="claim again")
        try:
            yield
        except (pymysql.err.MySQLError, OSError) as error:
            if self._interrupted.is_set():
                raise Interrupted("the sink was interrupted") from None
            ours = translate(error)
            self._void = ours.where.get("errno", 0) in VOID or ours.where.get("errno") is None
            raise ours from error


def _whole(sql: str, values: tuple[object, ...]) -> bytes:
    if not values:
        return sql.encode()
    return (sql % tuple(map(literal, values))).encode()


class Sessions(Registry[Session]):
    """All sessions of one sink."""

    def __init__(self, url: Callable[[], str], home: str = "") -> None:
        super().__init__()
        self._url = url
        self._home = home

    def open(self, *, autocommit: bool = True, settings: Mapping[str, str] | None = None) -> Session:
        self.check()
        url = self._url()
        connection = connect(url, settings={**SETTINGS, **(settings or {})}, flags=FLAGS)
        session = Session(connection, self.interrupted, Homes(self._home, parse(url).database))
        self.add(session)
        patient = PATIENT_MARIADB if session.mariadb else PATIENT
        session.run("SET " + ", ".join(f"SESSION {name} = {value}" for name, value in patient.items()))
        session.run("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        if not autocommit:
            session.run("SET autocommit = 0")
        return session

    @contextmanager
    def brief(self) -> Iterator[Session]:
        """A session for the length of the block, in autocommit."""
        session = self.open()
        try:
            yield session
        finally:
            self.end(session)
