"""A slot's snapshot as the engine sees it: a place in the log, and chunks read under it, each on its own connection."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

from cdcd.contracts import Blocks
from cdcd.errors import CdcdError, Outgrown, SnapshotLost
from cdcd.model.chunk import Bound, Chunk
from cdcd.model.table import Table
from cdcd.rows import RowForm
from cdcd.wake import Wake
from connectors.postgres.ask import Asker
from connectors.postgres.copy_out import copied, made, untouched
from connectors.postgres.export import import_snapshot
from connectors.postgres.names import qualified, quote_identifier, quote_literal, relation
from connectors.postgres.order import ORDINARY, Operators, range_operators
from connectors.postgres.parts import EVERYTHING, Parts
from connectors.postgres.position import Lsn
from connectors.postgres.replication import Session
from connectors.postgres.tuples import TupleCode
from connectors.postgres.types_wire import choose, wire_types
from connectors.postgres.unaltered import Face, compare_with_now, lock_and_compare

ALTERED = ("42703", "42P01", "42704", "3F000")
"""A column, table, type or schema that the planned statement names is not there any more."""


class PostgresSnapshot:
    """`keeper` is the session that made the slot: it stays idle, and the snapshot ends with it (T-PG-12)."""

    high = None

    def __init__(
        self,
        place: int,
        name: str | None,
        keeper: Session | None,
        connect: Callable[[Wake], Session],
        asker: Asker,
        wake: Wake,
        parts: Parts = EVERYTHING,
    ) -> None:
        self.place = place
        self._name = name
        self._keeper = keeper
        self._connect = connect
        self._asker = asker
        self._wake = wake
        self._parts = parts
        self._lock = threading.Lock()
        self._closed = False

    @property
    def position(self) -> Lsn:
        return Lsn(self.place)

    @property
    def readable(self) -> bool:
        return self._name is not None

    def read(self, table: Table, chunk: Chunk, forms: Sequence[RowForm]) -> Blocks:
        if self._name is None or self._closed:
            raise SnapshotLost("the snapshot was closed, or is only a place", table=table.id)
        session = self._connect(self._wake)
        try:
            import_snapshot(session, self._name)
            face = lock_and_compare(session, self._asker, table)
            return self._blocks(session, table, chunk, forms, face)
        except BaseException as error:
            session.close()
            raise _lost(error, table) from error

    def _blocks(
        self, session: Session, table: Table, chunk: Chunk, forms: Sequence[RowForm], face: Face
    ) -> Blocks:
        oids = {column.type_id for column in table.carried}
        with self._asker.connection() as connection:
            types = wire_types(connection, oids)
        filling = choose(forms, types, (True, False), session.version // 10000)
        raw = untouched(filling)
        if not raw and filling.binary:
            filling = choose(forms, types, (False,), session.version // 10000)
        counts = {"rows": 0, "bytes": 0}
        statement = copy_statement(
            table, chunk, filling.form.columns, raw and filling.binary, self._operators(table, chunk), self._parts
        )
        if raw:
            data = copied(session, statement, counts)
        else:
            data = made(copied(session, statement, {**counts}), TupleCode(filling, types, False), counts)

        version = session.version

        def check_leaves() -> None:
            # ATTACH and DETACH take no lock that conflicts with ours: a leaf may have come or gone meanwhile.
            if table.partitioned:
                compare_with_now(face, self._asker, table, version)

        return Blocks(filling.form, _Data(session, table, data, check_leaves), counts)

    def _operators(self, table: Table, chunk: Chunk) -> Operators:
        if chunk.whole:
            return ORDINARY
        types = {column.name: column.type_id for column in table.key_columns}
        return range_operators(self._asker.ask, [types[name] for name in chunk.columns])

    def interrupt(self) -> None:
        self._wake.set()

    def close(self) -> None:
        self._closed = True
        with self._lock:
            keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.close()


class _Data(Iterator[bytes]):
    """The pieces of one chunk; its connection ends with it, however it ends."""

    def __init__(
        self, session: Session, table: Table, pieces: Iterator[bytes], at_end: Callable[[], None]
    ) -> None:
        self._session: Session | None = session
        self._table = table
        self._pieces = pieces
        self._at_end = at_end

    def __next__(self) -> bytes:
        if self._session is None:
            raise StopIteration
        try:
            return next(self._pieces)
        except StopIteration:
            self.close()
            self._at_end()
            raise
        except BaseException as error:
            self.close()
            raise _lost(error, self._table) from error

    def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def __del__(self) -> None:
        self.close()


def _lost(error: BaseException, table: Table) -> BaseException:
    if isinstance(error, CdcdError) and error.where.get("sqlstate") in ALTERED:
        return Outgrown("the table is not there as it is known", why=error.what, table=table.id)
    return error


def copy_statement(
    table: Table,
    chunk: Chunk,
    columns: Sequence[str],
    binary: bool,
    operators: Operators = ORDINARY,
    parts: Parts = EVERYTHING,
) -> str:
    """COPY of a chunk's rows; a whole ordinary table without a query, which is faster."""
    options = " (FORMAT binary)" if binary else ""
    if chunk.whole and not table.partitioned and not parts.touch(table):
        names = ", ".join(quote_identifier(name) for name in columns)
        return f"COPY {qualified(table)} ({names}) TO STDOUT{options}"
    carried = {column.name: column for column in table.carried}
    values = ", ".join(parts.value(table, carried[name]) for name in columns)
    where = condition(table, chunk, operators, parts)
    return f"COPY (SELECT {values} FROM {relation(table)}{where}) TO STDOUT{options}"


def condition(table: Table, chunk: Chunk, operators: Operators = ORDINARY, parts: Parts = EVERYTHING) -> str:
    """` WHERE low <= key AND key < high`, as row comparisons: the order of the key's index."""
    tests = parts.tests(table)
    if chunk.low is not None:
        tests.append(_compared(table, chunk.columns, operators[1], chunk.low))
    if chunk.high is not None:
        tests.append(_compared(table, chunk.columns, operators[0], chunk.high))
    return f" WHERE {' AND '.join(tests)}" if tests else ""


def _compared(table: Table, columns: Sequence[str], operator: str, bound: Bound) -> str:
    natives = {column.name: column.native for column in table.columns}
    left = ", ".join(quote_identifier(name) for name in columns)
    right = ", ".join(
        f"CAST({quote_literal(value)} AS {natives[name]})" for name, value in zip(columns, bound, strict=True)
    )
    return f"({left}) {operator} ({right})"
