"""Positions are numbers with an order of their own, however they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.postgres.position import Lsn, covered, format_lsn, parse_lsn

LSN = st.integers(0, (1 << 64) - 1)

pytestmark = pytest.mark.failure("PO-04")


@pytest.mark.parametrize(("less", "more"), [("0/9", "0/10"), ("9/0", "10/0"), ("0/FFFFFFFF", "1/0"), ("A/1", "10/0")])
def test_the_order_is_not_that_of_the_text(less: str, more: str) -> None:
    assert Lsn.of(more).covers(Lsn.of(less))
    assert not Lsn.of(less).covers(Lsn.of(more))


@given(LSN, LSN)
def test_the_order_is_that_of_the_numbers(a: int, b: int) -> None:
    assert Lsn(a).covers(Lsn(b)) == (a >= b)
    assert covered(a, b) == (a < b)


@given(LSN)
def test_what_is_written_is_read_again(lsn: int) -> None:
    assert parse_lsn(format_lsn(lsn)) == lsn
    assert Lsn.of(Lsn(lsn).to_json()) == Lsn(lsn) == Lsn.of(str(Lsn(lsn)))
