"""Questions to the server beside the stream: one kept connection, one thread at a time, ended by `interrupt`."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2

from cdcd.errors import Interrupted
from cdcd.wake import Wake
from connectors.postgres.connect import Connection, connect
from connectors.postgres.errors import translate


class Asker:
    """Opened at the first question, and again after the connection ended; autocommit. `url` is asked at each connect:
    a password may have changed."""

    def __init__(self, url: Callable[[], str], application_name: str, wake: Wake) -> None:
        self._url = url
        self._application_name = application_name
        self._wake = wake
        self._lock = threading.Lock()
        self._connection: Connection | None = None

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """The connection, for one thread; what goes wrong leaves as ours, and closes it."""
        with self._lock:
            self._wake.check()
            if self._connection is None:
                self._connection = connect(self._url(), self._application_name)
                self._connection.autocommit = True
            try:
                yield self._connection
            except psycopg2.Error as error:
                if self._connection.closed or error.pgcode is None:
                    self._drop()
                if self._wake.is_set:
                    raise Interrupted("told to stop") from error
                raise translate(error) from error
            except BaseException:
                self._drop()
                raise

    def ask(self, text: str, *params: Any, **named: Any) -> list[tuple[Any, ...]]:
        """The rows of one query, whose parameters have either places or names."""
        with self.connection() as connection, connection.cursor() as cursor:
            cursor.execute(text, named or params or None)
            return cursor.fetchall() if cursor.description else []

    @property
    def version(self) -> int:
        """The server's, as 180001."""
        with self.connection() as connection:
            return int(connection.server_version)

    def interrupt(self) -> None:
        """Any thread: cut the connection, so that whoever waits for it is woken."""
        cut(self._connection)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def close(self) -> None:
        with self._lock:
            self._drop()


def cut(connection: Connection | None) -> None:
    """Shut a connection's socket down under whoever waits on it, from any thread."""
    try:
        if connection is not None and not connection.closed:
            with socket.socket(fileno=os.dup(connection.fileno())) as link:
                link.shutdown(socket.SHUT_RDWR)
    except (OSError, psycopg2.Error):
        pass  # it was closed at the same moment
