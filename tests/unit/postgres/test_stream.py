"""Transactions, the stop rule, the skip rule, barriers: what a group holds after a given sequence of messages."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest

from cdcd.errors import CdcdError, Stopped, Unreachable
from cdcd.model.change import SchemaChange
from cdcd.model.group import Group, Rows
from cdcd.model.table import Table
from connectors.postgres.position import Lsn
from connectors.postgres.stream import EPOCH_2000, Stream
from tests.unit.postgres.wire_bytes import (
    Given,
    begin,
    change,
    code,
    commit,
    frame,
    keepalive,
    look,
    message,
    relation,
    stream,
    table,
    text_form,
    told,
    truncate,
    tuple_data,
    xlog,
)

T = table({"id": "int4", "v": "text"})
OTHER = table({"id": "int4"}, name="other", oid=200)


def row(number: int, v: bytes = b"x") -> bytes:
    return change(b"I", T, tuple_data(b"N", [str(number).encode(), v], b"t"))


def inserted(*numbers: int) -> list[tuple[object, ...]]:
    return [("t", "I", str(n).encode(), str(n).encode() + b"\tx\n") for n in numbers]


def of_t(place: int = 10, bound: int = 1 << 20, transactions: bool = False) -> Stream:
    return stream(code(text_form(T)), place=place, bound=bound, transactions=transactions)


def decode(of: Stream, data: bytes, stop: int | None = None) -> tuple[Group, str]:
    group = Group()
    return group, of.decode(Given(data), group, stop)


class TestTransactions:
    def test_a_group_ends_at_the_commits_end(self) -> None:
        data = begin(20) + relation(T) + row(1) + row(2) + commit(30, time=5) + begin(30) + row(3) + commit(40)
        group, why = decode(of_t(), data)
        assert told(group) == inserted(1, 2, 3)
        assert (why, group.position, group.txs, group.changes) == ("dry", Lsn(40), 2, 3)

    def test_an_empty_transaction_moves_the_place(self) -> None:
        group, _ = decode(of_t(), begin(20) + commit(30))
        assert group.empty
        assert group.position == Lsn(30)

    def test_inside_a_transaction_there_is_no_position(self) -> None:
        of, wire, group = of_t(), Given(begin(20) + relation(T) + row(1)), Group()
        of.decode(wire, group, None)
        assert group.position is None
        wire.add(row(2) + commit(30))
        of.decode(wire, group, None)
        assert told(group) == inserted(1, 2)
        assert group.position == Lsn(30)

    def test_messages_may_be_cut_anywhere(self) -> None:
        data = begin(20) + relation(T) + row(1) + commit(30) + keepalive(50) + begin(60) + row(2) + commit(70)
        for cut in range(len(data)):
            of, group, wire = of_t(), Group(), Given(data[:cut])
            of.decode(wire, group, None)
            wire.add(data[cut:])
            of.decode(wire, group, None)
            assert told(group) == inserted(1, 2)
            assert group.position == Lsn(70)

    def test_what_is_not_carried_is_skipped(self) -> None:
        foreign = change(b"I", OTHER, tuple_data(b"N", [b"1"], b"t"))
        data = begin(20) + relation(OTHER) + foreign + relation(T) + row(1) + truncate(OTHER.oid) + commit(30)
        assert told(decode(of_t(), data)[0]) == inserted(1)

    def test_a_table_is_carried_from_the_next_transaction_on(self) -> None:
        of = stream()
        assert decode(of, begin(20) + relation(T) + row(1) + commit(30))[0].empty
        of.carry({T.id: code(text_form(T))})
        assert told(decode(of, begin(40) + row(2) + commit(50))[0]) == inserted(2)

    def test_transactions_are_listed_where_they_begin(self) -> None:
        of = of_t(transactions=True)
        data = begin(20, 5) + relation(T) + row(1) + truncate(T.oid) + commit(30) + begin(40, 6) + row(2) + commit(50)
        group, _ = decode(of, data)
        listed = [(t.at, t.id, t.position, t.time) for t in group.transactions]
        assert listed == [(0, "5", Lsn(20), EPOCH_2000), (2, "6", Lsn(40), EPOCH_2000)]

    def test_the_time_of_the_last_commit(self) -> None:
        assert decode(of_t(), begin(20) + commit(30, time=77))[0].commit_time == EPOCH_2000 + 77


class TestBound:
    def test_a_full_group_ends_between_two_transactions(self) -> None:
        of = of_t(bound=100)
        wire = Given(begin(20) + relation(T) + row(1) + row(2) + commit(30) + begin(30) + row(3) + commit(40))
        group = Group()
        assert of.decode(wire, group, None) == "full"
        assert told(group) == inserted(1, 2)
        assert group.position == Lsn(30)
        assert group.bytes >= 100
        assert of.decode(wire, group, None) == "full"

    def test_a_huge_transaction_is_cut_into_pieces(self) -> None:
        of, wire = of_t(bound=100), Given(begin(20) + relation(T) + b"".join(map(row, range(20))) + commit(30))
        groups: list[Group] = []
        while not groups or groups[-1].position is None:
            groups.append(Group())
            of.decode(wire, groups[-1], None)
        assert len(groups) > 3
        assert [event for group in groups for event in told(group)] == inserted(*range(20))


class TestStop:
    """Covered, or held by a snapshot, if and only if final_lsn < place (T-PG-5, T-PG-19)."""

    @pytest.mark.parametrize(("final_lsn", "comes"), [(49, True), (50, False), (51, False)])
    def test_a_commit_record_at_the_place_is_beyond_it(self, final_lsn: int, comes: bool) -> None:
        of, wire, group = of_t(), Given(begin(final_lsn) + relation(T) + row(1) + commit(60)), Group()
        assert of.decode(wire, group, 50) == "stop"
        assert told(group) == (inserted(1) if comes else [])
        assert group.position == Lsn(60 if comes else 50)

    def test_what_is_beyond_the_stop_is_read_after_it(self) -> None:
        of, wire = of_t(), Given(begin(50) + relation(T) + row(1) + commit(60))
        assert of.decode(wire, Group(), 50) == "stop"
        assert of.decode(wire, Group(), 50) == "stop"
        group = Group()
        assert of.decode(wire, group, None) == "dry"
        assert told(group) == inserted(1)

    def test_a_commit_that_ends_at_the_stop_reaches_it(self) -> None:
        group, why = decode(of_t(), begin(20) + relation(T) + row(1) + commit(50), 50)
        assert (why, group.position) == ("stop", Lsn(50))

    def test_a_keepalive_beyond_the_stop_reaches_it_exactly(self) -> None:
        group, why = decode(of_t(), keepalive(70), 50)
        assert (why, group.position) == ("stop", Lsn(50))

    @pytest.mark.parametrize(("final_lsn", "comes"), [(9, False), (10, True), (11, True)])
    def test_what_is_sent_again_is_skipped_whole(self, final_lsn: int, comes: bool) -> None:
        """A restart at place 10."""
        data = begin(final_lsn) + relation(T) + row(1) + truncate(T.oid) + commit(final_lsn + 1)
        group, _ = decode(of_t(), data + begin(20) + row(2) + commit(30))
        assert told(group)[-1:] == inserted(2)
        assert len(told(group)) == (3 if comes else 1)
        assert group.txs == (2 if comes else 1)


class TestKeepalive:
    def test_between_transactions_it_is_a_place(self) -> None:
        of = of_t()
        group, _ = decode(of, begin(20) + commit(30) + keepalive(99, reply=True))
        assert group.position == Lsn(99)
        assert group.empty
        assert (of.reply, of.head) == (True, 99)

    def test_inside_one_it_is_none(self) -> None:
        of, wire, group = of_t(), Given(begin(20) + keepalive(99)), Group()
        of.decode(wire, group, None)
        wire.add(commit(30))
        of.decode(wire, group, None)
        assert group.position == Lsn(30)

    def test_an_older_one_says_nothing(self) -> None:
        assert decode(of_t(), begin(20) + commit(30) + keepalive(25))[0].position == Lsn(30)


class TestTruncate:
    def test_it_is_a_barrier(self) -> None:
        data = begin(20) + relation(T) + row(1) + truncate(T.oid, options=3) + row(2) + commit(30)
        group, _ = decode(of_t(), data)
        assert told(group) == [*inserted(1), ("truncate", ("t",), True, True), *inserted(2)]
        assert group.changes == 3

    def test_only_of_tables_that_are_carried(self) -> None:
        data = begin(20) + relation(T) + relation(OTHER) + truncate(OTHER.oid, T.oid) + commit(30)
        assert told(decode(of_t(), data)[0]) == [("truncate", ("t",), False, False)]


class TestShape:
    """T-SC: a table that is not the one we know ends the group before its first change, and is read on from there."""

    @pytest.mark.parametrize(
        "changed",
        [
            relation(table({"id": "int4", "v": "text", "w": "text"})),
            relation(table({"id": "int4"})),
            relation(table({"id": "int4", "w": "text"})),
            relation(table({"v": "text", "id": "int4"})),
            relation(table({"id": "int8", "v": "text"})),
            relation(table({"id": "int4", "v": "text"}, key=("v",))),
            relation(T, identity=b"f"),
            relation(T, name="renamed"),
        ],
        ids=["a column more", "one less", "another", "another order", "type", "key", "full", "name"],
    )
    def test_the_group_ends_there(self, changed: bytes) -> None:
        of, given = of_t(), Given(begin(20) + relation(T) + row(1) + changed + row(2) + commit(30))
        group = Group()
        assert of.decode(given, group, None) == "altered"
        assert [type(step) for step in group.steps] == [Rows, SchemaChange]
        assert (group.position, group.changes) == (None, 1)
        assert group.schema_changes[0].old is T or group.schema_changes[0].old == T
        of.carry({"s.t": None})
        again = Group()
        assert of.decode(given, again, None) == "dry"
        assert (again.position, again.changes) == (Lsn(30), 0)

    def test_what_the_source_announces_ends_the_group_there_too(self) -> None:
        """Only inside a transaction, only by our name, and once it is taken up it is nothing new."""
        seen: list[bytes] = []

        def announced(content: bytes, carried: Sequence[Table], xid: int) -> list[SchemaChange]:
            seen.append(content)
            return [SchemaChange(one, None) for one in carried]

        of = Stream(10, {"s.t": code(text_form(T))}, look, 1 << 20, announced=announced)
        theirs = message(b"cdcd", b"?") + message(b"cdcd.ddlx", b"?")
        given = Given(message(b"cdcd.ddl", b"outside") + begin(20) + theirs + relation(T) + row(1)
                      + message(b"cdcd.ddl", b"{}") + row(2) + commit(30))  # fmt: skip
        group, again = Group(), Group()
        assert of.decode(given, group, None) == "altered"
        assert (seen, group.changes, len(group.schema_changes)) == ([b"{}"], 1, 1)
        of.carry({"s.t": None})
        assert of.decode(given, again, None) == "dry"
        assert (again.position, again.changes) == (Lsn(30), 0)

    def test_dropped_and_made_again(self) -> None:
        again = table({"id": "int4", "v": "text"}, oid=101)
        insert = change(b"I", again, tuple_data(b"N", [b"1", b"x"], b"t"))
        group, why = decode(of_t(), begin(20) + relation(again) + insert)
        assert (why, len(group.schema_changes)) == ("altered", 1)

    def test_what_was_skipped_is_not_compared(self) -> None:
        """An older shape in a transaction that is sent again."""
        older = relation(table({"id": "int4"}))
        data = begin(5) + older + row(1) + commit(8) + begin(20) + relation(T) + row(2) + commit(30)
        assert told(decode(of_t(), data)[0]) == inserted(2)


class TestMalformed:
    @pytest.mark.parametrize(
        "data",
        [
            xlog(b"Z"),
            begin(20) + row(1),  # no relation was told
            frame(b"?" + bytes(40)),
            b"d" + struct.pack(">i", -5) + bytes(40),
            commit(30),
            begin(20) + relation(T) + change(b"I", T, tuple_data(b"N", [b"1"], b"t")),
            begin(20) + relation(T) + change(b"I", T, tuple_data(b"N", [b"1", b"x"], b"x")),
            begin(20) + relation(T) + change(b"D", T, tuple_data(b"N", [b"1", b"x"], b"t")),
            begin(20) + relation(T) + xlog(b"T" + struct.pack(">IBI", 2, 0, T.oid)),
        ],
    )
    def test_it_is_named(self, data: bytes) -> None:
        with pytest.raises(Stopped, match="cannot be read"):
            decode(of_t(), data + keepalive(50))

    def test_what_the_server_says_comes_through(self) -> None:
        body = b"SERROR\0C53200\0Mout of memory\0\0"
        with pytest.raises(CdcdError, match="out of memory"):
            decode(of_t(), b"E" + struct.pack(">i", 4 + len(body)) + body)

    @pytest.mark.parametrize("kind", [b"E", b"N"])
    def test_a_missing_publication_is_explained(self, kind: bytes) -> None:
        """An error up to version 17, a mere warning from 18 on."""
        message = b'Mpublication "p" does not exist' if kind == b"E" else b'Mskipped loading publication "p"'
        body = b"C42704\0" + message + b"\0\0"
        with pytest.raises(Stopped) as caught:
            decode(of_t(), kind + struct.pack(">i", 4 + len(body)) + body)
        assert "publication first, then slot" in caught.value.hint

    def test_the_end_of_the_stream_is_no_fault(self) -> None:
        with pytest.raises(Unreachable):
            decode(of_t(), b"c" + struct.pack(">i", 4))

    @pytest.mark.failure("PG-12")
    def test_a_stream_abort_that_nobody_asked_for_is_ignored(self) -> None:
        """PG-12: version 18 sends it."""
        data = begin(20) + relation(T) + row(1) + commit(30) + xlog(b"A" + bytes(8)) + keepalive(40)
        assert told(decode(of_t(), data)[0]) == inserted(1)
