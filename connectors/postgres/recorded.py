"""The open records of a table, and the net changes that they leave: each row is made what the last of them says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cdcd.policy import Values


@dataclass(frozen=True, slots=True)
class Recorded:
    """An open record."""

    id: int
    table: str
    op: str
    key: Values | None
    row: Values | None
    found: str
    tx: str | None


@dataclass(slots=True)
class Net:
    """What the changes of one row leave. `key` names the row at the target, which was `there` before the first of
    them; `found` is its version when the last was recorded. `cells` are those known of the row as it is to be, `gone`:
    it is to go. `times`: of a table without a key, how many equal rows."""

    key: Values
    there: bool
    found: str = ""
    cells: dict[str, Any] = field(default_factory=dict)
    gone: bool = False
    times: int = 1
    records: list[Recorded] = field(default_factory=list)


def fold(records: Sequence[Recorded]) -> list[Net]:
    """The net changes of a keyed table's records, by row: a change of key is followed."""
    nets: list[Net] = []
    live: dict[str, Net] = {}
    for one in records:
        assert one.key is not None
        net = live.pop(_name(one.key), None)
        if net is None:
            net = Net(one.key, one.op != "insert", one.found)
            nets.append(net)
        elif _name(net.key) == _name(one.key):
            net.found = one.found
            net.there = net.there and not (one.op == "insert" and one.found == "")
        net.records.append(one)
        net.gone = one.op == "delete"
        net.cells = {} if one.op == "delete" else {**({} if one.op == "insert" else net.cells), **(one.row or {})}
        live[_name({name: net.cells.get(name, value) for name, value in one.key.items()})] = net
    return nets


def fold_rows(records: Sequence[Recorded]) -> list[Net]:
    """The same of a table without a key, a multiset of rows."""
    nets: dict[str, Net] = {}
    for one in records:
        row = one.row if one.op == "insert" else one.key
        assert row is not None
        net = nets.setdefault(_name(row), Net(row, False, times=0))
        net.times += 1 if one.op == "insert" else -1
        net.records.append(one)
    for net in nets.values():
        net.cells, net.gone, net.times = dict(net.key), net.times < 0, abs(net.times)
    return list(nets.values())


def _name(values: Values) -> str:
    return json.dumps(dict(values), sort_keys=True)
