"""Rows and keys from tuples: each kind of change, in binary and text, with NULLs, unchanged and unwanted values."""

from __future__ import annotations

import struct
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdcd.errors import CdcdError, PoisonRow, Stopped
from cdcd.model.cell import UNCHANGED
from cdcd.model.group import Group
from cdcd.model.table import Table
from cdcd.rows import RowForm
from connectors.postgres.tuples import TupleCode
from tests.unit.postgres.wire_bytes import (
    Given,
    U,
    begin,
    binary_form,
    change,
    code,
    commit,
    json_form,
    relation,
    stream,
    table,
    text_form,
    told,
    tuple_data,
)

COLUMNS = {"id": "int4", "n": "int8", "v": "text", "b": "bool"}
T = table(COLUMNS)
FULL = table(COLUMNS, full=True)
KEYLESS = table(COLUMNS, key=(), full=True)
BINARY: list[Any] = [struct.pack(">i", 7), struct.pack(">q", 9), b"abc", b"\1"]
TEXT: list[Any] = [b"7", b"9", b"a\tc", b"t"]


def sized(value: bytes | None) -> bytes:
    return b"\xff\xff\xff\xff" if value is None else struct.pack(">i", len(value)) + value


def copy_row(values: list[Any]) -> bytes:
    return struct.pack(">h", len(values)) + b"".join(map(sized, values))


def one(its: TupleCode, *messages: bytes) -> tuple[Any, ...]:
    """The one change that these messages are."""
    group = Group()
    stream(its).decode(Given(begin(20) + relation(its.table) + b"".join(messages) + commit(30)), group, None)
    ((_, kind, key, row),) = told(group)
    return kind, key, row


class TestBinary:
    its = code(binary_form(T))

    def test_an_insert_is_a_copy_row(self) -> None:
        kind, key, row = one(self.its, change(b"I", T, tuple_data(b"N", BINARY)))
        assert (kind, key, row) == ("I", sized(BINARY[0]), copy_row(BINARY))

    @pytest.mark.parametrize("nulls", list(product([False, True], repeat=3)))
    def test_nulls_anywhere(self, nulls: tuple[bool, ...]) -> None:
        values = [BINARY[0], *(None if null else value for null, value in zip(nulls, BINARY[1:], strict=True))]
        assert one(self.its, change(b"I", T, tuple_data(b"N", values)))[2] == copy_row(values)

    def test_an_update_without_an_old_row(self) -> None:
        kind, key, row = one(self.its, change(b"U", T, tuple_data(b"N", BINARY)))
        assert (kind, key, row) == ("U", sized(BINARY[0]), copy_row(BINARY))

    def test_an_unchanged_value_makes_a_tuple(self) -> None:
        """PG-01"""
        kind, _, row = one(self.its, change(b"U", T, tuple_data(b"N", [BINARY[0], None, U, BINARY[3]])))
        assert (kind, row) == ("U", (sized(BINARY[0]), sized(None), UNCHANGED, sized(BINARY[3])))

    def test_a_key_change_moves(self) -> None:
        old = tuple_data(b"K", [struct.pack(">i", 6), None, None, None])
        kind, key, row = one(self.its, change(b"U", T, old, tuple_data(b"N", BINARY)))
        assert (kind, key, row) == ("M", sized(struct.pack(">i", 6)), (sized(BINARY[0]), copy_row(BINARY)))

    def test_a_key_change_with_an_unchanged_value(self) -> None:
        old = tuple_data(b"K", [struct.pack(">i", 6), None, None, None])
        new = tuple_data(b"N", [BINARY[0], BINARY[1], U, BINARY[3]])
        kind, _, (key, row) = one(self.its, change(b"U", T, old, new))
        assert (kind, key) == ("M", sized(BINARY[0]))
        assert row == (sized(BINARY[0]), sized(BINARY[1]), UNCHANGED, sized(BINARY[3]))

    def test_a_delete_by_key(self) -> None:
        old = tuple_data(b"K", [BINARY[0], None, None, None])
        assert one(self.its, change(b"D", T, old)) == ("D", sized(BINARY[0]), None)

    def test_columns_that_are_not_wanted_are_passed_by(self) -> None:
        its = code(binary_form(T, ["v", "id"]))
        for values in (BINARY, [BINARY[0], None, *BINARY[2:]], [*BINARY[:3], None]):
            kind, key, row = one(its, change(b"I", T, tuple_data(b"N", values)))
            assert (kind, key, row) == ("I", sized(BINARY[0]), copy_row([BINARY[2], BINARY[0]]))

    def test_many_columns_are_more_than_one_run(self) -> None:
        wide = table({"id": "int4", **{f"c{number}": "uuid" for number in range(200)}})
        its = code(binary_form(wide))
        values: list[Any] = [b"idid", *(bytes([number]) * 16 for number in range(200))]
        assert one(its, change(b"I", wide, tuple_data(b"N", values)))[2] == copy_row(values)
        nothing = [b"idid", *[None] * 200]
        assert one(its, change(b"I", wide, tuple_data(b"N", nothing)))[2] == copy_row(nothing)


class TestText:
    its = code(text_form(T))

    def test_an_insert_is_a_copy_line(self) -> None:
        kind, key, row = one(self.its, change(b"I", T, tuple_data(b"N", TEXT, b"t")))
        assert (kind, key, row) == ("I", b"7", b"7\t9\ta\\tc\tt\n")

    @pytest.mark.parametrize("nulls", list(product([False, True], repeat=3)))
    def test_nulls_anywhere(self, nulls: tuple[bool, ...]) -> None:
        values = [TEXT[0], *(None if null else value for null, value in zip(nulls, TEXT[1:], strict=True))]
        parts = [b"\\N" if value is None else value.replace(b"\t", b"\\t") for value in values]
        assert one(self.its, change(b"I", T, tuple_data(b"N", values, b"t")))[2] == b"\t".join(parts) + b"\n"

    def test_an_empty_value_is_not_null(self) -> None:
        row = one(self.its, change(b"I", T, tuple_data(b"N", [b"7", b"9", b"", b"t"], b"t")))[2]
        assert row == b"7\t9\t\tt\n"

    def test_a_key_of_two_columns_in_its_own_order(self) -> None:
        pair = table(COLUMNS, key=("v", "id"))
        old = tuple_data(b"K", [b"7", None, b"a\tc", None], b"t")
        assert one(code(text_form(pair)), change(b"D", pair, old)) == ("D", b"a\\tc\t7", None)


class TestFull:
    its = code(binary_form(FULL))

    def test_an_update_of_the_same_key_is_an_update(self) -> None:
        old = tuple_data(b"O", [BINARY[0], None, b"old", BINARY[3]])
        kind, key, row = one(self.its, change(b"U", FULL, old, tuple_data(b"N", BINARY)))
        assert (kind, key, row) == ("U", sized(BINARY[0]), copy_row(BINARY))

    def test_an_unchanged_value_comes_from_the_old_row(self) -> None:
        new = tuple_data(b"N", [BINARY[0], None, U, BINARY[3]])
        row = one(self.its, change(b"U", FULL, tuple_data(b"O", BINARY), new))[2]
        assert row == copy_row([BINARY[0], None, BINARY[2], BINARY[3]])

    def test_without_a_key_a_row_is_its_own_key(self) -> None:
        its = code(binary_form(KEYLESS))
        row = copy_row(BINARY)
        new = [*BINARY[:2], b"new", None]
        assert one(its, change(b"I", KEYLESS, tuple_data(b"N", BINARY))) == ("I", row, row)
        assert one(its, change(b"D", KEYLESS, tuple_data(b"O", BINARY))) == ("D", row, None)
        moved = one(its, change(b"U", KEYLESS, tuple_data(b"O", BINARY), tuple_data(b"N", new)))
        assert moved == ("M", row, (copy_row(new), copy_row(new)))
        same = one(its, change(b"U", KEYLESS, tuple_data(b"O", BINARY), tuple_data(b"N", [*BINARY[:2], U, BINARY[3]])))
        assert same == ("M", row, (row, row))

    def test_old_rows_for_who_wants_them(self) -> None:
        its, group = code(binary_form(FULL), wants_old=True), Group()
        data = begin(20) + relation(FULL) + change(b"I", FULL, tuple_data(b"N", BINARY))
        data += change(b"U", FULL, tuple_data(b"O", BINARY), tuple_data(b"N", BINARY))
        data += change(b"D", FULL, tuple_data(b"O", BINARY)) + commit(30)
        stream(its).decode(Given(data), group, None)
        assert group.rows().logs[FULL.id].olds == [None, copy_row(BINARY), copy_row(BINARY)]

    def test_a_key_is_no_old_row(self) -> None:
        its, group = code(binary_form(T), wants_old=True), Group()
        old = tuple_data(b"K", [BINARY[0], None, None, None])
        stream(its).decode(Given(begin(20) + relation(T) + change(b"D", T, old) + commit(30)), group, None)
        assert group.rows().logs[T.id].olds == [None]


class TestCanonical:
    its = code(json_form(T))

    def test_values_go_through_both_steps(self) -> None:
        row = one(self.its, change(b"I", T, tuple_data(b"N", TEXT, b"t")))[2]
        assert row == b"{%id:7,%n:9,%v:'a\\tc',%b:True}"

    def test_null_is_the_layouts(self) -> None:
        row = one(self.its, change(b"I", T, tuple_data(b"N", [b"7", None, None, None], b"t")))[2]
        assert row == b"{%id:7,%n:null,%v:null,%b:null}"

    def test_what_the_sink_cannot_write_is_named(self) -> None:
        with pytest.raises(PoisonRow) as caught:
            one(self.its, change(b"I", T, tuple_data(b"N", [b"7", None, b"refused", None], b"t")))
        assert (caught.value.where["table"], caught.value.where["column"]) == ("s.t", "v")

    def test_in_an_old_row_too(self) -> None:
        its = code(json_form(FULL))
        old = tuple_data(b"O", [b"7", None, b"refused", None], b"t")
        with pytest.raises(PoisonRow):
            one(its, change(b"D", FULL, old))


def test_a_key_that_is_unchanged_and_out_of_line_comes_from_the_old_key() -> None:
    by_text = table(COLUMNS, key=("v",))
    old = tuple_data(b"K", [None, None, b"long", None], b"t")
    new = tuple_data(b"N", [b"1", None, U, b"t"], b"t")
    kind, key, row = one(code(text_form(by_text)), change(b"U", by_text, old, new))
    assert (kind, key, row) == ("U", b"long", b"1\t\\N\tlong\tt\n")


def test_a_key_that_never_came_is_malformed() -> None:
    by_text = table(COLUMNS, key=("v",))
    with pytest.raises(Stopped, match="key"):
        one(code(text_form(by_text)), change(b"U", by_text, tuple_data(b"N", [b"1", None, U, b"t"], b"t")))


FORMS: list[tuple[RowForm, Table]] = [
    (binary_form(T), T),
    (text_form(FULL), FULL),
    (binary_form(KEYLESS), KEYLESS),
    (json_form(T), T),
]
CODES = [code(form, wants_old) for form, _ in FORMS for wants_old in (False, True)]


@st.composite
def garbled(draw: st.DrawFn) -> tuple[TupleCode, bytes]:
    """A stream with bytes changed, cut or put in."""
    its = draw(st.sampled_from(CODES))
    mark = b"b" if its.binary else b"t"
    values = BINARY if its.binary else TEXT
    letters = draw(st.lists(st.sampled_from("IUDT"), max_size=4))
    data = begin(20) + relation(its.table)
    for letter in letters:
        kinds = {"I": "N", "U": draw(st.sampled_from(["N", "KN", "ON"])), "D": draw(st.sampled_from("KO"))}
        tuples = [tuple_data(kind.encode(), values, mark) for kind in kinds.get(letter, "")]
        data += change(letter.encode(), its.table, *tuples)
    broken = bytearray(data + commit(30))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(broken)))
        what = draw(st.sampled_from(["set", "cut", "put"]))
        if what == "set" and at < len(broken):
            broken[at] = draw(st.integers(0, 255))
        elif what == "cut":
            del broken[at : at + draw(st.integers(1, 20))]
        else:
            broken[at:at] = draw(st.binary(max_size=20))
    return its, bytes(broken)


@pytest.mark.failure("T-DE-8")
@settings(max_examples=600, deadline=None)
@given(garbled())
def test_garbled_bytes_give_changes_or_our_own_error(made: tuple[TupleCode, bytes]) -> None:
    its, data = made
    group = Group()
    try:
        stream(its).decode(Given(data), group, None)
    except CdcdError:
        return
    for step in group.steps:
        for log in getattr(step, "logs", {}).values():
            assert len(log.ops) == len(log.keys) == len(log.rows)


@pytest.mark.failure("T-DE-8")
@settings(max_examples=300, deadline=None)
@given(st.sampled_from(CODES), st.binary(max_size=400))
def test_random_bytes_too(its: TupleCode, data: bytes) -> None:
    try:
        stream(its).decode(Given(data), Group(), None)
    except CdcdError:
        pass
