"""Folding: the net change that a run of changes to one table leaves, so that each row is written once.

A keyed table's changes are folded per *row identity*, not per key (T-FO-1): a row is filed under its present key and
remembers the key it has at the target, its origin, so that a change of key keeps the cells that were not sent.

    origin none, row    insert                origin k, row     update of k, or move from k
    origin none, gone   nothing               origin k, gone    delete of k

A keyless table is a multiset of rows: each is added or taken away, and only the sums count (T-FO-4).

The net change is to be made in the order deletes, updates, moves, inserts. That is not always possible (T-FO-2: keys
or unique values that change places); whoever applies it must be able to fall back on the changes as they came.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

from cdcd.model.cell import UNCHANGED
from cdcd.model.group import DELETE, INSERT, MOVE, UPDATE, TableLog
from cdcd.rows import Fields, Row, RowForm


class Contradiction(Exception):
    """The changes cannot all be true: a row is inserted twice, or changed after it was deleted. Applied one after the
    other, the first that is wrong shows itself."""


@dataclass(slots=True)
class Net:
    """`deletes`: keys at the target (of keyless tables: rows, each as often as it is to go). `updates`: whole rows
    whose key stays. `moves`: (key at the target, row) where the key changes or cells are UNCHANGED. `inserts`: whole
    rows."""

    deletes: list[bytes] = field(default_factory=list)
    updates: list[bytes] = field(default_factory=list)
    moves: list[tuple[bytes, Row]] = field(default_factory=list)
    inserts: list[bytes] = field(default_factory=list)


def _selects(op: int) -> bytes:
    """A table for bytes.translate that leaves 1 where the kind is `op`: a selector for compress."""
    return bytes(int(kind == op) for kind in range(256))


_INSERTS, _UPDATES, _DELETES = map(_selects, (INSERT, UPDATE, DELETE))


def fold(log: TableLog) -> Net:
    """The net change of a log whose table is foldable or keyless."""
    if not log.table.key:
        return _fold_rows(log)
    ops, keys, rows = log.ops, log.keys, log.rows
    total = len(ops)
    if ops.count(INSERT) == total:
        return Net(inserts=rows)  # equal keys among them: the target refuses the second
    if MOVE not in ops and tuple not in set(map(type, rows)):
        if ops.count(UPDATE) == total:
            return Net(updates=list(dict(zip(keys, rows, strict=True)).values()))
        if len(set(keys)) == total:
            return Net(
                deletes=list(compress(keys, ops.translate(_DELETES))),
                updates=list(compress(rows, ops.translate(_UPDATES))),
                inserts=list(compress(rows, ops.translate(_INSERTS))),
            )
    return _fold_keys(log)


def _fold_keys(log: TableLog) -> Net:
    """One pass; `live` is what is known of rows that are there, by their present key."""
    form = log.form
    live: dict[bytes, tuple[bytes | None, Any]] = {}
    gone: set[bytes] = set()  # origins whose row was deleted
    left: set[bytes] = set()  # origins whose row moved away
    for op, key, row in zip(log.ops, log.keys, log.rows, strict=True):
        if op == INSERT:
            if key in live:
                raise Contradiction
            if key in gone:
                gone.remove(key)
                live[key] = (key, row)
            else:
                live[key] = (None, row)
            continue
        if (known := live.pop(key, None)) is not None:
            origin, before = known
        elif key in gone or key in left:
            raise Contradiction
        else:
            origin, before = key, None
        if op == DELETE:
            if origin is not None:
                gone.add(origin)
            continue
        new_key, row = row if op == MOVE else (key, row)
        if before is not None and type(row) is tuple:
            row = fill(form, row, before)
        if new_key != key:
            if new_key in live:
                raise Contradiction
            if origin == key:
                left.add(key)
        live[new_key] = (origin, row)
    return _net(live, gone)


def _net(live: dict[bytes, tuple[bytes | None, Any]], gone: Iterable[bytes]) -> Net:
    net = Net(deletes=list(gone))
    for key, (origin, row) in live.items():
        if origin is None:
            net.inserts.append(row)
        elif origin == key and type(row) is bytes:
            net.updates.append(row)
        else:
            net.moves.append((origin, row))
    return net


def fill(form: RowForm, row: Fields, before: Row) -> Row:
    """`row` with what was UNCHANGED in it taken from the row before it."""
    assert form.split is not None, "a form without split cannot be folded"
    known = form.split(before) if isinstance(before, bytes) else before
    merged = tuple(old if new is UNCHANGED else new for new, old in zip(row, known, strict=True))
    return merged if UNCHANGED in merged else form.join(merged)


def _fold_rows(log: TableLog) -> Net:
    if log.ops.count(INSERT) == len(log.ops):
        return Net(inserts=log.rows)
    balance: dict[bytes, int] = {}
    for op, key, row in zip(log.ops, log.keys, log.rows, strict=True):
        if op != INSERT:
            balance[key] = balance.get(key, 0) - 1
        if op != DELETE:
            new = row if op == INSERT else row[1]
            if type(new) is tuple:
                new = fill(log.form, new, key)
            balance[new] = balance.get(new, 0) + 1
    net = Net()
    for row, count in balance.items():
        if count > 0:
            net.inserts += [row] * count
        else:
            net.deletes += [row] * -count
    return net
