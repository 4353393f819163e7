"""One end of a comparison at PostgreSQL: asks the queries of compare_sql, each in a transaction of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from cdcd.model.digest import Digest, Entry, Found, Key, Layout, Shares, Span, Standing
from cdcd.model.table import Table
from cdcd.wake import Wake
from connectors.postgres.ask import Asker
from connectors.postgres.compare_order import Place, read_place
from connectors.postgres.compare_sql import FAST, PORTABLE, Queries, Query
from connectors.postgres.position import Lsn, parse_lsn

PAGE = 5000
"""Entries fetched at once."""

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
        self._places: dict[tuple[str, tuple[str, ...]], Place] = {}

    def hashes(self) -> Sequence[str]:
        ((encoding, probe),) = self._asker.ask(_ENCODING, _PROBE)
        return [f"postgresql {encoding} {probe}", "postgresql sha256"]

    def choose(self, hash: str) -> None:
        self._hash = PORTABLE if hash.endswith(" sha256") else FAST

    def layout(self, table: Table) -> Layout | None:
        place = self._place(table)
        return place.layout if place else None

    def step(self, table: Table, span: Span, rows: int) -> Key | None:
        found = self._rows(self._queries(table).step(span, rows))
        return tuple(found[0][0]) if found else None

    def digest(self, table: Table, span: Span) -> Digest:
        ((rows, sum),) = self._rows(self._queries(table).digest(span))
        return Digest(rows, sum)

    def digests(self, table: Table, span: Span, of: int) -> Mapping[int, Digest]:
        found = self._rows(self._queries(table).digests(span, of))
        return {share: Digest(rows, sum) for share, rows, sum in found}

    def entries(self, table: Table, span: Span, shares: Shares) -> Iterator[Entry]:
        query = self._queries(table).entries(span, shares)
        # A reader that stops half-way closes the generator, and Asker then the connection.
        with self._streams.connection() as connection, connection.cursor() as cursor:
            cursor.execute(f"BEGIN; {query.before}DECLARE entries NO SCROLL CURSOR FOR {query.text}", query.params)
            while True:
                cursor.execute(f"FETCH {PAGE} FROM entries")
                for hash, key, rows, sum in (page := cursor.fetchall()):
                    yield Entry(hash, tuple(key), Digest(rows, sum))
                if len(page) < PAGE:
                    break
            cursor.execute("COMMIT")

    def look(self, table: Table, keys: Sequence[Key]) -> Mapping[Key, Found]:
        return {
            keys[place - 1]: Found(rows, sum, tuple(cells), version)
            for place, rows, sum, cells, version in self._rows(self._queries(table).look(keys))
        }

    def texts(self, table: Table, keys: Sequence[Key], length: int) -> Mapping[Key, Sequence[str | None]]:
        if not keys:
            return {}
        found = self._rows(self._queries(table).texts(keys, length))
        return {keys[place - 1]: values for place, values in found}

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
            place = read_place(self._asker, table, table.key or table.primary)
            if place is None:
                return None
            self._places[names] = place
        return self._places[names]

    def _queries(self, table: Table) -> Queries:
        place = self._place(table)
        assert place is not None
        return Queries(table, place, self._hash)

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
