"""Following the log: reading groups from the wire, in the reader's thread. The server wants no answers; what is
acknowledged is only noted, as nothing there waits for it."""

from __future__ import annotations

import time

from cdcd.contracts import Reading
from cdcd.errors import Unreachable
from cdcd.model.group import Group
from cdcd.wake import Wake
from connectors.mysql.dump import HEARTBEAT
from connectors.mysql.position import Place
from connectors.mysql.stream import Stream
from connectors.mysql.wire import Wire

SILENCE = 6.0 * HEARTBEAT
"""Seconds after which a server that says nothing, not even that it has nothing to say, is taken for gone (OP-01)."""


class Follower:
    """One started stream."""

    def __init__(self, wire: Wire, stream: Stream, wake: Wake) -> None:
        self.stream = stream
        self._wire = wire
        self._wake = wake
        self._silent = 0.0  # seconds listened to without a word

    def read(self, group: Group, stop: Place | None, timeout: float) -> Reading:
        try:
            return self._read(group, stop, timeout)
        finally:
            self.stream.complete()

    def _read(self, group: Group, stop: Place | None, timeout: float) -> Reading:
        deadline = time.monotonic() + timeout
        while True:
            self._wake.check()
            why = self.stream.decode(self._wire, group, stop)
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
            if not self._heard(max(0.0, wait)):
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
            raise Unreachable(f"the source has said nothing for {self._silent:.0f} s", why="it promised a heartbeat")
        return whole

    def rest(self, timeout: float) -> None:
        """Read nothing for `timeout` seconds: the server waits for net_write_timeout."""
        self._wake.sleep(timeout)

    def close(self) -> None:
        self.stream.close()
        self._wire.close()
