"""What foreign keys of a source did below its log, made at the target from its own rows (cdcd.cascade)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from cdcd.cascade import Consequence, Told, below, derive, referred, refuse_waiting
from cdcd.model.group import Cascade
from cdcd.model.table import Table
from connectors.mysql.exceptions import Exceptions
from connectors.mysql.forms import NULL
from connectors.mysql.names import quote
from connectors.mysql.sessions import Session
from connectors.mysql.shape import Shape
from connectors.mysql.stage import Stage


class Derived:
    """On one session. Each table that others refer to has two Stages: `s`, the number of the batch; k1…, the old values
    of the columns that they refer to; c1…, the new ones. Two, as no statement names a temporary table twice: what rows
    of a table make of others of it goes from the one to the other."""

    def __init__(
        self, session: Session, exceptions: Exceptions, shapes: Callable[[Table], Shape], first: str = "f"
    ) -> None:
        """`first` begins the names of what is made in the session."""
        self._session = session
        self._exceptions = exceptions
        self._shape = shapes
        self._first = first
        self._stages: dict[str, tuple[Stage, Stage]] = {}
        self._sides: dict[int, int] = {}  # of a batch, which of the two

    def ready(self, tables: Mapping[str, Table]) -> None:
        """Make what these tables need: outside a transaction."""
        for id, table in tables.items():
            if id not in self._stages and below(tables, id):
                self._session.run("COMMIT")  # the catalogue was read
                shape, columns = self._shape(table), referred(tables.values(), id)
                names = (f"{self._first}{len(self._stages)}{side}" for side in "ab")
                first, second = (Stage(self._session, name, shape, columns, columns) for name in names)
                self._stages[id] = first, second

    def forget(self) -> None:
        """Take away what was made in the session for tables as they were."""
        for stages in self._stages.values():
            for stage in stages:
                stage.drop()
        self._stages.clear()

    def make(self, step: Cascade) -> set[str]:
        """The ids of the tables of which rows changed."""
        for table in step.family:
            refuse_waiting(table, bool(self._exceptions.waiting(table)))
        self._sides.clear()
        touched = derive(self, step)
        for stages in self._stages.values():
            for stage in stages:
                self._session.defer(f"DELETE FROM {stage.name}")
        return touched

    def put(self, step: Cascade, told: Sequence[Told]) -> None:
        places = range(1, len(step.columns) + 1)
        names = [f"{kind}{place}" for kind in "kc" for place in places]
        none = b"\t".join([NULL] * len(step.columns))
        rows = [b"%d\t%b\t%b\n" % (number, old, none if new is None else new) for number, old, new in told]
        self._stages[step.parent.id][0].into("s", *names).write(rows)

    def save(self) -> None:
        self._session.run("SAVEPOINT derived")

    def take_back(self) -> None:
        self._session.run("ROLLBACK TO SAVEPOINT derived")

    def carry(self, one: Consequence) -> int:
        batch, shape = one.batch, self._shape(one.child)
        side = self._sides.get(batch.number, 0)
        tests = " AND ".join(f"t.{quote(name)} = s.k{place + 1}" for name, place in one.matches)
        join = f"{self._stages[batch.table.id][side].name} s STRAIGHT_JOIN {shape.sql} t ON {tests}"
        where = f"WHERE s.s = {batch.number}"
        if batch.moved:
            pairs = [(f"s.k{place + 1}", f"s.c{place + 1}") for _, place in one.matches]
            same = " AND ".join(f"CAST({old} AS BINARY) <=> CAST({new} AS BINARY)" for old, new in pairs)
            where += f" AND NOT ({same})"
        sets = {name: "NULL" if place is None else f"s.c{place + 1}" for name, place in one.sets.items()}
        if one.then is not None:
            self._sides[one.then.number] = 1 - side
            items = {f"k{number}": f"t.{quote(name)}" for number, name in enumerate(one.then.columns, 1)}
            if sets:
                items |= {
                    f"c{number}": sets.get(name, f"t.{quote(name)}")
                    for number, name in enumerate(one.then.columns, 1)
                }
            found = self._session.run(
                f"INSERT INTO {self._stages[one.child.id][1 - side].name} (s, {', '.join(items)})"
                f" SELECT {one.then.number}, {', '.join(items.values())} FROM {join} {where}"
            )
            if not found:
                return 0
        if not sets:
            return self._session.run(f"DELETE t FROM {join} {where}")
        touched = [name for name, column in shape.columns.items() if column.touched and name not in sets]
        assigned = [f"t.{quote(name)} = {value}" for name, value in sets.items()]
        assigned += [f"t.{quote(name)} = t.{quote(name)}" for name in touched]  # (T-MT-10)
        return self._session.run(f"UPDATE {join} SET {', '.join(assigned)} {where}")
