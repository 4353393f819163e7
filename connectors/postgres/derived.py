"""What foreign keys of a source did below its log, made at the target from its own rows (cdcd.cascade)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cdcd.cascade import Consequence, Told, derive, referred, refuse_waiting
from cdcd.errors import StateRefused
from cdcd.model.group import Cascade
from cdcd.model.reference import ACTS
from cdcd.model.table import Table
from connectors.postgres.exceptions import Exceptions
from connectors.postgres.forms import Encoding
from connectors.postgres.names import quote_identifier
from connectors.postgres.sessions import Session
from connectors.postgres.shape import Shape
from connectors.postgres.stage import Stage

_BEGIN = "SET LOCAL enable_hashjoin = on"
"""Where no index finds the rows that refer, one pass over them does."""
_END = "SET LOCAL enable_hashjoin = off"


_OWN = """
SELECT conrelid::int8, confrelid::int8,
       ARRAY(SELECT attname::text FROM unnest(conkey) WITH ORDINALITY k (number, place)
             JOIN pg_attribute ON attrelid = conrelid AND attnum = number ORDER BY place)
FROM pg_constraint WHERE contype = 'f' AND confupdtype IN ('c', 'n', 'd') AND conrelid = ANY (%s)
"""


class Derived:
    """On one session. Each table that others refer to has a Stage: `n`, the number of the batch; o1…, the old values of
    the columns that they refer to; n1…, the new ones."""

    def __init__(
        self, session: Session, exceptions: Exceptions, shapes: Callable[[Table], Shape], asked: bool
    ) -> None:
        """`asked`: the session asks foreign keys of the target's own, and these act."""
        self._session = session
        self._exceptions = exceptions
        self._shape = shapes
        self._asked = asked
        self._stages: dict[tuple[str, tuple[str, ...]], Stage] = {}

    def forget(self) -> None:
        """Take away what was made in the session for tables as they were."""
        for stage in self._stages.values():
            self._session.run(f"DROP TABLE {stage.name}")
        self._stages.clear()

    def make(self, step: Cascade) -> set[str]:
        """The ids of the tables of which rows changed."""
        for table in step.family:
            refuse_waiting(table, bool(self._exceptions.waiting(table)))
        for table in step.family:
            if columns := referred(step.family, table.id):
                self._stage(table, columns)
        self._session.defer(_BEGIN)
        touched = derive(self, step, moves=not (self._asked and step.moved and self._made_by_own(step)))
        self._session.defer(_END)
        for one in self._stages.values():
            one.empty()
        return touched

    def _made_by_own(self, step: Cascade) -> bool:
        """Whether the target's own foreign keys have given these rows their new values. Rows that went are gone either
        way; new values twice would be others."""
        oids = {table.id: self._shape(table).oid for table in (step.parent, *step.family)}
        own = {(child, parent, *names) for child, parent, names in self._session.rows(_OWN, (list(oids.values()),))}
        acting = [(table.id, one) for table in step.family for one in table.references if one.on_update in ACTS]
        here = [(oids[id], oids[one.other], *one.columns) in own for id, one in acting if one.other in oids]
        if any(here) and not all(here):
            raise StateRefused(
                f"some of the foreign keys below {step.parent.id} act at the target themselves, and some are not there",
                why="what theirs have changed is not known, so what follows from it cannot be derived",
                hint="GRANT SET ON PARAMETER session_replication_role TO the target's role, by which none acts",
                table=step.parent.id,
            )
        return all(here)

    def put(self, step: Cascade, told: Sequence[Told]) -> None:
        encoding, width = Encoding(step.form), (len(step.columns), len(step.columns))
        rows = [encoding.numbered(number, old, None if new is None else (new,), width) for number, old, new in told]
        self._stage(step.parent, step.columns).add(encoding, rows)

    def save(self) -> None:
        self._session.defer("SAVEPOINT derived")

    def take_back(self) -> None:
        self._session.run("ROLLBACK TO SAVEPOINT derived")

    def carry(self, one: Consequence) -> int:
        batch, shape = one.batch, self._shape(one.child)
        source, table = f"{self._stage(batch.table, batch.columns).name} s", f"{shape.only} AS t"
        places = [place for _, place in one.matches]
        tests = [f"s.n = {batch.number}", *(shape.equals(name, f"s.o{place + 1}") for name, place in one.matches)]
        if batch.moved:
            olds, news = (", ".join(f"s.{kind}{place + 1}" for place in places) for kind in "on")
            tests.append(f"ROW({olds}) IS DISTINCT FROM ROW({news})")
        where = " AND ".join(tests)
        sets = {name: "NULL" if place is None else f"s.n{place + 1}" for name, place in one.sets.items()}
        if one.then is not None:
            stage = self._stage(one.child, one.then.columns)
            items = {f"o{number}": f"t.{quote_identifier(name)}" for number, name in enumerate(one.then.columns, 1)}
            if sets:
                items |= {
                    f"n{number}": sets.get(name, f"t.{quote_identifier(name)}")
                    for number, name in enumerate(one.then.columns, 1)
                }
            found = self._session.run(
                f"INSERT INTO {stage.name} (n, {', '.join(items)})"
                f" SELECT {one.then.number}, {', '.join(items.values())} FROM {source}, {table} WHERE {where}"
            )
            stage.count(found)
            if not found:
                return 0
        if not sets:
            return self._session.run(f"DELETE FROM {table} USING {source} WHERE {where}")
        assignments = ", ".join(f"{quote_identifier(name)} = {value}" for name, value in sets.items())
        return self._session.run(f"UPDATE {table} SET {assignments} FROM {source} WHERE {where}")

    def _stage(self, table: Table, columns: tuple[str, ...]) -> Stage:
        known = (table.id, columns)
        if known not in self._stages:
            shape = self._shape(table)
            items = ["0::int AS n"]
            for kind in "on":
                items += [f"{shape.staged(name)} AS {kind}{number}" for number, name in enumerate(columns, 1)]
            name = f"cdcd_f_{shape.oid}_{len(self._stages)}"
            self._stages[known] = Stage(self._session, name, shape, items)
        return self._stages[known]
