"""Where sequences stand at the source, and what became of them at the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Done = Literal["set", "kept", "missing", "unreadable", "refused", "busy", "ended"]


@dataclass(frozen=True, slots=True)
class SequenceValue:
    """A sequence of the source. `value` is its last_value, never the highest one that is left in a table: it may have
    been given to a row that is gone. None: our role may not read it. `called`: `value` was given out, and the next one
    follows. `table` (an id) and `column` are what it serves, where it belongs to a column."""

    schema: str
    name: str
    value: int | None
    called: bool = True
    table: str | None = None
    column: str | None = None

    @property
    def id(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class SequenceDone:
    """What was done at the target with a sequence. "set": from `before` to `after`. "kept": it stood there or further
    on, and no sequence goes backwards. "missing": the target has none. "unreadable": our role may not read it at the
    source. "refused": our role may not set it at the target. "busy": somebody held what it belongs
    to for too long. "ended": the source's has given values beyond the last one that the target's can, which gives none
    any more. `name` is the target's own, as its statements write it."""

    source: SequenceValue
    done: Done
    name: str | None = None
    before: int | None = None
    after: int | None = None

    @property
    def right(self) -> bool:
        """Whether the target now gives no value that the source gave."""
        return self.done in ("set", "kept")
