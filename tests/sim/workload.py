"""A client of the source that does a bit of everything, the same for the same seed as far as the servers let
it."""

from __future__ import annotations

import random
import time

from cdcd.model.table import Column, Table
from cdcd.model.types import LogicalType
from connectors.memory import MemoryServer
from connectors.memory.faults import ServerError
from connectors.memory.session import Session

INT, TEXT = LogicalType("int64"), LogicalType("text")
ITEMS = Table(
    "app",
    "items",
    (Column("id", 1, INT, "int64"), Column("email", 2, TEXT, "text"), Column("big", 3, TEXT, "text")),
    ("id",),
)
LINES = Table("app", "lines", (Column("line", 1, TEXT, "text"),), ())
LATE = Table("app", "late", (Column("id", 1, INT, "int64"), Column("v", 2, TEXT, "text")), ("id",))

KEYS = range(-20, 60)
BIG = "a long value, kept out of line "


class Client:
    """Makes transactions over few keys, so that they collide: moves, swaps, reused unique values, equal
    rows."""

    def __init__(self, server: MemoryServer, seed: int) -> None:
        self.server = server
        self.random = random.Random(seed)
        self.done = 0
        self._numbers = 0

    def make_tables(self) -> None:
        self.server.create(ITEMS, unique=[("email",)])
        self.server.create(LINES)
        session = self.server.connect("client")
        for number in KEYS[::2]:
            session.insert(ITEMS.id, (str(number), f"first-{number}", BIG + str(number)))
        for number in range(12):
            session.insert(LINES.id, (f"line {number % 5}",))
        session.commit()
        session.close()

    def work(self, transactions: int, pause: float) -> None:
        for _ in range(transactions):
            self._transaction()
            time.sleep(pause * self.random.random())

    def add_table(self) -> None:
        """A table that a running pipeline is to take in, with a writer that is at it already (T-PG-3)."""
        self.server.create(LATE)
        session = self.server.connect("client")
        try:
            session.insert(LATE.id, ("1", "before"))
            time.sleep(0.02)
            session.insert(LATE.id, ("2", "still"))
            session.commit()
        except ServerError:
            pass  # the server crashed: this client has lost its transaction, as clients do
        session.close()

    def _transaction(self) -> None:
        session = self.server.connect("client")
        try:
            for _ in range(self.random.choice((1, 1, 1, 2, 3, 12))):
                self._change(session)
            if self.random.random() < 0.1:
                session.rollback()
            else:
                # In the log and not yet visible, or visible and not yet flushed: both are the reader's trouble.
                visible = self.random.random() < 0.8
                session.commit(sync=self.random.random() < 0.5, visible=visible)
                if not visible:
                    time.sleep(0.002)
                    self.server.settle()
                self.done += 1
        except ServerError:
            pass  # a unique value taken, or the server crashed: the transaction is rolled back
        session.close()

    def _change(self, session: Session) -> None:
        choose = self.random.random()
        if LATE.id in self.server.heaps and choose < 0.2:
            session.insert(LATE.id, (str(self.random.randrange(10_000)), f"late {choose}"))
            return
        key = (str(self.random.choice(KEYS)),)
        self._numbers += 1
        if choose < 0.25:
            session.insert(LINES.id, (f"line {self._numbers % 5}",))
        elif choose < 0.35:
            session.delete(LINES.id, (f"line {self._numbers % 5}",))
        elif choose < 0.55:
            email = f"e{self.random.randrange(30)}"
            session.insert(ITEMS.id, (*key, email, BIG + str(self._numbers)))
        elif choose < 0.65:
            session.delete(ITEMS.id, key)
        elif choose < 0.8:
            session.update(ITEMS.id, key, lambda row: (row[0], f"u{self._numbers}", row[2]))
        elif choose < 0.97:
            to = str(self.random.choice(KEYS))
            session.update(ITEMS.id, key, lambda row: (to, row[1], row[2]))
        elif choose < 0.98:
            session.truncate([ITEMS.id])
        elif choose < 0.99:
            session.truncate([LINES.id, ITEMS.id])
        else:
            self.server.log.fill(100)
