"""JSON as a comparison takes it: equal for equal values, and never for others."""

from __future__ import annotations

from decimal import Context, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.model.canonical import cell, json_text, number

EXACT = Context(prec=1000)

EQUAL = [
    ("1", "1.0", "1e0", "10e-1", "0.1e+1", "100E-2"),
    ("0", "-0", "0.000", "0e99999"),
    ("1e20", "100000000000000000000", "1.0E+20"),
    ("-0.00000012", "-1.2e-7"),
    ('{"a": 1, "b": [2.50]}', '{"b":[2.5],"a":7,"a":1.0}'),
    ('"ü/"', '"\\u00fc\\/"'),
    ("[]", "[ ]"),
    ("123456789012345678901234567890.10", "1234567890123456789012345678901e-1"),
    ("1" * 5000, "1" * 5000 + ".0"),
]
DIFFERENT = [
    *("1", '"1"', "[1]", '["NaN", "1e0"]', '{"1": 1}', "true", "null", "[]", "{}", '""', '"1e0"', "10", "-1", "NaN"),
    *("not JSON", "1.00000000000000000001", '{"a": null}', "[[]]", '"\\ud800"', "[" * 2000),
]


@pytest.mark.parametrize("same", EQUAL, ids=lambda same: same[0][:20])
def test_equal_values_are_one_text(same: tuple[str, ...]) -> None:
    assert len({json_text(text) for text in same}) == 1


def test_other_values_are_not() -> None:
    assert len({json_text(text) for text in DIFFERENT}) == len(DIFFERENT)


@given(st.decimals(allow_nan=False, allow_infinity=False), st.decimals(allow_nan=False, allow_infinity=False))
def test_numbers_are_one_text_if_they_are_equal(one: Decimal, other: Decimal) -> None:
    assert (json_text(f"[{one}]") == json_text(f"[{other}]")) == (one == other)
    assert json_text(f"[{one}]") == json_text(f"[{one.normalize(EXACT)}]")


def test_null_is_empty_and_hashes_are_signed() -> None:
    assert cell(None) == "" and len(cell("null")) == 64
    # echo -n a | sha256sum: ca978112ca1bbdca…
    assert number("a") == 0xCA978112CA1BBDCA - 2**64
