"""What one pipeline is doing, in numbers and one sentence: the engine writes; people and metrics read.

No locks: each attribute has one writer, and readers bear with a number that is one step old.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from cdcd.secrets import hide

Phase = Literal[
    "starting", "claiming", "checking", "loading", "catching up", "streaming",
    "standby", "waiting", "stopping",
]
"""`waiting`: an error that trying again can help was met; the next attempt is due soon."""


@dataclass(slots=True)
class Progress:
    """Counters since this process started, but for `chunks_in`, `chunks_total`, which are the pipeline's own.

    `load_*` speak of the chunks that this process brought in; `reading` holds the counts of those in flight
    (Blocks.counts, kept by the loaders themselves), by chunk id. `load_total_bytes` is an estimate of all.
    `lag_seconds` is the age of the newest change applied while the stream is behind, else 0; as `lag` it grows while
    nothing is known: `unknown_since`, by our clock, all that the source had was at the target for the last time.
    `answers` grows with each answer of either end to the questions that are asked every second or so.
    `last_error` is emptied when the pipeline flows again; `retries` only grows.
    `threads` holds those that must be alive; the engine takes them out before it lets them end.
    """

    name: str = ""
    phase: Phase = "starting"
    tables: int = 0
    consistent: bool = False
    chunks_total: int = 0
    chunks_in: int = 0
    load_rows: int = 0
    load_bytes: int = 0
    load_total_bytes: int = 0
    changes: int = 0
    dropped: int = 0
    groups: int = 0
    transactions: int = 0
    lag_bytes: int = 0
    lag_seconds: float = 0.0
    unknown_since: float | None = None
    held_bytes: int = 0
    position: str = ""
    durable_position: str = ""
    head: str = ""
    answers: int = 0
    retries: int = 0
    last_error: str = ""
    reading: dict[object, dict[str, int]] = field(default_factory=dict)
    threads: dict[str, threading.Thread] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic
    _load: Meter = field(init=False)
    _stream: Meter = field(init=False)

    def __post_init__(self) -> None:
        self._load = Meter(self.clock)
        self._stream = Meter(self.clock)

    @property
    def rows_read(self) -> int:
        """Rows of the load, chunks in flight included."""
        return self.load_rows + sum(counts["rows"] for counts in list(self.reading.values()))

    @property
    def bytes_read(self) -> int:
        """Bytes of the load, chunks in flight included."""
        return self.load_bytes + sum(counts["bytes"] for counts in list(self.reading.values()))

    @property
    def load_rate(self) -> float:
        """Bytes a second, lately."""
        return self._load.rate(self.bytes_read)

    @property
    def change_rate(self) -> float:
        """Changes a second, lately."""
        return self._stream.rate(self.changes)

    @property
    def dead(self) -> list[str]:
        """Threads that ended without leave."""
        return [name for name, thread in list(self.threads.items()) if not thread.is_alive()]

    @property
    def lag(self) -> float:
        """Seconds behind, at most, as far as anything is known."""
        if self.unknown_since is None:
            return self.lag_seconds
        return max(self.lag_seconds, self.clock() - self.unknown_since)

    def lose_sight(self) -> None:
        """An attempt ended in an error: how far behind we are is not known until the stream has told."""
        if self.consistent and self.unknown_since is None:
            self.unknown_since = self.clock() - self.lag_seconds

    def sentence(self) -> str:
        """What a person wants to know, for example:
        loading: 1,204,000 rows, 310 MB of 900 MB, 82 MB/s, about 7 s left"""
        match self.phase:
            case "loading":
                said = ", ".join(self._load_words())
            case "catching up" | "streaming":
                said = ", ".join(self._stream_words())
            case "standby":
                said = "another process runs this pipeline; taking over when it falls silent"
            case "waiting":
                said = "to try again"
            case _:
                said = ""
        if self.last_error:
            tried = f" (tried again {self.retries} times)" if self.retries else ""
            error = f"{hide(self.last_error.splitlines()[0])}{tried}"
            said = f"{said}; {error}" if said else error
        return f"{self.phase}: {said}" if said else self.phase

    def _load_words(self) -> list[str]:
        done, total, rate = self.bytes_read, self.load_total_bytes, self.load_rate
        words = [f"{self.rows_read:,} rows"]
        words.append(f"{volume(done)} of {volume(total)}" if total > done else volume(done))
        words.append(f"{volume(rate)}/s")
        if total > done and rate:
            words.append(f"about {duration((total - done) / rate)} left")
        if self.chunks_total > 1:
            words.append(f"{self.chunks_in} of {self.chunks_total} chunks in")
        return words

    def _stream_words(self) -> list[str]:
        words = [f"{self.changes:,} changes", f"{self.change_rate:,.0f}/s"]
        if self.lag_bytes:
            behind = f"{volume(self.lag_bytes)} behind"
            words.append(f"{behind}, {duration(self.lag_seconds)}" if self.lag_seconds else behind)
        else:
            words.append("up to date")
        if self.durable_position:
            words.append(f"durable to {self.durable_position}")
        return words

    def snapshot(self) -> dict[str, Any]:
        """All of it as plain values: for `/status`, for metrics, and for the supervisor of this process."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _LIVE}
        plain |= {
            "lag_seconds": self.lag,
            "stale": self.unknown_since is not None,
            "load_rows": self.rows_read,
            "load_bytes": self.bytes_read,
            "load_rate": round(self.load_rate),
            "change_rate": round(self.change_rate, 1),
            "dead": self.dead,
            "last_error": hide(self.last_error),
            "sentence": self.sentence(),
        }
        return plain


_LIVE = {"unknown_since", "reading", "threads", "clock", "_load", "_stream"}


class Meter:
    """A counter's rate over about the last ten seconds, or since the last look where that was longer ago."""

    WINDOW = 10.0
    STEP = 0.5

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque(maxlen=64)
        self._rate = 0.0

    def rate(self, value: int) -> float:
        now = self._clock()
        if self._seen and now - self._seen[-1][0] < self.STEP:
            return self._rate
        self._seen.append((now, value))
        while len(self._seen) > 2 and now - self._seen[1][0] >= self.WINDOW:
            self._seen.popleft()
        then, before = self._seen[0]
        if now > then:
            self._rate = max(0.0, (value - before) / (now - then))
        return self._rate


def volume(count: float) -> str:
    """Bytes for people: 310 MB."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            break
        count /= 1000
    return f"{count:.1f} {unit}" if count < 10 and unit != "bytes" else f"{count:,.0f} {unit}"


def duration(seconds: float) -> str:
    """Seconds for people: 7 s, 3 min, 2.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
