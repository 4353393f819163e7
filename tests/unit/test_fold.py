"""Folding: the net change of a random log, applied, leaves what the log leaves when it is applied row by row."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.fold import Contradiction, Net, fold
from cdcd.model.cell import UNCHANGED
from cdcd.model.group import DELETE, INSERT, MOVE, UPDATE, TableLog
from cdcd.model.table import Column, Table
from cdcd.model.types import LogicalType
from cdcd.rows import Field, Layout, RowForm

Key = bytes
Fields = tuple[Any, ...]
COLUMNS = ("id", "v", "big")


def form_of(key: tuple[str, ...]) -> RowForm:
    columns = tuple(Column(name, at, LogicalType("text"), "text") for at, name in enumerate(COLUMNS, 1))
    table = Table("s", "t", columns, key)
    layout = Layout(b"<", b",", b">", b"-")
    field = Field({"text": "v"})
    return RowForm("test", table, COLUMNS, (field,) * 3, layout, split=lambda row: tuple(row[1:-1].split(b",")))


KEYED, KEYLESS = form_of(("id",)), form_of(())


class Keyed:
    """A keyed table and what happens to it, as the source's log tells it and as it is."""

    def __init__(self, there: dict[Key, Fields]) -> None:
        self.target = dict(there)
        self.rows = dict(there)
        self.log = TableLog(KEYED.table, KEYED)

    def _add(self, op: int, key: Key, row: Any) -> None:
        self.log.ops.append(op)
        self.log.keys.append(key)
        self.log.rows.append(row)

    @staticmethod
    def _row(fields: Fields) -> Any:
        return fields if UNCHANGED in fields else KEYED.join(fields)

    def change(self, key: Key, new_key: Key, v: bytes, big: bytes | None) -> None:
        """Whatever the source could do with these values. `big` None: left alone."""
        if key not in self.rows:
            fields: Fields = (key, v, big or b"new")
            self.rows[key] = fields
            self._add(INSERT, key, self._row(fields))
        elif new_key == key or new_key in self.rows:
            sent = (key, v, UNCHANGED if big is None else big)
            self.rows[key] = (key, v, self.rows[key][2] if big is None else big)
            self._add(UPDATE, key, self._row(sent))
        elif v == b"delete":
            del self.rows[key]
            self._add(DELETE, key, None)
        else:
            old = self.rows.pop(key)
            self.rows[new_key] = (new_key, v, old[2] if big is None else big)
            self._add(MOVE, key, (new_key, self._row((new_key, v, UNCHANGED if big is None else big))))


def apply_net(net: Net, rows: dict[Key, Fields]) -> None:
    """As a server does: each kind of change at once, with strict counts, and keys unique when it is done."""
    for key in net.deletes:
        del rows[key]
    for row in net.updates:
        fields = tuple(row[1:-1].split(b","))
        assert fields[0] in rows
        rows[fields[0]] = fields
    moved = [(rows.pop(key), row) for key, row in net.moves]
    for old, moving in moved:
        new: Fields = tuple(moving[1:-1].split(b",")) if isinstance(moving, bytes) else moving
        whole = tuple(before if cell is UNCHANGED else cell for cell, before in zip(new, old, strict=True))
        assert whole[0] not in rows
        rows[whole[0]] = whole
    for row in net.inserts:
        fields = tuple(row[1:-1].split(b","))
        assert fields[0] not in rows
        rows[fields[0]] = fields


keys = st.sampled_from([b"1", b"2", b"3", b"4"])
values = st.sampled_from([b"a", b"b", b"delete"])
changes = st.lists(st.tuples(keys, keys, values, st.sampled_from([None, b"x", b"y"])), max_size=12)
tables = st.dictionaries(keys, st.just(b"old")).map(lambda them: {key: (key, b"v", b"big" + key) for key in them})


@given(tables, changes)
def test_a_keyed_log_folds_to_what_it_does(there: dict[Key, Fields], made: list[Any]) -> None:
    table = Keyed(there)
    for change in made:
        table.change(*change)
    net = fold(table.log)
    apply_net(net, table.target)
    assert table.target == table.rows
    written = len(net.deletes) + len(net.updates) + len(net.moves) + len(net.inserts)
    assert written <= len(there) + len(table.rows), "each row is written once"


@pytest.mark.parametrize("kind", [INSERT, UPDATE, DELETE])
def test_one_kind_of_change(kind: int) -> None:
    """The ways without a loop."""
    log = TableLog(KEYED.table, KEYED)
    for number in range(100):
        log.ops.append(kind)
        log.keys.append(b"%d" % number)
        log.rows.append(None if kind == DELETE else KEYED.join((b"%d" % number, b"v", b"w")))
    net = fold(log)
    counts = {INSERT: len(net.inserts), UPDATE: len(net.updates), DELETE: len(net.deletes)}
    assert counts == {INSERT: 0, UPDATE: 0, DELETE: 0} | {kind: 100}
    assert not net.moves


ROW = KEYED.join((b"1", b"v", b"w"))


@pytest.mark.parametrize(
    "told",
    [
        [(INSERT, b"1", ROW), (UPDATE, b"1", ROW), (INSERT, b"1", ROW)],
        [(DELETE, b"1", None), (DELETE, b"1", None)],
        [(DELETE, b"1", None), (UPDATE, b"1", ROW)],
        [(MOVE, b"1", (b"2", ROW)), (UPDATE, b"1", ROW)],
        [(UPDATE, b"2", ROW), (MOVE, b"1", (b"2", ROW))],
        [(INSERT, b"1", ROW), (DELETE, b"1", None), (DELETE, b"1", None), (DELETE, b"1", None)],
    ],
    ids=["inserted twice", "deleted twice", "updated when gone", "updated when away", "moved onto", "never there"],
)
def test_what_cannot_be_true_is_not_folded_away(told: list[tuple[int, bytes, Any]]) -> None:
    """T-PT-2: a fold that makes sense of it would hide it."""
    log = TableLog(KEYED.table, KEYED)
    for op, key, row in told:
        log.ops.append(op)
        log.keys.append(key)
        log.rows.append(row)
    try:
        net = fold(log)
    except Contradiction:
        return
    assert net.deletes == [b"1"], "or it is left for the target's counts to see"


@given(st.lists(st.tuples(st.sampled_from("imd"), st.sampled_from([b"a", b"b", b"c"]), st.sampled_from([b"a", b"d"]))))
def test_a_keyless_log_is_netted(made: list[tuple[str, bytes, bytes]]) -> None:
    """The number of each row that comes and goes; rows that were there before may go as well."""
    log = TableLog(KEYLESS.table, KEYLESS)
    balance: dict[bytes, int] = {}

    def count(row: bytes, by: int) -> None:
        balance[row] = balance.get(row, 0) + by

    for kind, one, other in made:
        old, new = (KEYLESS.join((name, b"v", b"w")) for name in (one, other))
        if kind == "i":
            log.ops.append(INSERT)
            log.keys.append(new)
            log.rows.append(new)
            count(new, 1)
        elif kind == "d":
            log.ops.append(DELETE)
            log.keys.append(old)
            log.rows.append(None)
            count(old, -1)
        else:
            log.ops.append(MOVE)
            log.keys.append(old)
            log.rows.append((new, new))
            count(old, -1)
            count(new, 1)
    net = fold(log)
    assert not net.updates and not net.moves
    assert not set(net.inserts) & set(net.deletes)
    for row, by in balance.items():
        assert net.inserts.count(row) - net.deletes.count(row) == by
