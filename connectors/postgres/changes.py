"""Changes of one table, appended to its log: what is done with the one or two tuples of an Insert, Update or Delete."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cdcd.model.group import DELETE, MOVE, UPDATE, Rows
from cdcd.model.table import Table
from connectors.postgres.cells import NEW, OLD_KEY, OLD_ROW, malformed
from connectors.postgres.tuples import TupleCode

Change = Callable[[bytes, int, int, int], None]
"""change(data, at, end, op): the tuples that begin at `at` and must end at `end` are one change."""


def takers(code: TupleCode, rows: Rows) -> tuple[Change, Change]:
    """The functions that append one table's changes to its log in `rows`."""
    log = rows.log(code.table, code.form)
    ops, keys, put, olds = log.ops.append, log.keys.append, log.rows.append, log.olds.append
    mark = rows.order.append
    wants_old = code.wants_old

    def append(op: int, key: bytes, row: Any, old: bytes | None) -> None:
        ops(op)
        keys(key)
        put(row)
        mark(log)
        if wants_old:
            olds(old)

    def slow(data: bytes, at: int, end: int, op: int) -> None:
        fields, at = code.fields(data, at, NEW)
        _at_end(at, end, code.table)
        append(op, code.key_of(fields), code.row_of(fields), None)

    def other(data: bytes, at: int, end: int, op: int) -> None:
        """A Delete, or an Update with an old tuple: the key only, or under REPLICA IDENTITY FULL the whole row."""
        if op == DELETE and (key := code.old_key(data, at, end)) is not None:
            append(DELETE, key, None, None)
            return
        kind = data[at]
        if kind not in (OLD_KEY, OLD_ROW):
            raise malformed(f"an old row of {code.table.id} is of the kind {bytes([kind])!r}")
        begun = at
        row: Any
        if (image := code.image(data, at)) is not None:
            old_key, old_row, at = image
        else:
            old, at = code.fields(data, at, kind)
            old_key, old_row = code.key_of(old), code.joined(old)
        whole = old_row if kind == OLD_ROW else None
        if op == DELETE:
            _at_end(at, end, code.table)
            append(DELETE, old_key, None, whole)
            return
        if data[at] == NEW and (image := code.image(data, at)) is not None:
            key, row, at = image
        else:
            fields, at = code.fields(data, at, NEW)
            old, _ = code.fields(data, begun, kind)
            fields = code.merged(fields, old, kind == OLD_ROW)
            key, row = code.key_of(fields), code.row_of(fields)
        _at_end(at, end, code.table)
        if key == old_key and code.table.key:
            append(UPDATE, key, row, whole)
        else:
            append(MOVE, old_key, (key, row), whole)

    return code.bind(ops, keys, put, olds, mark, log, slow), other


def _at_end(at: int, end: int, table: Table) -> None:
    if at != end:
        raise malformed(f"a change of {table.id} is longer or shorter than its columns")

