"""The net change that the open records of a row leave."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from cdcd.recorded import Net, Recorded, fold, fold_rows

Written = tuple[Any, ...]
_numbers = count(1)


def record(op: str, key: Any, found: str = "", **row: Any) -> Recorded:
    keyed = None if key is None else key if isinstance(key, dict) else {"id": key}
    return Recorded(next(_numbers), "public.t", op, keyed, row or None, found, None)


def told(nets: list[Net]) -> list[Written]:
    kinds = ["gone" if net.gone else "update" if net.there else "insert" for net in nets]
    return [(kind, dict(net.key), net.cells, net.found) for kind, net in zip(kinds, nets, strict=True)]


ONE = {"id": "1"}


@pytest.mark.parametrize(
    ("records", "nets"),
    [
        ([record("insert", "1", id="1", n="5")], [("insert", ONE, {"id": "1", "n": "5"}, "")]),
        (
            [record("insert", "1", id="1", n="5", m="x"), record("update", "1", id="1", n="6")],
            [("insert", ONE, {"id": "1", "n": "6", "m": "x"}, "")],
        ),
        ([record("insert", "1", id="1"), record("delete", "1")], [("gone", ONE, {}, "")]),
        (
            [record("update", "1", "7", id="1", n="5"), record("update", "1", "7", id="1", m="y")],
            [("update", ONE, {"id": "1", "n": "5", "m": "y"}, "7")],
        ),
        ([record("update", "1", "7", id="1"), record("delete", "1", "7")], [("gone", ONE, {}, "7")]),
        (
            [record("delete", "1", "7"), record("insert", "1", "7", id="1", n="9")],
            [("update", ONE, {"id": "1", "n": "9"}, "7")],
        ),
        ([record("delete", "1"), record("insert", "1", id="1", n="9")], [("insert", ONE, {"id": "1", "n": "9"}, "")]),
        (
            # A change of key, followed; and another row that comes to where it was.
            [
                record("update", "1", "7", id="2", n="5"), record("update", "2", id="2", n="6"),
                record("insert", "1", "7", id="1", n="1"),
            ],
            [("update", ONE, {"id": "2", "n": "6"}, "7"), ("insert", ONE, {"id": "1", "n": "1"}, "7")],
        ),
        (
            [record("update", "1", "7", id="2", n="5"), record("delete", "2")],
            [("gone", ONE, {}, "7")],
        ),
    ],
)  # fmt: skip
def test_of_a_row(records: list[Recorded], nets: list[Written]) -> None:
    assert told(fold(records)) == nets
    assert {one.id for net in fold(records) for one in net.records} == {one.id for one in records}


def test_of_rows_without_a_key() -> None:
    records = [
        record("insert", None, a="1"), record("insert", None, a="1"), record("delete", {"a": "2"}),
        record("insert", None, a="3"), record("delete", {"a": "3"}), record("delete", {"a": "1"}),
    ]  # fmt: skip
    assert [(net.key["a"], net.gone, net.times) for net in fold_rows(records)] == [
        ("1", False, 1), ("2", True, 1), ("3", False, 0),
    ]
