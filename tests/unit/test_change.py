"""What a table has become, told by the numbers of its columns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cdcd.model.change import become, carried_over, concerned, differences, rewritten, without
from cdcd.model.chunk import Chunk, State
from cdcd.model.table import Column, Table
from cdcd.model.types import LogicalType


def column(name: str, number: int, mark: str = "1", **more: Any) -> Column:
    return Column(name, number, LogicalType("int32"), "integer", type_id=23, mark=mark, **more)


ID, A = column("id", 1), column("a", 2)
OLD = Table("s", "t", (ID, A), ("id",), oid=100, primary=("id",), attributes=2, mark="file")


def changed(*columns: Column, **more: Any) -> Table:
    return replace(OLD, columns=columns or OLD.columns, **more)


@pytest.mark.parametrize(
    ("new", "said", "reload"),
    [
        (changed(ID, A, column("b", 3)), ["column b integer is new"], False),
        (changed(ID), ["column a is gone"], False),
        (changed(ID, column("b", 2, "2")), ["column a is called b now"], False),
        (changed(ID, column("a", 3)), ["column a is gone", "column a integer is new"], False),
        (changed(ID, column("a", 2, nullable=False)), ["column a is NOT NULL now"], False),
        (changed(name="u"), ["it is called s.u now"], False),
        (changed(primary=("id", "a")), ["the primary key is id, a"], False),
        (changed(ID, A, column("b", 3), mark="other"), ["column b integer is new"], True),
        (changed(ID, column("a", 2, "2"), mark="other"), [], True),
        (changed(ID, column("a", 2, generated="id")), ["column a is computed in another way"], True),
    ],
)
def test_become(new: Table, said: list[str], reload: bool) -> None:
    change = become(OLD, new)
    assert change is not None and change.new is not None
    assert (differences(OLD, change.new), change.reload, change.new.version) == (said, reload, 2)


def test_what_is_nothing() -> None:
    """VACUUM FULL and TRUNCATE take another file, SET STATISTICS another row of the catalogue."""
    assert become(OLD, changed(mark="other")) is None
    assert become(OLD, changed(ID, column("a", 2, "2"))) is None


def test_chunks_keep_their_bounds_by_another_name() -> None:
    first, second = Chunk("s.t", 0, high=("5",), state=State.IN), Chunk("s.t", 1, low=("5",))
    chunks = [replace(chunk, columns=("id",)) for chunk in (first, second)]
    new = changed(column("key", 1, "2"), A, name="u", key=("key",), primary=("key",))
    kept = carried_over(OLD, new, chunks)
    assert kept is not None
    assert [(chunk.table, chunk.columns, chunk.state) for chunk in kept] == [
        ("s.u", ("key",), State.IN), ("s.u", ("key",), State.UNREAD),
    ]  # fmt: skip
    other = changed(key=("a",))
    assert carried_over(OLD, other, chunks) is None
    (one,) = carried_over(OLD, other, chunks[:1]) or ()
    assert (one.columns, one.state) == ((), State.IN)


def test_without_new_columns() -> None:
    """Their rows are no reason to load again; others' are."""
    new = changed(ID, A, column("b", 3), mark="other")
    kept = without(OLD, new)
    assert not concerned(OLD, kept) and not rewritten(OLD, kept)
    assert [one.name for one in kept.carried] == ["id", "a"]
    assert [one.name for one in kept.sent] == ["id", "a", "b"]
    assert become(kept, without(kept, new)) is None
    again = become(kept, new)
    assert again is not None and again.reload, "it was left out until now"
    assert concerned(OLD, without(OLD, changed(ID, column("a", 2, "2"), mark="other")))
