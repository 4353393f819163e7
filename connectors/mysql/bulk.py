"""The net changes to one table, made in bulk: a statement per kind of change, each with a count that must be right.

Changes other than inserts are written into a Stage and joined to the table by its key, the stage first: neither server
then reads the table. A row whose key changes is completed from the one at the target, deleted, and inserted: an UPDATE
of keys meets the next one's still there (T-MT-13). So is every updated row of a table where unique values changed
places, at a second try.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cdcd.errors import Conflict
from cdcd.fold import Net
from cdcd.model.cell import UNCHANGED
from cdcd.rows import Row, RowForm
from connectors.mysql.forms import Encoding, fields_of, line, names_of
from connectors.mysql.literals import condition
from connectors.mysql.names import quote
from connectors.mysql.sessions import Session
from connectors.mysql.shape import Shape
from connectors.mysql.stage import Into, Stage

Known = tuple[bool, ...]
"""Which cells of a row are known."""


class Bulk:
    """One table on one session."""

    def __init__(self, session: Session, shape: Shape, form: RowForm, suffix: str) -> None:
        """`suffix` ends the names of what is made in the session for this table."""
        self.shape = shape
        self.form = form
        self.key = form.table.key
        self._session = session
        self._suffix = suffix
        self._all = [*form.columns, *(name for name in shape.written if name not in form.columns)]
        self._places = {name: f"s.c{number}" for number, name in enumerate(self._all, 1)}
        self._key_at = [form.columns.index(name) for name in self.key]
        columns = [shape.columns[name] for name in form.columns]
        self._into = Into(session, shape.sql, names_of(form.columns), Encoding(columns, session.mariadb))
        self._stages: dict[str, Stage] = {}
        self._intos: dict[str, Into] = {}

    # --- stages -------------------------------------------------------------------------------------------------------

    def ready(self) -> None:
        """Make what changes other than inserts need: outside a transaction."""
        if self._stages or not self.key:
            return
        self._session.run("COMMIT")  # the catalogue was read
        rows = [f"c{number}" for number in range(1, len(self.form.columns) + 1)]
        keys = [f"k{number}" for number in range(1, len(self.key) + 1)]
        self._stages["d"] = self._stage("d", self.key, ())
        self._intos["d"] = self._stages["d"].into(*keys)
        self._stages["m"] = self._stage("m", self.key, self._all)
        self._intos["m"] = self._stages["m"].into("s", *keys, *rows)
        self._stages["u"] = self._stage("u", (), self._all)
        self._intos["u"] = self._stages["u"].into(*rows)

    def _stage(self, kind: str, key: Sequence[str], columns: Sequence[str]) -> Stage:
        return Stage(self._session, f"{kind}{self._suffix}", self.shape, key, columns)

    def forget(self) -> None:
        """Take away what was made in the session for the table as it was."""
        for stage in self._stages.values():
            stage.drop()
        self._stages.clear()

    def _fill(self, kind: str, rows: Sequence[bytes]) -> str:
        """The stage's name, which is to be emptied when it has served."""
        self._intos[kind].write(rows)
        return self._stages[kind].name

    def _empty(self, kind: str) -> None:
        self._session.defer(f"DELETE FROM {self._stages[kind].name}")

    # --- changes ------------------------------------------------------------------------------------------------------

    def make(self, net: Net, shifting: bool = False) -> None:
        """`shifting`: all rows that were there are taken away before any is put."""
        self._delete(net.deletes)
        if shifting:
            moved = [(key, fields_of(row)) for key, row in net.moves]
            self._take(moved)
            self._take_whole(net.updates)
            self._put("m", len(moved))
            self._put("u", len(net.updates))
        else:
            self._update(net.updates)
            stay, go = self._apart(net.moves)
            self._update_known(stay)
            self._take(go)
            self._put("m", len(go))
        if net.inserts:
            self._into.write(net.inserts)

    def _apart(
        self, moves: Sequence[tuple[bytes, Row]]
    ) -> tuple[list[tuple[bytes, Any]], list[tuple[bytes, Any]]]:
        """Those whose key stays, and those that get another."""
        stay: list[tuple[bytes, Any]] = []
        go: list[tuple[bytes, Any]] = []
        for key, row in moves:
            fields = fields_of(row)
            now = b"\t".join([fields[at] for at in self._key_at if fields[at] is not UNCHANGED])
            (stay if now == key else go).append((key, fields))
        return stay, go

    def _by_key(self, places: Sequence[str]) -> str:
        """Joins the table, t, to the stage, s, whose `places` name its row."""
        same = " AND ".join(self.shape.equals(name, place) for name, place in zip(self.key, places, strict=True))
        index = self.shape.index(self.key)
        force = f" FORCE INDEX ({quote(index)})" if index else ""
        return f"s STRAIGHT_JOIN {self.shape.sql} t{force} ON {same}"

    @property
    def _old_key(self) -> str:
        return self._by_key([f"s.k{number}" for number in range(1, len(self.key) + 1)])

    def _delete(self, keys: list[bytes]) -> None:
        if keys and self.key:
            stage = self._fill("d", [key + b"\n" for key in keys])
            self._run(f"DELETE t FROM {stage} {self._old_key}", len(keys), "deleted")
            self._empty("d")
        elif keys:
            self._delete_equal(keys)

    def _delete_equal(self, rows: Sequence[bytes]) -> None:
        """Of a table without a key: of equal rows as many as are given (T-FO-4)."""
        times: dict[bytes, int] = {}
        for row in rows:
            times[row] = times.get(row, 0) + 1
        tests = [condition(self.shape.columns[name], self._session.mariadb) for name in self.form.columns]
        delete = f"DELETE FROM {self.shape.sql} WHERE ".encode()
        for row, count in times.items():
            same = b" AND ".join(test(field) for test, field in zip(tests, fields_of(row), strict=True))
            done = self._session.do(delete + same + b" LIMIT %d" % count)[-1].count
            self._check(done, count, "deleted")

    def _update(self, rows: list[bytes]) -> None:
        if rows:
            stage = self._fill("u", rows)
            names = [name for name in self.form.columns if name not in self.key] or list(self.key)
            join = self._by_key([self._places[name] for name in self.key])
            self._run(f"UPDATE {stage} {join} SET {self._sets(names)}", len(rows), "updated")
            self._empty("u")

    def _sets(self, names: Sequence[str]) -> str:
        """Also of columns that would be set to now for not being named (T-MT-10)."""
        sets = [f"t.{quote(name)} = {self._places[name]}" for name in names]
        touched = [name for name, one in self.shape.columns.items() if one.touched and name not in names]
        return ", ".join([*sets, *(f"t.{quote(name)} = t.{quote(name)}" for name in touched)])

    def _update_known(self, moves: list[tuple[bytes, Any]]) -> None:
        """Rows that keep their key, of which not all cells are known: one statement per set of cells."""
        if not moves:
            return
        sets = self._fill_moves(moves)
        for known, (number, count) in sets.items():
            names = [name for name, there in zip(self.form.columns, known, strict=True) if there]
            names = [name for name in names if name not in self.key] or list(self.key)
            join = f"{self._stages['m'].name} {self._old_key}"
            self._run(f"UPDATE {join} SET {self._sets(names)} WHERE s.s = {number}", count, "updated")
        self._empty("m")

    def _fill_moves(self, moves: Sequence[tuple[bytes, Any]]) -> dict[Known, tuple[int, int]]:
        """Set of known cells → its number in the stage, and how many rows have it."""
        numbers: dict[Known, list[int]] = {}
        rows = []
        for key, fields in moves:
            of = numbers.setdefault(tuple(field is not UNCHANGED for field in fields), [len(numbers), 0])
            of[1] += 1
            rows.append(b"%d\t%b\t%b" % (of[0], key, line(fields)))
        self._fill("m", rows)
        return {known: (number, count) for known, (number, count) in numbers.items()}

    def _take(self, moves: list[tuple[bytes, Any]]) -> None:
        """Complete rows that get another key from those at the target, and take these away."""
        if not moves:
            return
        join = f"{self._stages['m'].name} {self._old_key}"
        for known, (number, count) in self._fill_moves(moves).items():
            unknown = [name for name, there in zip(self.form.columns, known, strict=True) if not there]
            unknown += self._all[len(self.form.columns) :]
            if unknown:
                sets = ", ".join(f"{self._places[name]} = t.{quote(name)}" for name in unknown)
                self._run(f"UPDATE {join} SET {sets} WHERE s.s = {number}", count, "found")
        self._run(f"DELETE t FROM {join}", len(moves), "deleted")

    def _take_whole(self, rows: list[bytes]) -> None:
        """The same for whole rows that keep their key."""
        if not rows:
            return
        join = f"{self._fill('u', rows)} {self._by_key([self._places[name] for name in self.key])}"
        if others := self._all[len(self.form.columns) :]:
            sets = ", ".join(f"{self._places[name]} = t.{quote(name)}" for name in others)
            self._run(f"UPDATE {join} SET {sets}", len(rows), "found")
        self._run(f"DELETE t FROM {join}", len(rows), "deleted")

    def _put(self, kind: str, count: int) -> None:
        """Insert what was taken."""
        if not count:
            return
        names = ", ".join(names_of(self._all))
        values = ", ".join(self._places.values())
        insert = f"INSERT INTO {self.shape.sql} ({names}) SELECT {values} FROM {self._stages[kind].name} s"
        self._run(insert, count, "inserted")
        self._empty(kind)

    def _run(self, statement: str, expected: int, done: str) -> None:
        self._check(self._session.run(statement), expected, done)

    def _check(self, count: int, expected: int, done: str) -> None:
        if count != expected:
            raise Conflict(f"{count} of {expected} rows were {done} at the target", table=self.form.table.id)
