"""Locks that sessions hold until their transaction ends, shared or exclusive, and the waiting for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from connectors.memory.faults import ServerError

Resource = tuple[object, ...]


class Locks:
    """`changed` is the server's condition, held by every caller."""

    def __init__(self, changed: threading.Condition) -> None:
        self._changed = changed
        self._held: dict[Resource, dict[object, bool]] = {}

    def take(
        self, holder: object, resource: Resource, exclusive: bool, patience: float, alive: Callable[[], None]
    ) -> None:
        """Wait until no other holder stands in the way; `alive` raises what ends the waiting early."""
        limit = time.monotonic() + patience
        while self._blocked(holder, resource, exclusive):
            left = limit - time.monotonic()
            if left <= 0:
                raise ServerError("lock_timeout", f"{resource} is locked")
            self._changed.wait(left)
            alive()
        holders = self._held.setdefault(resource, {})
        holders[holder] = exclusive or holders.get(holder, False)

    def _blocked(self, holder: object, resource: Resource, exclusive: bool) -> bool:
        others = (mode for other, mode in self._held.get(resource, {}).items() if other is not holder)
        return any(exclusive or mode for mode in others)

    def release(self, holder: object) -> None:
        """All that the holder has."""
        self._held = {
            resource: left
            for resource, holders in self._held.items()
            if (left := {other: mode for other, mode in holders.items() if other is not holder})
        }
        self._changed.notify_all()
