"""The sink's sessions with its server: each carries the pipeline's name and epoch, and can be cut off at any moment.

Sessions are in autocommit mode: what a transaction is, the caller's statements say. A multi-statement text is one
round trip, and gives the result of its last statement.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg2

from cdcd.errors import Interrupted, Stopped, Transient
from cdcd.sessions import Registry
from connectors.postgres.connect import Connection, connect
from connectors.postgres.errors import translate

Parameters = Sequence[object] | Mapping[str, object] | None
PIECE = 1 << 18
"""Bytes handed to the driver at once in a COPY: larger gains nothing, smaller costs a call each."""

SETTINGS: Mapping[str, str] = {
    # In a COPY the server then speaks for one reason only (_Feed).
    "client_min_messages": "error",
    # A function's body may speak of what is made after it.
    "check_function_bodies": "off",
}

NOTICE = "SET client_connection_check_interval = '2s'"
"""A statement whose client is gone ends by itself (version 14 on): a cut connection alone would not end it."""


class Session:
    """One connection. Every error leaves as one of ours, or as Interrupted once the sessions were interrupted."""

    def __init__(self, connection: Connection, interrupted: threading.Event) -> None:
        self._connection = connection
        self._interrupted = interrupted
        self._deferred = ""
        self._closing = threading.Lock()
        connection.autocommit = True

    @property
    def version(self) -> int:
        """The server's, as in server_version_num."""
        return self._connection.server_version

    @property
    def connection(self) -> Connection:
        """For readers of the catalogue, which take a plain connection."""
        return self._connection

    @property
    def closed(self) -> bool:
        return bool(self._connection.closed)

    def defer(self, statement: str) -> None:
        """Send `statement` with the next one: it needs no round trip of its own."""
        self._deferred += statement + "; "

    def run(self, sql: str, parameters: Parameters = None) -> int:
        """The number of rows that the last statement touched."""
        with self._translated(), self._connection.cursor() as cursor:
            cursor.execute(self._whole(sql, parameters), parameters)
            return int(cursor.rowcount)

    def rows(self, sql: str, parameters: Parameters = None) -> list[tuple[Any, ...]]:
        with self._translated(), self._connection.cursor() as cursor:
            cursor.execute(self._whole(sql, parameters), parameters)
            return cursor.fetchall()

    def row(self, sql: str, parameters: Parameters = None) -> tuple[Any, ...] | None:
        """The first row, if there is one."""
        return next(iter(self.rows(sql, parameters)), None)

    def copy(self, sql: str, pieces: Iterable[bytes]) -> int:
        """COPY … FROM STDIN; the number of rows written. An error of `pieces` comes out as it is."""
        feed = _Feed(pieces, self._connection.fileno())
        try:
            with self._translated(), self._connection.cursor() as cursor:
                cursor.copy_expert(self._whole(sql, None), feed)
                return int(cursor.rowcount)
        except Exception:
            if feed.failure is not None and not feed.answered and not self._interrupted.is_set():
                raise feed.failure from None
            raise

    def cut(self) -> None:
        """Any thread: end the connection under whatever waits on it. Asks neither the server nor the driver, which
        may both be stuck."""
        with self._closing:
            if not self._connection.closed:
                with socket.socket(fileno=os.dup(self._connection.fileno())) as line:
                    try:
                        line.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass

    def close(self) -> None:
        with self._closing:
            self._connection.close()

    def _whole(self, sql: str, parameters: Parameters) -> str:
        deferred, self._deferred = self._deferred, ""
        return (deferred if parameters is None else deferred.replace("%", "%%")) + sql

    @contextmanager
    def _translated(self) -> Iterator[None]:
        if self._interrupted.is_set():
            raise Interrupted("the sink was interrupted")
        try:
            yield
        except (psycopg2.Error, OSError) as error:
            if self._interrupted.is_set():
                raise Interrupted("the sink was interrupted") from None
            ours = translate(error)
            if isinstance(error, psycopg2.Error) and error.diag.context:
                # COPY quotes the line or value after the place: that belongs into no log (OP-13).
                lines = error.diag.context.splitlines()
                line = next((one for one in lines if one.startswith("COPY ")), lines[0])
                ours.where["context"] = line.partition(': "')[0]
            raise ours from error


class _Feed:
    """A file to read from, for the driver: small pieces are put together, an error is kept.

    A server that refuses a row says so at once, and then reads on and throws away; the driver listens only when all is
    sent. So the feed looks for an answer before each piece: a row refused at the start of a terabyte is told then.
    """

    readline: Any = None
    """Never called; the driver's type says so."""

    def __init__(self, pieces: Iterable[bytes], fileno: int) -> None:
        self.answered = False
        self.failure: BaseException | None = None
        self._pieces = iter(pieces)
        self._answer = select.poll()
        self._answer.register(fileno, select.POLLIN)

    def read(self, _: int = -1, /) -> bytes:
        taken: list[bytes] = []
        size = 0
        try:
            for piece in self._pieces:
                taken.append(piece)
                size += len(piece)
                if size >= PIECE:
                    break
            if self._answer.poll(0):
                self.answered = True
                raise Transient("the server broke off a COPY")
        except BaseException as failure:
            # The driver tells it to the server, and then raises the server's answer.
            self.failure = failure
            raise
        return taken[0] if len(taken) == 1 else b"".join(taken)


class Sessions(Registry[Session]):
    """All sessions of one sink. `name` is their application_name, `cdcd/PIPELINE/EPOCH` once an epoch is claimed."""

    def __init__(self, url: Callable[[], str], name: str) -> None:
        super().__init__()
        self.name = name
        self.may_replicate: bool | None = None
        """Whether the role may set session_replication_role; None: not tried yet."""
        self._url = url

    def open(self, settings: Mapping[str, str] | None = None, writes: bool = False) -> Session:
        """A new session. One that `writes` rows fires no triggers and checks no foreign keys, where the role may."""
        self.check()
        session = Session(connect(self._url(), self.name, settings={**SETTINGS, **(settings or {})}), self.interrupted)
        self.add(session)
        if writes and self.may_replicate is not False:
            self.may_replicate = self.try_replica(session)
        if session.version >= 140000:
            session.defer(NOTICE)  # not before: with a statement that is refused it would be rolled back
        return session

    def try_replica(self, session: Session) -> bool:
        """Fire no triggers and check no foreign keys in this session, if the role may say so."""
        try:
            session.run("SET session_replication_role = replica")
        except Stopped as error:
            if error.where.get("sqlstate") != "42501":
                raise
            return False
        return True

    @contextmanager
    def brief(self, settings: Mapping[str, str] | None = None) -> Iterator[Session]:
        """A session for the length of the block."""
        session = self.open(settings)
        try:
            yield session
        finally:
            self.end(session)
