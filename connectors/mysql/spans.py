"""Rows events that were read and are not decoded yet, in spans. A process beside ours (`aside.py`) is given the first
of them as long as it has time for more, and we decode the others; what came of them is joined in the log's order.

Who decodes a span changes nothing but the time: what cannot be decoded there, for whatever reason, is decoded here, so
an error is that of here, and is raised in its turn. The process is forked when a first span is full: a pipeline that is
close behind never has one.
"""

from __future__ import annotations

import marshal
from collections import deque
from collections.abc import Sequence

from cdcd.log import get_logger
from cdcd.model.group import Rows, Transaction
from connectors.mysql.aside import QUEUED, Aside, Lost
from connectors.mysql.images import Event, ImageCode

log = get_logger("mysql.source")

SPAN = 1 << 15
"""Bytes of events. Larger ones leave more to wait for at a group's end, smaller ones cost more."""

HELD = QUEUED
"""Full spans that wait here, so that at a group's end both have something left to do."""

_Kept = tuple[int, int, bytes, int, int]
"""A code's number, the kind of event, and as `Event` takes them: data, start, end."""

_Table = tuple[int, bytes, list[bytes], list[object], list[bytes | None]]
"""A code's number, and what a TableLog holds."""


class Mark:
    """A place in a group: `at` changes come before it, told once these are decoded."""

    __slots__ = ("at",)

    def __init__(self) -> None:
        self.at = 0


class Span:
    """Events, and what stands between them."""

    def __init__(self) -> None:
        self.events: list[_Kept] = []
        self.marks: list[tuple[int, Mark | Transaction]] = []  # each before the event of that number
        self.size = 0
        self._tables: list[_Table] = []
        self._upto: list[int] = []  # changes, by the end of each event
        self._error: Exception | None = None

    def take(self, made: tuple[list[_Table], list[int]]) -> None:
        self._tables, self._upto = made
        # What they are in is let go: the numbers are enough from here on.
        self.events = [(number, kind, b"", 0, 0) for number, kind, *_ in self.events]

    def decode(self, codes: Sequence[ImageCode]) -> None:
        """An error is kept for its turn."""
        try:
            self.take(decoded(codes, self.events))
        except Exception as error:
            self._error = error

    def join(self, codes: Sequence[ImageCode], rows: Rows, before: int) -> None:
        """Put it behind the rows that are there. `before`: the group's changes before those."""
        if self._error is not None:
            raise self._error
        order = rows.order
        upto = [len(order) + count for count in (0, *self._upto)]
        for number, ops, keys, images, olds in self._tables:
            its = rows.log(codes[number].table, codes[number].form)
            its.ops += ops
            its.keys += keys
            its.rows += images
            its.olds += olds
        if len(self._tables) == 1:
            order += [its] * self._upto[-1]
        else:
            for (number, *_), first, last in zip(self.events, upto, upto[1:], strict=False):
                order += [rows.log(codes[number].table, codes[number].form)] * (last - first)
        for place, mark in self.marks:
            mark.at = before + upto[place]


def decoded(codes: Sequence[ImageCode], events: Sequence[_Kept]) -> tuple[list[_Table], list[int]]:
    """What events hold: by table, and how many changes there are by the end of each event."""
    rows, upto = Rows(), []
    first: dict[str, int] = {}
    takers: dict[int, tuple[Event, Event, Event]] = {}
    order = rows.order
    for number, kind, data, at, end in events:
        if (taker := takers.get(number)) is None:
            code = codes[number]
            first.setdefault(code.table.id, number)
            taker = takers[number] = code.bind(rows.log(code.table, code.form), order)
        taker[kind](data, at, end)
        upto.append(len(order))
    tables = [(first[id], bytes(its.ops), its.keys, its.rows, its.olds) for id, its in rows.logs.items()]
    return tables, upto


class Spans:
    """Of one stream. Codes are numbered as they come."""

    def __init__(self) -> None:
        self._codes: list[ImageCode] = []
        self._numbers: dict[ImageCode, int] = {}
        self._open = Span()
        self._full: list[Span] = []
        self._held: deque[Span] = deque()  # of these, those that nobody has begun
        self._asked: deque[Span] = deque()  # of these, those that are decoded aside, in order
        self._aside: Aside | None = None
        self._known = 0  # codes that it has, the first ones
        self._stale = False  # it was of no use for want of others
        self._here: set[int] = set()  # codes of which it could not decode something
        self._alone = False  # there is to be no such process

    @property
    def pending(self) -> bool:
        return bool(self._open.events or self._full)

    def taker(self, code: ImageCode) -> tuple[Event, Event, Event]:
        """What keeps a table's events for later."""
        if (number := self._numbers.get(code)) is None:
            number = self._numbers[code] = len(self._codes)
            self._codes.append(code)

        def keep(kind: int) -> Event:
            def event(data: bytes, at: int, end: int) -> None:
                span = self._open
                span.events.append((number, kind, data, at, end))
                span.size += end - at
                if span.size >= SPAN:
                    self._cut()

            return event

        return keep(0), keep(1), keep(2)

    def mark(self, what: Mark | Transaction) -> None:
        """Stands behind all that was kept."""
        self._open.marks.append((len(self._open.events), what))

    def complete(self, rows: Rows, before: int) -> None:
        """Decode what was kept, all of it, into the open rows, before which the group has so many changes. The first
        error that is met in it, in the log's order, is raised."""
        spans, last = self._full, self._open
        self._full, self._open = [], Span()
        self._advance(0)
        last.decode(self._codes)  # while others are decoded aside
        self._collect(wait=True)
        for span in (*spans, last):
            span.join(self._codes, rows, before)
        if self._stale:
            self._end()  # a later one has all codes

    def forget(self) -> None:
        """All codes are void; nothing is kept."""
        self._end()
        self._codes.clear()
        self._numbers.clear()
        self._here.clear()

    def close(self) -> None:
        self._end()

    def _cut(self) -> None:
        """A span is full."""
        span, self._open = self._open, Span()
        self._full.append(span)
        self._held.append(span)
        self._advance(HELD)

    def _advance(self, keep: int) -> None:
        """Go on until no more than so many spans are held."""
        while self._held:
            self._collect(wait=False)
            if len(self._asked) < QUEUED:
                span = self._held.popleft()
                if not self._ask(span):
                    span.decode(self._codes)
            elif len(self._held) > keep:
                self._held.pop().decode(self._codes)
            else:
                return

    def _ask(self, span: Span) -> bool:
        """Have it decoded aside, unless that cannot be."""
        numbers = {number for number, *_ in span.events}
        if self._alone or not numbers.isdisjoint(self._here):
            return False
        if self._aside is None:
            self._begin()
        if self._aside is None:
            return False
        if max(numbers) >= self._known:
            self._stale = True
            return False
        request = marshal.dumps([(number, kind, data[at:end]) for number, kind, data, at, end in span.events], 2)
        if len(request) > self._aside.room:
            return False
        self._asked.append(span)
        try:
            self._aside.ask(request)
        except Lost as error:
            self._lost(error)
        return True

    def _begin(self) -> None:
        codes = list(self._codes)

        def work(request: bytes) -> bytes:
            events = [(number, kind, data, 0, len(data)) for number, kind, data in marshal.loads(request)]
            return marshal.dumps(decoded(codes, events), 2)

        try:
            self._aside = Aside(work)
        except OSError as error:
            self._lost(error)
        self._known, self._stale = len(codes), False

    def _collect(self, wait: bool) -> None:
        """Take the answers that are there, or all."""
        while self._asked and self._aside is not None:
            try:
                answer = self._aside.answer(wait)
            except Lost as error:
                self._lost(error)
                return
            if answer is None:
                return
            span = self._asked.popleft()
            if answer:
                span.take(marshal.loads(answer))
            else:
                self._here.update(number for number, *_ in span.events)
                span.decode(self._codes)

    def _lost(self, why: Exception) -> None:
        self._alone = True
        self._end()
        log.warning("rows are decoded by one process again", why=str(why))
        for span in self._asked:
            span.decode(self._codes)
        self._asked.clear()

    def _end(self) -> None:
        aside, self._aside = self._aside, None
        if aside is not None:
            aside.close()
