"""A fixed state of the tables, and the reading of chunks from it. How it is begun: begin.py."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue

from cdcd.contracts import Blocks
from cdcd.errors import CdcdError, Outgrown, SnapshotLost, Stopped
from cdcd.log import get_logger
from cdcd.model.chunk import Chunk
from cdcd.model.table import Table
from cdcd.rows import RowForm
from cdcd.wake import Wake
from connectors.mysql.ask import rows
from connectors.mysql.copy_out import RowCode, copy_out
from connectors.mysql.errors import NO_SUCH_TABLE, translating
from connectors.mysql.fields import choose
from connectors.mysql.login import Connection, cut, drop
from connectors.mysql.names import quote, quote_table
from connectors.mysql.position import Place
from connectors.mysql.types import INTEGERS, native_of
from connectors.mysql.wire import Wire

log = get_logger("mysql.snapshot")

PATIENCE = 3600.0
"""Seconds that a server may take for a row of a chunk."""

BEGIN = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"

_TOO_LARGE = 1301
_AUTO = re.compile(r" AUTO_INCREMENT=\d+")

Connect = Callable[[], Connection]
Identity = tuple[str, str]
"""What a table is: when it was made, and how."""


class MysqlSnapshot:
    """Lives as long as its sessions. `position` is its place in the log, `tables` are as they were there. `read` notes
    how far the log had come when a table was read last, by `head`. `high` as in Snapshot."""

    def __init__(
        self, position: Place, readers: Sequence[Connection], identities: Mapping[str, Identity], connect: Connect,
        tables: Mapping[str, Table] | None = None, read: dict[str, Place] | None = None,
        head: Callable[[Connection], Place] | None = None, high: Place | None = None,
    ) -> None:  # fmt: skip
        self.position = position
        self.high = high
        self.tables = tables or {}
        self._read = read if read is not None else {}
        self._head = head
        self._readers = list(readers)
        self._free: SimpleQueue[Connection] = SimpleQueue()
        for reader in readers:
            self._free.put(reader)
        self._identities = identities
        self._connect = connect
        self._wake = Wake()  # of its own: a snapshot that is given up leaves the stream alone
        self._lock = threading.Lock()
        self._closed = False

    @property
    def readable(self) -> bool:
        return bool(self._identities)

    def read(self, table: Table, chunk: Chunk, forms: Sequence[RowForm]) -> Blocks:
        filling = choose(forms, binary=False)  # the server writes texts, and joins them, faster than we could pack
        if not same_shape(table, self.tables.get(table.id)):
            raise Outgrown("the snapshot holds the table in another shape", table=table.id)
        reader = self._take()
        try:
            with translating(self._wake, table=table.id):
                # The savepoint bounds the metadata lock: an ALTER waits for this chunk, not for the snapshot (T-MY-14).
                # MariaDB keeps the lock until the snapshot ends.
                rows(reader, "SAVEPOINT chunk")
                rows(reader, f"SELECT 1 FROM {quote_table(table)} LIMIT 0")
                self._verify(table)
        except CdcdError as error:
            self._give_up(reader)
            if error.where.get("errno") == NO_SUCH_TABLE:
                raise SnapshotLost("the table is gone", table=table.id) from error
            raise
        except BaseException:
            self._give_up(reader)
            raise
        counts = {"rows": 0, "bytes": 0}
        code = RowCode(filling)
        sql = f"SELECT {code.wanted} FROM {quote_table(table)}{condition(table, chunk)}"
        return Blocks(filling.form, self._pieces(reader, sql, code, counts, table), counts)

    def _pieces(
        self, reader: Connection, sql: str, code: RowCode, counts: dict[str, int], table: Table
    ) -> Iterator[bytes]:
        done = False
        try:
            wire = Wire(reader, self._wake)
            yield from copy_out(wire, sql, code, counts, PATIENCE)
            wire.release()
            with translating(self._wake, table=table.id):
                refuse_warned(reader, table)
                rows(reader, "ROLLBACK TO SAVEPOINT chunk")
            done = True
        finally:
            if done:
                self._free.put(reader)
            else:
                self._give_up(reader)

    def _take(self) -> Connection:
        while True:
            self._wake.check()
            with self._lock:
                if self._closed or not self._readers:
                    raise SnapshotLost("the snapshot has gone", why="the sessions that held it have ended")
            with suppress(Empty):
                return self._free.get(timeout=0.1)

    def _give_up(self, reader: Connection) -> None:
        """A session in the middle of something holds no snapshot that could be trusted."""
        with self._lock:
            if reader in self._readers:
                self._readers.remove(reader)
        drop(reader)

    def _verify(self, table: Table) -> None:
        """Under the metadata lock: that the name still means the table that it meant (T-MY-12)."""
        asker = self._connect()
        try:
            now = identity(asker, table)
            if self._head is not None:
                self._read[table.id] = self._head(asker)
        finally:
            drop(asker)
        if self._identities.get(table.id) != now:
            raise SnapshotLost(
                "the table changed under the snapshot", why="it was altered, truncated, or swapped", table=table.id
            )

    def interrupt(self) -> None:
        self._wake.set()
        with self._lock:
            for reader in self._readers:
                cut(reader)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            readers, self._readers = self._readers, []
        for reader in readers:
            drop(reader)


def condition(table: Table, chunk: Chunk) -> str:
    """The chunk's range, as a WHERE clause. Bounds are of whole numbers: see `bounds`."""
    if chunk.whole:
        return ""
    name = quote(chunk.columns[0])
    parts = [f"{name} >= {int(chunk.low[0])}"] if chunk.low is not None else []
    parts += [f"{name} < {int(chunk.high[0])}"] if chunk.high is not None else []
    return " WHERE " + " AND ".join(parts)


def identity(connection: Connection, table: Table) -> Identity:
    """SnapshotLost where there is no such table."""
    query = "SELECT CREATE_TIME FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s"
    found = rows(connection, query, table.schema, table.name)
    if not found:
        raise SnapshotLost("the table is gone", table=table.id)
    ((_, text),) = rows(connection, f"SHOW CREATE TABLE {quote_table(table)}")
    return str(found[0][0]), _AUTO.sub("", text)


def identities(connection: Connection, tables: Sequence[Table]) -> dict[str, Identity]:
    return {table.id: identity(connection, table) for table in tables}


def refuse_warned(reader: Connection, table: Table) -> None:
    """A server warns of a value that it gave as another: of JSON longer than max_allowed_packet MySQL makes NULL."""
    for level, number, text in rows(reader, "SHOW WARNINGS"):
        if level != "Note":
            raise Stopped(
                "a value was read as another than it is",
                why=str(text),
                hint="raise max_allowed_packet at the source" if number == _TOO_LARGE else "",
                errno=number,
                table=table.id,
            )


def same_shape(known: Table, there: Table | None) -> bool:
    """Whether rows of the one are rows of the other."""
    if there is None or len(known.columns) != len(there.columns):
        return False
    pairs = zip(known.columns, there.columns, strict=True)
    return known.key == there.key and all(
        (a.name, a.native, a.collation, a.nullable, a.generated is None)
        == (b.name, b.native, b.collation, b.nullable, b.generated is None)
        for a, b in pairs
    )


def numeric_key(table: Table) -> str | None:
    """The key's first column, where whole numbers stand in it."""
    if table.key and native_of(table.key_columns[0]).name in INTEGERS:
        return table.key[0]
    return None

