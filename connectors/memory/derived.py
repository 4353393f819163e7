"""What foreign keys of a source did below its log, made from the server's own rows (cdcd.cascade)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from cdcd.cascade import Consequence, Told, derive
from cdcd.errors import Conflict
from cdcd.model.group import Cascade
from connectors.memory import form
from connectors.memory.errors import ours
from connectors.memory.order import Values, picker
from connectors.memory.session import Session


def make(session: Session, step: Cascade) -> None:
    derive(_Derived(session), step)


class _Derived:
    """Of one step. A batch is a list of old values, and the new ones."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._batches: dict[int, list[tuple[Values, Values | None]]] = defaultdict(list)

    def put(self, step: Cascade, told: Sequence[Told]) -> None:
        for number, old, new in told:
            self._batches[number].append((_values(old), None if new is None else _values(new)))

    def save(self) -> None:
        """All rows go before any comes, so that no order could help where values meet."""

    def take_back(self) -> None:
        raise Conflict("rows got values by a foreign key that others have")

    def carry(self, one: Consequence) -> int:
        child = one.child
        columns = [column.name for column in child.carried]
        places = [place for _, place in one.matches]
        referring = picker(child, [name for name, _ in one.matches])
        identity = picker(child, child.key or columns)
        news: dict[Values, Values | None] = {}
        for old, new in self._batches[one.batch.number]:
            its = tuple(old[place] for place in places)
            if None not in its and (new is None or its != tuple(new[place] for place in places)):
                news[its] = new
        with ours(table=child.id):
            found = [row for row in self._session.select(child.id) if referring(row) in news]
            for row in found:
                self._session.delete(child.id, identity(row))
            made = [self._became(one, columns, row, news[referring(row)]) for row in found] if one.sets else []
            for row in made:
                self._session.insert(child.id, row)
        if one.then is not None:
            asked = picker(child, one.then.columns)
            olds, after = map(asked, found), map(asked, made) if made else [None] * len(found)
            self._batches[one.then.number] += zip(olds, after, strict=True)
        return len(found)

    def _became(self, one: Consequence, columns: Sequence[str], row: Values, new: Values | None) -> Values:
        values = dict(zip(columns, row, strict=True))
        for name, place in one.sets.items():
            values[name] = None if place is None or new is None else new[place]
        return tuple(values.values())


def _values(key: bytes) -> Values:
    return form.values(key.split(form.BETWEEN))
