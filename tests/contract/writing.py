"""Groups and blocks as a source would make them, for tests of sinks: changes as values in, the sink's own form out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from cdcd.contracts import Blocks, Sink
from cdcd.model import group as kinds
from cdcd.model.chunk import Chunk
from cdcd.model.group import Group
from cdcd.model.position import Checkpoint, Identity
from connectors.memory import Place
from connectors.memory.encode import Encoder, choose
from tests.contract.case import SinkCase
from tests.contract.changes import ITEMS, LINES, USERS, Delete, Insert, Spec, Truncate

IDENTITY = Identity("menu", "1", 1, "menu")
SPECS = (ITEMS, LINES, USERS)


@dataclass(frozen=True)
class Replace:
    """An update: the row that has `key` becomes `row`, which may hold UNCHANGED."""

    table: Spec
    key: tuple[Any, ...]
    row: tuple[Any, ...]


@dataclass(frozen=True)
class Acted:
    """What foreign keys did by keys of a table that went, and by those that others replaced; to tables `below`."""

    table: Spec
    below: Sequence[Spec]
    gone: Sequence[str] = ()
    moved: Sequence[tuple[str, str]] = ()


Change = Insert | Replace | Delete | Truncate | Acted


def place(number: int) -> Checkpoint:
    return Checkpoint(Place(number))


class Owner:
    """One process's hold on a sink: what the engine's writer does, without an engine."""

    def __init__(
        self, case: SinkCase, name: str = "owner", take_over: bool = True, specs: Sequence[Spec] = SPECS
    ) -> None:
        self.case = case
        self.specs = specs
        self.name = name
        self.sink: Sink = case.sink()
        self.claim = self.sink.claim(name, take_over)
        self._encoders: dict[tuple[int, str], Encoder] = {}

    def again(self) -> int:
        """After an error: claim anew, with a new object; the position it finds (0: none)."""
        self.sink.close()
        self.sink = self.case.sink()
        self.claim = self.sink.claim(self.name, False)
        return self.position

    @property
    def position(self) -> int:
        """What the claim found."""
        return 0 if self.claim.checkpoint is None else int(self.claim.checkpoint["position"]["at"])

    def start(self, chunks: Sequence[Chunk] = ()) -> None:
        """Tables, intent and the first checkpoint, at 1."""
        tables = [self.case.table(spec) for spec in self.specs]
        self.sink.prepare(tables)
        self.sink.intend(IDENTITY, {"nonce": "1"})
        self.sink.start(place(1), tables, chunks)

    def group(self, *changes: Change, unread: Sequence[Chunk] = ()) -> Group:
        group = Group()
        for change in changes:
            self._add(group, change)
        group.unread.extend(unread)
        return group

    def apply(self, at: int | None, *changes: Change, unread: Sequence[Chunk] = ()) -> Any:
        """A group that ends at a place; None: a piece, whose transaction goes on."""
        group = self.group(*changes, unread=unread)
        group.position = None if at is None else Place(at)
        return self.sink.apply(group, None if at is None else place(at))

    def load(
        self,
        chunk: Chunk,
        spec: Spec,
        rows: Sequence[tuple[Any, ...]],
        at: int = 1,
        more: Iterable[bytes] = (),
    ) -> int:
        """`more` comes after the rows."""
        encoder = self._encoder(spec)
        data = b"".join(encoder.whole(self._wire(row)) for row in rows)
        # Pieces that do not end where rows end.
        pieces = (data[start : start + 7] for start in range(0, len(data), 7))
        blocks = Blocks(encoder.form, chain(pieces, more), {"rows": len(rows), "bytes": len(data)})
        return self.sink.load(self.case.table(spec), chunk, blocks, place(at))

    def _encoder(self, spec: Spec) -> Encoder:
        """Asked for once in a claim, as the engine does."""
        if (self.claim.epoch, spec.id) not in self._encoders:
            forms = [self.case.readable(form) for form in self.sink.forms(self.case.table(spec))]
            made = Encoder(choose([form for form in forms if form is not None]))
            self._encoders[self.claim.epoch, spec.id] = made
        return self._encoders[self.claim.epoch, spec.id]

    def _wire(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(self.case.wire(value) if isinstance(value, str) else value for value in row)

    def _add(self, group: Group, change: Change) -> None:
        if isinstance(change, Truncate):
            tables = [self.case.table(spec) for spec in change.tables]
            group.truncate(kinds.Truncate(tables, cascade=False, restart_identity=False))
            return
        encoder = self._encoder(change.table)
        if isinstance(change, Acted):
            self._act(group, encoder, change)
            return
        rows = group.rows()
        log = rows.log(encoder.table, encoder.form)
        rows.order.append(log)
        group.changes += 1
        group.bytes += 100
        match change:
            case Insert(_, row):
                log.ops.append(kinds.INSERT)
                log.keys.append(encoder.key(self._wire(row)))
                log.rows.append(encoder.row(self._wire(row)))
            case Delete(spec, key):
                log.ops.append(kinds.DELETE)
                log.keys.append(self._key(encoder, spec, key))
                log.rows.append(None)
            case Replace(spec, key, row):
                old, new = self._key(encoder, spec, key), self._key(encoder, spec, _key_of(spec, row))
                image = encoder.row(self._wire(row))
                moves = old != new or not spec.key
                log.ops.append(kinds.MOVE if moves else kinds.UPDATE)
                log.keys.append(old)
                log.rows.append((new, image) if moves else image)

    def _act(self, group: Group, encoder: Encoder, change: Acted) -> None:
        def key(value: str) -> bytes:
            return self._key(encoder, change.table, (value,))

        group.steps.append(
            kinds.Cascade(
                encoder.table, encoder.form, change.table.key, tuple(map(self.case.table, change.below)),
                [key(old) for old in change.gone], [(key(old), key(new)) for old, new in change.moved],
            )
        )  # fmt: skip

    def _key(self, encoder: Encoder, spec: Spec, key: tuple[Any, ...]) -> bytes:
        """A key's bytes, by way of a row that has it."""
        values = dict(zip(spec.key or spec.columns, key, strict=True))
        return encoder.key(self._wire(tuple(values.get(name) for name in spec.columns)))


def _key_of(spec: Spec, row: tuple[Any, ...]) -> tuple[Any, ...]:
    if not spec.key:
        return row
    return tuple(row[list(spec.columns).index(name)] for name in spec.key)
