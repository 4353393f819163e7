"""Positions, names, errors, the session's options, wire forms, COPY's text, the order of keys: what needs no server."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.errors import (
    CdcdError,
    Conflict,
    LoginRefused,
    PoisonRow,
    SnapshotLost,
    StateRefused,
    Stopped,
    Transient,
    Unreachable,
    UsageError,
)
from cdcd.model.chunk import Chunk
from cdcd.rows import Field, Layout, RowForm
from connectors.postgres.connect import SESSION, connect, parameters, startup_options
from connectors.postgres.copy_out import made, unescape, untouched
from connectors.postgres.errors import named, translate, translating
from connectors.postgres.locate import FROM_BINARY, FROM_TEXT
from connectors.postgres.names import quote_identifier, quote_literal
from connectors.postgres.position import Lsn, covered, format_lsn, parse_lsn
from connectors.postgres.slot import create_statement, start_statement
from connectors.postgres.snapshot import condition, copy_statement
from connectors.postgres.types_wire import WireType, choose, fill, offers
from tests.unit.postgres.wire_bytes import TYPES, binary_form, code, json_form, table, text_form

T = table({"id": "int4", "v": "text"})


class TestPosition:
    @given(st.integers(0, 2**64 - 1))
    def test_text_and_back(self, lsn: int) -> None:
        assert parse_lsn(format_lsn(lsn)) == lsn
        assert Lsn.of(Lsn(lsn).to_json()) == Lsn.of(str(Lsn(lsn))) == Lsn(lsn)

    def test_the_servers_own_writing(self) -> None:
        assert str(Lsn(0x16B3748)) == "0/16B3748"
        assert str(Lsn(0x1A_0000_0B0C)) == "1A/B0C"

    def test_covers_and_distance(self) -> None:
        assert Lsn(5).covers(Lsn(5))
        assert not Lsn(4).covers(Lsn(5))
        assert (Lsn(7).distance(Lsn(5)), Lsn(5).distance(Lsn(7))) == (2, 0)

    def test_a_commit_record_at_the_place_is_not_covered(self) -> None:
        assert covered(9, 10)
        assert not covered(10, 10)

    @pytest.mark.parametrize("text", ["", "16B3748", "0/", "0/G", "0/123456789", "x"])
    def test_not_a_position(self, text: str) -> None:
        with pytest.raises(UsageError):
            Lsn.of(text)

    @pytest.mark.parametrize("data", [{}, {"file": "binlog.1"}, {"lsn": None}])
    def test_another_products_position(self, data: dict[str, Any]) -> None:
        with pytest.raises(StateRefused):
            Lsn.of(data)


class TestErrors:
    @pytest.mark.parametrize(
        ("state", "kind"),
        [
            ("40P01", Transient),
            ("40001", Transient),
            ("53300", Transient),
            ("53100", Transient),
            ("57P01", Unreachable),
            ("08006", Unreachable),
            ("23505", Conflict),
            ("23503", Conflict),
            ("23514", PoisonRow),
            ("22P02", PoisonRow),
            ("P0001", PoisonRow),
            ("42501", Stopped),
            ("42P01", Stopped),
            ("XX001", Stopped),
            ("28P01", LoginRefused),
            ("72000", SnapshotLost),
        ],
    )
    def test_by_sqlstate(self, state: str, kind: type[CdcdError]) -> None:
        error = named(state, "it says\n this", "detail", table="s.t")
        assert type(error) is kind
        assert (error.what, error.where["table"]) == ("it says this", "s.t")
        hidden = ("23514", "22P02")
        assert error.why == ("" if state in hidden else "detail"), "a refused row's detail has its values"

    @pytest.mark.parametrize(
        ("words", "kind"),
        [
            ('FATAL:  password authentication failed for user "x"', LoginRefused),
            ('FATAL:  database "x" does not exist', UsageError),
            ("FATAL:  sorry, too many clients already", Transient),
            ("FATAL:  the database system is starting up", Unreachable),
            ("Connection refused", Unreachable),
            ("", Unreachable),
        ],
    )
    def test_a_refused_login_has_only_words(self, words: str, kind: type[CdcdError]) -> None:
        assert type(translate(psycopg2.OperationalError(words))) is kind

    def test_ours_are_left_as_they_are(self) -> None:
        error = Stopped("x")
        assert translate(error) is error

    def test_sockets_and_misuse(self) -> None:
        assert type(translate(ConnectionResetError("x"))) is Unreachable
        assert type(translate(psycopg2.ProgrammingError("no results to fetch"))) is CdcdError

    def test_in_a_block(self) -> None:
        with pytest.raises(Unreachable), translating(table="t"):
            raise psycopg2.InterfaceError("connection already closed")


class TestSession:
    def test_options_are_escaped(self) -> None:
        assert startup_options({"a": "x y", "b": "\\"}) == "-c a=x\\ y -c b=\\\\"

    def test_ours_come_last_and_the_users_stay(self) -> None:
        got = parameters("postgresql://u@h/d?options=-c%20work_mem%3D1MB&connect_timeout=3", "cdcd/x")
        assert got["options"].startswith("-c work_mem=1MB -c TimeZone=UTC")
        assert (got["connect_timeout"], got["application_name"]) == ("3", "cdcd/x")
        assert all(f"-c {name}=" in got["options"] for name in SESSION)

    def test_a_password_in_a_broken_url_is_not_repeated(self) -> None:
        with pytest.raises(UsageError) as caught:
            connect("postgresql://u:canary%zz@h/d", "x")
        assert "canary" not in str(caught.value)
        assert caught.value.__cause__ is None


class TestStatements:
    def test_quoting(self) -> None:
        assert quote_identifier('a"b') == '"a""b"'
        assert quote_literal("it's") == "'it''s'"
        assert quote_literal("a\\b'") == "E'a\\\\b'''"

    def test_a_slot_in_both_grammars(self) -> None:
        new = create_statement("s", 180000, temporary=True, export=True)
        assert new == """CREATE_REPLICATION_SLOT "s" TEMPORARY LOGICAL pgoutput (SNAPSHOT 'export')"""
        old = create_statement("s", 140000, temporary=False, export=False)
        assert old == 'CREATE_REPLICATION_SLOT "s" LOGICAL pgoutput NOEXPORT_SNAPSHOT'

    def test_binary_from_14_on(self) -> None:
        text = start_statement("s", 16, "it's \"p\"", binary=True, version=140000)
        assert text == (
            'START_REPLICATION SLOT "s" LOGICAL 0/10 '
            "(proto_version '1', publication_names '\"it''s \"\"p\"\"\"', binary 'true')"
        )
        assert "binary" not in start_statement("s", 16, "p", binary=True, version=130000)

    def test_a_whole_table_is_copied_without_a_query(self) -> None:
        text = copy_statement(T, Chunk(T.id, 0), ("id", "v"), binary=True)
        assert text == 'COPY "s"."t" ("id", "v") TO STDOUT (FORMAT binary)'

    def test_a_range_is_a_row_comparison(self) -> None:
        pair = table({"id": "int4", "v": "text"}, key=("id", "v"))
        chunk = Chunk(pair.id, 1, ("1", "a'b"), ("2", "\\"), ("id", "v"))
        assert condition(pair, chunk) == (
            """ WHERE ("id", "v") >= (CAST('1' AS int4), CAST('a''b' AS text))"""
            """ AND ("id", "v") < (CAST('2' AS int4), CAST(E'\\\\' AS text))"""
        )


class TestWireForms:
    column = T.columns[0]

    def test_binary_is_named_by_version_and_type(self) -> None:
        assert offers(self.column, TYPES[23], True, 18) == ("pg-binary:int4",)

    def test_text_is_offered_from_the_narrowest_on(self) -> None:
        assert offers(self.column, TYPES[23], False, 18) == ("pg-text:int4", "canonical", "pg-text:*")

    @pytest.mark.parametrize(
        ("type", "text", "binary"),
        [
            (WireType("mood", "e", False, True), ("pg-text:enum",), ("pg-binary:enum",)),
            (WireType("int4", "b", False, True), (), ()),  # somebody's own type of that name
            (WireType("pair", "c", False, True), (), ()),
            (WireType("interval", "b", True, True), ("pg-text:interval",), ("pg-binary/18:interval",)),
            (WireType("money", "b", True, False), ("pg-text:money",), ()),
            (WireType("_int4", "b", True, True), ("pg-text:_int4",), ("pg-binary:_int4",)),
            (WireType("citext", "b", False, True), ("pg-text:citext",), ("pg-binary:citext",)),
        ],
    )
    def test_by_kind(self, type: WireType, text: tuple[str, ...], binary: tuple[str, ...]) -> None:
        assert (type.text, type.binary(18)) == (text, binary)

    def test_the_first_form_that_can_be_filled(self) -> None:
        forms = [binary_form(T), text_form(T)]
        assert choose(forms, TYPES, (True, False), 18).form is forms[0]
        assert choose(forms, TYPES, (False,), 18).form is forms[1]

    def test_none_can(self) -> None:
        form = RowForm("x", T, ("id",), (Field({"mysql": "v"}),), Layout(b"", b"", b"", b""))
        assert fill(form, TYPES, False, 18) is None
        with pytest.raises(Stopped, match="none of the forms"):
            choose([form], TYPES, (False,), 18)


class TestCopyText:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            (b"a", b"a"),
            (b"a\\tb\\\\n", b"a\tb\\n"),
            (b"\\b\\f\\n\\r\\t\\v", b"\b\f\n\r\t\v"),
            (b"\\x", b"x"),
        ],
    )
    def test_unescape(self, field: bytes, value: bytes) -> None:
        assert unescape(field) == value

    def test_rows_are_made_whatever_the_pieces_are(self) -> None:
        text = b"1\ta\\tb\n2\t\\N\n3\t\\\\N\n4\tplain\n"
        expected = b"{%id:1,%v:'a\\tb'}\n{%id:2,%v:null}\n{%id:3,%v:'\\\\N'}\n{%id:4,%v:'plain'}\n"
        for cut in range(len(text)):
            counts = {"rows": 0, "bytes": 0}
            assert b"".join(made(iter([text[:cut], text[cut:]]), code(json_form(T)), counts)) == expected
            assert counts == {"rows": 4, "bytes": len(expected)}

    @pytest.mark.parametrize("value", [b"refused", b"refuse\\d"])
    def test_a_value_that_cannot_be_written_is_named(self, value: bytes) -> None:
        with pytest.raises(PoisonRow, match="not that word") as caught:
            list(made(iter([b"1\tgood\n2\t" + value + b"\n"]), code(json_form(T)), {"rows": 0, "bytes": 0}))
        assert caught.value.where["column"] == "v"

    def test_a_line_of_another_number_of_fields(self) -> None:
        with pytest.raises(Exception, match="has 3 fields"):
            list(made(iter([b"1\ta\tb\n"]), code(json_form(T)), {"rows": 0, "bytes": 0}))

    def test_which_forms_are_copys_own(self) -> None:
        assert untouched(choose([binary_form(T)], TYPES, (True,), 18))
        assert untouched(choose([text_form(T)], TYPES, (False,), 18))
        assert not untouched(choose([json_form(T)], TYPES, (False,), 18))


EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class TestOrder:
    @given(st.datetimes(timezones=st.just(UTC)))
    def test_a_moment_is_the_same_number_in_text_and_binary(self, moment: datetime) -> None:
        micros = (moment - EPOCH) // timedelta(microseconds=1)
        text = moment.isoformat(" ").removesuffix(":00").encode()
        assert FROM_TEXT["timestamptz"](text) == micros
        assert FROM_BINARY["timestamptz"](micros.to_bytes(8, "big", signed=True)) == micros

    def test_moments_that_python_has_no_value_for(self) -> None:
        texts = [b"-infinity", b"4713-11-24 00:00:00 BC", b"0001-12-31 00:00:00 BC", b"0001-01-01 00:00:00"]
        texts += [b"9999-12-31 23:59:59.999999", b"10000-01-01 00:00:00", b"infinity"]
        shuffled = random.Random(1).sample(texts, len(texts))
        assert sorted(shuffled, key=FROM_TEXT["timestamp"]) == texts
        ends = [-(1 << 63), -5, 5, (1 << 63) - 1]
        assert [FROM_BINARY["timestamp"](end.to_bytes(8, "big", signed=True)) for end in ends] == [
            float("-inf"), -5, 5, float("inf"),
        ]  # fmt: skip

    def test_a_date_is_its_midnight(self) -> None:
        assert FROM_TEXT["date"](b"2000-01-02") == FROM_BINARY["date"](b"\0\0\0\1") == 86_400_000_000

    @given(st.integers(-(2**63), 2**63 - 1))
    def test_integers(self, number: int) -> None:
        assert FROM_BINARY["int8"](number.to_bytes(8, "big", signed=True)) == FROM_TEXT["int8"](b"%d" % number)
        assert Decimal(number) == number

    def test_uuid_and_bytea(self) -> None:
        assert FROM_TEXT["uuid"](b"00ff0000-0000-0000-0000-000000000001") == b"\0\xff" + bytes(13) + b"\1"
        assert FROM_TEXT["bytea"](b"\\x00ff") == b"\0\xff"
