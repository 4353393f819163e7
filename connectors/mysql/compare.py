"""One end of a comparison at MySQL or MariaDB: asks the queries of compare_sql, each a read of its own moment."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import pymysql
from pymysql.cursors import SSCursor

from cdcd.errors import CdcdError, Stopped
from cdcd.model import canonical
from cdcd.model.canonical import Row
from cdcd.model.digest import Digest, Entry, Found, Key, Layout, Shares, Span, Standing
from cdcd.model.table import Table
from cdcd.wake import Wake
from connectors.mysql.ask import Asker
from connectors.mysql.compare_place import Place as Here
from connectors.mysql.compare_place import read_place
from connectors.mysql.compare_sql import Queries, Query
from connectors.mysql.connect import connect, parse
from connectors.mysql.login import drop, number_of
from connectors.mysql.position import Place, place_of
from connectors.mysql.server import Server, read_covering, read_server
from connectors.mysql.sessions import Homes

PAGE = 5000
"""Rows fetched at once."""

_CONTROL = "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'cdcd' AND TABLE_NAME = 'chunks'"

_STANDING = """
SELECT c.checkpoint, s.counter FROM cdcd.epochs e LEFT JOIN cdcd.seen s ON s.pipeline = e.pipeline
LEFT JOIN cdcd.checkpoints c ON c.pipeline = e.pipeline AND c.scope = '' WHERE e.pipeline = %s"""

_UNREAD = """
SELECT t.table_id, COUNT(k.number) FROM cdcd.tables t
LEFT JOIN cdcd.chunks k ON k.pipeline = t.pipeline AND k.table_id = t.table_id AND k.state = 'unread'
WHERE t.pipeline = %s GROUP BY t.table_id"""


class MysqlComparable:
    """A Comparable of cdcd.contracts. `url` is asked for at each connect. `home`: at a target, the schema whose tables
    are in the database that the URL names."""

    def __init__(self, url: Callable[[], str], name: str, home: str = "") -> None:
        self._url = url
        self._name = name
        self._home = home
        self._wake = Wake()
        self._asker = Asker(url, self._wake)
        self._streams = Asker(url, self._wake)
        self._known: Server | None = None
        self._read = True
        self._places: dict[tuple[str, tuple[str, ...]], Here] = {}
        self._running: dict[Asker, int] = {}  # the server's number of each session
        self._lock = threading.Lock()

    @property
    def _server(self) -> Server:
        if self._known is None:
            with self._asker.connection() as connection:
                self._known = read_server(connection)
        return self._known

    def hashes(self) -> Sequence[str]:
        return [f"{self._server.product} sha256", canonical.HASH]

    def choose(self, hash: str) -> None:
        self._read = hash == canonical.HASH

    def layout(self, table: Table) -> Layout | None:
        place = self._place(table)
        return place.layout if place else None

    def step(self, table: Table, span: Span, rows: int) -> Key | None:
        found = self._rows(self._queries(table).step(span, rows))
        return tuple(map(str, found[0])) if found else None

    def digest(self, table: Table, span: Span) -> Digest:
        queries = self._queries(table)
        if queries.read:
            return canonical.digest(self._hashed(queries, queries.rows(span)))
        ((rows, sum, hashed),) = self._rows(queries.digest(span))
        return self._made(table, rows, sum, hashed)

    def digests(self, table: Table, span: Span, of: int) -> Mapping[int, Digest]:
        queries = self._queries(table)
        if queries.read:
            return canonical.digests(table, self._hashed(queries, queries.rows(span)), of)
        found = self._rows(queries.digests(span, of))
        return {int(share): self._made(table, *made) for share, *made in found}

    def entries(self, table: Table, span: Span, shares: Shares) -> Iterator[Entry]:
        queries = self._queries(table)
        if queries.read:
            yield from canonical.entries(table, self._hashed(queries, queries.rows(span, shares)), shares)
            return
        for hash, rows, sum, hashed, *key in self._stream(queries.entries(span, shares)):
            texts = tuple(bytes.fromhex(text).decode() for text in key)
            yield Entry(int(hash), texts, self._made(table, rows, sum, hashed))

    def look(self, table: Table, keys: Sequence[Key]) -> Mapping[Key, Found]:
        if not keys:
            return {}
        queries = self._queries(table)
        if queries.read:
            return self._looked(table, keys, queries)
        found = {}
        for place, rows, sum, hashed, *cells in self._rows(queries.look(keys)):
            self._made(table, rows, sum, hashed)
            found[keys[place - 1]] = Found(rows, str(sum), tuple(map(str, cells)))
        return found

    def _looked(self, table: Table, keys: Sequence[Key], queries: Queries) -> Mapping[Key, Found]:
        """As `look`, of a table whose rows are hashed here."""
        if not table.key:
            return canonical.found(keys, self._hashed(queries, queries.rows(Span())))
        rows = self._rows(queries.look_rows(keys))
        end = 2 + len(table.carried) - len(queries.read)
        return canonical.looked(table, ((keys[row[0] - 1], row[1], row[2:end], row[end:], 0) for row in rows))

    def texts(self, table: Table, keys: Sequence[Key], length: int) -> Mapping[Key, Sequence[str | None]]:
        if not keys or (self._queries(table).read and not table.key):
            return {}
        rows = self._rows(self._queries(table).texts(keys, length))
        return {keys[place - 1]: [None if value is None else str(value) for value in values] for place, *values in rows}

    def head(self) -> Place:
        server = self._server
        with self._asker.connection() as connection:
            return read_covering(connection, server, self._wake)

    def position(self, data: Mapping[str, Any] | str) -> Place:
        return place_of(data, self._server.mariadb if isinstance(data, str) else False)

    def standing(self) -> Standing | None:
        if not self._asker.ask(_CONTROL):
            return None
        found = self._asker.ask(_STANDING, self._name)
        if not found:
            return None
        ((stored, life),) = found
        unread = {str(table): int(count) for table, count in self._asker.ask(_UNREAD, self._name)}
        return Standing(json.loads(stored)["position"] if stored else None, unread, life or 0)

    def interrupt(self) -> None:
        """A server goes on with a query although its client has gone: so it is told."""
        self._wake.set()
        with self._lock:
            running = list(self._running.values())
        for asker in (self._asker, self._streams):
            asker.interrupt()
        for number in running:
            with suppress(CdcdError, pymysql.err.MySQLError):
                killer = connect(self._url())
                try:
                    with killer.cursor() as cursor:
                        cursor.execute(f"KILL {number}")
                finally:
                    drop(killer)

    def close(self) -> None:
        for asker in (self._asker, self._streams):
            asker.close()

    # --- asking -------------------------------------------------------------------------------------------------------

    def _place(self, table: Table) -> Here | None:
        names = (table.id, table.key)
        if names not in self._places:
            place = read_place(self._asker, self._server, table, self._schema(table))
            if place is None:
                return None
            self._places[names] = place
        return self._places[names]

    def _schema(self, table: Table) -> str:
        return Homes(self._home, parse(self._url()).database).of(table.schema)

    def _queries(self, table: Table) -> Queries:
        place = self._place(table)
        assert place is not None
        return Queries(table, place, self._read)

    def _made(self, table: Table, rows: int, sum: str, hashed: int) -> Digest:
        if rows != hashed:
            raise Stopped(
                f"{rows - hashed} rows of {table.id} have no digest",
                why="what is hashed of a row is larger than max_allowed_packet",
                hint="raise it at the server, or leave the table out",
            )
        return Digest(rows, str(sum))

    def _hashed(self, queries: Queries, query: Query) -> Iterator[Row]:
        keys = len(queries.key)
        for hash, cells, *rest in self._stream(query):
            yield Row(int(hash), tuple(map(str, rest[:keys])), cells, rest[keys:])

    def _rows(self, query: Query) -> list[tuple[Any, ...]]:
        with self._asker.connection() as connection, connection.cursor() as cursor:
            self._running[self._asker] = number_of(connection)
            cursor.execute(query.text, tuple(query.params))
            return list(cursor.fetchall())

    def _stream(self, query: Query) -> Iterator[tuple[Any, ...]]:
        # A reader that stops half-way closes the generator, and Asker then the connection.
        with self._streams.connection() as connection:
            self._running[self._streams] = number_of(connection)
            cursor = connection.cursor(SSCursor)
            cursor.execute(query.text, tuple(query.params))
            while page := cursor.fetchmany(PAGE):
                yield from page
            cursor.close()
