"""Which columns a Relation message speaks of, by counting (T-SC-3)."""

from __future__ import annotations

import pytest

from cdcd.model.table import Column, Table
from cdcd.model.types import LogicalType
from connectors.postgres.relation import Relation, WireColumn
from connectors.postgres.schema_derive import numbers_at, table_at

INT, TEXT = 23, 25


def column(name: str, number: int, type_id: int = INT, mark: str = "1") -> Column:
    native = {INT: "integer", TEXT: "text"}[type_id]
    return Column(name, number, LogicalType("int32"), native, type_id=type_id, typmod=-1, mark=mark)


def table(*columns: Column, attributes: int = 0) -> Table:
    most = max([attributes, *(one.ident for one in columns)])
    return Table("s", "t", columns, ("id",), oid=100, primary=("id",), attributes=most, mark="f")


def seen(*columns: tuple[str, int]) -> Relation:
    return Relation(100, "s", "t", "d", tuple(WireColumn(name, type_id, -1, name == "id") for name, type_id in columns))


ID, A, B = column("id", 1), column("a", 2, TEXT), column("b", 3)
KNOWN = table(ID, A, B)


@pytest.mark.parametrize(
    ("now", "said", "numbers"),
    [
        (table(ID, A, B), (("id", INT), ("a", TEXT), ("b", INT)), (1, 2, 3)),
        (table(ID, A, B, column("c", 4)), (("id", INT), ("a", TEXT), ("b", INT)), (1, 2, 3)),
        (table(ID, A, B, column("c", 4)), (("id", INT), ("a", TEXT), ("b", INT), ("c", INT)), (1, 2, 3, 4)),
        (table(ID, B, column("c", 4)), (("id", INT), ("a", TEXT), ("b", INT), ("c", INT)), (1, 2, 3, 4)),
        # Dropped before or after the other was added: the types tell.
        (table(ID, B, column("c", 4)), (("id", INT), ("b", INT), ("c", INT)), (1, 3, 4)),
        (table(ID, B, column("c", 4)), (("id", INT), ("b", INT)), (1, 3)),
        # One that came and went between.
        (table(ID, A, B, attributes=4), (("id", INT), ("a", TEXT), ("b", INT), ("x", TEXT)), (1, 2, 3, 4)),
        # Dropped and added under its name, and all the same in the message.
        (table(ID, A, column("b", 4, mark="2")), (("id", INT), ("a", TEXT), ("b", INT)), None),
        # One of two that are gone: the types tell, or nothing does.
        (table(ID, attributes=3), (("id", INT), ("b", INT)), (1, 3)),
        (table(ID, attributes=4), (("id", INT), ("c", INT)), None),
    ],
)
def test_numbers(now: Table, said: tuple[tuple[str, int], ...], numbers: tuple[int, ...] | None) -> None:
    assert numbers_at(seen(*said), KNOWN, now) == numbers


def test_a_column_that_neither_knows_any_more_is_not_guessed() -> None:
    now = table(ID, A, B, attributes=4)
    assert table_at(seen(("id", INT), ("a", TEXT), ("b", INT), ("x", TEXT)), KNOWN, now) is None


def test_what_is_of_later_is_not_believed_too_early() -> None:
    """NOT NULL would refuse rows that are right here; names are those of the message."""
    now = table(ID, A, Column("late", 3, B.type, "integer", type_id=INT, typmod=-1, nullable=False, mark="2"))
    found = table_at(seen(("id", INT), ("a", TEXT), ("early", INT)), KNOWN, now)
    assert found is not None
    assert [(one.name, one.ident, one.nullable) for one in found.columns][2] == ("early", 3, True)
