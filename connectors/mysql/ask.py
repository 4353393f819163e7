"""Questions to the server beside the stream: one kept connection, one thread at a time, ended by `interrupt`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pymysql

from cdcd.errors import Interrupted
from cdcd.wake import Wake
from connectors.mysql.connect import connect
from connectors.mysql.errors import at_source
from connectors.mysql.login import Connection, cut

Rows = list[tuple[Any, ...]]


class Asker:
    """Opened at the first question, and again after the connection ended; autocommit. `url` is asked at each connect:
    a password may have changed."""

    def __init__(self, url: Callable[[], str], wake: Wake) -> None:
        self._url = url
        self._wake = wake
        self._lock = threading.Lock()
        self._connection: Connection | None = None

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """The connection, for one thread; what goes wrong leaves as ours, and closes it."""
        with self._lock:
            self._wake.check()
            if self._connection is None:
                self._connection = connect(self._url())
            try:
                yield self._connection
            except (pymysql.err.MySQLError, OSError) as error:
                self._drop()
                if self._wake.is_set:
                    raise Interrupted("told to stop") from error
                raise at_source(error) from error
            except BaseException:
                self._drop()
                raise

    def ask(self, text: str, *params: Any) -> Rows:
        """The rows of one query."""
        with self.connection() as connection:
            return rows(connection, text, *params)

    def interrupt(self) -> None:
        """Any thread: cut the connection, so that whoever waits for it is woken."""
        cut(self._connection)

    def _drop(self) -> None:
        made, self._connection = self._connection, None
        if made is not None and made.open:
            made.close()

    def close(self) -> None:
        with self._lock:
            self._drop()


def rows(connection: Connection, text: str, *params: Any) -> Rows:
    """The rows of one statement."""
    with connection.cursor() as cursor:
        cursor.execute(text, params or None)
        return list(cursor.fetchall())
