"""Loading the chunks given to one snapshot, side by side."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from cdcd.contracts import Sink, Snapshot
from cdcd.errors import Interrupted, Outgrown, SnapshotLost
from cdcd.log import get_logger
from cdcd.model.chunk import Chunk, State
from cdcd.model.position import Checkpoint
from cdcd.model.table import Table
from cdcd.progress import Progress
from cdcd.rows import RowForm

log = get_logger("engine.load")
TICK = 0.1


class Load:
    """The chunks of one snapshot, each written in one transaction of the sink with its record. The stream stands
    meanwhile, so the stored checkpoint, `place`, is the snapshot's; the sink checks that it is."""

    def __init__(
        self, snapshot: Snapshot, sink: Sink, tables: Mapping[str, Table], forms: Mapping[str, Sequence[RowForm]],
        progress: Progress, place: Checkpoint,
    ) -> None:
        self._snapshot = snapshot
        self._sink = sink
        self._tables = tables
        self._forms = forms
        self._progress = progress
        self._place = place
        self.outgrown: set[str] = set()
        """Tables that the snapshot holds in another shape."""

    def run(
        self, chunks: Sequence[Chunk], loaders: int, stopping: threading.Event, within: float = math.inf
    ) -> list[Chunk]:
        """The chunks that are in now. Fewer than asked for when the snapshot was lost, or where they were not begun
        `within` so many seconds: the others are unread still. Any other error is raised after all loaders have
        ended."""
        until = time.monotonic() + within
        loaded: list[Chunk] = []
        failure: BaseException | None = None
        with ThreadPoolExecutor(max_workers=loaders, thread_name_prefix="loader") as pool:
            pending: set[Future[Chunk | None]] = {
                pool.submit(self._one, chunk, until if place >= loaders else math.inf)
                for place, chunk in enumerate(chunks)
            }
            while pending:
                done, pending = wait(pending, TICK, FIRST_COMPLETED)
                for future in done:
                    if future.cancelled():
                        continue
                    error = future.exception()
                    if error is None:
                        loaded += filter(None, [future.result()])
                        continue
                    if isinstance(error, Outgrown):
                        self.outgrown.add(str(error.where["table"]))
                    if failure is None or isinstance(failure, Interrupted):
                        failure = error
                if stopping.is_set() and failure is None:
                    failure = Interrupted("stopped during a load")
                    self._sink.interrupt()
                if failure is not None:
                    self._snapshot.interrupt()
                    for future in pending:
                        future.cancel()
        if failure is not None and not isinstance(failure, SnapshotLost):
            raise failure
        if failure is not None:
            left = len(chunks) - len(loaded)
            log.warning("snapshot lost, its chunks will be read again", why=str(failure), chunks=left)
        return loaded

    def _one(self, chunk: Chunk, until: float) -> Chunk | None:
        if time.monotonic() > until:
            return None
        table = self._tables[chunk.table]
        blocks = self._snapshot.read(table, chunk, self._forms[table.id])
        self._progress.reading[chunk.id] = blocks.counts
        try:
            rows = self._sink.load(table, chunk, blocks, self._place)
        finally:
            self._progress.reading.pop(chunk.id, None)
        read = blocks.counts["bytes"]
        self._progress.load_rows += rows
        self._progress.load_bytes += read
        self._progress.chunks_in += 1
        return chunk.with_state(State.IN, rows, read)
