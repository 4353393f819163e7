"""Whether a server's log has the history that a checkpoint was made with, and does not merely count alike: the last
transaction before it is asked for once more, and was committed when ours was, in a file that was begun when ours was.
"""

from __future__ import annotations

from cdcd.errors import OtherServer
from connectors.mysql import events
from connectors.mysql.position import Last
from connectors.mysql.track import Name, Proof, only_here, text_of


class History:
    """Of one stream. `again`: the transaction that comes once more, or whose file the log is read from."""

    def __init__(self, again: Last | None) -> None:
        self._again = again
        self._begun = 0

    def file(self, name: str, begun: int) -> None:
        """A file of the log is read from now on: `begun` is in its format description, in seconds since 1970."""
        self._begun = begun
        again = self._again
        if again is not None and again.gtid.rpartition(":")[0] == name:
            self._verify(again.begun, begun, f"{name} was begun", again.gtid)

    def last(self, name: Name, proof: Proof) -> Last:
        """Of the transaction that was passed last. Where all servers call it so, its file is only this one's."""
        stamp = events.stamp(proof) if isinstance(proof, bytes) else proof
        return Last(text_of(name), stamp, begun=self._begun if only_here(name) else 0)

    def met(self, name: Name, proof: Proof) -> None:
        """A transaction comes that was passed already."""
        again, found = self._again, self.last(name, proof)
        if again is not None and found.gtid == again.gtid:
            self._again = None
            self._verify(again.stamp, found.stamp, f"transaction {found.gtid} was committed", found.gtid)
            self._verify(again.begun, found.begun, f"file that holds {found.gtid} was begun", found.gtid)

    def _verify(self, ours: int, its: int, what: str, position: str) -> None:
        if ours and ours != its:
            raise OtherServer(
                "the server's history is not the one that the checkpoint was made with",
                why=f"its {what} at another time than the one that we read: the server was reset, restored, or "
                "replaced by another",
                hint="find the right server, or cdcd drop and load anew",
                position=position,
            )
