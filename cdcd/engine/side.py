"""The side thread: what must go on whatever the writer is doing — heartbeat, the source's head, wishes, new tables."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from cdcd.contracts import Request, Sink, Source
from cdcd.engine.evolve import Survey
from cdcd.engine.lag import Lag
from cdcd.engine.options import Options
from cdcd.errors import CdcdError, StateRefused
from cdcd.log import get_logger
from cdcd.progress import Progress

log = get_logger("engine.side")

BEAT = 5.0
HEAD = 1.0
WISHES = 2.0
TICK = 0.2
WATCH = 6
"""Looks for new tables for each look at what sends no message."""


class Side:
    """Runs between `start` and `close`. `requests` and `survey` are the newest seen: the writer acts on them. `told`:
    how many schema changes it has made, which a survey bears from when it was begun. `failure` is what ended the
    thread; the writer raises it."""

    def __init__(self, source: Source, sink: Sink, options: Options, progress: Progress, lag: Lag) -> None:
        self.requests: list[Request] = []
        self.survey: Survey | None = None
        self.told = 0
        self.failure: BaseException | None = None
        self._source = source
        self._sink = sink
        self._options = options
        self._progress = progress
        self._lag = lag
        self._fulfilled: list[Request] = []
        self._warned: set[tuple[str, str]] = set()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="side", daemon=True)

    def start(self) -> None:
        self._progress.threads["side"] = self._thread
        self._thread.start()

    def close(self) -> None:
        self._progress.threads.pop("side", None)
        self._closing.set()
        self._thread.join(5)
        try:
            self._tell_fulfilled()  # else the next run would do them again
        except CdcdError as error:
            log.debug("fulfilled requests not told", why=error.what)

    def fulfilled(self, request: Request) -> None:
        """The writer carried it out; told to the sink by this thread."""
        self._fulfilled.append(request)

    def _run(self) -> None:
        jobs: list[tuple[float, Callable[[], None]]] = [
            (BEAT, self._sink.beat), (HEAD, self._head), (WISHES, self.wishes)
        ]
        if self._options.table_poll:
            jobs.append((self._options.table_poll, self._tables))
            jobs.append((WATCH * self._options.table_poll, self.watch))
        due = [time.monotonic()] * len(jobs)
        try:
            while not self._closing.wait(TICK):
                for index, (period, job) in enumerate(jobs):
                    if time.monotonic() >= due[index] and not self._closing.is_set():
                        job()
                        self._progress.answers += 1
                        due[index] = time.monotonic() + period
        except BaseException as failure:  # raised by the writer
            self.failure = failure

    def _head(self) -> None:
        head = self._source.head()
        self._progress.head = str(head)
        self._lag.sample(head)

    def wishes(self) -> None:
        self._tell_fulfilled()
        self.requests = list(self._sink.requests())

    def _tell_fulfilled(self) -> None:
        while self._fulfilled:
            self._sink.fulfilled(self._fulfilled.pop())

    def _tables(self) -> None:
        told = self.told
        if (seen := self._source.survey()) is not None:
            self.survey = (*seen, told)

    def watch(self) -> None:
        """What is wrong at the source and no message tells of: an error ends the run, a warning is told once while it
        lasts; a table that changed unseen is read again. The writer calls it too, before the stream is read."""
        seen = self._source.watch()
        for table in seen.stale:
            log.warning("partitions came, went or were emptied without a message: to be read again", table=table.id)
            self._sink.note(table, again=True)
        for table in seen.grown:
            self._sink.note(table, again=False)
        self._progress.held_bytes = seen.held_bytes or 0
        for finding in seen.findings:
            if finding.level == "error":
                raise StateRefused(finding.message, why=f"[{finding.id}] {finding.evidence}", hint=finding.mend)
            if (finding.id, finding.message) not in self._warned:
                log.warning(finding.message, id=finding.id, evidence=finding.evidence, mend=finding.mend)
        self._warned = {(finding.id, finding.message) for finding in seen.findings}
