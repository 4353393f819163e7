"""One pipeline for as long as its process lives: attempts, with back-off between them, until its end or a stop."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable

from cdcd.contracts import Sink, Source
from cdcd.engine.attempt import Attempt
from cdcd.engine.options import Options, Outcome
from cdcd.errors import CdcdError, Interrupted, LoginRefused, Stopped, Transient, Unexplained
from cdcd.log import get_logger
from cdcd.progress import Progress

__all__ = ["Options", "Outcome", "Task"]

log = get_logger("engine.task")

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
GRACE = 3.0


class Task:
    """`connect` builds both ends afresh for each attempt, so that a rotated password is read at each connect.
    `closely` builds ends that tell transactions apart: once a change could not be made, another attempt is made with
    them, which names the transaction at fault. `run` belongs in a thread that is not the main one, where a signal's
    handler could not run during a blocking call."""

    def __init__(
        self,
        options: Options,
        connect: Callable[[], tuple[Source, Sink]],
        progress: Progress | None = None,
        closely: Callable[[], tuple[Source, Sink]] | None = None,
    ) -> None:
        self.progress = progress or Progress(name=options.name)
        self.owner = uuid.uuid4().hex
        self._options = options
        self._connect = connect
        self._closely = closely
        self._stopping = threading.Event()
        self._ends: tuple[Source, Sink] | None = None
        self._broken_off = ""
        self._claimed = False

    def run(self) -> Outcome:
        """Until the run's end, or a stop. Raises the error that trying again cannot help, or has not helped for
        `patience` seconds where the run is finite."""
        tries, since = 0, time.monotonic()
        same: list[str] = []  # what the server could not explain, on end
        while True:
            attempt: Attempt | None = None
            try:
                source, sink = self._ends = self._connect()
                attempt = Attempt(self._options, source, sink, self.progress, self._stopping)
                if self._options.standby and not self._claimed:
                    self._stand_by(sink)
                outcome = attempt.run(self.owner, take_over=not self._claimed)
                log.info("ended", outcome=outcome.value)
                return outcome
            except CdcdError as error:
                if self._stopping.is_set():
                    return Outcome.STOPPED
                lasting = self._ends is None or self._ends[1].facts.keeps_state  # else whoever read has left
                error = self._meant(error, lasting)
                if self._closely is not None and "change" in error.where:
                    log.info("looking for the transaction at fault", what=error.what)
                    self._connect, self._closely = self._closely, None
                    continue
                if attempt is not None and attempt.flowing:
                    tries, since = 0, time.monotonic()
                if attempt is not None and attempt.made:
                    same.clear()
                if isinstance(error, Unexplained):
                    same = [*(what for what in same if what == error.what), error.what]
                    if len(same) >= error.MOST:
                        raise _stopped(error, len(same)) from error
                # A password that was right until now is on its way to us: for a while.
                rotating = isinstance(error, LoginRefused) and self._claimed
                ends = self._options.finite or rotating
                patient = not ends or time.monotonic() - since < self._options.patience
                if not ((error.retryable or rotating) and patient and lasting):
                    raise error
                tries += 1
                self._close()  # nothing is held while we wait: no lock, no slot
                self._pause(error, tries)
            finally:
                # Only the process's first claim takes from another (T-PO-12).
                self._claimed = self._claimed or (attempt is not None and attempt.claimed)
                self._close()
            if self._stopping.is_set():
                return Outcome.STOPPED

    def stop(self) -> None:
        """Any thread, a signal's handler included: finish what is being applied, or roll it back after `GRACE`
        seconds."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self.progress.phase = "stopping"
        timer = threading.Timer(GRACE, self.abort)
        timer.daemon = True
        timer.start()

    def abort(self) -> None:
        """Any thread: interrupt whatever is blocked; what is open is rolled back."""
        self._stopping.set()
        self._interrupt()

    def break_off(self, why: str) -> None:
        """Any thread: the same for this attempt only."""
        self._broken_off = why
        self._interrupt()

    def _interrupt(self) -> None:
        ends = self._ends
        if ends is not None:
            for end in ends:
                end.interrupt()

    def _stand_by(self, sink: Sink) -> None:
        """Wait until the owner's counter has not moved for so long by our own clock: no two clocks are compared."""
        self.progress.phase = "standby"
        seen, since = sink.seen(), time.monotonic()
        log.info("standing by", seconds=self._options.standby_seconds)
        while seen is not None and time.monotonic() - since < self._options.standby_seconds:
            if self._stopping.wait(min(1.0, self._options.standby_seconds / 10)):
                raise Interrupted("stopped while standing by")
            if (now := sink.seen()) != seen:
                seen, since = now, time.monotonic()

    def _meant(self, error: CdcdError, lasting: bool) -> CdcdError:
        """What an interrupt that ended an attempt was for."""
        if self._broken_off:
            why, self._broken_off = self._broken_off, ""
            return Transient("an attempt was broken off", why=why)
        if isinstance(error, Interrupted) and lasting:
            return Transient("an attempt was broken off, and nobody asked for it", why=error.what)
        return error

    def _pause(self, error: CdcdError, tries: int) -> None:
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (tries - 1)) * random.uniform(0.5, 1.0)
        self.progress.last_error = str(error)
        self.progress.retries += 1
        self.progress.phase = "waiting"
        self.progress.lose_sight()
        log.warning("trying again", error=error.name, what=str(error), pause=round(pause, 1), tries=tries)
        self._stopping.wait(pause)

    def _close(self) -> None:
        ends, self._ends = self._ends, None
        if ends is not None:
            for end in ends:
                try:
                    end.close()
                except CdcdError as error:
                    log.debug("closing failed", error=str(error))


def _stopped(error: Unexplained, times: int) -> Stopped:
    """Trying once more would only repeat it."""
    why = f"{times} times on end, and nothing was made between them" + (f"; {error.why}" if error.why else "")
    return Stopped(error.what, why=why, hint=error.hint, **error.where)
