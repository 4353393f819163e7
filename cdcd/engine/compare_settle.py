"""Telling a difference from a change on its way.

A round reads a key at the source, notes a place after that, waits until the target has passed it, reads the key at
the target and once more at the source. Where the source's row was not touched between its two reads, the target must
hold it by then. A key is different only if two rounds on end find the same untouched row at the source and the same
other row at the target; for a key the source does not have, that second look shows the target's row was there while
the target passed a place at which the source had none. Where an end cannot tell whether a row was touched, it takes
twice as many rounds: a row that comes and goes would have to do so in step with all of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

from cdcd.engine.compare_ends import Ends
from cdcd.engine.compare_report import Kind, Verdict
from cdcd.engine.compare_watch import Watch
from cdcd.model.digest import ABSENT, Found, Key
from cdcd.model.table import Table

ROUNDS = 6
SURE, UNSURE = 2, 4
"""Rounds on end that must find the same: where both ends tell the versions of what they hold, and elsewhere."""
FIRST_PAUSE = 0.1

_Sight = tuple[Found, str, Found, str]
"""What a round saw of a key at both ends, versions included: Found leaves them out of ==."""


class Settle:
    """Without a watch nothing moves, and one look decides. `note`: why keys stayed unsettled the last time."""

    def __init__(self, ends: Ends, watch: Watch | None) -> None:
        self.note = ""
        self._ends = ends
        self._watch = watch

    def settle(self, table: Table, keys: Sequence[Key]) -> Iterator[Verdict]:
        """A verdict for each key that is not equal."""
        if self._watch is None:
            mine, theirs = self._ends.both(lambda end: end.look(table, keys))
            for key in keys:
                here, there = mine.get(key, ABSENT), theirs.get(key, ABSENT)
                if here != there:
                    yield verdict(table, key, here, there)
            return
        yield from self._rounds(table, keys, self._watch)

    def _rounds(self, table: Table, keys: Sequence[Key], watch: Watch) -> Iterator[Verdict]:
        seen: dict[Key, tuple[_Sight, int]] = {}
        pending = list(keys)
        for attempt in range(ROUNDS):
            if attempt > 1:
                time.sleep(FIRST_PAUSE * 2 ** (attempt - 2))
            sights = self._round(table, pending, watch)
            if sights is None:
                break
            pending = []
            for key, sight in sights.items():
                if sight is None:
                    seen.pop(key, None)
                    pending.append(key)
                    continue
                before, times = seen.get(key, (sight, 0))
                times = times + 1 if before == sight else 1
                if times >= (SURE if _versioned(sight) else UNSURE):
                    yield verdict(table, key, sight[0], sight[2])
                else:
                    seen[key] = sight, times
                    pending.append(key)
            if not pending:
                return
        else:
            self.note = "rows went on changing while they were compared"
        yield from (Verdict(key, Kind.UNSETTLED) for key in pending)

    def _round(self, table: Table, keys: Sequence[Key], watch: Watch) -> Mapping[Key, _Sight | None] | None:
        """What was seen of the keys that are not equal (None: the source's row moved); None: there was no round."""
        source, target = self._ends.source, self._ends.target
        before = source.look(table, keys)
        place = source.head()
        if not watch.passed(place):
            self.note = f"the target has not passed {place} in time: it stands at {watch.seen}; does a daemon run?"
            return None
        # Looked at on both sides of the read: a table that is being loaded again lacks rows for a while.
        complete = watch.complete(table.id)
        theirs = target.look(table, keys)
        if not (complete and watch.complete(table.id)):
            self.note = "the table is being loaded again"
            return None
        after = source.look(table, keys)
        sights: dict[Key, _Sight | None] = {}
        for key in keys:
            here, there, again = before.get(key, ABSENT), theirs.get(key, ABSENT), after.get(key, ABSENT)
            if there in (here, again):
                continue
            same = (here, here.version) == (again, again.version)
            sights[key] = (here, here.version, there, there.version) if same else None
        return sights


def _versioned(sight: _Sight) -> bool:
    here, version, there, other = sight
    return bool((version or not here.rows) and (other or not there.rows))


def verdict(table: Table, key: Key, here: Found, there: Found) -> Verdict:
    """What kind of difference it is, and in which columns."""
    if here.rows != there.rows:
        kind = Kind.MISSING if here.rows > there.rows else Kind.EXTRA
        return Verdict(key, kind, times=abs(here.rows - there.rows))
    cells = zip(table.carried, here.cells, there.cells, strict=True)
    return Verdict(key, Kind.DIFFERENT, tuple(column.name for column, mine, theirs in cells if mine != theirs))
