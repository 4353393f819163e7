"""One end of a comparison at PostgreSQL: asks the queries of compare_sql, each in a transaction of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from cdcd.model import canonical
from cdcd.model.canonical import Row
from cdcd.model.digest import Digest, Entry, Found, Key, Layout, Shares, Span, Standing
from cdcd.model.table import Table
from cdcd.wake import Wake
from connectors.postgres.ask import Asker
from connectors.postgres.compare_order import Place, read_place
from connectors.postgres.compare_sql import FAST, PORTABLE, Queries, Query
from connectors.postgres.position import Lsn, parse_lsn

PAGE = 5000
"""Rows fetched at once."""

# The probe is longer than the 12 bytes that the hash takes in one step: byte order would show.
_ENCODING = f"SELECT current_setting('server_encoding'), {FAST.format('ROW(1, %s)')}"
_PROBE = "cdcd: the same text, the same number?"

_HEAD = """
SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END)::text,
       current_setting('wal_block_size')::int8, pg_size_bytes(current_setting('wal_segment_size'))
"""

_STANDING = """
SELECT (SELECT c.checkpoint -> 'position' FROM cdcd.checkpoints c WHERE c.pipeline = e.pipeline AND c.scope = ''),
       (SELECT coalesce(jsonb_object_agg(t.table_id, (
                   SELECT count(*) FROM cdcd.chunks k
                   WHERE k.pipeline = t.pipeline AND k.table_id = t.table_id AND k.state = 'unread')), '{}')
        FROM cdcd.tables t WHERE t.pipeline = e.pipeline),
       (SELECT s.counter FROM cdcd.seen s WHERE s.pipeline = e.pipeline)
FROM cdcd.epochs e WHERE e.pipeline = %s
"""


class PostgresComparable:
    """A Comparable of cdcd.contracts. `url` is asked for at each connect."""

    def __init__(self, url: Callable[[], str], name: str) -> None:
        self._name = name
        self._wake = Wake()
        self._asker = Asker(url, f"cdcd/{name}/validate", self._wake)
        self._streams = Asker(url, f"cdcd/{name}/validate", self._wake)
        self._hash = FAST
        self._shared = False
        self._places: dict[tuple[str, tuple[str, ...]], Place] = {}

    def hashes(self) -> Sequence[str]:
        ((encoding, probe),) = self._asker.ask(_ENCODING, _PROBE)
        return [f"postgresql {encoding} {probe}", "postgresql sha256", canonical.HASH]

    def choose(self, hash: str) -> None:
        self._hash = PORTABLE if hash.endswith(" sha256") else FAST
        self._shared = hash == canonical.HASH

    def layout(self, table: Table) -> Layout | None:
        place = self._place(table)
        return place.layout if place else None

    def step(self, table: Table, span: Span, rows: int) -> Key | None:
        found = self._rows(self._queries(table).step(span, rows))
        return tuple(found[0][0]) if found else None

    def digest(self, table: Table, span: Span) -> Digest:
        queries = self._queries(table)
        if queries.read:
            return canonical.digest(self._hashed(queries.rows(span)))
        ((rows, sum),) = self._rows(queries.digest(span))
        return Digest(rows, sum)

    def digests(self, table: Table, span: Span, of: int) -> Mapping[int, Digest]:
        queries = self._queries(table)
        if queries.read:
            return canonical.digests(table, self._hashed(queries.rows(span)), of)
        found = self._rows(queries.digests(span, of))
        return {share: Digest(rows, sum) for share, rows, sum in found}

    def entries(self, table: Table, span: Span, shares: Shares) -> Iterator[Entry]:
        queries = self._queries(table)
        if queries.read:
            yield from canonical.entries(table, self._hashed(queries.rows(span, shares)), shares)
            return
        for hash, key, rows, sum in self._stream(queries.entries(span, shares)):
            yield Entry(hash, tuple(key), Digest(rows, sum))

    def look(self, table: Table, keys: Sequence[Key]) -> Mapping[Key, Found]:
        queries = self._queries(table)
        if queries.read:
            return self._looked(table, keys, queries)
        return {
            keys[place - 1]: Found(rows, sum, tuple(cells), version)
            for place, rows, sum, cells, version in self._rows(queries.look(keys))
        }

    def _looked(self, table: Table, keys: Sequence[Key], queries: Queries) -> Mapping[Key, Found]:
        """As `look`, of a table whose rows are hashed here."""
        if not table.key:
            return canonical.found(keys, self._hashed(queries.rows(Span())))
        rows = self._rows(queries.look_rows(keys))
        return canonical.looked(table, ((keys[place - 1], *row) for place, *row in rows))

    def texts(self, table: Table, keys: Sequence[Key], length: int) -> Mapping[Key, Sequence[str | None]]:
        queries = self._queries(table)
        if not keys or (queries.read and not table.key):  # nothing finds such a row by its hash
            return {}
        found = self._rows(queries.texts(keys, length))
        return {keys[place - 1]: values for place, values in found}

    def _hashed(self, query: Query) -> Iterator[Row]:
        for hash, key, cells, read in self._stream(query):
            yield Row(hash, tuple(key), cells, read)

    def head(self) -> Lsn:
        ((lsn, page, segment),) = self._asker.ask(_HEAD)
        return Lsn(end_of_record(parse_lsn(lsn), page, segment))

    def position(self, data: Mapping[str, Any] | str) -> Lsn:
        return Lsn.of(data)

    def standing(self) -> Standing | None:
        if not self._asker.ask("SELECT to_regclass('cdcd.chunks')")[0][0]:
            return None
        found = self._asker.ask(_STANDING, self._name)
        return Standing(found[0][0], found[0][1], found[0][2] or 0) if found else None

    def interrupt(self) -> None:
        self._wake.set()
        for asker in (self._asker, self._streams):
            asker.interrupt()

    def close(self) -> None:
        for asker in (self._asker, self._streams):
            asker.close()

    def _place(self, table: Table) -> Place | None:
        names = (table.id, table.key)
        if names not in self._places:
            place = read_place(self._asker, table, table.key or table.primary, self._shared)
            if place is None:
                return None
            self._places[names] = place
        return self._places[names]

    def _queries(self, table: Table) -> Queries:
        place = self._place(table)
        assert place is not None
        return Queries(table, place, self._hash, self._shared)

    def _stream(self, query: Query) -> Iterator[tuple[Any, ...]]:
        # A reader that stops half-way closes the generator, and Asker then the connection.
        with self._streams.connection() as connection, connection.cursor() as cursor:
            cursor.execute(f"BEGIN; {query.before}DECLARE entries NO SCROLL CURSOR FOR {query.text}", query.params)
            while True:
                cursor.execute(f"FETCH {PAGE} FROM entries")
                yield from (page := cursor.fetchall())
                if len(page) < PAGE:
                    break
            cursor.execute("COMMIT")

    def _rows(self, query: Query) -> list[tuple[Any, ...]]:
        with self._asker.connection() as connection, connection.cursor() as cursor:
            cursor.execute(query.before + query.text, query.params)
            return cursor.fetchall()


SHORT_HEADER = 24
LONG_HEADER = 40


def end_of_record(insert: int, page: int, segment: int) -> int:
    """Where the last record ended, given where the next one will begin: at a page's start that is behind the page's
    header, a place that a checkpoint reaches only when something else is written."""
    if insert % segment == LONG_HEADER:
        return insert - LONG_HEADER
    if insert % page == SHORT_HEADER and insert % segment != SHORT_HEADER:
        return insert - SHORT_HEADER
    return insert
