"""Following a slot: reading groups from the wire and answering the server, in the reader's thread.

Nothing but the reader's thread touches the connection; `acknowledge` only notes (T-DE-3). What is confirmed is what
was acknowledged, or the checkpoint the stream began at: never what was merely read (PG-08).
"""

from __future__ import annotations

import struct
import time
from contextlib import suppress

from cdcd.contracts import Reading
from cdcd.errors import CdcdError, Unreachable
from cdcd.model.group import Group
from cdcd.wake import Wake
from connectors.postgres.replication import Session
from connectors.postgres.stream import EPOCH_2000, Stream

_status = struct.Struct(">cQQQqB")
"""Standby status update: written, flushed, applied, our clock, and whether a reply is wanted."""

SILENCE = 120.0
"""Seconds after which a server that says nothing, asked or not, is taken for gone (OP-01): TCP is silent too where
something in between keeps the connection open. Twice wal_sender_timeout."""


class Follower:
    """One started stream. `confirmed` may be raised by any thread."""

    def __init__(
        self, session: Session, statement: str, stream: Stream, wake: Wake, status_seconds: float = 10.0
    ) -> None:
        self.stream = stream
        self.confirmed = stream.place
        self._session = session
        self._wake = wake
        self._interval = status_seconds
        self._wire = session.wire(statement)
        self._told = 0
        self._told_at = 0.0
        self._silent = 0.0  # seconds listened to without a word
        self._tell()

    def read(self, group: Group, stop: int | None, timeout: float) -> Reading:
        deadline = time.monotonic() + timeout
        while True:
            why = self.stream.decode(self._wire, group, stop)
            self._answer()
            if why == "stop":
                return Reading.STOP
            if why == "altered":
                self._silent = 0.0
                return Reading.ALTERED
            if why == "full":
                self._silent = 0.0
                return Reading.MORE
            wait = deadline - time.monotonic()
            if not self.stream.inside and not group.empty:
                wait = 0.0  # whole transactions are not kept waiting for others
            due = self._until_due
            if not self._heard(max(0.0, min(wait, due))) and wait <= due:
                return Reading.IDLE

    def _heard(self, timeout: float) -> bool:
        """Whether more came in time; raises when nothing has come for too long."""
        began, arrivals = time.monotonic(), self._wire.arrivals
        whole = self._wire.more(timeout)
        if self._wire.arrivals != arrivals:
            self._silent = 0.0
            return whole
        self._silent += time.monotonic() - began
        if self._silent > SILENCE:
            raise Unreachable(f"the source has said nothing for {self._silent:.0f} s", why="it was asked to answer")
        return whole

    def rest(self, timeout: float) -> None:
        """Answer the server for `timeout` seconds, reading nothing."""
        deadline = time.monotonic() + timeout
        while True:
            self._answer()
            wait = deadline - time.monotonic()
            if wait <= 0:
                return
            self._wake.sleep(min(wait, max(0.01, self._until_due)))

    @property
    def _until_due(self) -> float:
        # What was newly confirmed lets the server recycle its log: told within a second, not ten.
        interval = min(1.0, self._interval) if self.confirmed > self._told else self._interval
        return max(0.0, self._told_at + interval - time.monotonic())

    def _answer(self) -> None:
        if self.stream.reply or self._until_due <= 0:
            self._tell(ask=self._silent > SILENCE / 3)

    def _tell(self, ask: bool = False) -> None:
        place = self.confirmed
        now = int(time.time() * 1_000_000) - EPOCH_2000
        self._wire.send(_status.pack(b"r", place, place, place, now, ask))
        self._told, self._told_at = place, time.monotonic()
        self.stream.reply = False

    def close(self) -> None:
        """Tell what was acknowledged last, if that can be done at once: until the next run the server keeps less."""
        if self.confirmed > self._told:
            with suppress(CdcdError):
                self._tell()
        self._session.close()
