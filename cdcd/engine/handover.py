"""Where the reader gives groups to the writer: at most one waits, and the reader sees whether the writer does."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from cdcd.model.group import Group


@dataclass(frozen=True, slots=True)
class Parcel:
    """A group on its way. `stopped`: the stream stands at the snapshot's place, which is the group's position; the
    reader reads nothing more until told to go on."""

    group: Group
    stopped: bool = False


class Handover:
    """A slot for one parcel between two threads; memory is bounded by the groups' own byte bound."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._parcel: Parcel | None = None
        self._waiting = False
        self._failure: BaseException | None = None

    @property
    def hungry(self) -> bool:
        """Whether the writer has nothing to do, so that a group should be closed now."""
        return self._waiting and self._parcel is None

    def wait_hungry(self, seconds: float) -> None:
        """The reader: wait until the writer is hungry, or the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: self.hungry, seconds)

    def put(self, parcel: Parcel, seconds: float) -> bool:
        """The reader: hand over, or False when there was no room in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._parcel is None, seconds):
                return False
            self._parcel = parcel
            self._changed.notify_all()
            return True

    def get(self, seconds: float) -> Parcel | None:
        """The writer: the next parcel, or None when none came in time. Raises what the reader failed with, after all
        that it handed over before has been taken."""
        with self._changed:
            self._waiting = True
            self._changed.notify_all()
            try:
                self._changed.wait_for(lambda: self._parcel is not None or self._failure is not None, seconds)
            finally:
                self._waiting = False
            parcel, self._parcel = self._parcel, None
            self._changed.notify_all()
            if parcel is None and self._failure is not None:
                raise self._failure
            return parcel

    def fail(self, failure: BaseException) -> None:
        """The reader ends with an error."""
        with self._changed:
            self._failure = failure
            self._changed.notify_all()
