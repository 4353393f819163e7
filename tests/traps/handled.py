"""A pipeline with the test's hands in its source: what it does at a known moment makes an interleaving certain that
would otherwise be seldom."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from cdcd.contracts import Blocks, Reading, Request
from cdcd.model.chunk import Bound, Chunk
from cdcd.model.group import Group
from cdcd.model.position import Position
from cdcd.model.table import Table
from cdcd.rows import RowForm
from connectors.postgres.position import Lsn
from connectors.postgres.sink import PostgresSink
from connectors.postgres.snapshot import PostgresSnapshot
from connectors.postgres.source import PostgresSource
from tests.servers.database import Database
from tests.servers.proxy import Direction, Proxy, Trap
from tests.traps.pipeline import Pipeline
from tests.traps.sessions import sent


class Hands:
    """What a test does to a source. `cuts`: where a table is cut into chunks. `reading`, `asking`: while it is not set,
    the stream stands, or no snapshot is asked for. `before_snapshot`, `after_snapshot`: called when one is asked for,
    and when it is there; `before_read`: in each loader, before it reads a chunk. `snapshots`, `read`: what was done;
    `turns`: how often the reader has read, or rested; `surveys`: how often the tables were looked at; `wishes`: how
    often some were found since there were none."""

    def __init__(self) -> None:
        self.cuts: dict[str, tuple[str, list[str]]] = {}
        self.reading = threading.Event()
        self.asking = threading.Event()
        self.reading.set()
        self.asking.set()
        self.before_read: Callable[[Chunk], object] = lambda chunk: None
        self.before_snapshot: Callable[[], object] = lambda: None
        self.after_snapshot: Callable[[], object] = lambda: None
        self.turns = 0
        self.surveys = 0
        self.wishes = 0
        self.snapshots = 0
        self.read: list[tuple[str, int]] = []


class _Read:
    """A snapshot whose chunks are read when the test's hand has been at them."""

    high = None

    def __init__(self, snapshot: PostgresSnapshot, hands: Hands) -> None:
        self._snapshot = snapshot
        self._hands = hands

    @property
    def position(self) -> Lsn:
        return self._snapshot.position

    @property
    def readable(self) -> bool:
        return self._snapshot.readable

    def read(self, table: Table, chunk: Chunk, forms: Sequence[RowForm]) -> Blocks:
        self._hands.before_read(chunk)
        self._hands.read.append(chunk.id)
        return self._snapshot.read(table, chunk, forms)

    def interrupt(self) -> None:
        self._snapshot.interrupt()

    def close(self) -> None:
        self._snapshot.close()


class _Handled(PostgresSource):
    """The source as it is, but for the hands."""

    hands: Hands

    def bounds(self, table: Table, target_bytes: int) -> list[tuple[tuple[str, ...], Bound]]:
        if table.id not in self.hands.cuts:
            return super().bounds(table, target_bytes)
        column, values = self.hands.cuts[table.id]
        return [((column,), (value,)) for value in values]

    def prepare(self, *given: Any, **named: Any) -> Any:
        return _Read(super().prepare(*given, **named), self.hands)

    def snapshot(self, tables: Any) -> Any:
        while not self.hands.asking.wait(0.02):
            self._wake.check()
        self.hands.snapshots += 1
        self.hands.before_snapshot()
        snapshot = super().snapshot(tables)
        self.hands.after_snapshot()
        return _Read(snapshot, self.hands)

    def read(self, group: Group, stop: Position | None, timeout: float) -> Reading:
        if self.hands.reading.is_set():
            reading = super().read(group, stop, timeout)  # type: ignore[arg-type]
            self.hands.turns += 1
            return reading
        self.rest(0.02)
        assert self._follower is not None
        group.position = Lsn(self._follower.stream.place)
        return Reading.IDLE

    def rest(self, timeout: float) -> None:
        super().rest(timeout)
        self.hands.turns += 1

    def survey(self) -> Any:
        found = super().survey()
        self.hands.surveys += 1
        return found


class _Watched(PostgresSink):
    """The sink as it is; it notes the wishes that were found."""

    hands: Hands

    def requests(self) -> Sequence[Request]:
        found = super().requests()
        self.hands.wishes = self.hands.wishes + 1 if found else 0
        return found


class Handled(Pipeline):
    """`Pipeline`, by way of the hands."""

    def __init__(self, source: Database, target: Database, *tables: str, **more: Any) -> None:
        self.hands = Hands()
        super().__init__(source, target, *tables, **more)

    def __enter__(self) -> Handled:
        super().__enter__()
        return self

    def until_read(self, place: int) -> None:
        """Until the reader has had its turn, or three, after the server sent what was committed at `place`: a stream
        that stands has not read it then, any other has."""
        self.until(lambda: sent(self.source, self.name) > place, "the change to be sent")
        turns = self.hands.turns
        self.until(lambda: self.hands.turns > turns + 3, "the reader's turn")

    def make_source(self, url: str, **options: Any) -> Any:
        source = _Handled(url, self.name, **options)
        source.hands = self.hands
        return source

    def make_sink(self, url: Callable[[], str], **options: Any) -> Any:
        sink = _Watched(url, self.name, **options)
        sink.hands = self.hands
        return sink


@contextmanager
def load_held(proxy: Proxy) -> Iterator[Trap]:
    """A chunk of the next load stands written and not committed, from when the trap is sprung to the block's end."""
    trap = proxy.hold(Direction.TO_SERVER, lambda message: "UPDATE cdcd.chunks SET state = 'in'" in message.sql)
    yield trap
    trap.release()
