"""Recorded changes tried again: those of each row as one net change, in the order in which they came. The net changes
that the open records of a table leave, and how they are made; how a row is found and written is the target's to say.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from cdcd.errors import CdcdError, Conflict, PoisonRow
from cdcd.model.retried import Retried
from cdcd.model.table import Table
from cdcd.policy import Missed, Values

CHANGED = "somebody else has written its row at the target since, or ALTER TABLE has: --overwrite lets the source win"


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


# --- made again -------------------------------------------------------------------------------------------------------


class Left(Exception):
    """A net change that is not tried, and why."""


class Here(Protocol):
    """A table at the target, in the transaction of a retry. What cannot be made raises Conflict or PoisonRow."""

    @property
    def columns(self) -> Collection[str]:
        """Those that a change may name."""

    def trying(self) -> AbstractContextManager[None]:
        """A net change: all of it, or nothing where Conflict, PoisonRow or Left comes out."""

    def version(self, key: Values) -> str:
        """Of the row under the key now, as records have it; "": there is none."""

    def unreadable(self, name: str, value: Any) -> bool:
        """Whether a column's value was recorded in a form that says nothing here."""

    def delete(self, net: Net) -> int:
        """How many rows that met."""

    def update(self, net: Net) -> int:
        """How many rows that met."""

    def insert(self, net: Net) -> None: ...

    def take(self, net: Net) -> int:
        """Delete one of the rows that equal it; 0: there is none."""

    def made(self, records: Sequence[int]) -> None:
        """They are open no more."""

    def failed(self, records: Sequence[int], error: CdcdError, why: str) -> None:
        """They wait on, with this error."""


def retry(
    records: Sequence[Recorded],
    tables: Mapping[str, Table],
    loading: Collection[str],
    find: Callable[[Table], Here | None],
    overwrite: bool,
) -> list[Retried]:
    """What becomes of each open record. `tables` are carried, of those of `loading` some rows are yet to come;
    `overwrite`: the source wins where the target has another row than the change met."""
    result: list[Retried] = []
    for id in dict.fromkeys(one.table for one in records):
        its = [one for one in records if one.table == id]
        table = tables.get(id)
        here = find(table) if table is not None else None
        if table is None or here is None:
            result += _left(its, "the table is not carried any more, or not at the target")
        elif id in loading:
            result += _left(its, "the table is being loaded: try again when it is in")
        else:
            result += _table(table, here, its, overwrite)
    return sorted(result, key=lambda one: one.id)


def _table(table: Table, here: Here, records: Sequence[Recorded], overwrite: bool) -> Iterator[Retried]:
    """Once more as long as that helps: a row may have waited for another one."""
    emptied = [one for one in records if one.op == "truncate"]
    yield from _left(emptied, "a TRUNCATE is not made again: cdcd reload reads the table anew")
    odd = [one for one in records if one not in emptied and not _fits(one, table)]
    yield from _left(odd, "it was recorded when the table had another key: cdcd reload reads the table anew")
    rest = [one for one in records if one not in emptied and one not in odd]
    nets = fold(rest) if table.key else fold_rows(rest)
    found = [here.version(net.key) if table.key else "" for net in nets]
    waiting, failed = list(zip(nets, found, strict=True)), len(nets) + 1
    failures: dict[int, CdcdError | Left] = {}
    while waiting and len(waiting) < failed:
        failed, again = len(waiting), []
        for net, version in waiting:
            try:
                with here.trying():
                    _make(table, here, net, version, overwrite)
                    here.made([one.id for one in net.records])
            except (Conflict, PoisonRow, Left) as error:
                failures[id(net)] = error
                again.append((net, version))
            else:
                yield from (_told(one, True) for one in net.records)
        waiting = again
    for net, _ in waiting:
        failure = failures[id(net)]
        if isinstance(failure, Left):
            why = str(failure)
        else:
            why = f"{failure.what}: {failure.why}" if failure.why else failure.what
            here.failed([one.id for one in net.records], failure, why)
        yield from _left(net.records, why)


def _make(table: Table, here: Here, net: Net, version: str, overwrite: bool) -> None:
    """`version` is that of the row before any change of this retry. Raises what was wrong."""
    _refuse_unknown(here, net)
    if not table.key:
        for _ in range(net.times):
            if not net.gone:
                here.insert(net)
            elif (count := here.take(net)) != 1:
                raise Missed(count, "delete")
        return
    if version not in ("", net.found) and not overwrite:
        raise Left(CHANGED)
    if net.gone:
        if version and (count := here.delete(net)) != 1:
            raise Missed(count, "delete")
    elif net.there:
        if (count := here.update(net)) != 1:
            if count or not (overwrite and {column.name for column in table.carried} <= net.cells.keys()):
                raise Missed(count, "update")
            here.insert(net)
    elif not (overwrite and version and here.update(net) == 1):
        here.insert(net)


def _refuse_unknown(here: Here, net: Net) -> None:
    if missing := sorted((net.cells.keys() | net.key.keys()) - set(here.columns)):
        raise Left(f"the target's table has no column {', '.join(missing)}")
    if raw := sorted(name for name, value in {**net.key, **net.cells}.items() if here.unreadable(name, value)):
        raise Left(f"{', '.join(raw)} was recorded as the type here is not written: cdcd reload reads the table anew")


def _fits(one: Recorded, table: Table) -> bool:
    """Whether it names its row as the table's changes do now."""
    if table.key:
        return one.key is not None and one.key.keys() == set(table.key)
    return one.op != "update"


def _left(records: Sequence[Recorded], why: str) -> Iterator[Retried]:
    return (_told(one, False, why) for one in records)


def _told(one: Recorded, made: bool, why: str = "") -> Retried:
    key = None if one.key is None else ", ".join(str(value) for value in one.key.values())
    return Retried(one.id, one.table, one.op, key, one.tx, made, why)
