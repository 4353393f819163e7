"""The menu's cases of the memory connector."""

from __future__ import annotations

from cdcd.model.table import Column, Table
from cdcd.model.types import LogicalType
from connectors.memory import MemoryServer, MemorySink, MemorySource, Place, Strike
from connectors.memory.order import Values
from connectors.memory.session import Session
from tests.contract.case import OpenTransaction, Rows, SinkCase, SourceCase
from tests.contract.changes import Change, Delete, Insert, Spec, Truncate, Update

NAME = "menu"


def table_of(spec: Spec) -> Table:
    columns = (
        Column(name, number, LogicalType(family), family)
        for number, (name, family) in enumerate(spec.columns.items(), 1)
    )
    return Table("menu", spec.name, tuple(columns), spec.key, references=spec.references)


def make(session: Session, change: Change) -> None:
    """The change, in the session's transaction."""
    match change:
        case Insert(spec, row):
            session.insert(spec.id, row)
        case Update(spec, key, to):
            names = list(spec.columns)

            def changed(row: Values) -> Values:
                return tuple(to.get(name, value) for name, value in zip(names, row, strict=True))

            assert session.update(spec.id, key, changed)
        case Delete(spec, key):
            assert session.delete(spec.id, key)
        case Truncate(specs):
            session.truncate([spec.id for spec in specs])


class MemorySourceCase(SourceCase):
    def __init__(self) -> None:
        self.server = MemoryServer("source")

    def source(self, bound: int = 1 << 20) -> MemorySource:
        return MemorySource(self.server, NAME, bound=bound)

    def create(self, spec: Spec) -> None:
        self.server.create(table_of(spec), unique=spec.unique)

    def commit(self, *changes: Change) -> None:
        self.begin(*changes).commit()

    def begin(self, *changes: Change) -> OpenTransaction:
        session = self.server.connect("application")
        for change in changes:
            make(session, change)
        return _Open(session)

    def add_column(self, spec: Spec) -> None:
        columns = {**spec.columns, "added": "text"}
        rows = [(*row, None) for row in self.server.rows(spec.id)]
        self.commit(Truncate((spec,)))
        self.server.create(table_of(Spec(spec.name, columns, spec.key)))
        session = self.server.connect("application")
        for row in rows:
            session.insert(spec.id, row)
        session.commit()
        session.close()

    def idle(self) -> None:
        with self.server.lock:
            self.server.log.fill(1000)
            self.server.log.flush()
            self.server.changed.notify_all()

    def sequence(self, name: str, value: int) -> None:
        self.server.sequences[f"menu.{name}"] = value

    def rows(self, spec: Spec) -> Rows:
        return self.server.rows(spec.id)

    def confirmed(self) -> str:
        return str(Place(self.server.slots[f"cdcd_{NAME}"].confirmed))


class _Open:
    def __init__(self, session: Session) -> None:
        self._session = session

    def commit(self) -> None:
        self._session.commit()
        self._session.close()


class MemorySinkCase(SinkCase):
    def __init__(self) -> None:
        self.server = MemoryServer("target", flush_every=0)
        self.server.patience = 0.3

    def sink(self) -> MemorySink:
        return MemorySink(self.server, NAME)

    def table(self, spec: Spec) -> Table:
        return table_of(spec)

    def rows(self, spec: Spec) -> Rows:
        return self.server.rows(spec.id)

    def add_unique(self, spec: Spec) -> None:
        self.server.create(table_of(spec), unique=spec.unique)

    def sequence(self, name: str, value: int) -> None:
        self.server.sequences[f"menu.{name}"] = value

    def next_value(self, name: str) -> int:
        self.server.sequences[f"menu.{name}"] += 1
        return self.server.sequences[f"menu.{name}"]

    def newer_version(self) -> None:
        session = self.server.connect("test")
        session.update("cdcd.version", ("cdcd",), lambda row: (row[0], "999"))
        session.commit()

    def lose_next_commit(self) -> None:
        self.server.faults.next("commit", Strike.LOST)

    def request(self, command: str, argument: str) -> int:
        return self.sink().wish(command, argument)

    def crash(self) -> None:
        self.server.crash()
