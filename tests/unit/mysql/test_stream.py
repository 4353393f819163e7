"""Events made by hand, whole and broken: what is right is read, and whatever is not is a named error, never a hang."""

from __future__ import annotations

import struct
from typing import Any, cast

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from cdcd.errors import CdcdError, Stopped
from cdcd.model.group import Group
from connectors.mysql.gtid import Gtid
from connectors.mysql.position import Domains, Gtids, Place
from connectors.mysql.wire import PAD, Wire
from tests.contract.reading import events
from tests.unit.mysql import binlog_bytes as made


def decode(data: bytes, bound: int = 1 << 20, place: Place | None = None) -> tuple[Group, str, Any]:
    group, stream = Group(), made.stream(bound, place)
    why = stream.decode(cast(Wire, made.Held(data)), group, None)
    return group, why, stream


def test_a_transaction() -> None:
    group, why, _ = decode(b"".join(map(made.packet, made.transaction(5))))
    assert why == "dry" and group.txs == 1
    rest = ("1.25", "2024-02-29 07:44:56.000001", "7", "b")
    assert [event[:3] for event in events([group])] == [
        ("insert", "t", ("1", "abc", *rest)),
        ("insert", "t", ("2", "abc", *rest)),
        ("update", "t", ("1",)),
        ("delete", "t", ("2",)),
    ]
    assert isinstance(group.position, Gtids) and Gtid(made.ORIGIN, 5) in group.position.set


def test_nothing_is_read_of_half_an_event() -> None:
    whole = b"".join(map(made.packet, made.transaction(5)))
    stream, group = made.stream(), Group()
    wire = made.Held(b"")
    for end in range(0, len(whole) + 1, 7):
        wire.data, wire.limit = whole[wire.pos : end] + PAD, max(0, end - wire.pos)
        begun, wire.pos = wire.pos, 0
        stream.decode(cast(Wire, wire), group, None)
        wire.pos += begun
    wire.data, wire.pos, wire.limit = whole[wire.pos :] + PAD, 0, len(whole) - wire.pos
    stream.decode(cast(Wire, wire), group, None)
    assert group.txs == 1 and group.changes == 4


@pytest.mark.parametrize("kind", [39, 43, 99, 200])
def test_an_unknown_event_is_a_named_stop(kind: int) -> None:
    """MY-08: its rows would be missing."""
    begun = [made.gtid(1), made.begin()]
    with pytest.raises(Stopped):
        decode(b"".join(map(made.packet, [*begun, made.event(kind, b"xyz")])))
    if kind != 39:
        decode(b"".join(map(made.packet, [*begun, made.event(kind, b"xyz", flags=0x80)])))


@pytest.mark.failure("MY-08")
def test_a_transaction_in_one_event() -> None:
    """Compressed and not; what is in it without end is refused."""
    begin, *inner = made.transaction(5)
    plain = b"".join(inner)
    for kind, data in (255, plain), (0, zstandard.ZstdCompressor().compress(plain)):
        way = b"\x02\x03\xfc" + kind.to_bytes(2, "little")  # a field, its bytes, a number of two bytes
        head = way + b"\x03\x03\xfc" + len(plain).to_bytes(2, "little") + b"\x00"
        group, why, _ = decode(b"".join(map(made.packet, [begin, made.event(40, head + data)])))
        assert why == "dry" and group.txs == 1 and group.changes == 4
        with pytest.raises(Stopped):
            decode(b"".join(map(made.packet, [begin, made.event(40, head + data[:-20])])))


BEGUN = [made.gtid(1), made.begin()]
FOUND: tuple[tuple[list[bytes], Place | None], ...] = (
    ([made.gtid(5)], Domains({})), ([made.no_gtid(1)], Domains({})), ([made.no_gtid(1)], None),
    ([made.event(162, bytes(19))], None),
    ([made.event(42, bytes([0, 80, 0, 2]) + b"\x01\x02" * 32 + bytes([4, 2]))], None),
    *(([*BEGUN, made.table_map(made.METADATA[:5] + size + made.METADATA[6:]), made.rows(30, made.image(1))], None)
      for size in (b"\0", b"\x05", b"\xff")),
)  # fmt: skip
"""What a fuzzer found that is guided by coverage: GTIDs of the other product, none, one of numbers that are no bytes,
and documents with lengths of as many bytes as there are none of."""


@pytest.mark.parametrize(("found", "place"), FOUND)
def test_what_a_fuzzer_has_found(found: list[bytes], place: Place | None) -> None:
    with pytest.raises(Stopped, match="cannot be read"):
        decode(b"".join(map(made.packet, found)), place=place)


@settings(max_examples=300)
@given(st.integers(0, 6), st.data())
def test_a_broken_event_is_a_named_error(which: int, data: st.DataObject) -> None:
    """Random bytes in the body of each kind of event."""
    all_of_it = made.transaction(5)
    whole = all_of_it[which]
    at = data.draw(st.integers(19, max(19, len(whole) - 1)))
    junk = data.draw(st.binary(max_size=30))
    kept = data.draw(st.integers(at, len(whole)))
    body = whole[19:at] + junk + whole[kept:]
    all_of_it[which] = made.event(whole[4], body)
    try:
        decode(b"".join(map(made.packet, all_of_it)))
    except CdcdError:
        pass


@settings(max_examples=200)
@given(st.integers(0, 255), st.binary(max_size=200), st.booleans(), st.booleans())
def test_any_event_of_any_bytes_is_read_or_a_named_error(kind: int, body: bytes, inside: bool, mariadb: bool) -> None:
    first = made.event(162, struct.pack("<QIB", 7, 0, 0) + bytes(6)) if mariadb else made.gtid(1)
    begun = [first, made.begin(), made.table_map()] if inside else []
    place = Domains({}) if mariadb else None
    try:
        decode(b"".join(map(made.packet, [*begun, made.event(kind, body), made.xid()])), place=place)
    except CdcdError:
        pass


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_a_named_error(data: bytes) -> None:
    try:
        decode(data)
    except CdcdError:
        pass
