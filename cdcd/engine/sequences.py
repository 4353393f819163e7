"""Sequences, which are not in the stream: set at the target when it becomes consistent, on `cdcd sequences`, and at
cut-over, for the last time, when nobody writes at the source any more."""

from __future__ import annotations

from collections.abc import Sequence

from cdcd.contracts import Sink, Source
from cdcd.log import get_logger
from cdcd.model.sequence import Done, SequenceDone
from cdcd.model.table import Table

log = get_logger("engine.sequences")

WRONG: dict[Done, str] = {
    "missing": "the target has no such sequence: make it there, as at the source",
    "unreadable": "our role may not read it at the source: GRANT SELECT on it",
    "refused": "our role may not set it at the target: GRANT SELECT, UPDATE on it, or ALTER on its table",
    "busy": "somebody holds its table at the target: run `cdcd sequences` again",
    "ended": "the source has given values beyond the last one of the target's, which gives none any more, so that none "
    "is given twice: there, have a default of your own, or the application, make these numbers",
}
"""What to do about a sequence that could not be set."""


def carry_sequences(source: Source, sink: Sink, tables: Sequence[Table]) -> list[SequenceDone]:
    """Set the target's sequences to where the source's stand now, never backwards. What could not be set is logged and
    returned: the first insert at the target would meet a value that the source gave out."""
    found = sink.set_sequences(source.sequences(tables))
    for one in found:
        if one.done in WRONG:
            log.warning("a sequence was not set", sequence=one.source.id, why=WRONG[one.done])
    log.info("sequences set", set=sum(one.done == "set" for one in found), of=len(found))
    return found
