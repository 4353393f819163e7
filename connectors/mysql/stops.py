"""Where a pipeline stopped: the transaction of the change that could not be made, kept until it is past it."""

from __future__ import annotations

from cdcd.errors import CdcdError
from connectors.mysql.sessions import Session, literal

_NOTE = """
INSERT INTO cdcd.stops (pipeline, position, tx, table_id, `key`, error) VALUES (%s, %s, %s, %s, %s, %s)
ON DUPLICATE KEY UPDATE position = VALUES(position), tx = VALUES(tx), table_id = VALUES(table_id),
    `key` = VALUES(`key`), error = VALUES(error), stopped = CURRENT_TIMESTAMP(6)"""


class Stops:
    """Of one pipeline, by the session that applies."""

    def __init__(self, session: Session, pipeline: str) -> None:
        self._session = session
        self._pipeline = pipeline
        self._clear = True
        """Whether nothing was written since the claim: a stop may be noted from before."""

    def note(self, error: CdcdError) -> None:
        """After an error that names its change; what was begun is rolled back."""
        if "change" not in error.where:
            return
        where = {name: str(value) for name, value in error.where.items()}
        values = [where.get(name) for name in ("position", "tx", "table", "key")]
        try:
            self._session.roll_back()
            self._session.run(_NOTE, self._pipeline, *values, error.what)
            self._session.run("COMMIT")
        except CdcdError:
            return  # the stop itself is what counts

    def passed(self) -> None:
        """With the next commit: it is past whatever was noted."""
        if self._clear:
            self._session.defer(f"DELETE FROM cdcd.stops WHERE pipeline = {literal(self._pipeline)}")
            self._clear = False
