"""Every error cdcd raises on purpose. An error is an instruction: what, where, why, what to do, and whether
trying again can help. A traceback is for bugs only.

    CdcdError
    ├── UsageError           2  wrong words or configuration; nothing was started
    │   └── LoginRefused     2  a server takes neither password nor certificate: tried again where it took them before
    ├── CheckFailed          3  `check` found what would go wrong
    ├── Transient            1  trying again can help: deadlock, lock time-out, out of connections, disk full
    │   ├── Unreachable      4  the server does not answer, or the connection ended
    │   └── Unexplained      1  the server failed and does not say why: the same thing some times over is a stop
    ├── SnapshotLost         -  a load's snapshot cannot be used: its chunks are unread again, ask for another
    │   └── Outgrown         -  it holds the table in another shape than the one known: that is brought up first
    ├── Interrupted          -  we were told to stop; never reported
    ├── Differences          5  `validate` found some
    └── Stopped              6  a person must act first; a restart would only repeat it
        ├── SlotLost            the slot is gone, invalidated, or holds less than we need
        ├── SlotInUse           somebody else reads our slot
        ├── OtherServer         the server is not the one the checkpoint was made with, or it went back in time
        ├── Fenced              another process has claimed this pipeline
        ├── SchemaChanged       the source's table is no longer the one the target was made for
        ├── Conflict            a row that should be at the target is not, or the reverse
        ├── PoisonRow           the target refuses a row
        └── StateRefused        control rows and slot contradict each other, or are newer than this version
"""

from __future__ import annotations


class CdcdError(Exception):
    """what happened and why, in one sentence each; `hint` is what to do, `where` names pipeline, table, key,
    position."""

    exit_code = 1
    retryable = False

    def __init__(self, what: str, *, why: str = "", hint: str = "", **where: object) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.hint = hint
        self.where = {name: value for name, value in where.items() if value is not None}

    @property
    def name(self) -> str:
        """The kind, for logs and `--json`: the class name."""
        return type(self).__name__

    def __str__(self) -> str:
        parts = [self.what]
        if self.where:
            parts.append(" (" + ", ".join(f"{name} {value}" for name, value in self.where.items()) + ")")
        if self.why:
            parts.append(f"\n  why: {self.why}")
        if self.hint:
            parts.append(f"\n  do:  {self.hint}")
        return "".join(parts)


class UsageError(CdcdError):
    """The command line or the configuration is wrong; nothing was started."""

    exit_code = 2


class LoginRefused(UsageError):
    """A server refuses the role's login. It may be between two steps of a rotation: changed there, not yet here."""


class CheckFailed(CdcdError):
    """A check found, before anything started, what would go wrong."""

    exit_code = 3


class Transient(CdcdError):
    """Trying again can help; the engine claims and reopens with back-off."""

    retryable = True


class Unreachable(Transient):
    """A server does not answer, refused the connection, or the connection ended."""

    exit_code = 4


class Unexplained(Transient):
    """The server failed and does not say why (an internal error). It may never happen again, or always: the same one
    `MOST` times on end, with nothing made between them, is Stopped."""

    MOST = 4


class SnapshotLost(CdcdError):
    """The snapshot of a load is gone, or the table changed under it; its chunks are unread, another snapshot mends
    it."""

    retryable = True


class Outgrown(SnapshotLost):
    """The snapshot holds the table in another shape than the one that is known: that is to be brought up first."""


class Interrupted(CdcdError):
    """Raised out of blocking calls after `interrupt()`; caught by the engine, never reported."""


class Differences(CdcdError):
    """Source and target hold different rows."""

    exit_code = 5


class Stopped(CdcdError):
    """A person must act first: the supervisor does not restart on exit code 6."""

    exit_code = 6


class SlotLost(Stopped):
    """The replication slot is gone, invalidated, or has moved past the checkpoint: changes are missing."""


class SlotInUse(Stopped):
    """Somebody else is reading the slot."""


class OtherServer(Stopped):
    """System identifier or timeline differ from the stored ones, or the server is behind the checkpoint."""


class Fenced(Stopped):
    """Another process claimed this pipeline; this one must not write any more."""


class SchemaChanged(Stopped):
    """The source's table changed its shape."""


class Conflict(Stopped):
    """Strict counts: an insert met a row, or an update or delete met none."""


class PoisonRow(Stopped):
    """The target refuses a value or a row."""


class StateRefused(Stopped):
    """Control rows, slot and command contradict each other, or were written by a newer version."""
